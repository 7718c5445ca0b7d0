//! A teacher whose answers are kept: trainings are the same as without, the teacher is asked less, and what is kept is bounded and
//! never trusted.

#[allow(dead_code)]
mod counted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bert_core::weights::collect_internal;
use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, init};
use burn::tensor::Device;
use counted::Counted;
use glue_squad::features::Features;
use glue_squad::task::{Label, TaskKind};
use kd::cache::{ByteSize, CachedTeacher, Expected, Format, TeacherCache, TeacherLayers, fingerprint};
use kd::job::{TaskDistillation, Teacher, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use predict::heads::task_head;
use run_store::checkpoint::CheckpointStore;
use train::data::{BatchSettings, TaskMix, TrainSet, to_device};
use train::engine::{Monitor, Precision, TrainConfig, TrainEvent, train};

type Model = TaskModel;

const STEPS: u64 = 6;
const SETTINGS: BatchSettings = BatchSettings::new(4, 8, 5);
const ROOM: ByteSize = ByteSize(1 << 20);
const OFTEN: Expected = Expected { again: 3, order: 1 };

fn data() -> TaskMix {
    let row = |i: usize| {
        let ids: Vec<u32> = [i % 11, i / 11].into_iter().chain(2..4 + i % 3).map(|j| j as u32 % 11 + 1).collect();
        Features { type_ids: vec![0; ids.len()], ids, label: Some(Label::Class(i % 2)), words: None, second: None }
    };
    // Different ones, and more than a training sees: the teacher is asked nothing twice.
    let set = TrainSet::new(TaskKind::Sst2, (0..4 * STEPS as usize).map(row).collect::<Vec<_>>(), 0, SETTINGS).unwrap();
    TaskMix::new(vec![set], 9).unwrap()
}

fn config(layers: usize) -> BertConfig {
    BertConfig {
        max_position_embeddings: 8,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        task_heads: vec![task_head(TaskKind::Sst2.task())],
        ..BertConfig::bert(12, 8, layers, 2, 16)
    }
}

fn model(layers: usize, seed: u64) -> Model {
    let (config, device) = (config(layers), Device::flex());
    let model = TaskModel::new(&config, Parts::POOLER, &device).unwrap();
    init::normal(model, seed, 0.3)
}

fn plan(preset: &str) -> Plan {
    let shapes = (Shape::of(&config(2)), Shape::of(&config(4)));
    let objective = Objective::from_toml(&format!("[distill]\npreset = \"{preset}\"")).unwrap();
    objective.plan(shapes.0, shapes.1, Source::Tasks, STEPS).unwrap()
}

/// A teacher of four layers.
fn four_layers() -> Counted {
    Counted::of(config(4), model(4, 1))
}

/// Losses and gradient norms by step, and the last weights, all as bits.
#[derive(Debug, PartialEq)]
struct Trained {
    losses: BTreeMap<u64, (u64, u64)>,
    weights: BTreeMap<String, Vec<u32>>,
}

struct Watch {
    stop_after: Option<u64>,
    done: u64,
    losses: BTreeMap<u64, (u64, u64)>,
}

impl Monitor for Watch {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            self.done = report.step;
            self.losses.insert(report.step, (report.loss.to_bits(), report.grad_norm.to_bits()));
        }
    }

    fn interrupted(&self) -> bool {
        self.stop_after == Some(self.done)
    }
}

fn settings(accumulate: u32) -> TrainConfig {
    TrainConfig { accumulate, log_every: 1, ..TrainConfig::new(STEPS, 1e-2) }
}

/// Trains a student; `checkpoints` names a folder and the step after which the training is stopped and started again.
fn trained(teacher: &dyn Teacher, plan: &Plan, config: &TrainConfig, stopped: Option<(&Path, u64)>) -> Trained {
    let (data, device) = (data(), Device::flex());
    let store = stopped.map(|(folder, _)| CheckpointStore::new(folder, "hash"));
    let mut watch = Watch { stop_after: stopped.map(|(_, step)| step), done: 0, losses: BTreeMap::new() };
    let go = |watch: &mut Watch| {
        let job = TaskDistillation {
            teacher,
            teacher_heads: vec![0],
            student_heads: vec![0],
            plan,
            data: &data,
            eval: &[],
            prepare: as_is(),
        };
        train(model(2, 2), &device, &job, config, store.as_ref(), watch)
    };
    let student = match go(&mut watch) {
        Err(train::Error::Interrupted { .. }) if stopped.is_some() => {
            watch.stop_after = None;
            go(&mut watch)
        }
        other => other,
    };
    let weights = collect_internal(&student.unwrap().model).0;
    let weights = weights.into_iter().map(|(path, t)| (path, t.data.iter().map(|v| v.to_bits()).collect())).collect();
    Trained { losses: watch.losses, weights }
}

