//! A short training from inherited weights.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::weights::{Tensors, apply_internal, parameter_shapes};
use bert_core::{BertConfig, TaskModel};
use kd::data::{EvalSet, TaskMix};
use kd::engine::{Devices, Evaluation, Job, Monitor, TrainConfig, TrainEvent, train};
use kd::evaluate::evaluate;
use kd::job::{GeneralDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use kd::text::TextSource;
use nas::driver::{Candidate, EvalError, Evaluate, Fitness};
use searched_ffn::{LayerSource, SearchedFfn, inherit, searched_model, student_config};

use super::{eval_error, fitness};
use crate::recipe::Proxy;

/// Trains every candidate for a short while: weights sliced from the warm-up supernet, then
/// distillation on text, then on the tasks; fitness is the score on held-out training examples
/// (Dong et al. 2021, stages 1 and 2).
pub struct ProxyTraining<'a> {
    /// The student's frame.
    pub frame: &'a BertConfig,
    /// The teacher on the tasks.
    pub teacher: &'a dyn Teacher,
    /// Weights of the warm-up supernet.
    pub warm: &'a Tensors,
    /// The teacher on text, packed text and what is learnt on it.
    pub text: Option<(&'a dyn Teacher, &'a dyn TextSource, &'a Plan)>,
    /// What is learnt on the tasks.
    pub plan: &'a Plan,
    /// Training examples less the held-out part.
    pub data: &'a TaskMix,
    /// The held-out part.
    pub held_out: &'a [(usize, EvalSet)],
    /// Length of the training.
    pub proxy: &'a Proxy,
    /// Where trainings are.
    pub devices: Devices,
    /// Stops in the middle of a training.
    pub stop: &'static AtomicBool,
}

struct Stop<'a>(&'a AtomicBool);

impl Monitor for Stop<'_> {
    fn event(&mut self, _event: &TrainEvent<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl ProxyTraining<'_> {
    fn run(&self, candidate: &Candidate) -> Result<Evaluation, kd::Error> {
        let config = student_config(self.frame, &candidate.genome)?;
        let model = searched_model(&config, false, true, self.devices.main())?;
        let weights = inherit(&parameter_shapes(&model), self.warm, LayerSource::Same, |_| false)?;
        let mut model = apply_internal(model, weights, Path::new("warm-up weights"))?;
        if let Some((teacher, text, plan)) = self.text.filter(|_| self.proxy.general.steps > 0) {
            let job = GeneralDistillation { teacher, plan, text, words: None, prepare: as_is() };
            model = self.train(model, &job, self.proxy.general.train_config(candidate.seed))?;
        }
        let heads: Vec<usize> = (0..self.held_out.len()).collect();
        let job = TaskDistillation {
            teacher: self.teacher,
            teacher_heads: heads.clone(),
            student_heads: heads,
            plan: self.plan,
            data: self.data,
            eval: &[],
            prepare: as_is(),
        };
        let config = TrainConfig { keep_best: false, ..self.proxy.task.train_config(candidate.seed) };
        let model = self.train(model, &job, config)?;
        evaluate(&model, self.held_out, self.devices.main())
    }

    fn train(
        &self,
        model: TaskModel<SearchedFfn>,
        job: &dyn Job<TaskModel<SearchedFfn>>,
        config: TrainConfig,
    ) -> Result<TaskModel<SearchedFfn>, kd::Error> {
        Ok(train(model, &self.devices, job, &config, None, &mut Stop(self.stop))?.model)
    }
}

impl Evaluate for ProxyTraining<'_> {
    fn evaluate(&mut self, candidate: &Candidate) -> Result<Fitness, EvalError> {
        self.run(candidate).map(fitness).map_err(eval_error)
    }
}
