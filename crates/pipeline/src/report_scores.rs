//! What the scores of a search are worth, for its report.

use std::path::Path;

use nas::space::EncoderGenome;
use nas::study::{StudyStore, Trial};
use report::FidelityRow;
use run_store::rundir::RunPaths;

use crate::fidelity::correlation::{bootstrap, spearman};
use crate::fidelity::{self, FEWEST, Ranked, Target};
use crate::phase::PhaseId;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// In the run folder: scores of networks that were measured before the run, as the recipe named them.
const MEASURED: &str = "fidelity.jsonl";

/// Scores of networks that the recipe names, for the report.
pub(crate) struct Scores(Option<Vec<u8>>);

impl Scores {
    /// Reads the file that `search.fidelities` names, unless the run folder has it.
    ///
    /// # Errors
    /// It cannot be read, holds something else, or too few networks for a correlation.
    pub(crate) fn read(recipe: &Recipe, paths: &RunPaths) -> Result<Self> {
        let named = recipe.search.fidelities.as_ref().filter(|_| !paths.root().join(MEASURED).exists());
        let Some(path) = named else { return Ok(Self(None)) };
        let wrong = |e: Error| Error::Mismatch(format!("`search.fidelities`: {e}"));
        let text = std::fs::read(path).map_err(Error::io("read", path)).map_err(wrong)?;
        if rows(path, recipe.seed).map_err(wrong)?.is_empty() {
            let message = format!(
                "`search.fidelities`: {}: fewer than {FEWEST} networks have a final score there, too few for a correlation; `efficientbert fidelity` measures more",
                path.display()
            );
            return Err(Error::Mismatch(message));
        }
        Ok(Self(Some(text)))
    }

    /// Puts them into the run folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn keep(&self, paths: &RunPaths) -> Result<()> {
        let kept = paths.root().join(MEASURED);
        match &self.0 {
            Some(text) => Ok(run_store::output::write(kept, text)?),
            None => Ok(()),
        }
    }
}

/// The rows of a report: those of networks measured before, and how the scores of the run's own stages agree.
///
/// # Errors
/// A file of the folder or its study cannot be read.
pub(crate) fn fidelities(paths: &RunPaths, study: Option<&dyn StudyStore>, seed: u64) -> Result<Vec<FidelityRow>> {
    let mut all = rows(&paths.root().join(MEASURED), seed)?;
    if let Some(study) = study {
        all.extend(rungs(study, seed)?);
    }
    Ok(all)
}

fn rows(path: &Path, seed: u64) -> Result<Vec<FidelityRow>> {
    let networks = fidelity::by_network(fidelity::read(path)?);
    let row = |ranked: Ranked| FidelityRow {
        score: ranked.fidelity.to_string(),
        target: "networks measured before: the final score on dev".into(),
        networks: ranked.networks as u64,
        spearman: ranked.spearman.value,
        low: ranked.spearman.low,
        high: ranked.spearman.high,
        verdict: ranked.verdict.words().into(),
    };
    Ok(fidelity::rank(&networks, Target::DevProbability, seed).into_iter().map(row).collect())
}

/// Of whole encoders the best of a stage are scored anew in the next one, after more steps: how both scores order them.
fn rungs(study: &dyn StudyStore, seed: u64) -> Result<Vec<FidelityRow>> {
    let stages = PhaseId::stages().map(|(stage, _)| Ok((stage, study.trials(stage)?))).collect::<Result<Vec<_>>>()?;
    let pairs = stages.windows(2).filter_map(|pair| {
        let [(first, before), (second, after)] = pair else { return None };
        let (x, y): (Vec<f64>, Vec<f64>) = after.iter().filter_map(|trial| both(before, trial)).unzip();
        if x.len() < FEWEST {
            return None;
        }
        let pick = |column: &[f64], sample: &[usize]| sample.iter().map(|&i| column[i]).collect::<Vec<_>>();
        let found = bootstrap(x.len(), seed, |sample| spearman(&pick(&x, sample), &pick(&y, sample)));
        Some(FidelityRow {
            score: format!("stage {first}"),
            target: format!("this run: the score of stage {second}"),
            networks: x.len() as u64,
            spearman: found.value,
            low: found.low,
            high: found.high,
            verdict: "of the promoted candidates alone".into(),
        })
    });
    Ok(pairs.collect())
}

/// A whole encoder's score in the stage before, and its own.
fn both(before: &[Trial], trial: &Trial) -> Option<(f64, f64)> {
    trial.genome.parse::<EncoderGenome>().ok()?;
    let earlier = before.iter().find(|earlier| earlier.fingerprint == trial.fingerprint)?;
    earlier.fitness.zip(trial.fitness)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nas::study::{Fitness, MemoryStudy, NewTrial, StudyIdentity};

    use super::*;

    fn study(genome: impl Fn(u64) -> String) -> MemoryStudy {
        let identity = StudyIdentity { name: String::new(), config_hash: String::new(), seed: 1 };
        let mut study = MemoryStudy::new(identity);
        for (stage, count, sign) in [(1, 12, 1.0), (2, 6, -1.0)] {
            for number in 0..count {
                let genome = genome(number);
                let trial = NewTrial {
                    stage,
                    number,
                    fingerprint: genome.clone(),
                    genome,
                    cost: bert_core::Cost { params: 1, macs: 1 },
                    latency_ms: None,
                    seed: 0,
                    started_at: 0,
                };
                let id = study.begin_trial(&trial, &[]).unwrap();
                let fitness = Fitness { score: sign * number as f64, metrics: BTreeMap::new() };
                study.finish(id, &fitness, 0).unwrap();
            }
        }
        study
    }

    #[test]
    fn scores_of_a_stage_are_compared_with_those_of_the_next_where_candidates_are_scored_twice() {
        let rows = rungs(&study(|number| format!("hidden={} embed=8 base=96: 2x16", 16 + number)), 1).unwrap();
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert!(row.networks == 6 && (row.spearman + 1.0).abs() < 1e-12, "{row:?}");
        assert!(rungs(&study(|number| format!("other {number}")), 1).unwrap().is_empty());
    }
}