fn memory(format: Format) -> Arc<TeacherCache> {
    Arc::new(TeacherCache::in_memory(ROOM, format))
}

fn disk(folder: &Path, format: Format) -> Arc<TeacherCache> {
    Arc::new(TeacherCache::in_folder(folder, ROOM, format).unwrap())
}

fn before<'a>(teacher: &'a Counted, cache: &Arc<TeacherCache>, plan: &Plan, expected: Expected) -> CachedTeacher<'a> {
    let identity = fingerprint(&teacher.config, &collect_internal(&teacher.model));
    CachedTeacher::new(teacher, Arc::clone(cache), identity, TeacherLayers::of(plan), expected)
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn trainings_with_the_cache_are_those_without_it_bit_for_bit_and_the_second_asks_no_teacher() {
    for preset in ["efficientbert", "minilm", "tinybert", "logits"] {
        let plan = plan(preset);
        for accumulate in [1, 2] {
            let settings = settings(accumulate);
            let plain = four_layers();
            let expected = trained(&plain, &plan, &settings, None);
            let once = plain.passes();
            assert_eq!(once, STEPS * u64::from(accumulate));
            let folder = tempfile::tempdir().unwrap();
            for cache in [memory(Format::F32), disk(folder.path(), Format::F32)] {
                let teacher = four_layers();
                let cached = before(&teacher, &cache, &plan, OFTEN);
                for round in 1..=2 {
                    assert_eq!(trained(&cached, &plan, &settings, None), expected, "{preset}, {accumulate} parts");
                    assert_eq!(teacher.passes(), once, "round {round}");
                    let report = cache.report();
                    assert_eq!((report.hits, report.misses), ((round - 1) * once, once));
                    assert_eq!((report.entries, report.refused, report.broken), (once, 0, 0));
                }
            }
            let kept: u64 = files(folder.path()).iter().map(|f| f.metadata().unwrap().len()).sum();
            assert_eq!(disk(folder.path(), Format::F32).report().bytes, kept, "the folder is counted as it is");
        }
    }
}

#[test]
fn a_training_that_is_stopped_and_goes_on_with_the_cache_ends_like_one_without() {
    let (plan, settings) = (plan("efficientbert"), settings(2));
    let expected = trained(&four_layers(), &plan, &settings, None);
    let (checkpoints, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, stop) in [("a", 2), ("b", 5)] {
        let (teacher, cache) = (four_layers(), disk(folder.path(), Format::F32));
        let cached = before(&teacher, &cache, &plan, OFTEN);
        let stopped = Some((&*checkpoints.path().join(name), stop));
        assert_eq!(trained(&cached, &plan, &settings, stopped), expected, "stopped after {stop}");
    }
}

#[test]
fn what_comes_first_stays_within_the_bound_and_the_rest_is_computed_again() {
    let (plan, settings) = (plan("efficientbert"), settings(1));
    let expected = trained(&four_layers(), &plan, &settings, None);
    let all = memory(Format::F32);
    trained(&before(&four_layers(), &all, &plan, OFTEN), &plan, &settings, None);
    let folder = tempfile::tempdir().unwrap();
    let most = ByteSize(all.report().bytes / 2);
    let caches = [
        TeacherCache::in_memory(most, Format::F32),
        TeacherCache::in_folder(folder.path(), most, Format::F32).unwrap(),
    ];
    for cache in caches.map(Arc::new) {
        let teacher = four_layers();
        let cached = before(&teacher, &cache, &plan, OFTEN);
        for _ in 0..3 {
            assert_eq!(trained(&cached, &plan, &settings, None), expected);
        }
        let report = cache.report();
        assert!((1..STEPS).contains(&report.entries) && report.bytes <= most.0, "{report:?}");
        assert_eq!(report.hits, 2 * report.entries, "found in every round after the first");
        assert_eq!(report.refused, 3 * (STEPS - report.entries));
        assert_eq!(teacher.passes(), report.misses);
    }
}

