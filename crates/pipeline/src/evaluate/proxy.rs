//! A short training from inherited weights.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use bert_core::weights::{Tensors, apply_internal, parameter_shapes};
use bert_core::{BertConfig, LayerSource, Parts, TaskModel, inherit, student_config};
use kd::job::Teacher;
use kd::objective::Plan;
use mlp_space::Architecture;
use nas::driver::{Candidate, EvalError, Evaluate, Within};
use nas::study::Fitness;
use train::data::{EvalSet, TaskMix};
use train::engine::{Devices, Evaluation};
use train::text::TextSource;

use super::short::ShortTraining;
use super::{eval_error, fitness};
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

impl ProxyTraining<'_> {
    fn run(
        &self,
        candidate: &Candidate<Architecture>,
        watch: &mut dyn FnMut(Within),
    ) -> Result<(Evaluation, f64), kd::Error> {
        let config = student_config(self.frame, &candidate.genome)?;
        let model = TaskModel::new(&config, Parts::POOLER, self.devices.main())?;
        let weights = inherit(&parameter_shapes(&model), self.warm, LayerSource::Same, |_| false)?;
        let model = apply_internal(model, weights, Path::new("warm-up weights"))?;
        let training = ShortTraining {
            text: self.text.map(|(teacher, text, plan)| (teacher, text, plan, &self.proxy.general)),
            tasks: (self.teacher, self.data, self.plan, &self.proxy.task),
            held_out: self.held_out,
            devices: &self.devices,
            stop: self.stop,
        };
        training.run(model, candidate.seed, watch)
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
