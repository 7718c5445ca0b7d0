//! Trainings on hidden words: interrupted ones, what they come to, and what is refused.

#[allow(dead_code)]
mod hidden;

use std::ops::ControlFlow::{Break, Continue};

use bert_core::{BertConfig, TaskModel};
use burn::tensor::Device;
use corpus::MaskSettings;
use glue_squad::features::Features;
use hidden::text::Watch;
use hidden::{HALF, Model, STEPS, Texts, VOCAB, all_scores, config, job, mask, model, plan};
use kd::job::MlmTask;
use run_store::checkpoint::CheckpointStore;
use tokenizer::TextEncoder;
use train::data::to_device;
use train::engine::{Job, MicroBatch, TrainConfig, train};
use train::mlm::{HeldOutWords, WordMask};
use train::text::TextSource;

#[test]
fn a_training_that_is_stopped_anywhere_ends_like_one_that_was_not() {
    let (teacher, text) = (model(&config(), 1), Texts::new());
    let dropout = BertConfig { hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, ..config() };
    let section = "[distill]\npreset = \"mobilebert-progressive\"\n[distill.mlm]\nteacher = { from = 1.0, to = 0.0 }";
    let plan = plan(section, &config());
    let mask = mask(&plan);
    let settings = TrainConfig { accumulate: 2, checkpoint_every: 2, log_every: 1, ..TrainConfig::new(STEPS, 5e-3) };
    let run = |store: &CheckpointStore, watch: &mut Watch| {
        let job = job(&plan, &teacher, &text, &mask);
        train(model(&dropout, 2), Device::flex(), &job, &settings, Some(store), watch)
    };
    let manifest = |store: &CheckpointStore| {
        std::fs::read_to_string(store.dir().join(format!("step-{STEPS:06}/manifest.json"))).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| CheckpointStore::new(folder.path().join(name), "hash");
    let (whole, mut watch) = (store("whole"), Watch::default());
    run(&whole, &mut watch).unwrap();
    assert_eq!(watch.losses.len() as u64, STEPS);
    for after in 1..STEPS {
        let cut = store(&format!("cut-{after}"));
        let mut first = Watch { stop_after: Some(after), ..Watch::default() };
        assert!(matches!(run(&cut, &mut first).unwrap_err(), train::Error::Interrupted { .. }));
        let mut second = Watch::default();
        run(&cut, &mut second).unwrap();
        assert_eq!([first.losses, second.losses].concat(), watch.losses, "stopped after {after}");
        assert_eq!(manifest(&cut), manifest(&whole), "stopped after {after}");
    }
}

#[test]
fn a_student_learns_the_words_with_and_without_a_teacher() {
    let text = Texts::new();
    for (section, teacher_seed) in [("[distill.mlm]\nteacher = 0.0", 1), ("[distill.mlm]\nteacher = 1.0", 1)] {
        let (plan, teacher) = (plan(section, &config()), model(&config(), teacher_seed));
        let mask = mask(&plan);
        let mut watch = Watch::default();
        let settings = TrainConfig { log_every: 1, ..TrainConfig::new(120, 1e-2) };
        train(model(&config(), 2), Device::flex(), &job(&plan, &teacher, &text, &mask), &settings, None, &mut watch)
            .unwrap();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&watch.losses[..10]), mean(&watch.losses[110..]));
        assert!(last < first - 0.3, "{section}: {first} to {last}");
    }
}

