//! Learning hidden words: what a step's term is, in parts and after an interruption, and what is refused.

use std::cell::Cell;
use std::path::Path;

use bert_core::weights::{Tensors, apply_internal, collect_internal};
use bert_core::{
    BertConfig, EncodeOptions, Encoder, EncoderOutput, ModelType, StackedFfn, TaskModel, TokenBatch, init,
};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use durable::checkpoint::CheckpointStore;
use glue_squad::batch::{BatchPlan, EncodedBatch, Padding};
use glue_squad::features::{Features, lengths};
use glue_squad::tokenizer::TextEncoder;
use kd::data::to_device;
use kd::engine::{Job, Monitor, Part, TrainConfig, TrainEvent, train};
use kd::job::{GeneralDistillation, Teacher, WordLesson, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use kd::optim::Gradients;
use kd::text::TextSource;
use kd::words::{HeldOutWords, WordMask};
use searched_ffn::{AnyModel, Parts};
use text_shards::MaskSettings;

type Model = TaskModel<StackedFfn>;

const VOCAB: usize = 24;
const MASK: i32 = 4;
const STEPS: u64 = 8;
const HALF: &str = "[distill.mlm]\nmask = { probability = 0.4 }";

fn encoder() -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    let mut words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    words.extend((5..VOCAB).map(|i| format!("word{i}\n")));
    std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
    TextEncoder::from_dir(dir.path()).unwrap()
}

fn config() -> BertConfig {
    BertConfig {
        max_position_embeddings: 16,
        initializer_range: 0.3,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::bert(VOCAB, 8, 2, 2, 16)
    }
}

fn mobile() -> BertConfig {
    BertConfig { model_type: ModelType::MobileBert, embedding_size: Some(4), trigram_input: true, ..config() }
}

/// A model with the masked-language-model head of its family.
fn model(config: &BertConfig, seed: u64) -> Model {
    let parts = Parts::default().with_words(config);
    match AnyModel::build(config, parts, &Device::flex()).unwrap() {
        AnyModel::Plain(model) => init::normal(model, seed, config.initializer_range),
        AnyModel::Searched(_) => unreachable!("a plain family"),
    }
}

/// Sequences of 3 to 14 tokens.
#[derive(Debug)]
struct Texts(Vec<Features>);

impl Texts {
    fn new() -> Self {
        let row = |i: usize| {
            let words = (0..1 + (i * 5) % 12).map(|j| (5 + (i * 7 + j * 3) % (VOCAB - 5)) as u32);
            let ids: Vec<u32> = std::iter::once(2).chain(words).chain([3]).collect();
            Features { type_ids: vec![0; ids.len()], ids, label: None }
        };
        Self((0..22).map(row).collect())
    }
}

impl TextSource for Texts {
    fn batches_per_epoch(&self) -> u64 {
        6
    }
    fn batch(&self, step: u64) -> kd::Result<EncodedBatch> {
        let plan = BatchPlan::new(lengths(&self.0), 4, 5)?;
        let padding = Padding { pad_id: 0, multiple: 8, max_len: 16 };
        Ok(EncodedBatch::collate(&self.0, &plan.batch_at_step(step), padding)?)
    }
}

fn mask(plan: &Plan) -> WordMask {
    WordMask::new(&plan.mlm().expect("a term between words").mask, &encoder(), 7).unwrap()
}

fn plan(text: &str, config: &BertConfig) -> Plan {
    let shape = Shape::with_words(config, true);
    Objective::from_toml(text).unwrap().plan(shape, shape, Source::Text, STEPS).unwrap()
}

fn job<'a>(
    plan: &'a Plan,
    teacher: &'a dyn Teacher,
    text: &'a Texts,
    mask: &'a WordMask,
) -> GeneralDistillation<'a, StackedFfn> {
    GeneralDistillation {
        teacher,
        plan,
        text,
        words: Some(WordLesson::new(mask, None)),
        prepare: as_is(),
        device: Device::flex(),
    }
}

fn value(term: &Tensor<1>) -> f64 {
    f64::from(term.clone().inner().into_scalar::<f32>())
}

/// A teacher that counts what it is asked for.
struct Counted<'a> {
    model: &'a Model,
    states: Cell<usize>,
    words: Cell<usize>,
}

