//! What a training came to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline::events::RunEvent;
use pipeline::phase::LogLine;
use predict::majority::{MajorityBaseline, doubts};
use serde::Serialize;
use train::engine::Evaluation;

use crate::environment;
use crate::progress::duration;
use crate::units::grouped;

pub struct TrainingResult {
    pub steps: u64,
    /// Steps after which its model was reached.
    pub step: u64,
    pub evaluation: Option<Evaluation>,
    /// What one answer to every example scores there.
    pub majority: Vec<MajorityBaseline>,
}

/// The result of `teacher` and `distill`. What was not measured is `null`.
#[derive(Serialize)]
pub struct TrainingSummary {
    out: PathBuf,
    steps: u64,
    /// Steps after which the model was reached.
    best_step: u64,
    score: Option<f64>,
    metrics: Option<std::collections::BTreeMap<String, f64>>,
    majority: Vec<MajorityBaseline>,
    /// Why the scores may mean nothing, a sentence each.
    pub warnings: Vec<String>,
    /// Seconds of training over all processes that had a part in it.
    seconds: Option<f64>,
    /// Real tokens by these seconds, evaluations and checkpoints included.
    tokens_per_second: Option<f64>,
    peak_memory_mib: Option<f64>,
}

impl TrainingSummary {
    /// Puts it together from the log.
    pub fn new(out: &Path, done: &TrainingResult, log: &[LogLine]) -> Self {
        let phase = log.iter().find_map(|line| line.event.phase());
        let seconds = phase.and_then(|phase| pipeline::summary::seconds(log, phase));
        let tokens = log.iter().map(|line| match line.event {
            RunEvent::Step { tokens, .. } => tokens,
            _ => 0,
        });
        let tokens: u64 = tokens.sum();
        Self {
            out: out.to_owned(),
            steps: done.steps,
            best_step: done.step,
            score: done.evaluation.as_ref().map(|e| e.score),
            metrics: done.evaluation.as_ref().map(|e| e.metrics.clone()),
            majority: done.majority.clone(),
            warnings: done.evaluation.as_ref().map_or_else(Vec::new, |e| doubts(e, &done.majority)),
            seconds,
            tokens_per_second: seconds.filter(|&s| s > 0.0 && tokens > 0).map(|s| tokens as f64 / s),
            peak_memory_mib: environment::peak_mib(),
        }
    }

    pub fn table(&self) -> String {
        let known = |value: Option<String>| value.unwrap_or_else(|| "n/a".into());
        let time = |s| Duration::try_from_secs_f64(s).map(duration).unwrap_or_default();
        let rounded = |value: f64| grouped(value.round() as u64);
        let scores = self.metrics.as_ref().map(|metrics| {
            let scores = Evaluation { metrics: metrics.clone(), ..Evaluation::default() };
            format!("{scores} (step {})", self.best_step)
        });
        let majority: Vec<(&str, String)> = self.majority.iter().map(|m| ("one answer", m.to_string())).collect();
        let rows = [
            ("steps", grouped(self.steps)),
            ("time", known(self.seconds.map(time))),
            ("speed", known(self.tokens_per_second.map(|v| format!("{} tokens/s", rounded(v))))),
            ("best scores", scores.unwrap_or_else(|| "not evaluated".into())),
            ("peak memory", known(self.peak_memory_mib.map(|v| format!("{} MiB", rounded(v))))),
            ("model", self.out.display().to_string()),
        ];
        // Beside the scores of the model.
        let (before, after) = rows.split_at(4);
        let rows = [before, &majority, after].concat();
        rows.iter().map(|(name, value)| format!("{name:<13}{value}")).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use glue_squad::task::{Label, TaskKind};

    use super::*;

    #[test]
    fn time_and_tokens_are_those_of_all_processes_without_the_pause_between_them() {
        let phase = || "teacher".to_string();
        let start = |done| RunEvent::PhaseStarted { phase: phase(), total: 9, done };
        let step = |step, tokens| RunEvent::Step {
            phase: phase(),
            step,
            total: 9,
            loss: 1.0,
            terms: Vec::new(),
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens,
            tokens_per_second: None,
            memory_mib: None,
        };
        let lines = [(0, start(0)), (2_000, step(4, 300)), (60_000, start(4)), (63_000, step(9, 700))];
        let log: Vec<LogLine> = lines.into_iter().map(|(time_ms, event)| LogLine { time_ms, event }).collect();
        let metrics = [("sst-2/accuracy".to_string(), 0.5)].into();
        let evaluation = Evaluation { score: 0.5, metrics, ..Evaluation::default() };
        let labels = [0, 1, 0, 0].map(Label::Class);
        let majority = MajorityBaseline::of_task(TaskKind::Sst2.task(), &[], &labels).unwrap();
        let done = TrainingResult {
            steps: 9,
            step: 4,
            evaluation: Some(evaluation),
            majority: majority.into_iter().collect(),
        };
        let ending = TrainingSummary::new(Path::new("out"), &done, &log);
        assert_eq!((ending.seconds, ending.tokens_per_second), (Some(5.0), Some(200.0)));
        let table = ending.table();
        for row in [
            "steps        9",
            "time         5.0 s",
            "200 tokens/s",
            "sst-2/accuracy 50.00 (step 4)\none answer   negative (0): sst-2/accuracy 75.00",
            "model        out",
        ] {
            assert!(table.contains(row), "{row} in {table}");
        }
        let said = ["sst-2: a score of 50.00 is not above the 75.00 of answering negative (0) to every example"];
        assert_eq!(ending.warnings, said);
        let done = TrainingResult { steps: 9, step: 9, evaluation: None, majority: Vec::new() };
        let nothing = TrainingSummary::new(Path::new("out"), &done, &[]);
        assert!(nothing.table().contains("not evaluated") && nothing.table().contains("time         n/a"));
    }
}
