//! A short distillation of a candidate, and its score.

use std::sync::atomic::{AtomicBool, Ordering};

use bert_core::TaskModel;
use kd::job::{GeneralDistillation, TaskDistillation, Teacher, as_is};
use kd::objective::Plan;
use nas::driver::Within;
use predict::evaluate::evaluate_gold;
use train::data::{EvalSet, TaskMix};
use train::engine::{Devices, Evaluation, Job, Monitor, TrainConfig, TrainEvent, train};
use train::text::TextSource;

use super::scoring;
use crate::recipe::Phase;

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

/// What a candidate is trained on, for how long, and what scores it.
pub(super) struct ShortTraining<'a> {
    /// The teacher on text, packed text, what is learned on it, and settings; settings without steps leave it out.
    pub text: Option<(&'a dyn Teacher, &'a dyn TextSource, &'a Plan, &'a Phase)>,
    /// The same on the tasks' training examples, less the held-out part.
    pub tasks: (&'a dyn Teacher, &'a TaskMix, &'a Plan, &'a Phase),
    /// The held-out part.
    pub held_out: &'a [(usize, EvalSet)],
    /// Where.
    pub devices: &'a Devices,
    /// Stops in the middle of it.
    pub stop: &'static AtomicBool,
}

impl ShortTraining<'_> {
    /// Trains `model` with `seed`, and scores it.
    ///
    /// # Errors
    /// A loss that is not finite, or it was stopped.
    pub fn run(
        &self,
        mut model: TaskModel,
        seed: u64,
        watch: &mut dyn FnMut(Within),
    ) -> Result<(Evaluation, f64), kd::Error> {
        if let Some((teacher, text, plan, settings)) = self.text
            && settings.train.steps > 0
        {
            let job = GeneralDistillation { teacher, plan, text, words: None, prepare: as_is() };
            let mut monitor = CandidateMonitor { what: "training on text", watch: &mut *watch, stop: self.stop };
            model = self.train(model, &job, settings.train_config(seed), &mut monitor)?;
        }
        let (teacher, data, plan, settings) = self.tasks;
        if settings.train.steps > 0 {
            let heads: Vec<usize> = (0..self.held_out.len()).collect();
            let (teacher_heads, student_heads) = (heads.clone(), heads);
            let job =
                TaskDistillation { teacher, teacher_heads, student_heads, plan, data, eval: &[], prepare: as_is() };
            let config = TrainConfig { keep_best: false, ..settings.train_config(seed) };
            let mut monitor = CandidateMonitor { what: "training on tasks", watch: &mut *watch, stop: self.stop };
            model = self.train(model, &job, config, &mut monitor)?;
        }
        Ok(evaluate_gold(&model, self.held_out, self.devices.main(), &mut scoring(watch, self.stop))?)
    }

    fn train(
        &self,
        model: TaskModel,
        job: &dyn Job<TaskModel>,
        config: TrainConfig,
        monitor: &mut CandidateMonitor<'_>,
    ) -> Result<TaskModel, kd::Error> {
        Ok(train(model, self.devices, job, &config, None, monitor)?.model)
    }
}
