//! Augmentation of training sets with a small model.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bert_core::{BertConfig, EncodeOptions, ModelDir, Package, Parts, TaskModel, TokenBatch};
use burn::tensor::{Device, Int, Tensor};
use cpu_runtime::Precision;
use glue_squad::task::{Example, Split, TaskKind};
use kd::augment::{AugmentSettings, Augmented, Augmenter, Pairs, WordSource};
use tokenizer::{TextEncoder, WordPieces};

const TOKENS: &[&str] = &[
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "good",
    "film",
    "bad",
    "odd",
    "plot",
    "actor",
    "slow",
    "un",
    "##seen",
    "##s",
    ",",
    "2",
    "[unused3]",
    "music",
    "dull",
    "bright",
    "story",
    "end",
];
const POSITIONS: usize = 16;

/// A model directory of random weights, with or without a masked-language-model head.
fn model(dir: &Path, mlm: bool) -> (BertConfig, TaskModel) {
    model_of(dir, bert(), Parts { mlm, ..Parts::default() })
}

fn bert() -> BertConfig {
    BertConfig {
        max_position_embeddings: POSITIONS,
        initializer_range: 0.7,
        ..BertConfig::bert(TOKENS.len(), 16, 2, 2, 24)
    }
}

fn model_of(dir: &Path, config: BertConfig, parts: Parts) -> (BertConfig, TaskModel) {
    let model = TaskModel::new(&config, parts, &Device::flex()).unwrap().initialized(&config, 5);
    let vocab = TOKENS.iter().map(|token| format!("{token}\n")).collect::<String>();
    let files = [("vocab.txt".to_owned(), vocab.into_bytes())];
    ModelDir::save(dir, &config, &model, Package { card: "", files: &files, keep_fit: false }).unwrap();
    (config, model)
}

fn augmenter(dir: &Path, settings: AugmentSettings, threads: usize) -> kd::Result<Augmenter> {
    Augmenter::load(dir, TextEncoder::from_dir(dir).unwrap(), settings, Precision::F32, threads)
}

fn pieces(dir: &Path) -> WordPieces {
    WordPieces::new(TextEncoder::from_dir(dir).unwrap()).unwrap()
}

fn settings(source: WordSource) -> AugmentSettings {
    AugmentSettings { source, candidates: 4, copies: 5, ..AugmentSettings::default() }
}

/// The whole words but `but`, the best by `score` first.
fn ranked(pieces: &WordPieces, but: &str, score: impl Fn(u32) -> f64) -> Vec<u32> {
    let mut ids: Vec<u32> = pieces.ids().filter(|id| pieces.word(*id) != Some(but)).collect();
    ids.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    ids.truncate(4);
    ids
}

#[test]
fn neighbors_are_those_of_a_comparison_with_every_word() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("m");
    let (config, model) = model(&dir, false);
    let table = &model.collect_internal().0["encoder.embeddings.word_embeddings.weight"].data;
    let row = |id: u32| &table[id as usize * config.hidden_size..][..config.hidden_size];
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let pieces = pieces(&dir);
    let mut augmenter = augmenter(&dir, settings(WordSource::Auto), 1).unwrap();
    assert!(!augmenter.uses_mlm());
    let slots = augmenter.candidates("The good unseen zebra").unwrap();
    let id = |token: &str| TOKENS.iter().position(|t| *t == token).unwrap() as u32;
    assert_eq!(slots[0].candidates, ranked(&pieces, "good", |other| cosine(row(other), row(id("good")))));
    let mean: Vec<f32> = row(id("un")).iter().zip(row(id("##seen"))).map(|(a, b)| (a + b) / 2.0).collect();
    assert_eq!(slots[1].candidates, ranked(&pieces, "", |other| cosine(row(other), &mean)));
    assert!(slots[2].candidates.is_empty(), "an unknown word has no embedding of its own");
    assert_eq!(slots.len(), 3);
}

