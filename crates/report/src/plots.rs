//! The charts of a report: how a search went, what it traded for what, and how training went.

use crate::axis::Axis;
use crate::chart::{Chart, Dot};
use crate::data::{Curve, ModelRow, Role, StageReport, TaskScore, TrialPoint};
use crate::format::{count, finite, milliseconds, points, score};
use crate::markup::Markup;
use crate::table::shortened;

/// A cost that a score is weighed against.
#[derive(Clone, Copy)]
pub(crate) enum Cost {
    Params,
    Macs,
    Latency,
}

impl Cost {
    pub(crate) const ALL: [Self; 3] = [Self::Params, Self::Macs, Self::Latency];

    fn label(self) -> &'static str {
        match self {
            Self::Params => "parameters",
            Self::Macs => "multiply-adds, counted once",
            Self::Latency => "latency, ms",
        }
    }

    /// A cost with its unit, short enough for a label.
    fn amount(self, v: f64) -> String {
        match self {
            Self::Params => format!("{} parameters", count(v as u64)),
            Self::Macs => format!("{} MACs", count(v as u64)),
            Self::Latency => milliseconds(Some(v)),
        }
    }

    fn of_trial(self, t: &TrialPoint) -> Option<f64> {
        match self {
            Self::Params => Some(t.params as f64),
            Self::Macs => Some(t.macs as f64),
            Self::Latency => finite(t.latency_ms),
        }
    }

    fn of_model(self, m: &ModelRow) -> Option<f64> {
        match self {
            Self::Params => m.params.map(|n| n as f64),
            Self::Macs => m.macs.map(|n| n as f64),
            Self::Latency => finite(m.latency_ms),
        }
    }
}

/// The score of each trial as a dot and the best so far as a line; `None` when no trial has a score.
pub(crate) fn search_history(stage: &StageReport, score_name: &str) -> Option<Markup> {
    let mut trials: Vec<&TrialPoint> = stage.trials.iter().collect();
    trials.sort_by_key(|t| t.number);
    let scored: Vec<(&TrialPoint, f64)> = trials.iter().filter_map(|t| Some((*t, finite(t.score)?))).collect();
    let y = Axis::linear(scored.iter().map(|(_, s)| *s))?;
    let x = Axis::numbers(trials.iter().map(|t| t.number as f64))?;
    let mut chart = Chart::new(&format!("{}: score of each trial", stage.name), x, "trial", y, score_name);
    chart.strokes("failed", trials.iter().filter(|t| finite(t.score).is_none()).map(|t| t.number as f64));
    let dots: Vec<Dot> = scored.iter().map(|(t, s)| Dot { x: t.number as f64, y: *s, hint: trial_hint(t) }).collect();
    chart.dots("dot", 3.0, &dots);
    chart.path("best", &running_best(&scored, trials.last().map(|t| t.number)), true);
    if let Some((t, s)) = scored.iter().find(|(t, _)| Some(t.number) == stage.best) {
        chart.mark(Role::Student, t.number as f64, *s, "chosen", &trial_hint(t));
    }
    Some(chart.finish())
}

fn running_best(scored: &[(&TrialPoint, f64)], last: Option<u64>) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for (t, s) in scored {
        if line.last().is_none_or(|(_, best)| s > best) {
            line.push((t.number as f64, *s));
        }
    }
    if let (Some((_, best)), Some(last)) = (line.last().copied(), last) {
        line.push((last as f64, best));
    }
    line
}

/// A model this many times costlier or cheaper than every trial is a dashed line at its score, so that it does not squeeze the trials.
const OUT_OF_REACH: f64 = 1.6;