#[test]
fn answers_that_are_expected_more_often_take_the_place_of_others() {
    let (plan, settings) = (plan("efficientbert"), settings(1));
    let folder = tempfile::tempdir().unwrap();
    let all = memory(Format::F32);
    trained(&before(&four_layers(), &all, &plan, OFTEN), &plan, &settings, None);
    // Room for one round and a little more; an entry on the disk has a header.
    let room = ByteSize(all.report().bytes + 4096);
    let caches = [
        TeacherCache::in_memory(room, Format::F32),
        TeacherCache::in_folder(folder.path(), room, Format::F32).unwrap(),
    ];
    for cache in caches.map(Arc::new) {
        let teacher = four_layers();
        let round = |precision: Precision, again: u64, order: u64| {
            let cached = before(&teacher, &cache, &plan, Expected { again, order });
            let before = cache.report();
            trained(&cached, &plan, &TrainConfig { precision, ..settings.clone() }, None);
            let now = cache.report().since(before);
            (now.hits, now.misses)
        };
        assert_eq!(round(Precision::F32, 1, 1), (0, STEPS));
        assert_eq!(round(Precision::F32, 1, 1), (STEPS, 0));
        assert_eq!(round(Precision::Bf16, 1, 2), (0, STEPS), "numbers of another format are other answers");
        assert!(round(Precision::Bf16, 1, 2).0 < STEPS, "no place for as many that are not expected more often");
        assert!(round(Precision::Bf16, 5, 2).1 > 0);
        assert_eq!(round(Precision::Bf16, 5, 2), (STEPS, 0), "but for these");
        assert!(round(Precision::F32, 0, 1).1 > 0, "the others had to go");
        assert!(cache.report().bytes <= room.0);
        cache.release(2);
        assert_eq!(round(Precision::Bf16, 0, 2), (0, STEPS), "an order that is over");
        assert_eq!(round(Precision::Bf16, 0, 2), (0, STEPS), "nothing is kept that is not expected again");
    }
    assert!(files(folder.path()).len() < STEPS as usize);
}

#[test]
fn rounded_answers_are_the_same_whether_they_were_kept_or_not() {
    let (plan, settings) = (plan("efficientbert"), settings(2));
    let exact = trained(&four_layers(), &plan, &settings, None);
    let folder = tempfile::tempdir().unwrap();
    let none = Arc::new(TeacherCache::in_memory(ByteSize(1), Format::F16));
    let teacher = four_layers();
    let expected = trained(&before(&teacher, &none, &plan, OFTEN), &plan, &settings, None);
    assert_ne!(expected, exact, "half precision is another teacher");
    let loss = |trained: &Trained| f64::from_bits(trained.losses[&STEPS].0);
    assert!((loss(&expected) - loss(&exact)).abs() < 0.02 * loss(&exact), "and nearly the same one");
    for cache in [memory(Format::F16), disk(folder.path(), Format::F16), disk(folder.path(), Format::F16)] {
        for _ in 0..2 {
            assert_eq!(trained(&before(&teacher, &cache, &plan, OFTEN), &plan, &settings, None), expected);
        }
        assert!(cache.report().hits > 0);
    }
    let (halves, whole) = (memory(Format::F16), memory(Format::F32));
    for cache in [&halves, &whole] {
        trained(&before(&teacher, cache, &plan, OFTEN), &plan, &settings, None);
    }
    assert_eq!(2 * halves.report().bytes, whole.report().bytes);
    let other = disk(folder.path(), Format::F32);
    assert_eq!(trained(&before(&teacher, &other, &plan, OFTEN), &plan, &settings, None), exact);
    assert_eq!(other.report().hits, 0, "rounded entries are not taken for exact ones");
}

