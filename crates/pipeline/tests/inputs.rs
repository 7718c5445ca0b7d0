//! What a run reads: each split and each text once, packed shards like text.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corpus::{Input, PackSettings, build};
use pipeline::inputs::Inputs;
use pipeline::recipe::{Override, Phase, Recipe, load};
use serde_json::json;
use tokenizer::TextEncoder;

fn pocket() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in synthetic_tasks::generate(synthetic_tasks::DEFAULT_SEED) {
        let path = dir.path().join(&file.relative_path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.bytes).unwrap();
    }
    dir
}

fn pack(dir: &Path, seed: u64) {
    let out = dir.join("packed");
    let _ = std::fs::remove_dir_all(&out);
    let input = Input::detect(&dir.join("corpus.txt"), "text").unwrap();
    let settings = PackSettings { max_len: 32, seed, ..PackSettings::default() };
    let encoder = TextEncoder::from_dir(dir).unwrap();
    build(&[input], &encoder, &settings, &out, 2, &|_| ControlFlow::Continue(())).unwrap();
}

/// The smoke recipe, whose sequences have 32 tokens, on the files in `dir`.
fn recipe(dir: &Path, corpus: &str, more: &[&str]) -> Recipe {
    let given = |key: &str, value: String| Override { key: key.into(), value };
    let folder = json!(dir).to_string();
    let mut all = vec![
        given("teacher.model", folder.clone()),
        given("data.glue", folder),
        given("data.corpus", json!([dir.join(corpus)]).to_string()),
    ];
    all.extend(more.iter().map(|o| o.parse().unwrap()));
    load("smoke", &all).unwrap()
}

fn open(recipe: &Recipe, scratch: &Path) -> pipeline::Result<Inputs> {
    Inputs::open(recipe, scratch, &AtomicBool::new(false))
}

/// The digests of what a run on shards reads, less those of a teacher, which the pocket data do not have.
fn digest(inputs: &Inputs, recipe: &Recipe) -> String {
    let mut recipe = recipe.clone();
    recipe.teacher.model = None;
    inputs.digests(&recipe).unwrap()["corpus manifest.json"].clone()
}

#[test]
fn a_run_takes_packed_shards_as_its_corpus_and_notices_when_they_change() {
    let dir = pocket();
    pack(dir.path(), 1);
    let recipe = recipe(dir.path(), "packed", &[]);
    let inputs = open(&recipe, dir.path()).unwrap();
    let text = inputs.text(&recipe, &recipe.warm_up).unwrap();
    // The recipe takes the first 400 sequences, in batches of 16.
    assert_eq!(text.batches_per_epoch(), 25);
    assert!(text.batch(3).unwrap().indices.iter().all(|number| *number < 400));
    let first = digest(&inputs, &recipe);
    assert_eq!(first, digest(&open(&recipe, dir.path()).unwrap(), &recipe));
    pack(dir.path(), 2);
    assert_ne!(first, digest(&open(&recipe, dir.path()).unwrap(), &recipe));
}

#[test]
fn shards_that_one_phase_cannot_use_are_refused_before_anything_is_trained() {
    let dir = pocket();
    pack(dir.path(), 1);
    let other = recipe(dir.path(), "packed", &["search.stage3.general.max_len=16"]);
    let message = open(&other, dir.path()).unwrap_err().to_string();
    assert!(message.contains("`search.stage3.general`: ") && message.contains("the training has 16"), "{message}");
    let without = recipe(dir.path(), "packed", &["search.stage3.general.max_len=16", "search.stage3.general.steps=0"]);
    assert!(open(&without, dir.path()).is_ok(), "a phase without steps reads nothing");
}