/// A stage's trials by score and cost, the front connected, reference models marked; `None` without a scored trial of known cost.
pub(crate) fn stage_front(stage: &StageReport, models: &[ModelRow], cost: Cost, score_name: &str) -> Option<Markup> {
    let trials: Vec<(&TrialPoint, f64, f64)> =
        stage.trials.iter().filter_map(|t| Some((t, cost.of_trial(t)?, finite(t.score)?))).collect();
    let cheapest = trials.iter().map(|t| t.1).reduce(f64::min)?;
    let costliest = trials.iter().map(|t| t.1).reduce(f64::max)?;
    // The student is the chosen trial trained on; its own search score is only drawn where no trial was chosen.
    let marks: Vec<(&ModelRow, f64, f64)> = models
        .iter()
        .filter(|m| m.role != Role::Student || stage.best.is_none())
        .filter_map(|m| Some((m, cost.of_model(m)?, finite(m.search_score)?)))
        .collect();
    let (near, far): (Vec<_>, Vec<_>) =
        marks.into_iter().partition(|m| (cheapest / OUT_OF_REACH..=costliest * OUT_OF_REACH).contains(&m.1));
    let x = Axis::sizes(trials.iter().map(|t| t.1).chain(near.iter().map(|m| m.1)))?;
    let y = Axis::linear(trials.iter().map(|t| t.2).chain(near.iter().chain(&far).map(|m| m.2)))?;
    let title = format!("{}: score against {}", stage.name, cost.label());
    let mut chart = Chart::new(&title, x, cost.label(), y, score_name);
    let on_front = front(&trials.iter().map(|t| (t.1, t.2)).collect::<Vec<_>>());
    let dot = |i: usize| {
        let (t, x, y) = trials[i];
        Dot { x, y, hint: format!("trial {}: score {}, {}", t.number, score(Some(y)), cost.amount(x)) }
    };
    chart.dots("dot", 3.0, &(0..trials.len()).map(dot).collect::<Vec<_>>());
    chart.path("front", &on_front.iter().map(|i| (trials[*i].1, trials[*i].2)).collect::<Vec<_>>(), true);
    chart.dots("dot on-front", 3.8, &on_front.iter().map(|i| dot(*i)).collect::<Vec<_>>());
    for (m, x, y) in far {
        chart.level(y, &format!("{}, at {}", shortened(&m.name, 30), cost.amount(x)));
    }
    if let Some((t, x, y)) = trials.iter().find(|(t, ..)| Some(t.number) == stage.best) {
        chart.mark(Role::Student, *x, *y, "chosen", &trial_hint(t));
    }
    for (m, x, y) in near {
        chart.mark(m.role, x, y, &m.name, &model_hint(m, score(Some(y))));
    }
    Some(chart.finish())
}

/// The compared models by mean score and cost; `None` when fewer than two have both.
pub(crate) fn model_front(models: &[ModelRow], tasks: &[(String, String)], cost: Cost) -> Option<Markup> {
    let mut placed: Vec<(&ModelRow, f64, f64)> =
        models.iter().filter_map(|m| Some((m, cost.of_model(m)?, mean_score(m, tasks)? * 100.0))).collect();
    if placed.len() < 2 {
        return None;
    }
    let x = Axis::sizes(placed.iter().map(|p| p.1))?;
    let y = Axis::linear(placed.iter().map(|p| p.2))?;
    let title = format!("compared models: mean score against {}", cost.label());
    let mut chart = Chart::new(&title, x, cost.label(), y, "mean score, points of 100");
    let places: Vec<(f64, f64)> = placed.iter().map(|p| (p.1, p.2)).collect();
    chart.path("front", &front(&places).into_iter().map(|i| places[i]).collect::<Vec<_>>(), true);
    // The student first: it gets the place beside its mark.
    placed.sort_by_key(|p| std::cmp::Reverse(p.0.role));
    for (m, x, y) in placed {
        chart.mark(m.role, x, y, &m.name, &model_hint(m, points(Some(y / 100.0))));
    }
    Some(chart.finish())
}

/// The tasks and metrics that every model with any score has, in the first such model's order: only over these is a mean comparable.
pub(crate) fn shared_tasks(models: &[ModelRow]) -> Vec<(String, String)> {
    let mut scored = models.iter().filter(|m| m.scores.iter().any(|s| s.value.is_finite()));
    let Some(first) = scored.next() else {
        return Vec::new();
    };
    let mut tasks: Vec<(String, String)> = Vec::new();
    for s in first.scores.iter().filter(|s| s.value.is_finite()) {
        let task = (s.task.clone(), s.metric.clone());
        if !tasks.contains(&task) && scored.clone().all(|m| value_of(m, &task).is_some()) {
            tasks.push(task);
        }
    }
    tasks
}

/// A model's score on a task.
pub(crate) fn score_of<'m>(m: &'m ModelRow, (task, metric): &(String, String)) -> Option<&'m TaskScore> {
    m.scores.iter().find(|s| s.task == *task && s.metric == *metric)
}

/// The same as a finite number.
pub(crate) fn value_of(m: &ModelRow, task: &(String, String)) -> Option<f64> {
    finite(score_of(m, task).map(|s| s.value))
}

