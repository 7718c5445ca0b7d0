//! The comparison of a finished run: its models in rows, and what the search has gained over those of the same cost.

use glue_squad::task::{Head, Task};
use model_dir::Origin;
use predict::card::scored_card;
use predict::majority::{MajorityBaseline, card_lines, doubts};
use report::{ModelRow, Role, TaskScore};
use train::engine::Evaluation;

use crate::phase::{FinalModel, Network, Teachers};
use crate::recipe::{Inherit, Recipe};

/// The row of the fine-tuned teacher; of several the first, with the scores of all.
pub fn teacher_row(recipe: &Recipe, teachers: &Teachers, latency_ms: f64, majority: &[MajorityBaseline]) -> ModelRow {
    let (name, note) = match &recipe.tasks[..] {
        [first, _, ..] if recipe.teacher.per_task => {
            ("teachers", format!("one for each task; sizes and latency are those of the {} one", first.name()))
        }
        _ => ("teacher", String::new()),
    };
    let count = teachers.tuned[0].model.count(recipe.latency.seq);
    ModelRow {
        name: name.into(),
        role: Role::Teacher,
        scores: scores(&[&teachers.evaluation]),
        note,
        warnings: doubts(&teachers.evaluation, majority),
        ..sized(&count, latency_ms)
    }
}

/// The trained models by network, each with all of its seeds, the student last: of the networks drawn at random the best on the
/// held-out examples, which its first seed decides.
pub fn compared(trained: &[FinalModel]) -> Vec<Vec<&FinalModel>> {
    let mut networks: Vec<Vec<&FinalModel>> = Vec::new();
    for model in trained {
        match networks.iter_mut().find(|models| models[0].network == model.network) {
            Some(models) => models.push(model),
            None => networks.push(vec![model]),
        }
    }
    let (random, mut others): (Vec<_>, Vec<_>) =
        networks.into_iter().partition(|models| matches!(models[0].network, Network::Random(_)));
    let best = random.into_iter().reduce(|a, b| if b[0].held_out > a[0].held_out { b } else { a });
    let further = others.iter().position(|models| models[0].network == Network::BestRandom).map(|i| others.remove(i));
    others.extend(best.map(|mut best| {
        best.extend(further.into_iter().flatten());
        best
    }));
    others.sort_by_key(|models| match models[0].network {
        Network::Student => (1, models[0].network),
        network => (0, network),
    });
    others
}

/// The number of the network that is the best of those drawn at random, on the held-out examples.
pub fn best_random(trained: &[FinalModel]) -> Option<u32> {
    let numbered = trained.iter().filter_map(|model| match model.network {
        Network::Random(number) => Some((number, model.held_out)),
        _ => None,
    });
    numbered.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(number, _)| number)
}

/// The row of a network that was trained with each of the recipe's seeds: means of its scores, with their standard errors where there
/// are several.
pub fn final_row(recipe: &Recipe, models: &[&FinalModel], latency_ms: f64, majority: &[MajorityBaseline]) -> ModelRow {
    let first = models[0];
    let random = recipe.compare.random;
    let (name, role, note) = match first.network {
        Network::Student => ("found student".into(), Role::Student, String::new()),
        Network::Small => ("small student".into(), Role::Student, "the cheapest of the search's front".into()),
        Network::Middle => ("middle student".into(), Role::Student, "between the small and the found one".into()),
        Network::SameParams => ("same parameters".into(), Role::Baseline, plain_note(recipe, first)),
        Network::SameLatency => ("same latency".into(), Role::Baseline, plain_note(recipe, first)),
        Network::Random(1) if random == 1 => {
            ("random network".into(), Role::Baseline, "drawn at random within the budget".into())
        }
        Network::Random(number) => {
            let note = format!("number {number} of {random} drawn within the budget: the best on held-out examples");
            ("random network".into(), Role::Baseline, note)
        }
        Network::BestRandom => unreachable!("its seeds belong to one that was drawn"),
        Network::Checkpoint(number) => {
            let path = &recipe.compare.checkpoints[number as usize - 1];
            let name =
                path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
            (name, Role::Baseline, "fine-tuned on the labels, as many steps as the student".into())
        }
    };
    let evaluations: Vec<&Evaluation> = models.iter().map(|model| &model.evaluation).collect();
    let seeds = match models.len() {
        1 => String::new(),
        n => format!("mean of {n} seeds"),
    };
    ModelRow {
        name,
        role,
        scores: scores(&evaluations),
        note: [note, seeds].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        warnings: doubts(&first.evaluation, majority),
        ..sized(&first.model.count(recipe.latency.seq), latency_ms)
    }
}

/// How a uniform plain network came about.
fn plain_note(recipe: &Recipe, model: &FinalModel) -> String {
    let start =
        if recipe.inherit(model.network) == Inherit::Teacher { "begins as its teacher" } else { "random start" };
    let steps =
        if recipe.lacks_warm_up(model.network) { "steps of student and warm-up" } else { "the student's steps" };
    let hidden = match model.config.hidden_size == recipe.student.hidden {
        true => String::new(),
        false => format!("hidden width {}, ", model.config.hidden_size),
    };
    let width = model.config.intermediate_size;
    format!("{hidden}plain GELU feed-forwards of width {width} in every layer, {start}, {steps}")
}