#[test]
fn what_a_phase_has_encoded_serves_the_next_ones() {
    let dir = pocket();
    let recipe = recipe(dir.path(), "corpus.txt", &[]);
    let inputs = open(&recipe, dir.path()).unwrap();
    let text = inputs.text(&recipe, &recipe.warm_up).unwrap();
    let again = inputs.text(&recipe, &recipe.warm_up).unwrap();
    assert!(Arc::ptr_eq(&text, &again));
    let batches = |phase| inputs.tasks(&recipe, phase).map(|(mix, _)| mix.batch(2).unwrap());
    let before = batches(&recipe.teacher.fine_tune).unwrap();
    // What is gone from the disk is still there for the phases to come.
    std::fs::remove_dir_all(dir.path().join("SST-2")).unwrap();
    assert_eq!(batches(&recipe.teacher.fine_tune).unwrap(), before);
    let (train, held_out) = inputs.tasks(&recipe, &recipe.search.stage1.proxy.task).unwrap();
    assert_eq!((train.tasks().len(), held_out.len()), (2, 2));
    let longer = pipeline::recipe::Phase { max_len: 20, ..recipe.teacher.fine_tune.clone() };
    assert!(batches(&longer).is_err(), "another length is read anew");
}

#[test]
fn another_seed_of_a_final_training_changes_the_order_of_the_examples_and_not_which_are_held_out() {
    let dir = pocket();
    let recipe = recipe(dir.path(), "corpus.txt", &[]);
    let inputs = open(&recipe, dir.path()).unwrap();
    let of = |seed| inputs.tasks_of(&recipe, &recipe.tasks, &recipe.final_.task, seed).unwrap();
    let ((one, held_one), (two, held_two)) = (of(recipe.seed), of(recipe.seed + 1));
    assert_ne!(one.batch(0).unwrap(), two.batch(0).unwrap());
    for ((_, one), (_, two)) in held_one.iter().zip(&held_two) {
        assert!(!one.is_empty() && one.labels == two.labels);
    }
}

#[test]
fn rows_that_were_passed_over_are_noted_once() {
    let dir = pocket();
    let folder = dir.path().join("QQP");
    std::fs::create_dir_all(&folder).unwrap();
    let rows: String = (0..9).map(|n| format!("{n}\t1\t2\tone\ttwo\t{}\n", n % 2)).collect();
    let text = format!("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n{rows}torn\n");
    std::fs::write(folder.join("train.tsv"), &text).unwrap();
    std::fs::write(folder.join("dev.tsv"), text.replace("torn\n", "")).unwrap();
    let recipe = recipe(dir.path(), "corpus.txt", &["tasks=[\"qqp\"]"]);
    let inputs = open(&recipe, dir.path()).unwrap();
    for _ in 0..2 {
        inputs.tasks(&recipe, &recipe.teacher.fine_tune).unwrap();
        inputs.dev(&recipe, &recipe.tasks, &recipe.teacher.fine_tune).unwrap();
    }
    let notes = inputs.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("line 11 is skipped: torn apart"), "{notes:?}");
    assert!(inputs.take_notes().is_empty());
}

#[test]
fn every_training_has_the_batches_of_its_own_window() {
    let dir = pocket();
    let windows = ["length_window=3", "warm_up.length_window=1", "teacher.fine_tune.length_window=1"];
    let recipe = recipe(dir.path(), "corpus.txt", &windows);
    let inputs = open(&recipe, dir.path()).unwrap();
    let phase = |length_window| Phase { length_window: Some(length_window), ..recipe.warm_up.clone() };
    let text = |phase: &Phase| inputs.text(&recipe, phase).unwrap().batch(0).unwrap().indices;
    assert_eq!(recipe.final_.general.length_window, Some(3), "that of the recipe");
    assert_eq!(text(&recipe.warm_up), text(&phase(1)));
    assert_ne!(text(&phase(1)), text(&phase(3)), "though one was kept already");
    let tasks = |phase: &Phase| inputs.tasks(&recipe, phase).unwrap().0.batch(0).unwrap().1.indices;
    assert_ne!(tasks(&phase(1)), tasks(&phase(3)));
    assert_eq!(tasks(&phase(1)), tasks(&Phase { batch_size: phase(1).batch_size, ..recipe.teacher.fine_tune.clone() }));
}