/// Logits of the model's own head at `at` of one sequence.
fn logits(model: &TaskModel, ids: &[u32], segments: &[u32], at: usize) -> Vec<f32> {
    let device = Device::flex();
    let ints = |values: &[u32]| {
        let values: Vec<i32> = values.iter().map(|v| *v as i32).collect();
        Tensor::<1, Int>::from_data(&values[..], &device).reshape([1, values.len()])
    };
    let mask = Tensor::<2>::ones([1, ids.len()], &device);
    let batch = TokenBatch { ids: ints(ids), type_ids: ints(segments), mask };
    let hidden = model.encode(&batch, EncodeOptions::LAST).last_hidden;
    let table = model.encoder.embeddings.word_embeddings.weight.val();
    let all = model.mlm.as_ref().unwrap().forward(hidden, table).try_into_vec_as::<f32>().unwrap();
    all[at * TOKENS.len()..][..TOKENS.len()].to_vec()
}

#[test]
fn words_of_the_head_are_those_of_the_models_own_logits_at_the_mask() {
    words_are_those_of_the_logits(bert());
}

#[test]
fn words_of_mobileberts_head_with_its_own_output_weights_are_those_of_its_logits_too() {
    let model_type = bert_core::ModelType::MobileBert;
    words_are_those_of_the_logits(BertConfig { model_type, embedding_size: Some(6), trigram_input: true, ..bert() });
}

fn words_are_those_of_the_logits(config: BertConfig) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("m");
    let parts = Parts::default().with_words(&config);
    let (_, model) = model_of(&dir, config, parts);
    let pieces = pieces(&dir);
    let ids = |text: &str| pieces.encoder().encode_plain(text).unwrap();
    let framed = |text: &str| [&[2][..], &ids(text), &[3]].concat();
    let best = |ids: &[u32], segments: &[u32], at: usize, but: &str| {
        let logits = logits(&model, ids, segments, at);
        ranked(&pieces, but, |id| f64::from(logits[id as usize]))
    };

    let mut auto = augmenter(&dir, settings(WordSource::Auto), 2).unwrap();
    let slots = auto.candidates("The unseen film, good 2").unwrap();
    let masked = framed("the unseen [MASK], good 2");
    assert_eq!(slots[1].candidates, best(&masked, &vec![0; masked.len()], 4, "film"));
    let nearest = augmenter(&dir, settings(WordSource::Embeddings), 1).unwrap().candidates("unseen").unwrap();
    assert_eq!(slots[0].candidates, nearest[0].candidates, "a word of several pieces");

    let mut head = augmenter(&dir, settings(WordSource::Mlm), 1).unwrap();
    let masked = framed("the [MASK] film, good 2");
    let expected = best(&masked, &vec![0; masked.len()], 2, "");
    assert_eq!(head.candidates("The unseen film, good 2").unwrap()[0].candidates, expected);

    let both = AugmentSettings { sees_original: true, ..settings(WordSource::Mlm) };
    let masked = [framed("odd [MASK]"), ids("odd music"), vec![3]].concat();
    let found = augmenter(&dir, both, 1).unwrap().candidates("odd music").unwrap();
    assert_eq!(found[1].candidates, best(&masked, &[0, 0, 0, 0, 1, 1, 1], 2, "music"));
}

#[test]
fn every_word_of_a_text_longer_than_the_model_has_candidates() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("m");
    let (_, model) = model(&dir, true);
    let pieces = pieces(&dir);
    let words: Vec<&str> = ["good", "film", "bad", "odd", "plot"].into_iter().cycle().take(40).collect();
    let text = words.join(" ");
    for sees_original in [false, true] {
        let settings = AugmentSettings { sees_original, ..settings(WordSource::Mlm) };
        let slots = augmenter(&dir, settings, 1).unwrap().candidates(&text).unwrap();
        assert!(slots.len() == 40 && slots.iter().all(|slot| slot.candidates.len() == 4));
        if !sees_original {
            // 13 tokens around the word: six before it and six behind.
            let mut around = words[14..27].to_vec();
            around[6] = "[MASK]";
            let ids = [vec![2], pieces.encoder().encode_plain(&around.join(" ")).unwrap(), vec![3]].concat();
            let logits = logits(&model, &ids, &[0; 15], 7);
            assert_eq!(slots[20].candidates, ranked(&pieces, words[20], |id| f64::from(logits[id as usize])));
        }
    }
}