/// What the search has gained over each network that the student is compared with, a sentence each: the mean over the tasks of the task's
/// score on dev, student less network, seed by seed, with its standard error over the seeds.
pub fn gains(trained: &[FinalModel]) -> Vec<String> {
    let mut networks = compared(trained);
    let Some(student) = networks.pop() else { return Vec::new() };
    let sentence = |models: Vec<&FinalModel>| {
        let over = match models[0].network {
            Network::SameParams => "a plain network with as many parameters",
            Network::SameLatency => "a plain network of the same latency",
            Network::Random(_) => "the best network drawn at random",
            Network::Checkpoint(_) | Network::BestRandom | Network::Student | Network::Small | Network::Middle => {
                return None;
            }
        };
        let differences: Vec<f64> =
            student.iter().zip(&models).map(|(s, m)| (s.evaluation.score - m.evaluation.score) * 100.0).collect();
        Some(gain(&differences, over))
    };
    networks.into_iter().filter_map(sentence).collect()
}

/// What `differences` in points, seed by seed, say of the search beside `other`. Less than two standard errors is noise.
fn gain(differences: &[f64], other: &str) -> String {
    let (mean, error) = mean_and_error(differences);
    let (verb, over) = if mean < 0.0 { ("lost", "to") } else { ("gained", "over") };
    let points = mean.abs();
    match error {
        None => format!("the search {verb} {points:.2} points {over} {other} (one seed: no standard error)"),
        Some(error) => {
            let noise = if points < 2.0 * error { "; that is within the noise" } else { "" };
            let seeds = differences.len();
            format!("the search {verb} {points:.2} \u{b1} {error:.2} points {over} {other} ({seeds} seeds){noise}")
        }
    }
}

/// Mean and standard error `s / sqrt(n)`, with the sample's standard deviation `s`; no error of one value.
fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()))
}

/// The card of a network that the student is compared with.
pub fn compared_card(recipe: &Recipe, model: &FinalModel, majority: &[MajorityBaseline]) -> String {
    let text = format!(
        "# {} of run `{}`\n\n{} (seed {} of {}); dev scores: {}\n{}",
        model.network.folder(),
        recipe.name,
        if model.network.is_handed_over() { "A student of the search" } else { "Trained to compare the student with" },
        model.seed,
        recipe.compare.seeds,
        model.evaluation,
        card_lines(&model.evaluation, majority)
    );
    scored_card(&text, &Origin::default(), &model.config, &model.evaluation, majority)
}

/// One answer to every example, as if it were a model.
pub fn majority_row(majority: &[MajorityBaseline]) -> Option<ModelRow> {
    let answers: Vec<String> = majority.iter().map(|m| format!("{} {}", m.task, m.answer)).collect();
    let metrics = majority.iter().flat_map(|m| m.metrics.clone()).collect();
    let means = majority.iter().any(|m| m.task.parse().is_ok_and(|task: Task| task.head() == Head::Regression));
    (!majority.is_empty()).then(|| ModelRow {
        name: if means { "majority class or mean" } else { "majority class" }.into(),
        role: Role::Majority,
        scores: scores(&[&Evaluation { metrics, ..Evaluation::default() }]),
        note: format!("one answer to every example: {}", answers.join(", ")),
        ..ModelRow::default()
    })
}

/// A row with the sizes alone.
fn sized(count: &bert_core::Count, latency_ms: f64) -> ModelRow {
    ModelRow {
        params: Some(count.params_without_fit()),
        macs: Some(count.macs()),
        latency_ms: Some(latency_ms),
        ..ModelRow::default()
    }
}

/// Mean of each metric over evaluations of one network, which all have the same.
fn scores(evaluations: &[&Evaluation]) -> Vec<TaskScore> {
    let Some(first) = evaluations.first() else { return Vec::new() };
    let of = |name: &String| {
        let (task, metric) = name.split_once('/').unwrap_or((name, ""));
        let values: Vec<f64> = evaluations.iter().filter_map(|one| one.metrics.get(name).copied()).collect();
        let (value, standard_error) = mean_and_error(&values);
        TaskScore { task: task.into(), metric: metric.into(), value, standard_error }
    };
    first.metrics.keys().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::{gain, mean_and_error};

    #[test]
    fn a_gain_is_said_with_its_error_and_noise_is_called_noise() {
        assert_eq!(gain(&[0.5], "x"), "the search gained 0.50 points over x (one seed: no standard error)");
        assert_eq!(gain(&[1.0, 1.2], "x"), "the search gained 1.10 \u{b1} 0.10 points over x (2 seeds)");
        let lost = "the search lost 0.50 \u{b1} 0.50 points to x (2 seeds); that is within the noise";
        assert_eq!(gain(&[0.0, -1.0], "x"), lost);
    }

    #[test]
    fn the_standard_error_of_a_mean_is_that_of_the_sample() {
        assert_eq!(mean_and_error(&[2.0]), (2.0, None));
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0, 6.0]);
        // Deviations -2, -1, 0, 3: variance 14 / 3, of the mean a quarter of it.
        assert!(mean == 3.0 && (error.unwrap() - (14.0f64 / 12.0).sqrt()).abs() < 1e-12);
    }
}
