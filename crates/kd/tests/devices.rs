//! A teacher for several devices that share the steps of a training.

#[allow(dead_code)]
#[path = "../../train/tests/tiny/mod.rs"]
mod tiny;

use bert_core::weights::collect_internal;
use burn::module::Module;
use burn::tensor::Device;
use kd::job::{ReplicatedTeacher, TaskDistillation, as_is};
use kd::objective::{Objective, Shape, Source};
use tiny::{Model, Watch};
use train::engine::{Devices, Job, MicroBatch, TrainConfig, train};

fn config(accumulate: u32) -> TrainConfig {
    TrainConfig { accumulate, log_every: 1, eval_every: 4, checkpoint_every: 3, ..TrainConfig::new(11, 5e-3) }
}

fn on_cpu(count: usize) -> Devices {
    Devices::new(Device::flex(), vec![Device::flex(); count - 1], 1).unwrap()
}

#[test]
fn a_teacher_teaches_on_every_device() {
    let (data, eval, device) = (tiny::data(), tiny::eval(), Device::flex());
    let teacher = tiny::model(&device).valid();
    let shape = Shape { layers: 2, width: 8, heads: 2, words: None };
    let plan = Objective::default().plan(shape, shape, Source::Tasks, 11).unwrap();
    let result = |devices: &Devices, accumulate: u32| {
        let teacher = ReplicatedTeacher::new(&teacher, devices);
        let job = TaskDistillation {
            teacher: &teacher,
            teacher_heads: vec![0],
            student_heads: vec![0],
            plan: &plan,
            data: &data,
            eval: &eval,
            prepare: as_is(),
        };
        let student = bert_core::init::normal(tiny::model(&device), 8, 0.1);
        let alone = Job::<Model>::loss(&job, &student, MicroBatch::whole(0), &device).unwrap();
        assert!(alone.total().into_scalar::<f32>() > 0.0);
        let trained = train(student, devices, &job, &config(accumulate), None, &mut Watch::default()).unwrap();
        collect_internal(&trained.model)
    };
    assert_eq!(result(&on_cpu(2), 1), result(&on_cpu(1), 2));
}
