//! Tasks as commands take them: those of GLUE, and the two versions of SQuAD.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use bert_core::TaskHeadConfig;
use glue_squad::squad::SquadVersion;
use glue_squad::task::{Split, TaskKind};
use predict::examples::Examples;
use predict::heads::task_head;
use predict::span::span_head;
use serde::{Serialize, Serializer};
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::CliError;

/// Longest sequence of a GLUE task in tokens, where none is given.
const GLUE_LENGTH: u32 = 128;
/// Tokens of a SQuAD window, where none are given: BERT's setting.
const SQUAD_LENGTH: u32 = 384;

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Sentences and pairs with a label.
    Glue(TaskKind),
    /// Answers that are spans of a text.
    Squad(SquadVersion),
}

impl FromStr for Task {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        if let Ok(version) = given.parse() {
            return Ok(Self::Squad(version));
        }
        match given.parse() {
            Ok(task) => Ok(Self::Glue(task)),
            Err(e) => {
                let near = Self::closest(given).map_or_else(String::new, |near| format!("; did you mean {near}?"));
                Err(format!("{e}, squad-v1, squad-v2{near}"))
            }
        }
    }
}

impl Task {
    /// The name of a task that is most like `given`, if any is like it.
    pub fn closest(given: &str) -> Option<&'static str> {
        let squad = [SquadVersion::V1, SquadVersion::V2].map(SquadVersion::name);
        pipeline::similar::closest(given, TaskKind::ALL.map(TaskKind::name).into_iter().chain(squad))
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glue(task) => task.name(),
            Self::Squad(version) => version.name(),
        }
    }

    /// Longest sequence in tokens, where none is given.
    pub fn default_length(self) -> u32 {
        match self {
            Self::Glue(_) => GLUE_LENGTH,
            Self::Squad(_) => SQUAD_LENGTH,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What one training is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Any number of GLUE tasks; none where a training is on text.
    Glue(Vec<TaskKind>),
    /// SQuAD.
    Squad(SquadVersion),
}

impl Chosen {
    /// # Errors
    /// A task is named twice, or SQuAD together with another task.
    pub fn new(tasks: &[Task]) -> Result<Self, CliError> {
        if let Some((_, task)) = tasks.iter().enumerate().find(|(i, task)| tasks[..*i].contains(task)) {
            return Err(CliError::usage(format!("--task {task}: is given twice")));
        }
        let mut glue = Vec::new();
        for task in tasks {
            match task {
                Task::Glue(task) => glue.push(*task),
                Task::Squad(version) if tasks.len() == 1 => return Ok(Self::Squad(*version)),
                Task::Squad(version) => {
                    let message = format!("--task {version}: cannot be trained together with other tasks");
                    return Err(CliError::usage(message).with_hint("make one model for SQuAD and one for the others"));
                }
            }
        }
        Ok(Self::Glue(glue))
    }

    /// The heads of a model for this, in the order of the tasks.
    pub fn heads(&self) -> Vec<TaskHeadConfig> {
        match self {
            Self::Glue(tasks) => tasks.iter().map(|&task| task_head(task)).collect(),
            Self::Squad(version) => vec![span_head(*version)],
        }
    }

    /// The first task whose examples are pairs of texts.
    pub fn pairs(&self) -> Option<Task> {
        match self {
            Self::Glue(tasks) => tasks.iter().find(|task| task.is_pair()).map(|&task| Task::Glue(task)),
            Self::Squad(version) => Some(Task::Squad(*version)),
        }
    }

    /// Longest sequence in tokens, where none is given.
    pub fn default_length(&self) -> u32 {
        match self {
            Self::Glue(_) => GLUE_LENGTH,
            Self::Squad(_) => SQUAD_LENGTH,
        }
    }
}

/// Reads and encodes a split of a GLUE task and says what its file has that no reader can use.
///
/// # Errors
/// Files that are missing or damaged.
pub fn read_examples(
    task: TaskKind,
    (data, split): (&Path, Split),
    encoder: &TextEncoder,
    max_len: usize,
    context: &Context,
) -> Result<Examples, CliError> {
    let examples = Examples::read(task, (data, split), encoder, max_len, None)?;
    if let Some(note) = &examples.note {
        context.progress.message(note);
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_families_are_read_and_unknown_ones_list_both() {
        assert_eq!("SST2".parse(), Ok(Task::Glue(TaskKind::Sst2)));
        assert_eq!("SQuAD2.0".parse(), Ok(Task::Squad(SquadVersion::V2)));
        let message = "squad".parse::<Task>().unwrap_err();
        assert!(message.contains("unknown task `squad`") && message.contains("sst-2, mrpc"), "{message}");
        assert!(message.contains("squad-v1, squad-v2; did you mean squad-v"), "{message}");
        let message = "mprc".parse::<Task>().unwrap_err();
        assert!(message.ends_with("; did you mean mrpc?"), "{message}");
    }

    #[test]
    fn squad_is_trained_alone() {
        let (rte, v1, v2) = (Task::Glue(TaskKind::Rte), Task::Squad(SquadVersion::V1), Task::Squad(SquadVersion::V2));
        assert_eq!(Chosen::new(&[v1]).unwrap(), Chosen::Squad(SquadVersion::V1));
        assert_eq!(Chosen::new(&[]).unwrap(), Chosen::Glue(Vec::new()));
        for (tasks, part) in [(vec![rte, v1], "squad-v1"), (vec![v1, v2], "squad-v1"), (vec![rte, rte], "twice")] {
            assert!(Chosen::new(&tasks).unwrap_err().message().contains(part), "{tasks:?}");
        }
    }
}