#[test]
fn damaged_and_foreign_files_are_told_and_computed_again() {
    let (plan, settings) = (plan("efficientbert"), settings(1));
    let expected = trained(&four_layers(), &plan, &settings, None);
    let folder = tempfile::tempdir().unwrap();
    trained(&before(&four_layers(), &disk(folder.path(), Format::F32), &plan, OFTEN), &plan, &settings, None);
    let damaged = files(folder.path());
    let read = |i: usize| std::fs::read(&damaged[i]).unwrap();
    let mut flipped = read(0);
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&damaged[0], flipped).unwrap();
    std::fs::write(&damaged[1], &read(1)[..200]).unwrap();
    std::fs::write(&damaged[2], b"").unwrap();
    std::fs::write(&damaged[3], read(4)).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not ours").unwrap();

    let (teacher, cache) = (four_layers(), disk(folder.path(), Format::F32));
    let cached = before(&teacher, &cache, &plan, OFTEN);
    assert_eq!(trained(&cached, &plan, &settings, None), expected);
    let report = cache.report();
    assert_eq!((report.broken, report.misses, report.hits), (4, 4, STEPS - 4));
    let notes = cache.take_notes();
    assert!(notes.len() == 3 && notes[2].contains("only counted"), "{notes:?}");
    assert!(notes.iter().all(|n| n.contains(".teacher: ") && n.contains("computed again")), "{notes:?}");
    assert_eq!(trained(&cached, &plan, &settings, None), expected);
    assert_eq!(teacher.passes(), 4, "they were written again");
    assert!(folder.path().join("notes.txt").is_file() && cache.take_notes().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_any_more_is_told_once_and_costs_no_training() {
    let (plan, settings) = (plan("efficientbert"), settings(1));
    let expected = trained(&four_layers(), &plan, &settings, None);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("answers");
    let (teacher, cache) = (four_layers(), disk(&folder, Format::F32));
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    assert_eq!(trained(&before(&teacher, &cache, &plan, OFTEN), &plan, &settings, None), expected);
    let notes = cache.take_notes();
    assert!(notes.iter().any(|n| n.contains("nothing more is kept") && n.contains("answers")), "{notes:?}");
    assert_eq!(cache.report().entries, 0);
    let refused = TeacherCache::in_folder(&folder, ROOM, Format::F32).unwrap_err().to_string();
    assert!(refused.contains("answers"), "{refused}");
}

#[test]
fn two_that_share_a_folder_use_what_the_other_kept() {
    let (plan, settings) = (plan("efficientbert"), settings(1));
    let expected = trained(&four_layers(), &plan, &settings, None);
    let folder = tempfile::tempdir().unwrap();
    // At the same time, then one after the other.
    std::thread::scope(|scope| {
        let one = || {
            let cache = disk(folder.path(), Format::F32);
            let found = trained(&before(&four_layers(), &cache, &plan, OFTEN), &plan, &settings, None);
            assert_eq!(found, expected);
            assert_eq!(cache.report().broken, 0);
        };
        for thread in [0, 1, 2].map(|_| scope.spawn(one)) {
            thread.join().unwrap();
        }
    });
    let teacher = four_layers();
    let cache = disk(folder.path(), Format::F32);
    assert_eq!(trained(&before(&teacher, &cache, &plan, OFTEN), &plan, &settings, None), expected);
    assert_eq!((teacher.passes(), cache.report().hits), (0, STEPS));
    assert_eq!(files(folder.path()).len() as u64, STEPS, "no temporary file is left");
}

#[test]
fn another_teacher_is_never_answered_for() {
    let plan = plan("efficientbert");
    let weights = |seed| collect_internal(&model(4, seed));
    let right = fingerprint(&config(4), &weights(1));
    assert_eq!(right, fingerprint(&config(4), &weights(1)));
    assert_ne!(right, fingerprint(&config(4), &weights(2)), "other weights");
    assert_ne!(right, fingerprint(&BertConfig { layer_norm_eps: 1e-6, ..config(4) }, &weights(1)));
    let cache = memory(Format::F32);
    let (teacher, device) = (four_layers(), Device::flex());
    let (_, batch) = data().batch(0).unwrap();
    let ask = |identity: &str, rows: std::ops::Range<usize>, options: EncodeOptions| {
        let cached = CachedTeacher::new(&teacher, Arc::clone(&cache), identity, TeacherLayers::of(&plan), OFTEN);
        let before = cache.report();
        let (output, _) = cached.logits(&to_device(&batch.rows(rows), &device), 0, options);
        (cache.report().since(before).hits == 1, output)
    };
    let all = EncodeOptions::STATES_AND_SCORES;
    assert!(!ask(&right, 0..4, all).0 && ask(&right, 0..4, all).0);
    assert!(!ask("another", 0..4, all).0 && !ask(&right, 0..2, all).0 && !ask(&right, 0..4, EncodeOptions::LAST).0);
    // The student has two layers, so it learns from the second and the fourth, and from the embedding.
    let (_, output) = ask(&right, 0..4, all);
    let there = |sizes: Vec<usize>| sizes.iter().map(|&rows| rows == 4).collect::<Vec<_>>();
    assert_eq!(there(output.hidden_states.iter().map(|t| t.dims()[0]).collect()), [true, false, true, false, true]);
    assert_eq!(there(output.attention_scores.iter().map(|t| t.dims()[0]).collect()), [false, true, false, true]);
    assert_eq!(output.last_hidden.dims(), [0, 0, 0]);
}
