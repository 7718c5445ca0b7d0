//! Pre-training by hidden words: its loss, and trainings that are interrupted or run in stages.

#[allow(dead_code)]
mod text;

use std::ops::ControlFlow::Continue;

use bert_core::weights::{Tensors, collect_internal};
use bert_core::{EncodeOptions, PoolBy, TaskModel};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use run_store::checkpoint::CheckpointStore;
use text::{Texts, VOCAB, Watch, dropping, mask, model};
use train::data::to_device;
use train::engine::{Job, MicroBatch, Stage, TrainConfig, Trained, train, train_stage};
use train::mlm::{HeldOutWords, WordMask};
use train::pretrain::{DropBy, DropSettings, MaskedLanguageModeling, Pool, TokenDropping};
use train::text::TextSource;

const STEPS: u64 = 8;

fn job<'a>(text: &'a Texts, mask: &'a WordMask, dropping: Option<&'a TokenDropping>) -> MaskedLanguageModeling<'a> {
    MaskedLanguageModeling { text, mask, held_out: None, dropping, pool: None, max_len: None }
}

fn settings() -> TrainConfig {
    TrainConfig { accumulate: 2, checkpoint_every: 2, log_every: 1, ..TrainConfig::new(STEPS, 5e-3) }
}

/// What is dropped, in every way, and nothing.
fn ways() -> Vec<Option<DropSettings>> {
    let with = |by, compatible| Some(DropSettings { by, compatible, ..DropSettings::default() });
    vec![
        None,
        with(DropBy::Loss, false),
        with(DropBy::Loss, true),
        with(DropBy::Frequency, false),
        with(DropBy::Random, false),
    ]
}

/// The cross entropy of hidden words by the padded encoder and burn's primitives.
fn by_hand(model: &TaskModel, text: &Texts, mask: &WordMask, step: u64) -> f64 {
    let hidden = mask.hide(text.batch(step).unwrap(), step / text.batches_per_epoch());
    let output = model.encode(&to_device(&hidden.batch, &Device::flex()), EncodeOptions::LAST);
    let (places, words) = hidden.places();
    let scores = model.words(output.last_hidden, Tensor::from_data(places.as_slice(), &Device::flex())).unwrap();
    let logs: Vec<f32> = log_softmax(scores, 1).try_into_vec_as().unwrap();
    let losses = words.iter().enumerate().map(|(i, word)| -f64::from(logs[i * VOCAB + *word as usize]));
    losses.sum::<f64>() / words.len() as f64
}

#[test]
fn the_loss_is_the_cross_entropy_of_hidden_words_in_padded_texts() {
    let (text, mask, model) = (Texts::new(), mask(), model(1));
    for step in 0..8 {
        let terms = job(&text, &mask, None).loss(&model, MicroBatch::whole(step), &Device::flex()).unwrap();
        let loss = f64::from(terms.total().into_scalar::<f32>());
        let expected = by_hand(&model, &text, &mask, step);
        assert!((loss - expected).abs() < 1e-4, "step {step}: {loss} instead of {expected}");
    }
}

#[test]
fn pooled_texts_have_a_loss_of_their_own() {
    let (text, mask, model) = (Texts::new(), mask(), model(1));
    let loss = |pool, max_len, step| {
        let job = MaskedLanguageModeling { pool, max_len, ..job(&text, &mask, None) };
        let terms = job.loss(&model, MicroBatch::whole(step), &Device::flex()).unwrap();
        f64::from(terms.total().into_scalar::<f32>())
    };
    let none = loss(None, None, 3);
    assert_eq!(loss(None, Some(16), 3), none, "no text is longer");
    let cut = loss(None, Some(6), 3);
    assert!(cut.is_finite() && (cut - none).abs() > 1e-4, "{none} {cut}");
    let two = [PoolBy::Mean, PoolBy::Max].map(|by| loss(Some(Pool { by, window: 2 }), None, 3));
    assert!(two[0] != two[1] && two.iter().all(|two| (two - none).abs() > 1e-4 && two.is_finite()), "{none} {two:?}");
}

