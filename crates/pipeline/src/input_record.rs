//! `inputs.json`: what a run reads, and whether that may be something else when the run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use glue_squad::task::Task;
use nas::study::StudyStore;
use run_store::checkpoint::CheckpointStore;
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};
use train::engine::reached;

use crate::error::text_of;
use crate::phase::{Input, PhaseSpec, phases};
use crate::recipe::{Moved, Recipe};
use crate::{Error, Result};

/// Name in a run folder.
const INPUTS: &str = "inputs.json";
/// The entry of a tokenizer that is learned from the corpus.
pub(crate) const LEARNED_TOKENIZER: &str = "learned-tokenizer";

/// What stands in `inputs.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where inputs are that are not where the recipe says.
    #[serde(default, skip_serializing_if = "Moved::is_empty")]
    pub moved: Moved,
    /// SHA-256 of every file the run reads, by what it is and its name.
    #[serde(flatten)]
    pub digests: BTreeMap<String, String>,
}

impl Record {
    /// That of a run folder; `None` where nothing was recorded yet.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(paths: &RunPaths) -> Result<Option<Self>> {
        let path = paths.root().join(INPUTS);
        let read = text_of(&path)?.map(|text| serde_json::from_str(&text)).transpose();
        read.map_err(|e| Error::RunFile { path, message: e.to_string() })
    }

    /// Puts it into a run folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, paths: &RunPaths) -> Result<()> {
        Ok(run_store::atomic::write_json(paths.root().join(INPUTS), self)?)
    }
}

impl Input {
    /// That of an entry of the record.
    fn of(name: &str, tasks: &[Task]) -> Option<Self> {
        let what = name.split(' ').next().unwrap_or(name);
        match what {
            "teacher" | "tokenizer" => Some(Self::Teacher),
            "corpus" => Some(Self::Corpus),
            LEARNED_TOKENIZER => Some(Self::LearnedTokenizer),
            folder => tasks.iter().find(|task| task.folder() == folder).cloned().map(Self::Task),
        }
    }

    fn option(&self) -> &'static str {
        match self {
            Self::Teacher => "--teacher",
            Self::Task(_) => "--data",
            Self::Corpus | Self::LearnedTokenizer => "--corpus",
        }
    }

    /// Where it is now, of which `recipe` tells.
    fn place(&self, recipe: &Recipe) -> Option<String> {
        let shown = |path: &std::path::PathBuf| path.display().to_string();
        match self {
            Self::Teacher => recipe.teacher.model.as_ref().map(shown),
            Self::Task(_) => recipe.data.glue.as_ref().map(shown),
            Self::Corpus | Self::LearnedTokenizer => {
                Some(recipe.data.corpus.iter().map(shown).collect::<Vec<_>>().join(", "))
            }
        }
        .filter(|place| !place.is_empty())
    }

    /// Whether `asked` says where it is.
    fn is_named(&self, asked: &Moved) -> bool {
        match self {
            Self::Teacher => asked.teacher.is_some(),
            Self::Task(_) => asked.glue.is_some(),
            Self::Corpus | Self::LearnedTokenizer => !asked.corpus.is_empty(),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher => f.write_str("the teacher"),
            Self::Task(task) => write!(f, "the data of {}", task.name()),
            Self::Corpus => f.write_str("the corpus"),
            Self::LearnedTokenizer => f.write_str("the tokenizer, which is learned from the corpus"),
        }
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PhaseProgress {
    Untouched,
    /// There are checkpoints, which can be dropped.
    Begun,
    /// Something that stays came out of it: its result, or trials.
    Over,
}

/// A run that goes on, and what it is told and reads now.
pub(crate) struct Resumed<'a> {
    pub recipe: &'a Recipe,
    pub paths: &'a RunPaths,
    pub config_hash: &'a str,
    /// Its trials, if there are any.
    pub study: Option<&'a dyn StudyStore>,
    /// Whether the run is finished, so that it has used everything.
    pub finished: bool,
    /// Where this command line says that inputs are, as far as that is news: see [`Moved::news`].
    pub asked: &'a Moved,
}

