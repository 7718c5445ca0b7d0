//! A teacher for each task: every batch is shown to its task's teacher, with the cache and without, and models that cannot teach
//! one student together are refused.

#[allow(dead_code)]
mod counted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bert_core::weights::collect_internal;
use bert_core::{BertConfig, EncodeOptions, EncoderOutput, Parts, TaskModel, init};
use burn::tensor::{Device, Tensor};
use counted::Counted;
use glue_squad::features::Features;
use glue_squad::task::{Label, TaskKind};
use kd::cache::{ByteSize, CachedTeacher, Expected, Format, TeacherCache, TeacherLayers, fingerprint};
use kd::job::{TaskDistillation, TaskTeacher, TaskTeachers, Teacher, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use predict::heads::task_head;
use run_store::checkpoint::CheckpointStore;
use train::data::{BatchSettings, TaskMix, TrainSet, to_device};
use train::engine::{Job, MicroBatch, Monitor, TrainConfig, TrainEvent, train};

type Model = TaskModel;

const STEPS: u64 = 8;
const SETTINGS: BatchSettings = BatchSettings::new(4, 8, 5);
const TASKS: [TaskKind; 2] = [TaskKind::Sst2, TaskKind::Rte];
/// Presets that ask for layers and answers together, for one after the other, for layers alone, and for answers alone.
const PRESETS: [&str; 4] = ["efficientbert", "tinybert", "tinybert-intermediate", "logits"];

/// Both tasks have the same texts, so an answer of the wrong teacher would not show by its key.
fn data() -> TaskMix {
    let row = |i: usize| {
        let ids: Vec<u32> = (0..4 + i % 3).map(|j| (i * 3 + j * 5) as u32 % 11 + 1).collect();
        Features { type_ids: vec![0; ids.len()], ids, label: Some(Label::Class(i % 2)), words: None, second: None }
    };
    let rows: Vec<Features> = (0..16).map(row).collect();
    let sets = TASKS.map(|task| TrainSet::new(task, rows.clone(), 0, SETTINGS).unwrap());
    TaskMix::new(sets.into(), 9).unwrap()
}

/// A model of two layers with heads for `tasks`.
fn config(tasks: &[TaskKind]) -> BertConfig {
    BertConfig {
        max_position_embeddings: 8,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        task_heads: tasks.iter().map(|task| task_head(task.task())).collect(),
        ..BertConfig::bert(12, 8, 2, 2, 16)
    }
}

fn model(config: &BertConfig, seed: u64) -> Model {
    let device = Device::flex();
    let model = TaskModel::new(config, Parts::POOLER, &device).unwrap();
    init::normal(model, seed, 0.3)
}

fn plan(preset: &str) -> Plan {
    let shape = Shape::of(&config(&TASKS));
    let objective = Objective::from_toml(&format!("[distill]\npreset = \"{preset}\"")).unwrap();
    objective.plan(shape, shape, Source::Tasks, STEPS).unwrap()
}

/// The general teacher; one of the first task alone; and one that has a head for the second task behind another one.
fn teachers() -> [Counted; 3] {
    let mut seed = 0;
    [&TASKS[..0], &TASKS[..1], &TASKS[..]].map(|tasks| {
        let config = config(tasks);
        seed += 1;
        let model = model(&config, seed);
        Counted::of(config, model)
    })
}

/// `teachers` as one, each seen through `through`.
fn routed<'a>(teachers: &'a [Counted; 3], through: impl Fn(&'a Counted) -> Box<dyn Teacher + 'a>) -> TaskTeachers<'a> {
    let [general, first, second] = teachers;
    let of = |name: &str, of: &'a Counted, head| TaskTeacher {
        name: name.into(),
        config: &of.config,
        teacher: through(of),
        head,
    };
    TaskTeachers::new(through(general), vec![of("one", first, 0), of("two", second, 1)]).unwrap()
}

fn plain(teacher: &Counted) -> Box<dyn Teacher + '_> {
    Box::new(teacher)
}

fn identity(teacher: &Counted) -> String {
    fingerprint(&teacher.config, &collect_internal(&teacher.model))
}

fn cached<'a>(teacher: &'a Counted, cache: &Arc<TeacherCache>, plan: &Plan) -> Box<dyn Teacher + 'a> {
    let layers = TeacherLayers::of(plan);
    Box::new(CachedTeacher::new(teacher, Arc::clone(cache), identity(teacher), layers, OFTEN))
}

const OFTEN: Expected = Expected { again: 3, order: 1 };