impl Teacher for Counted<'_> {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.states.set(self.states.get() + 1);
        self.model.encode(batch, options)
    }
    fn answers(&self, _: &TokenBatch, _: usize, _: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        unreachable!("text has no answers")
    }
    fn spans(&self, _: &TokenBatch, _: usize, _: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        unreachable!("text has no answers")
    }
    fn words(
        &self,
        batch: &TokenBatch,
        positions: Tensor<1, Int>,
        options: EncodeOptions,
    ) -> Option<(EncoderOutput, Tensor<2>)> {
        self.words.set(self.words.get() + 1);
        Teacher::words(self.model, batch, positions, options)
    }
}

/// Scores of every word at every position, by the head on the whole batch.
fn all_scores(model: &Model, tokens: &TokenBatch) -> Vec<Vec<f64>> {
    let hidden = model.encode(tokens, EncodeOptions::LAST).last_hidden;
    let table = model.encoder.embeddings.word_embeddings.weight.val();
    let scores = model.mlm.as_ref().unwrap().forward(hidden, table).try_into_vec_as::<f32>().unwrap();
    scores.chunks(VOCAB).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
}

fn log_softmax(row: &[f64], t: f64) -> Vec<f64> {
    let sum: f64 = row.iter().map(|v| (v / t).exp()).sum();
    row.iter().map(|v| v / t - sum.ln()).collect()
}

#[test]
fn the_term_of_a_step_is_the_formula_over_what_is_hidden_in_it() {
    for config in [config(), mobile()] {
        let (teacher, student, text) = (model(&config, 1), model(&config, 2), Texts::new());
        let section = "[distill.mlm]\nteacher = 0.3\ntemperature = 2.0\nweight = 1.5\nmask = { probability = 0.4 }";
        let plan = plan(section, &config);
        let mask = mask(&plan);
        for step in [0, 7] {
            let found = job(&plan, &teacher, &text, &mask).loss(&student, Part::whole(step)).unwrap();
            assert_eq!(found.0.iter().map(|t| t.0).collect::<Vec<_>>(), ["mlm"]);
            let hidden = mask.hide(text.batch(step).unwrap(), step / 6);
            let tokens = to_device(&hidden.batch, &Device::flex());
            let (ours, theirs) = (all_scores(&student, &tokens), all_scores(&teacher, &tokens));
            let (places, words) = hidden.places();
            assert!(places.len() > 4, "{places:?}");
            let at = |(&place, &word): (&i32, &i32)| {
                let (s, t) = (&ours[place as usize], &theirs[place as usize]);
                let soft: f64 = log_softmax(t, 2.0).iter().zip(log_softmax(s, 2.0)).map(|(p, q)| -p.exp() * q).sum();
                0.3 * 4.0 * soft - 0.7 * log_softmax(s, 1.0)[word as usize]
            };
            let expected = 1.5 * places.iter().zip(&words).map(at).sum::<f64>() / places.len() as f64;
            let found = value(&found.total());
            assert!((found - expected).abs() < 2e-5 * expected, "{found} instead of {expected}");
        }
    }
}

#[test]
fn gradients_of_the_term_are_its_slopes_in_encoder_head_and_shared_table() {
    const STEP: f32 = 5e-3;
    for config in [config(), mobile()] {
        let (teacher, student, text) = (model(&config, 1), model(&config, 2), Texts::new());
        let plan = plan(HALF, &config);
        let mask = mask(&plan);
        let mut job = job(&plan, &teacher, &text, &mask);
        let tracked = student.clone().train();
        let gradients = Gradients::of(&job.loss(&tracked, Part::whole(1)).unwrap().total(), &tracked);
        let weights = collect_internal(&student);
        let mut names =
            vec!["mlm.bias", "mlm.dense.bias", "mlm.norm.weight", "encoder.embeddings.word_embeddings.weight"];
        names.push("encoder.layers.0.attention.value.bias");
        names.extend((config.model_type == ModelType::MobileBert).then_some("mlm.extra"));
        for name in names {
            let found = gradients.get(name).unwrap_or_else(|| panic!("{name} has no gradient"));
            let size = found.iter().map(|g| g.abs()).fold(0.0, f32::max);
            assert!(size > 1e-3, "{name}: no gradient at all");
            for i in (0..found.len()).step_by(found.len().div_ceil(12)) {
                let mut moved = |by: f32| {
                    let mut weights = Tensors(weights.0.clone());
                    weights.0.get_mut(name).unwrap().data[i] += by;
                    let model = apply_internal(student.clone(), weights, Path::new("moved")).unwrap();
                    value(&job.loss(&model, Part::whole(1)).unwrap().total())
                };
                let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let off = (slope - f64::from(found[i])).abs();
                assert!(off < 3e-3 + 0.02 * slope.abs(), "{name} {i}: {} against {slope}", found[i]);
            }
        }
    }
}

