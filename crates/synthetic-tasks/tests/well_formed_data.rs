//! Balance, separation of the parts, lengths, vocabulary and file layouts, for several seeds.

use std::collections::BTreeSet;

use synthetic_tasks::{MAX_WORDS, Split, Tasks, generate, tasks, vocabulary};

const SEEDS: [u64; 3] = [synthetic_tasks::DEFAULT_SEED, 1, 2];
/// Longest pair, in words of both sentences.
const MAX_PAIR_WORDS: usize = 37;

fn words(text: &str) -> usize {
    text.split(' ').count()
}

fn check_balance(seed: u64, name: &str, labels: &[bool]) {
    let share = labels.iter().filter(|&&yes| yes).count() as f64 / labels.len() as f64;
    assert!((0.48..=0.52).contains(&share), "seed {seed}: {name} has {share:.3} positive labels");
}

fn check_disjoint<T>(seed: u64, name: &str, split: &Split<T>, key: impl Fn(&T) -> String) {
    let train: BTreeSet<String> = split.train.iter().map(&key).collect();
    let dev: BTreeSet<String> = split.dev.iter().map(&key).collect();
    assert_eq!(dev.len(), split.dev.len(), "seed {seed}: {name} dev repeats an example");
    assert_eq!(train.intersection(&dev).next(), None, "seed {seed}: {name} train and dev overlap");
    assert!(train.len() * 2 > split.train.len(), "seed {seed}: {name} train is mostly repetitions");
}

#[test]
fn labels_are_balanced_in_both_parts() {
    for seed in SEEDS {
        let Tasks { polarity, entailment, .. } = tasks(seed);
        for (part, examples) in [("train", &polarity.train), ("dev", &polarity.dev)] {
            check_balance(seed, part, &examples.iter().map(|e| e.positive).collect::<Vec<_>>());
        }
        for (part, examples) in [("train", &entailment.train), ("dev", &entailment.dev)] {
            check_balance(seed, part, &examples.iter().map(|e| e.entailed).collect::<Vec<_>>());
        }
    }
}

#[test]
fn no_development_example_occurs_in_training() {
    for seed in SEEDS {
        let Tasks { polarity, entailment, similarity } = tasks(seed);
        check_disjoint(seed, "polarity", &polarity, |e| e.sentence.clone());
        check_disjoint(seed, "entailment", &entailment, |e| format!("{}\t{}", e.premise, e.hypothesis));
        check_disjoint(seed, "similarity", &similarity, |e| format!("{}\t{}", e.first, e.second));
    }
}

#[test]
fn a_sentence_or_pair_never_has_two_labels() {
    for seed in SEEDS {
        let Tasks { polarity, entailment, .. } = tasks(seed);
        let labeled: BTreeSet<_> = polarity.train.iter().map(|e| (e.sentence.as_str(), e.positive)).collect();
        let unlabeled: BTreeSet<_> = polarity.train.iter().map(|e| e.sentence.as_str()).collect();
        assert_eq!(labeled.len(), unlabeled.len(), "seed {seed}: polarity contradicts itself");
        let pair = |e: &synthetic_tasks::EntailmentExample| (e.premise.clone(), e.hypothesis.clone());
        let labeled: BTreeSet<_> = entailment.train.iter().map(|e| (pair(e), e.entailed)).collect();
        let unlabeled: BTreeSet<_> = entailment.train.iter().map(pair).collect();
        assert_eq!(labeled.len(), unlabeled.len(), "seed {seed}: entailment contradicts itself");
    }
}

#[test]
fn sentences_are_short() {
    for seed in SEEDS {
        let Tasks { polarity, entailment, similarity } = tasks(seed);
        assert!(polarity.train.iter().chain(&polarity.dev).all(|e| words(&e.sentence) <= MAX_WORDS));
        let pairs = entailment.train.iter().map(|e| (&e.premise, &e.hypothesis));
        for (a, b) in pairs.chain(similarity.train.iter().map(|e| (&e.first, &e.second))) {
            assert!(words(a) + words(b) <= MAX_PAIR_WORDS, "`{a}` / `{b}`");
        }
    }
}

#[test]
fn every_word_is_in_the_vocabulary_and_every_word_of_the_vocabulary_is_used() {
    let known: BTreeSet<&str> = vocabulary().into_iter().collect();
    for seed in SEEDS {
        let Tasks { polarity, entailment, similarity } = tasks(seed);
        let mut texts: Vec<String> = Vec::new();
        texts.extend(polarity.train.into_iter().chain(polarity.dev).map(|e| e.sentence));
        texts.extend(entailment.train.into_iter().chain(entailment.dev).flat_map(|e| [e.premise, e.hypothesis]));
        texts.extend(similarity.train.into_iter().chain(similarity.dev).flat_map(|e| [e.first, e.second]));
        let corpus = generate(seed).into_iter().find(|file| file.relative_path == "corpus.txt").unwrap();
        texts.extend(String::from_utf8(corpus.bytes).unwrap().lines().map(str::to_owned));
        let used: BTreeSet<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "seed {seed}: not in the vocabulary: {unknown:?}");
        let unused: Vec<_> = known.difference(&used).filter(|word| !word.starts_with('[')).collect();
        assert!(unused.is_empty(), "seed {seed}: never used: {unused:?}");
    }
}

#[test]
fn tables_have_the_columns_of_the_glue_release() {
    let layouts = [
        ("SST-2", "sentence\tlabel"),
        ("RTE", "index\tsentence1\tsentence2\tlabel"),
        ("STS-B", "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"),
    ];
    let files = generate(1);
    for (task, header) in layouts {
        for part in ["train", "dev"] {
            let path = format!("{task}/{part}.tsv");
            let file = files.iter().find(|file| file.relative_path == path).unwrap();
            let text = std::str::from_utf8(&file.bytes).unwrap();
            assert!(text.ends_with('\n'), "{path} ends inside a line");
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some(header), "{path}");
            for line in lines {
                let columns: Vec<_> = line.split('\t').collect();
                assert_eq!(columns.len(), header.split('\t').count(), "{path}: {line}");
                let label = columns[columns.len() - 1];
                let valid = match task {
                    "SST-2" => matches!(label, "0" | "1"),
                    "RTE" => matches!(label, "entailment" | "not_entailment"),
                    _ => (0.0..=5.0).contains(&label.parse::<f32>().unwrap()),
                };
                assert!(valid, "{path}: label `{label}`");
            }
        }
    }
}

#[test]
fn the_corpus_holds_no_development_example() {
    for seed in SEEDS {
        let corpus = generate(seed).into_iter().find(|file| file.relative_path == "corpus.txt").unwrap();
        let corpus = String::from_utf8(corpus.bytes).unwrap();
        let lines: Vec<&str> = corpus.lines().map(|line| line.trim_end_matches(" .")).collect();
        let sentences: BTreeSet<&str> = lines.iter().copied().collect();
        let neighbors: BTreeSet<(&str, &str)> = lines.windows(2).map(|two| (two[0], two[1])).collect();
        let Tasks { polarity, entailment, similarity } = tasks(seed);
        for example in &polarity.dev {
            assert!(!sentences.contains(example.sentence.as_str()), "seed {seed}: {}", example.sentence);
        }
        let pairs = entailment.dev.iter().map(|e| (e.premise.as_str(), e.hypothesis.as_str()));
        for (a, b) in pairs.chain(similarity.dev.iter().map(|e| (e.first.as_str(), e.second.as_str()))) {
            assert!(!neighbors.contains(&(a, b)) && !neighbors.contains(&(b, a)), "seed {seed}: {a} / {b}");
        }
    }
}