impl Resumed<'_> {
    fn far(&self, phase: &PhaseSpec<'_>) -> Result<PhaseProgress> {
        if let Some(stage) = phase.id.stage() {
            let trials = self.study.map(|study| study.trials(stage)).transpose()?.unwrap_or_default();
            return Ok(if trials.is_empty() { PhaseProgress::Untouched } else { PhaseProgress::Over });
        }
        let reached = reached(&CheckpointStore::new(self.paths.root().join(&phase.name), self.config_hash))?;
        Ok(match (reached.finished, reached.step) {
            (true, _) => PhaseProgress::Over,
            (false, 0) => PhaseProgress::Untouched,
            (false, _) => PhaseProgress::Begun,
        })
    }

    /// Compares what the run reads `now` with what it was started with, and brings the record up to date. Checkpoints and trials of
    /// different data are never mixed: an input may be another one where no finished phase has used it; what an unfinished phase
    /// has done with the old one is dropped, where the command line names the new one. Gives what to tell people.
    ///
    /// # Errors
    /// [`Error::Mismatch`] naming the file and the phase that has used it.
    pub fn settle(&self, before: &Record, now: &Record) -> Result<Vec<String>> {
        // What is there now first: that is what a person has just named.
        let names = now.digests.keys().chain(before.digests.keys());
        let changed = names.filter(|name| before.digests.get(*name) != now.digests.get(*name));
        let mut kinds: BTreeMap<Option<Input>, &String> = BTreeMap::new();
        for name in changed {
            kinds.entry(Input::of(name, &self.recipe.tasks)).or_insert(name);
        }
        let mut dropped: BTreeSet<String> = BTreeSet::new();
        for (kind, name) in &kinds {
            dropped.extend(self.dropped_for(kind.clone(), name)?);
        }
        for phase in &dropped {
            CheckpointStore::new(self.paths.root().join(phase), self.config_hash).clear()?;
        }
        let mut messages = Vec::new();
        for kind in kinds.keys().flatten() {
            let place = kind.place(self.recipe).map_or_else(String::new, |place| format!(" ({place})"));
            messages.push(format!(
                "{kind}: differs from what the run was started with; no finished phase has used the old input, so the run continues with the new one{place}"
            ));
        }
        messages.extend(dropped.iter().map(|phase| format!("{phase}: starts again")));
        // A finished run stays as it is.
        if before != now && !self.finished {
            now.write(self.paths)?;
        }
        Ok(messages)
    }

    /// The phases that have to begin anew with another input.
    fn dropped_for(&self, kind: Option<Input>, name: &str) -> Result<Vec<String>> {
        let refuse = |used: &str, what: &str| {
            Err(Error::Mismatch(format!(
                "{name} is not what this run was started with, and {used}; put it back, or {what}"
            )))
        };
        let anew = "start a new run in another folder";
        if self.finished {
            return refuse("the run is finished", anew);
        }
        let Some(kind) = kind else { return refuse("it is not one of the recipe's inputs", anew) };
        let mut begun = Vec::new();
        for phase in phases(self.recipe).into_iter().filter(|phase| phase.reads(&kind)) {
            match self.far(&phase)? {
                PhaseProgress::Untouched => {}
                PhaseProgress::Over => return refuse(&format!("{} has used it", phase.name), anew),
                PhaseProgress::Begun => begun.push(phase.name),
            }
        }
        match begun.first() {
            Some(phase) if !kind.is_named(self.asked) => {
                let what = format!("give it at another path with {} to start that phase again with it", kind.option());
                refuse(&format!("{phase} has started with it"), &what)
            }
            _ => Ok(begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use run_store::checkpoint::FileContent;
    use serde_json::json;

    use super::*;
    use crate::recipe::load;

    struct Run {
        _dir: tempfile::TempDir,
        paths: RunPaths,
        recipe: Recipe,
    }

    impl Run {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let recipe = load("smoke", &[]).unwrap();
            Self { paths: RunPaths::new(dir.path()), _dir: dir, recipe }
        }

        /// A checkpoint of `phase`, after which it is finished or not.
        fn save(&self, phase: &str, finished: bool) {
            let store = CheckpointStore::new(self.paths.root().join(phase), "hash");
            let state = json!({ "best": null, "last": null, "progress": { "finished": finished } });
            store.save(3, &[("model.safetensors", FileContent::Bytes(b"weights"))], state).unwrap();
        }

        fn settle(&self, now: &Record, asked: &Moved) -> Result<Vec<String>> {
            let resumed = Resumed {
                recipe: &self.recipe,
                paths: &self.paths,
                config_hash: "hash",
                study: None,
                finished: false,
                asked,
            };
            resumed.settle(&record("a", "b", "c"), now)
        }
    }

    fn record(teacher: &str, task: &str, corpus: &str) -> Record {
        let digests = [("teacher config.json", teacher), ("SST-2 train.tsv", task), ("corpus text.txt", corpus)];
        let digests = digests.map(|(name, digest)| (name.to_string(), digest.to_string()));
        Record { moved: Moved::default(), digests: digests.into() }
    }

    #[test]
    fn another_corpus_is_another_learned_tokenizer_which_every_phase_has_used() {
        let mut run = Run::new();
        run.recipe.teacher.tokenizer = Some(corpus::LearnSettings::default());
        let of = |digest: &str| {
            let digests = [("corpus text.txt", digest), (LEARNED_TOKENIZER, digest)];
            Record {
                moved: Moved::default(),
                digests: digests.map(|(name, digest)| (name.to_string(), digest.to_string())).into(),
            }
        };
        let settle = |run: &Run, asked: &Moved| {
            let (recipe, paths) = (&run.recipe, &run.paths);
            let resumed = Resumed { recipe, paths, config_hash: "hash", study: None, finished: false, asked };
            resumed.settle(&of("old"), &of("new"))
        };
        run.save("teacher", false);
        let message = refused(settle(&run, &Moved::default()));
        assert!(message.contains("give it at another path with --corpus"), "{message}");
        let named = Moved { corpus: vec!["other.txt".into()], ..Moved::default() };
        let said = settle(&run, &named).unwrap();
        assert!(said.iter().any(|line| line == "teacher: starts again"), "{said:?}");
        run.save("teacher", true);
        assert!(refused(settle(&run, &named)).contains("teacher has used it"));
    }

    fn refused(found: Result<Vec<String>>) -> String {
        found.unwrap_err().to_string()
    }

    #[test]
    fn the_record_is_a_list_of_digests_with_the_places_of_what_was_moved() {
        let old: Record = serde_json::from_str(r#"{ "tokenizer": "t", "corpus a.txt": "c" }"#).unwrap();
        assert_eq!((old.digests.len(), old.moved.is_empty()), (2, true));
        assert_eq!(serde_json::to_value(&old).unwrap(), json!({ "tokenizer": "t", "corpus a.txt": "c" }));
        let moved = Record { moved: Moved { glue: Some("g".into()), ..Moved::default() }, ..old };
        let run = Run::new();
        moved.write(&run.paths).unwrap();
        assert_eq!(Record::read(&run.paths).unwrap(), Some(moved));
    }

    #[test]
    fn an_input_is_replaced_until_a_finished_phase_has_used_it() {
        let (run, asked) = (Run::new(), Moved::default());
        let (other_corpus, other_task) = (record("a", "b", "x"), record("a", "x", "c"));
        assert_eq!(run.settle(&record("a", "b", "c"), &asked).unwrap(), Vec::<String>::new());
        assert!(Record::read(&run.paths).unwrap().is_none(), "nothing changed, nothing is written");
        let said = run.settle(&record("x", "y", "z"), &asked).unwrap();
        assert!(said.len() == 3 && said[2].starts_with("the corpus: differs from"), "{said:?}");

        run.save("teacher", true);
        assert_eq!(run.settle(&other_corpus, &asked).unwrap().len(), 1);
        assert_eq!(Record::read(&run.paths).unwrap(), Some(other_corpus.clone()), "the record is brought up to date");
        for other in [&other_task, &record("x", "b", "c")] {
            assert!(refused(run.settle(other, &asked)).contains("teacher has used it"));
        }
        run.save("supernet/warm-up", true);
        let message = refused(run.settle(&other_corpus, &asked));
        assert!(message.contains("corpus text.txt is not what") && message.contains("supernet/warm-up has used it"));
        let fewer = Record { digests: record("a", "b", "c").digests.into_iter().take(1).collect(), ..other_task };
        assert!(run.settle(&fewer, &asked).is_err(), "a file that is gone");
    }

    #[test]
    fn what_an_unfinished_phase_did_with_the_old_input_is_dropped_where_the_new_one_is_named() {
        let run = Run::new();
        run.save("teacher", true);
        run.save("supernet/warm-up", false);
        let other = record("a", "b", "x");
        let message = refused(run.settle(&other, &Moved::default()));
        assert!(message.contains("supernet/warm-up has started with it") && message.contains("--corpus"), "{message}");
        let warm_up = run.paths.root().join("supernet/warm-up");
        assert!(warm_up.join("step-000003").exists());
        let said = run.settle(&other, &Moved { corpus: vec!["new".into()], ..Moved::default() }).unwrap();
        assert!(said.iter().any(|line| line == "supernet/warm-up: starts again"), "{said:?}");
        assert!(!warm_up.exists() && run.paths.root().join("teacher/step-000003").exists());
    }

    #[test]
    fn a_finished_run_has_used_everything() {
        let run = Run::new();
        let (recipe, paths, asked) = (&run.recipe, &run.paths, &Moved::default());
        let resumed = Resumed { recipe, paths, config_hash: "hash", study: None, finished: true, asked };
        let message = refused(resumed.settle(&record("a", "b", "c"), &record("a", "b", "x")));
        assert!(message.contains("corpus text.txt") && message.contains("the run is finished"), "{message}");
    }
}
