//! A study in a file of one JSON record for each change: a journal.
//!
//! A [`StudyStore`] keeps trials. What it must do is in [`nas::study::conformance`], which a test calls; see the end of this file.
//! [`Trial::begun`], [`Trial::end`] and [`Fitness::settle`] make the rows, so that they say the same in every store.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use nas::study::{Fitness, NewTrial, RejectedDraw, Settled, StudyIdentity, StudyStore, Trial, TrialId, TrialState};
use nas::{Error, Result};
use serde::{Deserialize, Serialize};

/// A line of the file.
#[derive(Serialize, Deserialize)]
enum Record {
    Study(StudyIdentity),
    Begun { trial: NewTrial, rejected: Vec<RejectedDraw> },
    Restarted { id: TrialId, started_at: i64 },
    Ended { id: TrialId, settled: Settled, finished_at: i64 },
    Exhausted { stage: u32, rejected: Vec<RejectedDraw> },
}

/// A study whose every change is a line of a file.
pub struct Journal {
    path: PathBuf,
    file: File,
    identity: StudyIdentity,
    trials: Vec<Trial>,
    rejected: Vec<RejectedDraw>,
    exhausted: BTreeSet<u32>,
}

impl Journal {
    /// The study of `identity` in the file `path`, which is made where there is none.
    ///
    /// # Errors
    /// The file holds another study, is damaged, or cannot be read or written.
    pub fn open(path: &Path, identity: &StudyIdentity) -> Result<Self> {
        let study = match Self::load(path)? {
            Some((study, length)) => {
                study.file.set_len(length).map_err(|e| failed(path, e))?;
                study
            }
            None => {
                let file = OpenOptions::new().append(true).create(true).open(path).map_err(|e| failed(path, e))?;
                let (path, identity) = (path.to_owned(), identity.clone());
                let (trials, rejected, exhausted) = Default::default();
                let mut new = Self { path, file, identity, trials, rejected, exhausted };
                new.write(&Record::Study(new.identity.clone()))?;
                new
            }
        };
        study.identity.require(identity, &name(path))?;
        Ok(study)
    }

    /// The study in `path`, whoever it belongs to; `None` where there is none.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Ok(Self::load(path)?.map(|(study, _)| study))
    }

    /// The study, and the bytes of the lines that are whole: what a killed process was writing ends without a line break.
    fn load(path: &Path) -> Result<Option<(Self, u64)>> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| failed(path, e))?,
        };
        let damaged = |line: usize, detail: String| Error::Corrupt {
            store: name(path),
            detail: format!("line {}: {detail}", line + 1),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut study: Option<Self> = None;
        for (number, line) in whole.lines().enumerate() {
            let record = serde_json::from_str(line).map_err(|e| damaged(number, e.to_string()))?;
            match (record, &mut study) {
                (Record::Study(identity), None) => {
                    let file = OpenOptions::new().append(true).open(path).map_err(|e| failed(path, e))?;
                    let (trials, rejected, exhausted) = Default::default();
                    study = Some(Self { path: path.to_owned(), file, identity, trials, rejected, exhausted });
                }
                (record, Some(study)) => {
                    study.apply(record).map_err(|e| damaged(number, e.to_string()))?;
                }
                _ => return Err(damaged(number, "no study was begun".into())),
            }
        }
        Ok(study.map(|study| (study, whole.len() as u64)))
    }

    /// Makes a change, after it was checked: an error leaves everything as it was.
    fn apply(&mut self, record: Record) -> Result<TrialId> {
        let mut changed = TrialId(0);
        match record {
            Record::Study(_) => return Err(self.inconsistent("a study was begun already".into())),
            Record::Begun { trial, rejected } => {
                changed = self.free(&trial)?;
                self.trials.push(Trial::begun(changed, &trial));
                self.rejected.extend(rejected);
            }
            Record::Restarted { id, started_at } => self.running(id)?.started_at = started_at,
            Record::Ended { id, settled, finished_at } => self.running(id)?.end(settled, finished_at),
            Record::Exhausted { stage, rejected } => {
                self.exhausted.insert(stage);
                self.rejected.extend(rejected);
            }
        }
        Ok(changed)
    }

    fn free(&self, new: &NewTrial) -> Result<TrialId> {
        match self.trials.iter().any(|trial| (trial.stage, trial.number) == (new.stage, new.number)) {
            true => Err(self.inconsistent(format!("stage {} already has a trial {}", new.stage, new.number))),
            false => Ok(TrialId(self.trials.len() as i64)),
        }
    }

    fn running(&mut self, id: TrialId) -> Result<&mut Trial> {
        let error = self.inconsistent(format!("trial {} does not run", id.0));
        let found = self.trials.get_mut(id.0 as usize).filter(|trial| trial.state == TrialState::Running);
        found.ok_or(error)
    }

    fn end(&mut self, id: TrialId, settled: Settled, finished_at: i64) -> Result<Trial> {
        self.running(id)?;
        let record = Record::Ended { id, settled, finished_at };
        self.write(&record)?;
        self.apply(record)?;
        Ok(self.trials[id.0 as usize].clone())
    }

    /// Once this has returned, the record is on the disk.
    fn write(&mut self, record: &Record) -> Result<()> {
        let line = serde_json::to_string(record).map_err(|e| failed(&self.path, e))? + "\n";
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(|e| failed(&self.path, e))
    }

    fn inconsistent(&self, detail: String) -> Error {
        Error::Inconsistent { store: name(&self.path), detail }
    }
}