const RTE: &str = "index\tsentence1\tsentence2\tlabel\n\
    0\tThe good film.\tA \"bad\" plot, 2 actors\tentailment\n\
    1\tthe\tof\tnot_entailment\n\
    2\tslow music\tSlow music unseen\tnot_entailment\n";
const STSB: &str = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n\
    0\tg\tf\ty\t1\ts\ts\tgood film\tgood music\t3.250\n";

fn written(dir: &Path, name: &str, text: &str) -> Vec<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    vec![path]
}

/// What is done and what comes out, read again.
fn augment(
    dir: &Path,
    task: TaskKind,
    text: &str,
    settings: AugmentSettings,
    threads: usize,
) -> (Augmented, Vec<Example>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let source = written(dir, "source.tsv", text);
    let out = dir.join(format!("out-{threads}.tsv"));
    let mut augmenter = augmenter(&dir.join("m"), settings, threads).unwrap();
    let mut watch = |_| ControlFlow::Continue(());
    let done = pool.install(|| augmenter.write(task, &source, &out, &mut watch)).unwrap();
    let rows = task.open(&out, Split::Train).unwrap().collect::<Result<_, _>>().unwrap();
    (done, rows)
}

#[test]
fn copies_stand_behind_the_original_rows_and_keep_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    model(&dir.path().join("m"), true);
    for source in [WordSource::Auto, WordSource::Mlm, WordSource::Embeddings] {
        let all = AugmentSettings { probability: 1.0, ..settings(source) };
        let (done, rows) = augment(dir.path(), TaskKind::Rte, RTE, all, 1);
        let originals: Vec<Example> =
            TaskKind::Rte.parse(RTE.as_bytes(), "x", Split::Train).collect::<Result<_, _>>().unwrap();
        assert_eq!(rows[..3], originals);
        assert_eq!(done.rows + done.added, rows.len() as u64);
        assert_eq!(done.added + done.dropped, 3 * 2 * 5);
        assert!(done.dropped >= 10, "the row of stop words has no copies");
        assert_eq!(done.words, 10, "{source:?}");
        let expected = [8, 10, 0][source as usize];
        assert_eq!(done.words_by_mlm, expected, "`actors` and `unseen` have several pieces");
        for copy in &rows[3..] {
            let b = copy.text_b.as_deref().unwrap();
            let of = originals.iter().find(|o| o.text_a == copy.text_a || o.text_b.as_deref() == Some(b)).unwrap();
            assert_eq!(copy.label, of.label);
            let (a_same, b_same) = (copy.text_a == of.text_a, Some(b) == of.text_b.as_deref());
            assert!(a_same != b_same, "one of the texts changes: {copy:?}");
            if a_same && of.id == 0 {
                assert!(
                    b.starts_with("A \"") && b.contains(", 2 ") && !b.contains("\"bad") && !b.ends_with("actors"),
                    "{b}"
                );
            }
            if b_same && of.id == 0 {
                assert!(copy.text_a.starts_with("The ") && copy.text_a.ends_with('.'), "{copy:?}");
                assert!(!copy.text_a.contains("The good") && !copy.text_a.contains("film."), "{copy:?}");
            }
        }
    }
}