fn distillation<'a>(teacher: &'a dyn Teacher, plan: &'a Plan, data: &'a TaskMix) -> TaskDistillation<'a> {
    TaskDistillation {
        teacher,
        teacher_heads: vec![0, 1],
        student_heads: vec![0, 1],
        plan,
        data,
        eval: &[],
        prepare: as_is(),
    }
}

fn student() -> Model {
    model(&config(&TASKS), 9)
}

fn bits<const D: usize>(tensors: &[Tensor<D>]) -> Vec<Vec<u32>> {
    let of = |t: &Tensor<D>| t.clone().into_data().iter::<f32>().map(f32::to_bits).collect();
    tensors.iter().map(of).collect()
}

#[test]
fn every_question_is_answered_as_its_teacher_alone_answers_it() {
    let all = teachers();
    let together = routed(&all, plain);
    let device = Device::flex();
    let batch = to_device(&data().batch(0).unwrap().1, &device);
    let options = EncodeOptions::STATES_AND_SCORES;
    let states = |output: &EncoderOutput| (bits(&output.hidden_states), bits(&output.attention_scores));
    let [general, first, second] = &all;
    assert_eq!(states(&together.states(&batch, None, options)), states(&general.model.encode(&batch, options)));
    for (task, (alone, head)) in [(first, 0), (second, 1)].into_iter().enumerate() {
        let (expected, logits) = alone.model.forward(&batch, head, options);
        assert_eq!(states(&together.states(&batch, Some(task), options)), states(&expected), "task {task}");
        let (output, found) = together.logits(&batch, task, options);
        assert_eq!(states(&output), states(&expected), "task {task}");
        assert_eq!(bits(&[found]), bits(&[logits]), "task {task}");
    }
    let asked: Vec<u64> = all.iter().map(Counted::passes).collect();
    assert_eq!(asked, [1, 2, 2]);
    assert_ne!(states(&first.model.encode(&batch, options)), states(&second.model.encode(&batch, options)));
}

#[test]
fn every_step_is_that_of_a_distillation_from_its_task_s_teacher() {
    let all = teachers();
    let together = routed(&all, plain);
    let (data, student) = (data(), student());
    let terms = |teacher: &dyn Teacher, plan: &Plan, heads: [usize; 2], step| {
        let mut job = distillation(teacher, plan, &data);
        job.teacher_heads = heads.into();
        let terms = job.loss(&student, MicroBatch::whole(step), &Device::flex()).unwrap();
        terms.0.into_iter().map(|(name, t)| (name, t.inner().into_scalar::<f32>().to_bits())).collect::<Vec<_>>()
    };
    for preset in PRESETS {
        let plan = plan(preset);
        let mut seen = [0, 0];
        for step in 0..STEPS {
            let (task, _) = data.batch(step).unwrap();
            seen[task] += 1;
            let alone = &all[1 + task].model;
            let expected = terms(alone, &plan, [task; 2], step);
            assert!(!expected.is_empty());
            assert_eq!(terms(&together, &plan, [0, 1], step), expected, "{preset}, step {step}, task {task}");
        }
        assert!(seen.iter().all(|&n| n > 0), "both tasks are drawn: {seen:?}");
    }
    assert_eq!(all[0].passes(), 0, "the general teacher is not for tasks");
}

/// Losses by step, and the last weights, all as bits.
#[derive(Debug, PartialEq)]
struct Trained {
    losses: BTreeMap<u64, u64>,
    weights: BTreeMap<String, Vec<u32>>,
}

struct Watch {
    stop_after: Option<u64>,
    done: u64,
    losses: BTreeMap<u64, u64>,
}

impl Monitor for Watch {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            self.done = report.step;
            self.losses.insert(report.step, report.loss.to_bits());
        }
    }

    fn interrupted(&self) -> bool {
        self.stop_after == Some(self.done)
    }
}

/// Trains a student; `stopped` names a folder and the step after which the training is stopped and started again.
fn trained(teacher: &dyn Teacher, plan: &Plan, stopped: Option<(&Path, u64)>) -> Trained {
    let (data, device) = (data(), Device::flex());
    let config = TrainConfig { accumulate: 2, log_every: 1, ..TrainConfig::new(STEPS, 1e-2) };
    let store = stopped.map(|(folder, _)| CheckpointStore::new(folder, "hash"));
    let mut watch = Watch { stop_after: stopped.map(|(_, step)| step), done: 0, losses: BTreeMap::new() };
    let go = |watch: &mut Watch| {
        train(student(), &device, &distillation(teacher, plan, &data), &config, store.as_ref(), watch)
    };
    let result = match go(&mut watch) {
        Err(train::Error::Interrupted { .. }) if stopped.is_some() => {
            watch.stop_after = None;
            go(&mut watch)
        }
        other => other,
    };
    let weights = collect_internal(&result.unwrap().model).0;
    let weights = weights.into_iter().map(|(path, t)| (path, t.data.iter().map(|v| v.to_bits()).collect())).collect();
    Trained { losses: watch.losses, weights }
}

