//! A whole encoder, trained for a short while.

use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, Parts, TaskModel};
use encoder_spec::Encoder;
use kd::objective::Plan;
use nas::driver::{Candidate, EvalError, Evaluate, Within};
use nas::space::EncoderGenome;
use nas::study::Fitness;
use train::data::{EvalSet, TaskMix};
use train::engine::{Devices, Evaluation};
use train::text::TextSource;

use super::short::ShortTraining;
use super::{eval_error, fitness};
use crate::phase::{Origin, TeachersOfPhase, Weights};
use crate::recipe::{CandidateScore, Phase};
use crate::{Error, Result};

/// What is learned by a student of a configuration.
pub(crate) type PlanOf<'a> = Box<dyn Fn(&BertConfig) -> Result<Plan> + 'a>;

/// Scores whole encoders: each begins as its teacher, or with random weights, and is distilled for the steps of its rung; with none it is scored as
/// it begins. Nothing is inherited from the rung before, so a candidate's score depends on nothing but its rung and its seed.
pub(crate) struct EncoderTraining<'a> {
    /// What all students share.
    pub frame: &'a BertConfig,
    /// What they begin as; random weights without it.
    pub origin: Option<&'a Origin<'a>>,
    /// The teachers on text, packed text, what is learned on it, and settings.
    pub text: Option<(TeachersOfPhase<'a>, &'a dyn TextSource, PlanOf<'a>, &'a Phase)>,
    /// The same on the tasks' training examples, less the held-out part.
    pub tasks: (TeachersOfPhase<'a>, &'a TaskMix, PlanOf<'a>, &'a Phase),
    /// The held-out part.
    pub held_out: &'a [(usize, EvalSet)],
    /// What the fitness is.
    pub score: CandidateScore,
    /// Where trainings are.
    pub devices: Devices,
    /// Stops in the middle of a training or of its scoring.
    pub stop: &'static AtomicBool,
}

impl EncoderTraining<'_> {
    fn run(&self, candidate: &Candidate<EncoderGenome>, watch: &mut dyn FnMut(Within)) -> Result<(Evaluation, f64)> {
        let config = candidate.genome.config(self.frame)?;
        let spec = Encoder::describe(&config, Parts::POOLER)?;
        let (teachers, data, plan_of, settings) = &self.tasks;
        let plan = plan_of(&config)?;
        let model = TaskModel::new(&config, Parts::POOLER, self.devices.main())?.initialized(&config, candidate.seed);
        let model = match self.origin {
            Some(origin) => origin.begin(model, &spec, Some(&plan), Weights::Whole)?,
            None => model,
        };
        let teacher = teachers.of(&plan)?;
        let on_text = match &self.text {
            Some((teachers, text, plan_of, settings)) if settings.train.steps > 0 => {
                let plan = plan_of(&config)?;
                Some((teachers.of(&plan)?, *text, plan, *settings))
            }
            _ => None,
        };
        let training = ShortTraining {
            text: on_text.as_ref().map(|(teacher, text, plan, settings)| (teacher.as_ref(), *text, plan, *settings)),
            tasks: (teacher.as_ref(), data, &plan, settings),
            held_out: self.held_out,
            devices: &self.devices,
            stop: self.stop,
        };
        Ok(training.run(model, candidate.seed, watch)?)
    }
}

impl Evaluate<EncoderGenome> for EncoderTraining<'_> {
    fn evaluate(
        &mut self,
        candidate: &Candidate<EncoderGenome>,
        watch: &mut dyn FnMut(Within),
    ) -> std::result::Result<Fitness, EvalError> {
        match self.run(candidate, watch) {
            Ok(scored) => Ok(fitness(scored, self.score)),
            Err(Error::Distillation(error)) => Err(eval_error(error)),
            Err(other) => Err(EvalError::Run(other.to_string())),
        }
    }
}
