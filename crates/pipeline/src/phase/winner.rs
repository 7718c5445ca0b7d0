//! Which candidate a search hands over: measured where latency is limited, and smaller ones beside it.

use bert_core::BertConfig;
use nas::pareto::{Measure, three};
use nas::rank::Rank;
use nas::study::{Trial, TrialState};

use super::stages::Study;
use super::{Context, Network};
use crate::events::{NOTED_WARNING, RunEvent};
use crate::latency::Verdict;
use crate::{Error, Result};

/// Candidates of a round that are measured before more are asked for.
pub(super) const MOST_MEASURED: usize = 12;

/// A small and a middle student of the front that the trials of a stage and the winner, trial `winner` of it, make of score against latency, or against
/// parameters where no latency is known; none where the recipe wants one student, fewer where the front has fewer.
pub(super) fn smaller<G>(
    run: &mut Context<'_>,
    study: &Study<G>,
    (stage, winner): (u32, u64),
    config_of: &dyn Fn(&str) -> Result<BertConfig>,
) -> Result<Vec<(Network, BertConfig)>> {
    let wanted = run.recipe.final_.students.of_front();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let trials = study.store.trials(stage)?;
    let ranked: Vec<(&Trial, Rank)> = trials.iter().filter_map(|trial| Some((trial, trial.rank()?))).collect();
    let by = front_cost(&trials);
    let Some(&(_, best)) = ranked.iter().find(|(trial, _)| trial.number == winner) else { return Ok(Vec::new()) };
    // What scores better was found too slow.
    let beside = |rank: &Rank| rank.number == winner || by.of(rank) < by.of(&best) && rank.fitness <= best.fitness;
    let beside: Vec<(&Trial, Rank)> = ranked.into_iter().filter(|(_, rank)| beside(rank)).collect();
    let ranks: Vec<Rank> = beside.iter().map(|(_, rank)| *rank).collect();
    let mut found = three(&ranks, by);
    found.retain(|&index| ranks[index].number != winner);
    if found.len() < wanted.len() {
        let message = format!(
            "the search's front has {} smaller students than the winner, not {}; the others are left out",
            found.len(),
            wanted.len()
        );
        run.emit(RunEvent::Note { message })?;
    }
    let pairs = wanted.into_iter().zip(found);
    pairs.map(|(network, index)| Ok((network, config_of(&beside[index].0.genome)?))).collect()
}

/// What the front of trials is against: latency where they have one.
pub(super) fn front_cost(trials: &[Trial]) -> Measure {
    let mut complete = trials.iter().filter(|trial| trial.state == TrialState::Complete);
    match complete.all(|trial| trial.latency_ms.is_some()) {
        true => Measure::Latency,
        false => Measure::Params,
    }
}

/// The first of `trials`, which stand best first, that is within the latency limit when it is measured, with its configuration. No more are measured
/// once the run has measured `most`, so that one that was killed in between ends as it would have.
pub(super) fn measured_winner(
    run: &mut Context<'_>,
    trials: Vec<Trial>,
    config_of: &dyn Fn(&str) -> Result<BertConfig>,
    most: usize,
) -> Result<Option<(Trial, BertConfig, Verdict)>> {
    let stop = run.host.stop();
    for trial in trials.into_iter().filter(|trial| trial.state == TrialState::Complete) {
        let config = config_of(&trial.genome)?;
        let Some(limit) = &mut run.limit else { break };
        let is_new = !limit.knows(&trial.genome);
        if is_new && limit.measured().candidates.len() >= most {
            break;
        }
        let verdict = limit.verdict((trial.stage, trial.number), (&trial.genome, &config), stop)?;
        if is_new {
            let (limit_ms, is_by_pace, is_here) = (limit.limit_ms, limit.is_by_pace(&verdict), limit.is_here());
            run.emit(RunEvent::Note { message: told(&verdict, limit_ms, is_by_pace, is_here) })?;
        }
        if verdict.within {
            return Ok(Some((trial, config, verdict)));
        }
    }
    Ok(None)
}

/// Corrects predictions by what was measured, after a round in which nothing was within the limit.
pub(super) fn correct(run: &mut Context<'_>, round: usize) -> Result<()> {
    let Some(limit) = &mut run.limit else { return Ok(()) };
    let correction = limit.correct(round)?;
    let message = format!(
        "stage-3: no candidate is within the latency limit when it is measured; predictions are multiplied by {correction:.3} from now on"
    );
    run.emit(RunEvent::Note { message })
}

fn told(verdict: &Verdict, limit_ms: Option<f64>, is_by_pace: bool, is_here: bool) -> String {
    let Verdict { stage, trial, predicted_ms, measured_ms, pace, within, .. } = verdict;
    let kept = match (limit_ms, within) {
        (None, _) => String::new(),
        (Some(limit), true) => format!(", within {limit} ms"),
        (Some(limit), false) => format!(", over {limit} ms"),
    };
    let found = format!("stage-{stage}: trial {trial} takes {measured_ms:.4} ms, {predicted_ms:.4} predicted{kept}");
    if !is_by_pace {
        return found;
    }
    let why = if is_here { "this machine is busy" } else { "the table is of another processor" };
    format!(
        "{NOTED_WARNING}{found} at the table's pace ({:.4} ms): {why}, the reference takes {pace:.2} times its time",
        verdict.at_pace_ms()
    )
}

pub(super) fn none_holds(run: &Context<'_>) -> Error {
    let none = || Error::Mismatch("no candidate of the last stage was measured".into());
    let Some(limit) = &run.limit else { return none() };
    let fastest = limit.measured().candidates.iter().min_by(|a, b| a.measured_ms.total_cmp(&b.measured_ms));
    let Some(fastest) = fastest else { return none() };
    Error::TooSlow(format!(
        "none of {} candidates is within max_latency_ms {} when it is measured: the fastest takes {:.4} ms, {:.4} predicted, \
         while the table's reference takes {:.2} times its time; run it on a quiet machine with a new table, or allow more",
        limit.measured().candidates.len(),
        limit.limit_ms.unwrap_or_default(),
        fastest.measured_ms,
        fastest.predicted_ms,
        fastest.pace,
    ))
}