fn name(path: &Path) -> String {
    format!("journal {}", path.display())
}

/// Whatever goes wrong in a store is the source of one error.
fn failed(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Store { store: name(path), source: Box::new(source) }
}

impl StudyStore for Journal {
    fn identity(&self) -> &StudyIdentity {
        &self.identity
    }

    fn begin_trial(&mut self, trial: &NewTrial, rejected: &[RejectedDraw]) -> Result<TrialId> {
        self.free(trial)?;
        let record = Record::Begun { trial: trial.clone(), rejected: rejected.to_vec() };
        self.write(&record)?;
        self.apply(record)
    }

    fn restart(&mut self, id: TrialId, started_at: i64) -> Result<()> {
        self.running(id)?;
        let record = Record::Restarted { id, started_at };
        self.write(&record)?;
        self.apply(record).map(|_| ())
    }

    fn finish(&mut self, id: TrialId, fitness: &Fitness, finished_at: i64) -> Result<Trial> {
        self.end(id, fitness.settle(), finished_at)
    }

    fn fail(&mut self, id: TrialId, reason: &str, finished_at: i64) -> Result<Trial> {
        self.end(id, Settled::failed(reason), finished_at)
    }

    fn trials(&self, stage: u32) -> Result<Vec<Trial>> {
        let mut trials: Vec<Trial> = self.trials.iter().filter(|trial| trial.stage == stage).cloned().collect();
        trials.sort_by_key(|trial| trial.number);
        Ok(trials)
    }

    fn rejected(&self, stage: u32) -> Result<Vec<RejectedDraw>> {
        Ok(self.rejected.iter().filter(|draw| draw.stage == stage).cloned().collect())
    }

    fn exhaust(&mut self, stage: u32, rejected: &[RejectedDraw]) -> Result<()> {
        let record = Record::Exhausted { stage, rejected: rejected.to_vec() };
        self.write(&record)?;
        self.apply(record).map(|_| ())
    }

    fn is_exhausted(&self, stage: u32) -> Result<bool> {
        Ok(self.exhausted.contains(&stage))
    }
}

#[cfg(test)]
mod tests {
    use nas::study::conformance;

    use super::*;

    #[test]
    fn the_journal_conforms_and_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = 0;
        conformance::check(|identity| {
            next += 1;
            Journal::open(&dir.path().join(format!("{next}.jsonl")), identity).unwrap()
        });
        conformance::check_reopening(|identity| Journal::open(&dir.path().join("same.jsonl"), identity));
    }

    #[test]
    fn half_a_line_of_a_killed_process_is_not_there_and_half_a_file_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study.jsonl");
        let identity = StudyIdentity { name: "killed".into(), config_hash: String::new(), seed: 1 };
        drop(Journal::open(&path, &identity).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"Exhausted\":{{\"sta")).unwrap();
        assert!(!Journal::open(&path, &identity).unwrap().is_exhausted(1).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the next record begins a line");
        std::fs::write(&path, format!("nothing\n{text}")).unwrap();
        let refused = Journal::open(&path, &identity).err().unwrap();
        assert!(matches!(&refused, Error::Corrupt { detail, .. } if detail.starts_with("line 1")), "{refused}");
    }
}
