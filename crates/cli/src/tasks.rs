//! Tasks as commands take them: those of GLUE, and the two versions of SQuAD.

use std::path::Path;

use bert_core::{BertConfig, TaskHeadConfig};
use glue_squad::squad::SquadVersion;
use glue_squad::task::{Head, OwnTask, Split, Task};
use predict::examples::Examples;
use predict::heads::{student_head, task_head_of};
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::CliError;

/// Longest sequence of a text or pair in tokens, where none is given.
const LENGTH: u32 = 128;
/// Tokens of a SQuAD window, where none are given: BERT's setting.
const SPAN_LENGTH: u32 = 384;

/// A task by any of its names, or by the TOML file that describes it, for the command line.
pub fn parse(given: &str) -> Result<Task, String> {
    let path = Path::new(given);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let folder = std::path::absolute(path).map_err(|e| format!("{given}: {e}"))?;
        let folder = folder.parent().unwrap_or(Path::new("")).to_owned();
        let own = OwnTask::read(path).map_err(|e| e.to_string())?;
        let own = if own.is_complete() { own } else { own.described(&folder).map_err(|e| e.to_string())?.own };
        return own.task(&folder).map_err(|e| e.to_string());
    }
    given.parse().map_err(|e| {
        let near = closest(given).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("{e}{near}")
    })
}

/// The name of a task that is most like `given`, if any is like it.
pub fn closest(given: &str) -> Option<&'static str> {
    run_store::similar::closest(given, Task::built_in().iter().map(Task::name))
}

/// Longest sequence of a task in tokens, where none is given.
pub fn default_length(task: &Task) -> u32 {
    if task.head() == Head::Spans { SPAN_LENGTH } else { LENGTH }
}

/// The tasks of one training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainingTasks {
    /// Any number of GLUE's tasks; none where a training is on text.
    Glue(Vec<Task>),
    /// SQuAD.
    Squad(SquadVersion),
}

impl TrainingTasks {
    /// The tasks that were named, checked.
    pub fn new(tasks: &[Task]) -> Result<Self, CliError> {
        if let Some((_, task)) = tasks.iter().enumerate().find(|(i, task)| tasks[..*i].contains(task)) {
            return Err(CliError::usage(format!("--task {task}: is given twice")));
        }
        match (tasks, tasks.iter().find_map(Task::squad)) {
            ([_], Some(version)) => Ok(Self::Squad(version)),
            (_, Some(version)) => {
                let message = format!("--task {version}: cannot be trained together with other tasks");
                Err(CliError::usage(message).with_hint("make one model for SQuAD and one for the others"))
            }
            (_, None) => Ok(Self::Glue(tasks.to_vec())),
        }
    }

    pub fn tasks(&self) -> &[Task] {
        match self {
            Self::Glue(tasks) => tasks,
            Self::Squad(version) => std::slice::from_ref(version.task()),
        }
    }

    /// The heads of a model that goes on from `model`, in the order of the tasks.
    pub fn heads(&self, model: &BertConfig) -> Vec<TaskHeadConfig> {
        self.tasks().iter().map(|task| task_head_of(task, model)).collect()
    }

    /// The heads of a student of `teacher`, in the order of the tasks.
    pub fn student_heads(&self, teacher: &BertConfig) -> Vec<TaskHeadConfig> {
        self.tasks().iter().map(|task| student_head(task, teacher)).collect()
    }

    /// The first task whose examples are pairs of texts.
    pub fn pairs(&self) -> Option<&Task> {
        self.tasks().iter().find(|task| task.is_pair())
    }

    /// Longest sequence in tokens, where none is given.
    pub fn default_length(&self) -> u32 {
        self.tasks().iter().map(default_length).max().unwrap_or(LENGTH)
    }
}

/// Reads and encodes a split of a task and says what its file has that no reader can use.
pub fn read_examples(
    task: &Task,
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
        assert_eq!(parse("SST2").unwrap().name(), "sst-2");
        assert_eq!(parse("SQuAD2.0").unwrap().squad(), Some(SquadVersion::V2));
        let message = parse("squad").unwrap_err();
        assert!(message.contains("unknown task `squad`") && message.contains("sst-2, mrpc"), "{message}");
        assert!(message.contains("squad-v1, squad-v2; did you mean squad-v"), "{message}");
        let message = parse("mprc").unwrap_err();
        assert!(message.ends_with("; did you mean mrpc?"), "{message}");
    }

    #[test]
    fn squad_is_trained_alone() {
        let [rte, v1, v2] = ["rte", "squad-v1", "squad-v2"].map(|name| parse(name).unwrap());
        assert_eq!(TrainingTasks::new(std::slice::from_ref(&v1)).unwrap(), TrainingTasks::Squad(SquadVersion::V1));
        assert_eq!(TrainingTasks::new(&[]).unwrap(), TrainingTasks::Glue(Vec::new()));
        for (tasks, part) in
            [(vec![rte.clone(), v1.clone()], "squad-v1"), (vec![v1, v2], "squad-v1"), (vec![rte.clone(), rte], "twice")]
        {
            assert!(TrainingTasks::new(&tasks).unwrap_err().message().contains(part), "{tasks:?}");
        }
    }
}