#[test]
fn held_out_words_have_the_same_loss() {
    let (text, mask, model) = (Texts::new(), mask(), model(1));
    let held_out = HeldOutWords::new(&text, &mask).unwrap();
    let found = held_out.evaluate(&model, &Device::flex(), &mut |_, _| Continue(())).unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for step in 0..6 {
        let hidden = mask.hide(text.batch(step).unwrap(), u64::MAX);
        let output = model.encode(&to_device(&hidden.batch, &Device::flex()), EncodeOptions::LAST);
        let (places, words) = hidden.places();
        let scores = model.words(output.last_hidden, Tensor::from_data(places.as_slice(), &Device::flex())).unwrap();
        let logs: Vec<f32> = log_softmax(scores, 1).try_into_vec_as().unwrap();
        sum -= words.iter().enumerate().map(|(i, word)| f64::from(logs[i * VOCAB + *word as usize])).sum::<f64>();
        count += words.len();
    }
    assert!((found.metrics["words/loss"] - sum / count as f64).abs() < 1e-5, "{found}");
}

#[test]
fn a_training_that_is_stopped_anywhere_ends_like_one_that_was_not() {
    let (text, mask) = (Texts::new(), mask());
    for way in ways() {
        let run = |store: &CheckpointStore, watch: &mut Watch| {
            let dropping = way.clone().map(dropping);
            train(model(2), Device::flex(), &job(&text, &mask, dropping.as_ref()), &settings(), Some(store), watch)
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
            assert_eq!([first.losses, second.losses].concat(), watch.losses, "{way:?}: stopped after {after}");
            assert_eq!(manifest(&cut), manifest(&whole), "{way:?}: stopped after {after}");
        }
    }
}

#[test]
fn tokens_are_dropped_by_what_was_learned_and_learning_goes_on() {
    let (text, mask) = (Texts::new(), mask());
    let mut ends = Vec::new();
    for way in ways() {
        let dropping = way.map(dropping);
        let before = dropping.as_ref().map(TokenDropping::importance);
        let mut watch = Watch::default();
        let settings = TrainConfig { log_every: 1, ..TrainConfig::new(120, 1e-2) };
        train(model(2), Device::flex(), &job(&text, &mask, dropping.as_ref()), &settings, None, &mut watch).unwrap();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&watch.losses[..10]), mean(&watch.losses[110..]));
        assert!(last < first - 0.3, "{first} to {last}");
        ends.push(watch.losses);
        let after = dropping.as_ref().map(TokenDropping::importance);
        let by_loss = ends.len() == 2 || ends.len() == 3;
        assert_eq!(before != after, by_loss, "importance follows the loss where it is asked for");
    }
    for (i, a) in ends.iter().enumerate() {
        assert!(ends[i + 1..].iter().all(|b| a != b), "each way drops other tokens");
    }
}

#[test]
fn two_stages_of_one_training_are_the_training() {
    let (text, mask) = (Texts::new(), mask());
    let folder = tempfile::tempdir().unwrap();
    let config = settings();
    let whole = {
        let dropping = dropping(DropSettings::default());
        let job = job(&text, &mask, Some(&dropping));
        train(model(2), Device::flex(), &job, &config, None, &mut Watch::default()).unwrap()
    };
    let store = CheckpointStore::new(folder.path().join("first"), "hash");
    let dropping = dropping(DropSettings::default());
    let job = job(&text, &mask, Some(&dropping));
    let first = Stage { begins: 0, ends: 3, moments: None };
    let stage = |stage: &Stage, model, store: Option<&CheckpointStore>| -> Trained<TaskModel> {
        train_stage(model, Device::flex(), &job, &config, stage, store, &mut Watch::default()).unwrap()
    };
    let half = stage(&first, model(2), Some(&store));
    assert_eq!((half.step, half.steps), (3, 3));
    let checkpoint = store.latest().unwrap().checkpoint.unwrap();
    let moments = Tensors::read_safetensors(&checkpoint.file("optimizer.safetensors").unwrap()).unwrap();
    let second = Stage { begins: 3, ends: STEPS, moments: Some(moments) };
    let done = stage(&second, half.model, None);
    assert!(collect_internal(&done.model) == collect_internal(&whole.model), "weights differ");
    // Without the moments it is another training.
    let mut anew = second;
    anew.moments = None;
    let again = stage(&first, model(2), None);
    assert!(collect_internal(&stage(&anew, again.model, None).model) != collect_internal(&whole.model));
}
