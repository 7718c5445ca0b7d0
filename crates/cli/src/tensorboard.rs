//! Event files for TensorBoard, one folder for each phase.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use pipeline::events::RunEvent;
use report::tensorboard::{head, scalars};

use crate::environment;
use crate::error::CliError;

/// Writes what happens in phases; the first failure ends the writing and not the training.
pub struct Boards {
    folder: PathBuf,
    /// Whether every phase has a folder of its own.
    by_phase: bool,
    open: Option<Board>,
}

struct Board {
    phase: String,
    path: PathBuf,
    file: File,
}

impl Boards {
    /// Checks that event files can be written into the folder.
    pub fn check(folder: &Path) -> Result<(), CliError> {
        if folder.exists() && !folder.is_dir() {
            return Err(CliError::usage(format!("--tensorboard {}: is no folder", folder.display())));
        }
        Ok(())
    }

    /// The folder is made when there is something to write.
    pub fn new(folder: &Path, by_phase: bool) -> Result<Self, CliError> {
        Self::check(folder)?;
        Ok(Self { folder: folder.to_owned(), by_phase, open: None })
    }

    pub fn event(&mut self, event: &RunEvent) -> Result<(), String> {
        let now = environment::now_ms() as f64 / 1e3;
        match event {
            RunEvent::PhaseStarted { phase, done, .. } => {
                self.open = None;
                // Steps after the last checkpoint are done again.
                let board = self.begin(phase, (*done > 0).then_some(*done + 1))?;
                self.open = Some(board);
                return Ok(());
            }
            RunEvent::PhaseFinished { .. } => {
                self.open = None;
                return Ok(());
            }
            _ => {}
        }
        let (Some(board), Some((step, values))) = (&mut self.open, numbers(event)) else { return Ok(()) };
        if event.phase() != Some(&board.phase) {
            return Ok(());
        }
        board.write(&scalars(now, step, &values))
    }

    /// A new file in the folder of a phase. TensorBoard reads files in the order of their names, which is that of time.
    fn begin(&self, phase: &str, restart: Option<u64>) -> Result<Board, String> {
        let folder = if self.by_phase { self.folder.join(phase) } else { self.folder.clone() };
        let now = environment::now_ms();
        let (host, pid) = (environment::host_name(), std::process::id());
        let failed = |e| format!("cannot write to {}: {e}", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // Several in one second, too, have an order.
        let number = std::fs::read_dir(&folder).map_err(failed)?.count();
        let path = folder.join(format!("events.out.tfevents.{:010}.{number:04}.{host}.{pid}", now / 1000));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        let mut board = Board { phase: phase.to_owned(), path, file };
        board.write(&head(now as f64 / 1e3, restart))?;
        Ok(board)
    }
}

impl Board {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.file.write_all(bytes).map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }
}

/// The step and the numbers of an event by their tags.
fn numbers(event: &RunEvent) -> Option<(u64, Vec<(String, f64)>)> {
    let tag = |name: &str, value: f64| (name.to_string(), value);
    match event {
        RunEvent::Step { step, loss, terms, learning_rate, grad_norm, tokens_per_second, memory_mib, .. } => {
            let mut values = vec![tag("loss/total", *loss)];
            values.extend(terms.iter().map(|(name, value)| (format!("loss/{name}"), *value)));
            values.extend([tag("training/learning_rate", *learning_rate), tag("training/grad_norm", *grad_norm)]);
            values.extend(tokens_per_second.map(|v| tag("training/tokens_per_second", v)));
            values.extend(memory_mib.map(|v| tag("training/memory_mib", v)));
            Some((*step, values))
        }
        RunEvent::Evaluated { step, score, metrics, .. } => {
            let mut values = vec![tag("dev/score", *score)];
            values.extend(metrics.iter().map(|(name, value)| (format!("dev/{name}"), *value)));
            Some((*step, values))
        }
        RunEvent::Trial { number, score: Some(score), params, .. } => {
            Some((*number + 1, vec![tag("trial/score", *score), tag("trial/params", *params as f64)]))
        }
        _ => None,
    }
}
