//! Every command of `docs/tutorial.md`, with a tiny model in the place of MiniLM.

use std::collections::BTreeSet;
use std::path::Path;

use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};

use crate::fake_hub::FakeHub;
use crate::hub::{uploaded, with_hub};
use crate::support::{Outcome, folder, outcome, run};

/// The words of a command line; quotes hold some together.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("one word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands of the blocks that a shell runs.
pub fn commands(page: &str) -> Vec<Vec<String>> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            commands.push(words(line));
        }
    }
    commands
}

/// A BERT of random weights whose vocabulary has the words of the reviews.
fn tiny_model(dir: &Path) {
    let [(_, reviews), _] = synthetic_tasks::reviews(synthetic_tasks::DEFAULT_SEED);
    let is_character = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let mut pieces = BTreeSet::new();
    for word in reviews.split(|c: char| !c.is_alphabetic() || is_character(c)).filter(|word| !word.is_empty()) {
        pieces.insert(word.to_owned());
    }
    pieces.extend(reviews.chars().filter(|c| is_character(*c) || "，,".contains(*c)).map(String::from));
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let vocab: Vec<String> = special.into_iter().chain(pieces).collect();
    let config = BertConfig {
        max_position_embeddings: 64,
        initializer_range: 0.15,
        ..BertConfig::bert(vocab.len(), 32, 2, 4, 64)
    };
    let device = burn::tensor::Device::flex();
    let model = TaskModel::new(&config, Parts::POOLER, &device).unwrap().initialized(&config, 3);
    let files = [
        ("vocab.txt".to_owned(), (vocab.join("\n") + "\n").into_bytes()),
        ("tokenizer_config.json".to_owned(), br#"{"do_lower_case": false}"#.to_vec()),
    ];
    ModelDir::save(dir, &config, &model, Package { card: "# tiny", files: &files, keep_fit: false }).unwrap();
}

#[test]
fn every_command_of_the_tutorial_works() {
    let page = include_str!("../../../../docs/tutorial.md");
    let dir = folder();
    // One that knows something of language, as a model of the hub does: it has learned on such reviews already.
    let before = folder();
    tiny_model(&before.path().join("random"));
    let [(_, reviews), _] = synthetic_tasks::reviews(1);
    std::fs::write(before.path().join("r.csv"), reviews).unwrap();
    let own = ["--train", "r.csv", "--text", "review", "--label", "verdict", "--max-len", "32", "--threads", "1"];
    let pretrain = ["teacher", "--model", "random", "--out", "tiny", "--steps", "2000", "--learning-rate", "2e-3"];
    let trained = run(before.path(), &[&pretrain[..], &own[..]].concat()).json();
    assert!(trained["score"].as_f64().unwrap() > 0.8, "{trained}");
    // New heads begin small, as those of a large model do: few steps at its rate are enough.
    let config = before.path().join("tiny/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"initializer_range\": 0.15", "\"initializer_range\": 0.002")).unwrap();
    let fake = FakeHub::start("sentence-transformers/all-MiniLM-L6-v2", uploaded(&before.path().join("tiny")));
    let commands = commands(page);
    assert!(commands.len() > 15, "{commands:?}");
    let mut scores = Vec::new();
    for words in &commands {
        assert_eq!(words[0], "efficientbert", "{words:?}");
        let begun = std::time::Instant::now();
        let done: Outcome = outcome(with_hub(dir.path(), &fake.endpoint()).args(&words[1..]));
        assert_eq!(done.code, Some(0), "{}: {}", words.join(" "), done.stderr);
        println!("{:5.1} s  {}", begun.elapsed().as_secs_f64(), words.join(" "));
        if words[1] == "eval" && words.iter().any(|word| word == "--train") {
            let line = done.stdout.lines().find(|line| line.starts_with("accuracy")).unwrap_or_default();
            scores.push(line.split_whitespace().nth(1).unwrap_or_default().parse::<f64>().unwrap());
        }
    }
    assert!(scores.len() == 3 && scores.iter().all(|score| *score > 60.0), "above the 33.3 of one answer: {scores:?}");
    let answers = std::fs::read_to_string(dir.path().join("answers.csv")).unwrap();
    assert_eq!((answers.lines().count(), answers.lines().next()), (61, Some("row,prediction")));
    assert!(dir.path().join("student.run/report.html").is_file());
}