#[test]
fn with_both_texts_of_a_pair_every_copy_changes_both_and_scores_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    model(&dir.path().join("m"), false);
    let both = AugmentSettings { probability: 1.0, pairs: Pairs::Both, ..settings(WordSource::Auto) };
    let (done, rows) = augment(dir.path(), TaskKind::Stsb, STSB, both, 1);
    assert_eq!(done.added + done.dropped, 5);
    assert!(done.added >= 3);
    for row in &rows {
        assert_eq!(row.label, Some(glue_squad::task::Label::Score(3.25)));
    }
    assert!(
        rows[1..].iter().all(|row| !row.text_a.ends_with("film") && !row.text_b.as_ref().unwrap().ends_with("music"))
    );
}

#[test]
fn with_probability_0_nothing_is_added() {
    let dir = tempfile::tempdir().unwrap();
    model(&dir.path().join("m"), false);
    let none = AugmentSettings { probability: 0.0, ..settings(WordSource::Auto) };
    let (done, rows) = augment(dir.path(), TaskKind::Rte, RTE, none, 1);
    assert_eq!((done.rows, done.added, done.dropped, rows.len()), (3, 0, 30, 3));
}

#[test]
fn the_result_depends_on_the_seed_and_neither_on_threads_nor_on_later_rows() {
    let dir = tempfile::tempdir().unwrap();
    model(&dir.path().join("m"), true);
    let mut long = RTE.to_owned();
    for i in 3..150 {
        long += &format!("{i}\tgood bad film {i} music\tdull story, bright end unseens\tentailment\n");
    }
    let run = |settings, threads| augment(dir.path(), TaskKind::Rte, &long, settings, threads).1;
    let one = run(settings(WordSource::Auto), 1);
    assert!(one.len() > 150 * 4);
    assert_eq!(run(settings(WordSource::Auto), 3), one);
    let other = run(AugmentSettings { seed: 43, ..settings(WordSource::Auto) }, 1);
    assert!(other[..150] == one[..150] && other[150..] != one[150..]);
    let texts = |rows: &[Example]| rows.iter().map(|r| (r.text_a.clone(), r.text_b.clone())).collect::<Vec<_>>();
    let first = run(AugmentSettings { limit: Some(70), ..settings(WordSource::Auto) }, 1);
    assert_eq!(texts(&first[..70]), texts(&one[..70]));
    let copies = first.len() - 70;
    assert_eq!(texts(&first[70..]), texts(&one[150..150 + copies]));
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path(), dir.path().join("out.tsv"));
    model(&path.join("m"), false);
    let message = |settings| match augmenter(&path.join("m"), settings, 1) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("accepted"),
    };
    assert!(message(settings(WordSource::Mlm)).contains("no masked-language-model head"));
    let wrong = AugmentSettings { probability: f64::NAN, ..AugmentSettings::default() };
    assert!(message(wrong).contains("`probability`: is NaN"));
    assert!(message(AugmentSettings { copies: 0, ..AugmentSettings::default() }).contains("`copies`: is 0"));

    let mut augmenter = augmenter(&path.join("m"), settings(WordSource::Auto), 1).unwrap();
    let torn = written(path, "torn.tsv", &format!("{RTE}3\tgood\tfilm\n"));
    let error = augmenter.write(TaskKind::Rte, &torn, &out, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("torn.tsv:5: 3 tab-separated columns instead of 4"), "{error}");
    let missing = [path.join("none.tsv")];
    assert!(augmenter.write(TaskKind::Rte, &missing, &out, &mut |_| ControlFlow::Continue(())).is_err());
    let sound = written(path, "sound.tsv", RTE);
    let error = augmenter.write(TaskKind::Rte, &sound, &out, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(error, kd::Error::Train(train::Error::Interrupted { step: 0 })), "{error}");
    let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["m", "sound.tsv", "torn.tsv"]);

    let weights = path.join("m/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 9]).unwrap();
    assert!(message(settings(WordSource::Auto)).contains("model.safetensors"));
}