#[test]
fn what_is_missing_is_an_error_and_no_panic() {
    let (teacher, student, text) = (model(&config(), 1), model(&config(), 2), Texts::new());
    let plan = plan(HALF, &config());
    let mask = mask(&plan);
    let without = |model: &Model| TaskModel { mlm: None, ..model.clone() };
    let message = |teacher: &Model, student: &Model, masked: bool| {
        let mut job = job(&plan, teacher, &text, &mask);
        job.words = job.words.filter(|_| masked);
        job.loss(student, MicroBatch::whole(0), &Device::flex()).unwrap_err().to_string()
    };
    assert!(message(&teacher, &student, false).contains("the text is not masked"));
    assert!(message(&without(&teacher), &student, true).contains("the teacher has no masked-language-model head"));
    assert!(message(&teacher, &without(&student), true).contains("the student has no masked-language-model head"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").unwrap();
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    let message = WordMask::new(&MaskSettings::default(), &encoder, 1).unwrap_err().to_string();
    assert!(message.contains("`[MASK]`"), "{message}");
}

#[test]
fn a_sequence_without_a_word_has_no_part_in_the_term() {
    let text = Texts(
        (0..4)
            .map(|_| Features { ids: vec![2, 3], type_ids: vec![0; 2], label: None, words: None, second: None })
            .collect(),
    );
    let (teacher, student) = (model(&config(), 1), model(&config(), 2));
    let plan = plan(HALF, &config());
    let mask = mask(&plan);
    let terms = job(&plan, &teacher, &text, &mask).loss(&student, MicroBatch::whole(0), &Device::flex()).unwrap();
    assert!(terms.0.is_empty(), "nothing is hidden: there is nothing to find");
}

#[test]
fn held_out_words_are_scored_by_the_share_that_is_found_once_the_head_was_taught() {
    let (teacher, student, text) = (model(&config(), 1), model(&config(), 2), Texts::new());
    let section =
        "[distill]\npreset = \"mobilebert-joint\"\n[distill.mlm]\nteacher = 0.0\nmask = { probability = 0.4 }";
    let plan = plan(section, &config());
    let mask = mask(&plan);
    let held_out = HeldOutWords::new(&text, &mask).unwrap();
    let found = held_out.evaluate(&student, &Device::flex(), &mut |_, _| Continue(())).unwrap();
    let (mut right, mut all) = (0, 0);
    for step in 0..6 {
        let hidden = mask.hide(text.batch(step).unwrap(), u64::MAX);
        let scores = all_scores(&student, &to_device(&hidden.batch, &Device::flex()));
        let (places, words) = hidden.places();
        let best = |row: &Vec<f64>| (0..VOCAB).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        right += places.iter().zip(&words).filter(|(at, word)| best(&scores[**at as usize]) == **word as usize).count();
        all += places.len();
    }
    assert_eq!((held_out.count(), found.score), (all, right as f64 / all as f64));
    assert_eq!(found.metrics["words/accuracy"], found.score);

    // The first 32.4% of 8 steps compare layers: two evaluations are left out.
    let mut job = job(&plan, &teacher, &text, &mask);
    job.words = Some(MlmTask { mask: &mask, held_out: Some(&held_out) });
    let scored =
        |step: u64| job.evaluate(&student, step + 1, &Device::flex(), &mut |_, _| Continue(())).unwrap().is_some();
    assert_eq!([scored(0), scored(2), scored(3), scored(7)], [false, false, true, true]);
    let without = TaskModel { mlm: None, ..student.clone() };
    let found = held_out.evaluate(&without, &Device::flex(), &mut |_, _| Continue(()));
    assert!(found.unwrap_err().to_string().contains("no masked-language-model"));
    let mut seen = Vec::new();
    let stopped = held_out.evaluate(&student, &Device::flex(), &mut |done, total| {
        seen.push((done, total));
        if seen.len() == 2 { Break(()) } else { Continue(()) }
    });
    assert!(
        matches!(stopped, Err(train::Error::Predict(predict::Error::Stopped)))
            && seen.len() == 2
            && seen[0].0 < seen[1].0,
        "{seen:?}"
    );
    let empty = Texts(vec![Features { ids: vec![2, 3], type_ids: vec![0; 2], label: None, words: None, second: None }]);
    assert!(HeldOutWords::new(&empty, &mask).unwrap_err().to_string().contains("no word"));
}
