//! A whole search with parts of one's own: candidates are scored untrained, drawn by hill climbing, kept in a journal.
//!
//! [`pipeline::run()`] makes its search of [`SearchParts`]. What an implementation leaves out is as the recipe says: this one
//! has the spaces, the supernet's slices and the latency from there. An [`Evaluate`] turns a candidate into a fitness; it is
//! handed what the usual one would have been, here a [`ProxyTraining`], and may use its parts.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use bert_core::weights::{apply_internal, parameter_shapes};
use bert_core::{LayerSource, Parts, TaskModel, inherit, student_config};
use mlp_space::Architecture;
use nas::driver::{Candidate, EvalError, Evaluate, Within};
use nas::strategy::Strategy;
use nas::study::{Fitness, StudyIdentity, StudyStore};
use pipeline::evaluate::ProxyTraining;
use pipeline::phase::Space;
use pipeline::recipe::Recipe;
use pipeline::{Result, SearchParts};
use predict::evaluate::evaluate;
use run_store::rundir::RunPaths;

use crate::store::Journal;
use crate::strategy::HillClimb;

/// Scores a candidate on held-out examples with the weights that it inherits from the warm-up, without a training.
pub struct Untrained<'a>(ProxyTraining<'a>);

/// What is no candidate's fault ends the search.
fn fault(error: impl Display) -> EvalError {
    EvalError::Run(error.to_string())
}

impl Untrained<'_> {
    fn model(&self, genome: &Architecture) -> std::result::Result<TaskModel, EvalError> {
        let config = student_config(self.0.frame, genome).map_err(fault)?;
        let model = TaskModel::new(&config, Parts::POOLER, self.0.devices.main()).map_err(fault)?;
        let weights = inherit(&parameter_shapes(&model), self.0.warm, LayerSource::Same, |_| false).map_err(fault)?;
        apply_internal(model, weights, Path::new("warm-up weights")).map_err(fault)
    }
}

impl Evaluate<Architecture> for Untrained<'_> {
    fn evaluate(
        &mut self,
        candidate: &Candidate<Architecture>,
        watch: &mut dyn FnMut(Within),
    ) -> std::result::Result<Fitness, EvalError> {
        let model = self.model(&candidate.genome)?;
        let mut progress = |done, total| {
            watch(Within { what: "scoring", unit: "examples", done: done as u64, total: total as u64 });
            match self.0.stop.load(Ordering::SeqCst) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        match evaluate(&model, self.0.held_out, self.0.devices.main(), &mut progress) {
            Ok(found) => Ok(Fitness { score: found.score, metrics: found.metrics }),
            Err(predict::Error::Stopped) => Err(EvalError::Interrupted),
            Err(diverged) if diverged.is_divergence() => Err(EvalError::Candidate(diverged.to_string())),
            Err(other) => Err(fault(other)),
        }
    }
}

/// The parts of a run that are our own.
pub struct OwnParts;

impl OwnParts {
    fn journal(paths: &RunPaths) -> std::path::PathBuf {
        paths.root().join("study.jsonl")
    }
}

impl SearchParts for OwnParts {
    fn name(&self) -> String {
        "untrained candidates by hill climbing".into()
    }

    fn strategy(&mut self, _: &Recipe, _: u32) -> Result<Box<dyn Strategy<Space>>> {
        Ok(Box::new(HillClimb::new(10)))
    }

    fn open_study(&mut self, paths: &RunPaths, identity: &StudyIdentity) -> Result<Box<dyn StudyStore>> {
        Ok(Box::new(Journal::open(&Self::journal(paths), identity)?))
    }

    fn read_study(&self, paths: &RunPaths) -> Result<Option<Box<dyn StudyStore>>> {
        Ok(Journal::read(&Self::journal(paths))?.map(|study| Box::new(study) as _))
    }

    fn short_training<'e>(&mut self, _: u32, usual: ProxyTraining<'e>) -> Box<dyn Evaluate<Architecture> + 'e> {
        Box::new(Untrained(usual))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use burn::tensor::Device;
    use pipeline::events::{Host, RunEvent};
    use pipeline::recipe::load;
    use pipeline::{RunOptions, phases};
    use run_store::lock::Holder;

    use super::*;

    /// The program around a run: here one that remembers what it is told.
    #[derive(Default)]
    struct Memory(Vec<RunEvent>);

    static STOP: AtomicBool = AtomicBool::new(false);

    impl Host for Memory {
        fn event(&mut self, event: &RunEvent) {
            self.0.push(event.clone());
        }

        fn now_ms(&self) -> i64 {
            self.0.len() as i64
        }

        fn stop(&self) -> &'static AtomicBool {
            &STOP
        }
    }

    #[test]
    fn a_run_searches_with_the_parts_that_it_is_given() {
        let short = [
            "teacher.fine_tune.steps=4",
            "warm_up.steps=4",
            "search.stage3.task.steps=3",
            "final.task.steps=4",
            "compare.same_params=false",
        ];
        let recipe = load("smoke", &short.map(|setting| setting.parse().unwrap())).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let options = RunOptions {
            folder: &folder,
            resume: None,
            changes: Vec::new(),
            devices: Device::flex().into(),
            holder: Holder::this_process("here", "now"),
            environment: pipeline::summary::Environment::default(),
        };
        let mut host = Memory::default();
        let outcome = pipeline::run(&recipe, options, &mut OwnParts, &mut host).unwrap();
        assert_eq!(outcome.architecture.len(), recipe.student.layers);

        let paths = RunPaths::new(&folder);
        assert!(paths.student().join("config.json").is_file() && !paths.study().exists());
        let study = OwnParts.read_study(&paths).unwrap().expect("the journal is the study");
        for (stage, trials) in [(1, recipe.search.stage1.trials), (3, recipe.search.stage3.trials)] {
            assert_eq!(study.trials(stage).unwrap().len() as u64, trials, "stage {stage}");
        }
        let best = study.best(3).unwrap().unwrap();
        assert_eq!(best.genome.split("; ").collect::<Vec<_>>(), outcome.architecture);
        let page = std::fs::read_to_string(paths.report()).unwrap();
        assert!(page.contains("Stage 3: stacks and ratios on the supernet"), "the report is drawn from the journal");

        let started = host.0.iter().filter_map(|event| match event {
            RunEvent::PhaseStarted { phase, .. } => Some(phase.clone()),
            _ => None,
        });
        let listed = phases(&recipe).into_iter().map(|phase| phase.name);
        assert_eq!(started.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
        let trained = |event: &RunEvent| matches!(event, RunEvent::Within { what, .. } if what.contains("training on"));
        assert!(!host.0.iter().any(trained), "no candidate was trained");
    }
}