fn mean_score(m: &ModelRow, tasks: &[(String, String)]) -> Option<f64> {
    let values: Option<Vec<f64>> = tasks.iter().map(|t| value_of(m, t)).collect();
    values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
}

/// One chart per title and label; curves that share both share the chart.
pub(crate) fn loss_curves(curves: &[Curve]) -> Vec<(String, Vec<String>, Markup)> {
    let mut groups: Vec<(&str, &str, Vec<&Curve>)> = Vec::new();
    for c in curves {
        match groups.iter_mut().find(|(title, label, _)| *title == c.title && *label == c.y_label) {
            Some((.., group)) => group.push(c),
            None => groups.push((&c.title, &c.y_label, vec![c])),
        }
    }
    groups.into_iter().filter_map(|(title, label, group)| loss_chart(title, label, &group)).collect()
}

fn loss_chart(title: &str, label: &str, group: &[&Curve]) -> Option<(String, Vec<String>, Markup)> {
    const LINES: [&str; 6] = ["line c0", "line c1", "line c2", "line c3", "line c4", "line c5"];
    let all = || group.iter().flat_map(|c| &c.points).filter(|p| p.1.is_finite());
    let y = Axis::linear(all().map(|p| p.1))?;
    let x = Axis::numbers(all().map(|p| p.0 as f64))?;
    let mut chart = Chart::new(title, x, "step", y, label);
    for (c, class) in group.iter().zip(LINES.iter().cycle()) {
        let points: Vec<(f64, f64)> = c.points.iter().map(|p| (p.0 as f64, p.1)).collect();
        chart.path(class, &points, false);
        if let [(x, y)] = points[..] {
            chart.dots("dot", 3.0, &[Dot { x, y, hint: format!("step {x}: {y}") }]);
        }
    }
    Some((title.to_owned(), group.iter().map(|c| c.series.clone()).collect(), chart.finish()))
}

/// Indices of the points that no other point beats in both senses (lower cost, higher score), by rising cost.
pub(crate) fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*b].1.total_cmp(&points[*a].1)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|i| {
        let better = points[*i].1 > best;
        best = best.max(points[*i].1);
        better
    });
    order
}

fn trial_hint(t: &TrialPoint) -> String {
    let TrialPoint { number, score: s, params, macs, latency_ms, genome, .. } = t;
    let genome = shortened(genome, 200);
    format!(
        "trial {number}: score {}, {} parameters, {} multiply-adds, {}\n{genome}",
        score(*s),
        count(*params),
        count(*macs),
        milliseconds(*latency_ms)
    )
}

fn model_hint(m: &ModelRow, score: String) -> String {
    format!("{} ({}): {score}", m.name, m.role.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TaskScore;

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let points = [(10.0, 0.7), (12.0, 0.6), (14.0, 0.8), (14.0, 0.75), (9.0, 0.7), (20.0, 0.8)];
        assert_eq!(front(&points), [4, 2]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn the_best_line_only_rises_and_reaches_the_last_trial() {
        let trial = |number, s| TrialPoint { number, score: Some(s), ..TrialPoint::default() };
        let trials = [trial(0, 0.5), trial(1, 0.4), trial(2, 0.6)];
        let scored: Vec<_> = trials.iter().map(|t| (t, t.score.unwrap())).collect();
        assert_eq!(running_best(&scored, Some(7)), [(0.0, 0.5), (2.0, 0.6), (7.0, 0.6)]);
    }

    #[test]
    fn a_mean_is_taken_only_over_tasks_that_all_scored_models_share() {
        let model = |tasks: &[(&str, f64)]| ModelRow {
            scores: tasks
                .iter()
                .map(|(t, v)| TaskScore {
                    task: (*t).into(),
                    metric: "accuracy".into(),
                    value: *v,
                    standard_error: None,
                })
                .collect(),
            ..ModelRow::default()
        };
        let models = [model(&[("SST-2", 0.9), ("RTE", 0.6)]), model(&[("SST-2", 0.8), ("RTE", f64::NAN)]), model(&[])];
        let tasks = shared_tasks(&models);
        assert_eq!(tasks, [("SST-2".to_owned(), "accuracy".to_owned())]);
        assert_eq!(mean_score(&models[1], &tasks), Some(0.8));
        assert_eq!(mean_score(&models[2], &tasks), None, "no score is not a score of zero");
    }
}