#[test]
fn the_parts_of_a_step_add_up_to_the_whole_however_many_words_each_hides() {
    let (teacher, student, text) = (model(&config(), 1), model(&config(), 2).train(), Texts::new());
    let layers = "[distill]\npreset = \"mobilebert\"\n[distill.mlm]\nmask = { probability = 0.4 }";
    for section in [HALF, layers] {
        let plan = plan(section, &config());
        let mask = mask(&plan);
        let mut job = job(&plan, &teacher, &text, &mask);
        let mut uneven = 0;
        for step in 0..6 {
            let hidden = mask.hide(text.batch(step).unwrap(), 0);
            let rows = hidden.batch.batch;
            uneven += usize::from(hidden.rows(0..rows / 2).count() != hidden.rows(rows / 2..rows).count());
            let mut taken_in = |of: u32| {
                let (mut sum, mut gradients) = (0.0, Gradients::default());
                for index in 0..of {
                    let terms = job.loss(&student, Part { step, index, of }).unwrap();
                    if !terms.0.is_empty() {
                        sum += value(&terms.total());
                        gradients.add(Gradients::of(&terms.total(), &student));
                    }
                }
                (sum, gradients.global_norm())
            };
            let whole = taken_in(1);
            for of in [2, 3, 5] {
                let parts = taken_in(of);
                let close = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs();
                assert!(close(parts.0, whole.0) && close(parts.1, whole.1), "{of} parts: {parts:?} {whole:?}");
            }
        }
        assert!(uneven > 2, "halves that hide as many words show nothing");
    }
}

#[test]
fn the_teacher_is_asked_for_what_counts_and_for_nothing_else() {
    let (teacher, student, text) = (model(&config(), 1), model(&config(), 2), Texts::new());
    let counted = Counted { model: &teacher, states: Cell::new(0), words: Cell::new(0) };
    let check = |section: &str, step: u64, names: &[&str], asked: (usize, usize)| {
        let plan = plan(section, &config());
        let mask = mask(&plan);
        let terms = job(&plan, &counted, &text, &mask).loss(&student, Part::whole(step)).unwrap();
        assert_eq!(terms.0.iter().map(|t| t.0).collect::<Vec<_>>(), names, "{section}");
        assert_eq!((counted.states.take(), counted.words.take()), asked, "{section}");
    };
    check("[distill.mlm]", 0, &["mlm"], (0, 1));
    check("[distill.mlm]\nteacher = 0.0", 0, &["mlm"], (0, 0));
    let joint = "[distill]\npreset = \"mobilebert-joint\"\n[distill.mlm]";
    check(joint, 0, &["attention", "hidden", "mean", "variance"], (1, 0));
    check(joint, STEPS - 1, &["mlm"], (0, 1));
    let auxiliary = "[distill]\npreset = \"mobilebert\"\n[distill.mlm]";
    check(auxiliary, 0, &["attention", "hidden", "mean", "variance", "mlm"], (0, 1));
    check(&format!("{auxiliary}\nteacher = 0.0"), 0, &["attention", "hidden", "mean", "variance", "mlm"], (1, 0));
}

