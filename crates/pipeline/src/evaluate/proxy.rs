//! A short training from inherited weights.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::weights::{Tensors, apply_internal, parameter_shapes};
use bert_core::{BertConfig, LayerSource, Parts, TaskModel, inherit, student_config};
use kd::job::{GeneralDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use mlp_space::Architecture;
use nas::driver::{Candidate, EvalError, Evaluate, Within};
use nas::study::Fitness;
use predict::evaluate::evaluate_gold;
use train::data::{EvalSet, TaskMix};
use train::engine::{Devices, Evaluation, Job, Monitor, TrainConfig, TrainEvent, train};
use train::text::TextSource;

use super::{eval_error, fitness, scoring};
use crate::recipe::{CandidateScore, Proxy};

/// Trains every candidate for a short while: weights sliced from the warm-up supernet, then
/// distillation on text, then on the tasks; fitness is a score on held-out training examples
/// (Dong et al. 2021, stages 1 and 2).
pub struct ProxyTraining<'a> {
    /// The student's frame.
    pub frame: &'a BertConfig,
    /// The teacher on the tasks.
    pub teacher: &'a dyn Teacher,
    /// Weights of the warm-up supernet.
    pub warm: &'a Tensors,
    /// The teacher on text, packed text and what is learned on it.
    pub text: Option<(&'a dyn Teacher, &'a dyn TextSource, &'a Plan)>,
    /// What is learned on the tasks.
    pub plan: &'a Plan,
    /// Training examples less the held-out part.
    pub data: &'a TaskMix,
    /// The held-out part.
    pub held_out: &'a [(usize, EvalSet)],
    /// What the fitness is.
    pub score: CandidateScore,
    /// Length of the training.
    pub proxy: &'a Proxy,
    /// Where trainings are.
    pub devices: Devices,
    /// Stops in the middle of a training or of its scoring.
    pub stop: &'static AtomicBool,
}

/// Passes on how far a training is, and stops it.
struct CandidateMonitor<'a> {
    what: &'static str,
    watch: &'a mut dyn FnMut(Within),
    stop: &'a AtomicBool,
}

impl Monitor for CandidateMonitor<'_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            (self.watch)(Within { what: self.what, unit: "steps", done: report.step, total: report.total });
        }
    }

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl ProxyTraining<'_> {
    fn run(
        &self,
        candidate: &Candidate<Architecture>,
        watch: &mut dyn FnMut(Within),
    ) -> Result<(Evaluation, f64), kd::Error> {
        let config = student_config(self.frame, &candidate.genome)?;
        let model = TaskModel::new(&config, Parts::POOLER, self.devices.main())?;
        let weights = inherit(&parameter_shapes(&model), self.warm, LayerSource::Same, |_| false)?;
        let mut model = apply_internal(model, weights, Path::new("warm-up weights"))?;
        if let Some((teacher, text, plan)) = self.text.filter(|_| self.proxy.general.train.steps > 0) {
            let job = GeneralDistillation { teacher, plan, text, words: None, prepare: as_is() };
            let mut monitor = CandidateMonitor { what: "training on text", watch: &mut *watch, stop: self.stop };
            model = self.train(model, &job, self.proxy.general.train_config(candidate.seed), &mut monitor)?;
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
        let mut monitor = CandidateMonitor { what: "training on tasks", watch: &mut *watch, stop: self.stop };
        let model = self.train(model, &job, config, &mut monitor)?;
        Ok(evaluate_gold(&model, self.held_out, self.devices.main(), &mut scoring(watch, self.stop))?)
    }

    fn train(
        &self,
        model: TaskModel,
        job: &dyn Job<TaskModel>,
        config: TrainConfig,
        monitor: &mut CandidateMonitor<'_>,
    ) -> Result<TaskModel, kd::Error> {
        Ok(train(model, &self.devices, job, &config, None, monitor)?.model)
    }
}

impl Evaluate<Architecture> for ProxyTraining<'_> {
    fn evaluate(
        &mut self,
        candidate: &Candidate<Architecture>,
        watch: &mut dyn FnMut(Within),
    ) -> Result<Fitness, EvalError> {
        self.run(candidate, watch).map(|scored| fitness(scored, self.score)).map_err(eval_error)
    }
}