#[test]
fn a_training_with_the_cache_before_every_teacher_is_that_without_it_and_the_second_asks_none() {
    for preset in PRESETS {
        let plan = plan(preset);
        let expected = trained(&routed(&teachers(), plain), &plan, None);
        let folder = tempfile::tempdir().unwrap();
        let room = ByteSize(1 << 20);
        let caches = [
            TeacherCache::in_memory(room, Format::F32),
            TeacherCache::in_folder(folder.path(), room, Format::F32).unwrap(),
        ];
        for cache in caches.map(Arc::new) {
            let all = teachers();
            for round in 1..=2 {
                assert_eq!(
                    trained(&routed(&all, |of| cached(of, &cache, &plan)), &plan, None),
                    expected,
                    "{preset}, round {round}"
                );
                let asked = all.iter().map(Counted::passes).sum::<u64>();
                assert_eq!(asked, 2 * STEPS, "{preset}: two parts of each step, in the first round");
                assert_eq!(cache.report().misses, asked);
            }
            assert_eq!(cache.report().hits, 2 * STEPS);
        }
    }
}

#[test]
fn a_cache_before_all_of_them_tells_the_tasks_apart_too() {
    for preset in PRESETS {
        let (plan, all) = (plan(preset), teachers());
        let together = routed(&all, plain);
        let expected = trained(&together, &plan, None);
        let cache = Arc::new(TeacherCache::in_memory(ByteSize(1 << 20), Format::F32));
        let identity = all.iter().map(identity).collect::<String>();
        let cached = CachedTeacher::new(&together, Arc::clone(&cache), identity, TeacherLayers::of(&plan), OFTEN);
        for _ in 0..2 {
            assert_eq!(trained(&cached, &plan, None), expected, "{preset}");
        }
        assert_eq!(cache.report().hits, 2 * STEPS);
    }
}

#[test]
fn a_training_that_is_stopped_and_goes_on_ends_like_one_that_is_not() {
    let (plan, all) = (plan("efficientbert"), teachers());
    let together = routed(&all, plain);
    let expected = trained(&together, &plan, None);
    let folder = tempfile::tempdir().unwrap();
    for stop in [1, 4, 7] {
        let place = folder.path().join(stop.to_string());
        assert_eq!(trained(&together, &plan, Some((&place, stop))), expected, "stopped after {stop}");
    }
}

#[test]
fn teachers_of_different_shapes_and_none_at_all_are_refused() {
    let base = config(&TASKS[..1]);
    let together = |others: &[&BertConfig]| {
        let of = |(i, config): (usize, &&'static BertConfig)| TaskTeacher {
            name: format!("teachers/{i}"),
            config,
            teacher: Box::new(model(config, 1)) as Box<dyn Teacher>,
            head: 0,
        };
        let leaked: Vec<&'static BertConfig> = others.iter().map(|&c| &*Box::leak(Box::new(c.clone()))).collect();
        let all = leaked.iter().enumerate().map(of).collect();
        TaskTeachers::new(Box::new(model(&base, 1)), all).map(|_| ()).map_err(|e| e.to_string())
    };
    let message = together(&[]).unwrap_err();
    assert!(message.contains("no teacher"), "{message}");
    assert_eq!(
        together(&[&base, &BertConfig { intermediate_size: 32, ..base.clone() }]),
        Ok(()),
        "inside it may differ"
    );
    let wide = BertConfig { hidden_size: 16, ..base.clone() };
    let other = BertConfig { num_hidden_layers: 3, vocab_size: 13, ..base.clone() };
    let heads = BertConfig { num_attention_heads: 4, ..base.clone() };
    for (other, words) in [
        (&wide, &["teachers/0 has width 8,", "teachers/2 has width 16"][..]),
        (&other, &["has 2 layers, 12 word pieces,", "teachers/2 has 3 layers, 13 word pieces"]),
        (&heads, &["has 2 attention heads", "has 4 attention heads"]),
    ] {
        let message = together(&[&base, &base, other]).unwrap_err();
        words.iter().for_each(|word| assert!(message.contains(word), "{message}"));
    }
}