#[test]
fn what_is_hidden_follows_from_seed_epoch_and_sequence_and_not_from_the_batch() {
    let text = Texts::new();
    let of = |seed: u64| WordMask::new(&MaskSettings::default(), &encoder(), seed).unwrap();
    let batch = text.batch(2).unwrap();
    let hidden = of(1).hide(batch.clone(), 3);
    assert_eq!(hidden, of(1).hide(batch.clone(), 3));
    let everywhere = |seed, epoch| {
        let places = |step| of(seed).hide(text.batch(step).unwrap(), epoch).places();
        (0..6).map(places).collect::<Vec<_>>()
    };
    assert_ne!(everywhere(1, 3), everywhere(1, 4));
    assert_ne!(everywhere(1, 3), everywhere(2, 3));
    for row in 0..batch.batch {
        assert_eq!(hidden.rows(row..row + 1), of(1).hide(batch.rows(row..row + 1), 3), "row {row} alone");
    }
    // Every hidden place is a word of the text, and nothing else has changed.
    let (places, words) = hidden.places();
    assert!(words.iter().zip(&places).all(|(&word, &at)| word > MASK && batch.ids[at as usize] == word));
    let changed = (0..batch.ids.len()).filter(|&i| batch.ids[i] != hidden.batch.ids[i]);
    assert!(changed.into_iter().all(|i| places.contains(&(i as i32))));
    let others = |b: &EncodedBatch| (b.mask.clone(), b.type_ids.clone(), b.indices.clone(), b.seq);
    assert_eq!(others(&batch), others(&hidden.batch));
    let masks = (0..12).flat_map(|step| of(1).hide(text.batch(step % 6).unwrap(), step / 6).batch.ids);
    assert!(masks.filter(|&id| id == MASK).count() > 20);
}

#[derive(Default)]
struct Watch {
    stop_after: Option<u64>,
    done: u64,
    losses: Vec<f64>,
}

impl Monitor for Watch {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            self.done = report.step;
            self.losses.push(report.loss);
        }
    }
    fn interrupted(&self) -> bool {
        self.stop_after.is_some_and(|after| self.done >= after)
    }
}

#[test]
fn a_training_that_is_stopped_anywhere_ends_like_one_that_was_not() {
    let (teacher, text) = (model(&config(), 1), Texts::new());
    let dropout = BertConfig { hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, ..config() };
    let section = "[distill]\npreset = \"mobilebert-progressive\"\n[distill.mlm]\nteacher = { from = 1.0, to = 0.0 }";
    let plan = plan(section, &config());
    let mask = mask(&plan);
    let settings = TrainConfig { accumulate: 2, checkpoint_every: 2, log_every: 1, ..TrainConfig::new(STEPS, 5e-3) };
    let run = |store: &CheckpointStore, watch: &mut Watch| {
        let mut job = job(&plan, &teacher, &text, &mask);
        train(model(&dropout, 2), &Device::flex(), &mut job, &settings, Some(store), watch)
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
        assert!(matches!(run(&cut, &mut first).unwrap_err(), kd::Error::Interrupted { .. }));
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
        train(
            model(&config(), 2),
            &Device::flex(),
            &mut job(&plan, &teacher, &text, &mask),
            &settings,
            None,
            &mut watch,
        )
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
        job.loss(student, Part::whole(0)).unwrap_err().to_string()
    };
    assert!(message(&teacher, &student, false).contains("the text comes unmasked"));
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
    let text = Texts((0..4).map(|_| Features { ids: vec![2, 3], type_ids: vec![0; 2], label: None }).collect());
    let (teacher, student) = (model(&config(), 1), model(&config(), 2));
    let plan = plan(HALF, &config());
    let mask = mask(&plan);
    let terms = job(&plan, &teacher, &text, &mask).loss(&student, Part::whole(0)).unwrap();
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
    let found = held_out.evaluate(&student, &Device::flex()).unwrap();
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
    job.words = Some(WordLesson::new(&mask, Some(&held_out)));
    let mut scored = |step| {
        job.loss(&student, Part::whole(step)).unwrap();
        job.evaluate(&student).unwrap().is_some()
    };
    assert_eq!([scored(0), scored(2), scored(3), scored(7)], [false, false, true, true]);
    let without = TaskModel { mlm: None, ..student.clone() };
    assert!(held_out.evaluate(&without, &Device::flex()).unwrap_err().to_string().contains("no masked-language-model"));
    let empty = Texts(vec![Features { ids: vec![2, 3], type_ids: vec![0; 2], label: None }]);
    assert!(HeldOutWords::new(&empty, &mask).unwrap_err().to_string().contains("no word"));
}
