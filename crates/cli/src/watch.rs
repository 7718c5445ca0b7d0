//! What a person sees of a run or of a training.

use std::path::Path;

use pipeline::PhaseId;
use pipeline::events::{NOTED_WARNING, RunEvent};
use train::engine::Evaluation;

use crate::error::CliError;
use crate::plan_table;
use crate::progress::Progress;
use crate::tensorboard::Boards;

/// Shows events on the terminal, and writes them for TensorBoard where that was asked for.
pub struct Watch<'a> {
    progress: &'a Progress,
    best: Option<f64>,
    skipped: u64,
    boards: Option<Boards>,
}

impl<'a> Watch<'a> {
    /// `tensorboard` is a folder for event files; those of each phase are apart where there are several.
    pub fn new(progress: &'a Progress, tensorboard: Option<&Path>, phases: bool) -> Result<Self, CliError> {
        let boards = tensorboard.map(|folder| Boards::new(folder, phases)).transpose()?;
        Ok(Self { progress, best: None, skipped: 0, boards })
    }

    pub fn show(&mut self, event: &RunEvent) {
        if let Some(Err(problem)) = self.boards.as_mut().map(|boards| boards.event(event)) {
            self.boards = None;
            self.progress.warn(&format!("TensorBoard gets nothing from now on: {problem}"));
        }
        let progress = self.progress;
        match event {
            RunEvent::Plan { forecast } => progress.lines(&plan_table::text(forecast), event),
            RunEvent::PhaseStarted { phase, total, done } => {
                (self.best, self.skipped) = (None, 0);
                // A stage of a search counts its candidates.
                let unit = match PhaseId::of_name(phase).and_then(PhaseId::stage) {
                    Some(_) => "candidates",
                    None if phase == pipeline::fidelity::PHASE => "networks",
                    None => "steps",
                };
                progress.start_at(phase, (*total, *done), unit);
            }
            RunEvent::Resumed { phase, step, best } => {
                self.best = *best;
                progress.message(&format!("{phase}: continuing after step {step}"));
            }
            RunEvent::PassedOver { phase, step, reason } => {
                progress.warn(&format!("{phase}: the checkpoint of step {step} was skipped: {reason}"));
            }
            RunEvent::Step { step, .. } => progress.train_step(*step, event, self.best, self.skipped),
            RunEvent::Evaluated { phase, step, score, metrics, best } => {
                let scores = Evaluation { score: *score, metrics: metrics.clone(), ..Evaluation::default() };
                if *best {
                    self.best = Some(*score);
                }
                let mark = if *best { " (best so far)" } else { "" };
                progress.evaluation(&format!("{phase}: step {step}: {scores}{mark}"));
            }
            RunEvent::Skipped { phase, step, what, in_a_row } => {
                self.skipped += 1;
                progress.warn(&format!("{phase}: step {step} was skipped, {in_a_row} in a row: {what} is not finite"));
            }
            RunEvent::StoppedEarly { phase, step, waited } => {
                let text = format!("stopped early after step {step}: {waited} evaluations without improvement");
                progress.message(&format!("{phase}: {text}"));
            }
            RunEvent::Trial { number, score, best, reason, phase, .. } => {
                if let (true, Some(score)) = (*best, score) {
                    self.best = Some(*score);
                }
                if let Some(reason) = reason {
                    progress.message(&format!("{phase}: trial {number} failed: {reason}"));
                }
                let mut values = Vec::new();
                values.extend(score.map(|s| ("score", s)));
                values.extend(self.best.map(|b| ("best", b)));
                progress.step(number + 1, &values);
            }
            RunEvent::PhaseFinished { .. } => progress.finish(),
            RunEvent::TeacherCache { phase, hits, misses, bytes, .. } => {
                let (asked, kept) = (hits + misses, *bytes as f64 / (1u64 << 20) as f64);
                progress.message(&format!(
                    "{phase}: the teacher's answers: {hits} of {asked} came from the cache; {kept:.0} MiB"
                ));
            }
            RunEvent::Note { message } => match message.strip_prefix(NOTED_WARNING) {
                Some(warning) => progress.warn(warning),
                None => progress.message(message),
            },
            RunEvent::Within { what, unit, done, total, .. } => progress.within(what, (*done, *total), unit),
            // What failed is said at the end.
            RunEvent::Rejected { .. } | RunEvent::Failed { .. } => {}
        }
    }
}
