//! The comparison of teacher, baseline and student, `run.json`, the model card, the report.

use std::collections::BTreeMap;
use std::path::Path;

use glue_squad::task::{Head, Task};
use nas::study::{StudyStore, Trial};
use predict::majority::{MajorityBaseline, card_lines, doubts};
use report::{
    ChangedSetting, Curve, LatencyPoint, LatencyReport, LayerReport, Machine, ModelRow, Role, RunReport, StageReport,
    StudentReport, TaskScore, TrialPoint,
};
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use train::engine::Evaluation;

use crate::events::RunEvent;
use crate::input_record::Record;
use crate::latency::{Conditions, History, Maker, history};
use crate::phase::{FinalModel, LogLine, Network, PhaseId, Teachers, Winner};
use crate::recipe::{Inherit, Recipe};
use crate::report_header::{ReportHeader, listed};
use crate::run_json::{self, stored_comparison, stored_gains};
use crate::{Error, Result};

/// What the program knows about where it runs; the library does not look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Versions by name.
    pub versions: BTreeMap<String, String>,
    /// Processor, cores, operating system.
    pub machine: Machine,
    /// Device as the user named it.
    pub device: String,
    /// Number of threads.
    pub threads: usize,
    /// When this process started, for people.
    pub started: String,
}

impl Environment {
    /// Who measures at that Unix time.
    pub(crate) fn maker(&self, now_ms: i64) -> Maker {
        Maker {
            program: self.versions.get("efficientbert").cloned().unwrap_or_default(),
            processor: self.machine.cpu.clone(),
            now: utc(now_ms),
        }
    }
}

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
    others.extend(best);
    others.sort_by_key(|models| match models[0].network {
        Network::Student => (1, models[0].network),
        network => (0, network),
    });
    others
}

/// The row of a network that was trained with each of the recipe's seeds: means of its scores, with their standard errors where there
/// are several.
pub fn final_row(recipe: &Recipe, models: &[&FinalModel], latency_ms: f64, majority: &[MajorityBaseline]) -> ModelRow {
    let first = models[0];
    let random = recipe.compare.random;
    let (name, role, note) = match first.network {
        Network::Student => ("found student".into(), Role::Student, String::new()),
        Network::SameParams => ("same parameters".into(), Role::Baseline, plain_note(recipe, first)),
        Network::SameLatency => ("same latency".into(), Role::Baseline, plain_note(recipe, first)),
        Network::Random(1) if random == 1 => {
            ("random network".into(), Role::Baseline, "drawn at random within the budget".into())
        }
        Network::Random(number) => {
            let note = format!("number {number} of {random} drawn within the budget: the best on held-out examples");
            ("random network".into(), Role::Baseline, note)
        }
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
    format!("plain GELU feed-forwards of width {} in every layer, {start}, {steps}", model.config.intermediate_size)
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
            Network::Checkpoint(_) | Network::Student => return None,
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
    format!(
        "# {} of run `{}`\n\nTrained to compare the student with (seed {} of {}); dev scores: {}\n{}",
        model.network.folder(),
        recipe.name,
        model.seed,
        recipe.compare.seeds,
        model.evaluation,
        card_lines(&model.evaluation, majority)
    )
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

/// Contents of `run.json`.
pub fn run_json(
    recipe: &Recipe,
    environment: &Environment,
    changes: Option<&[ChangedSetting]>,
    compared: Option<(&[ModelRow], &[String])>,
) -> Value {
    let (comparison, gains) = compared.unzip();
    json!({
        "recipe": recipe.name,
        "description": recipe.description,
        "seed": recipe.seed,
        "changed": changes,
        "environment": environment,
        "latency": recipe.latency,
        "finished": comparison.is_some(),
        "comparison": comparison,
        "gains": gains,
    })
}

/// `json` with what the run in `paths` says of latencies, where it has a table.
///
/// # Errors
/// A file of the folder that cannot be read.
pub(crate) fn with_latency(mut json: Value, paths: &RunPaths) -> Result<Value> {
    let Some(History { table, measured }) = history(paths)? else { return Ok(json) };
    json["latency_table"] = json!({
        "measured": table.measured,
        "processor": table.processor,
        "program": table.program,
        "conditions": table.conditions,
        "margin": table.margin,
        "reference_ms": table.reference.ms,
        "accuracy": table.accuracy,
    });
    json["latency_measured"] = json!(measured);
    Ok(json)
}

/// The same for the report.
fn latency(paths: &RunPaths, limit_ms: Option<f64>) -> Result<Option<LatencyReport>> {
    let Some(History { table, measured }) = history(paths)? else { return Ok(None) };
    let accuracy = table.accuracy.as_ref();
    let Conditions { isa, threads, batch, seq, precision, .. } = &table.conditions;
    Ok(Some(LatencyReport {
        limit_ms,
        margin: table.margin,
        table: format!(
            "measured {} on {} ({isa}, {threads} threads), {batch} x {seq} tokens, {precision}; program {}",
            table.measured, table.processor, table.program
        ),
        architectures: accuracy.map(|a| a.architectures as u64),
        mean_abs_error: accuracy.map(|a| a.mean_abs_error),
        p90_abs_error: accuracy.map(|a| a.p90_abs_error),
        candidates: measured
            .candidates
            .iter()
            .map(|c| LatencyPoint {
                trial: c.trial,
                predicted_ms: c.predicted_ms,
                measured_ms: c.measured_ms,
                pace: c.pace,
                within: c.within,
            })
            .collect(),
        corrections: measured.corrections,
    }))
}

/// Text of the student's `README.md`.
pub fn model_card(recipe: &Recipe, student: &FinalModel, winner: &Winner, majority: &[MajorityBaseline]) -> String {
    let count = student.model.count(recipe.latency.seq);
    let mut text = format!(
        "# {} student\n\nFound and distilled by recipe `{}` (seed {}).\n\n\
         - parameters: {}\n- multiply-adds (MACs, counted once) for {} tokens: {}\n- dev scores: {}\n{}\n\
         | layer | feed-forward |\n|---|---|\n",
        recipe.name,
        recipe.name,
        recipe.seed,
        count.params_without_fit(),
        recipe.latency.seq,
        count.macs(),
        student.evaluation,
        card_lines(&student.evaluation, majority),
    );
    for (i, expression) in winner.genome.layers().iter().enumerate() {
        text.push_str(&format!("| {} | `{expression}` |\n", i + 1));
    }
    text.push_str("\nUse it with `efficientbert predict --model DIR TEXT` or `efficientbert eval`.\n");
    text
}

/// Builds `report.html` from what the run folder holds, finished or not, and from its `study`, if there is one yet: see
/// [`stored_study`](crate::phase::stored_study).
///
/// # Errors
/// A file of the folder that cannot be read, or the report cannot be written.
pub fn write_report(paths: &RunPaths, study: Option<&dyn StudyStore>) -> Result<()> {
    let html = report::render_html(&run_report(paths, study)?);
    run_store::output::write(paths.report(), html.as_bytes())?;
    Ok(())
}

/// The report's data, read from the run folder and its study.
///
/// # Errors
/// A file of the folder that cannot be read.
pub fn run_report(paths: &RunPaths, study: Option<&dyn StudyStore>) -> Result<RunReport> {
    let run = run_json::read(&paths.run_json())?;
    let bad = |e: serde_json::Error| Error::RunFile { path: paths.run_json(), message: e.to_string() };
    let environment: Environment = serde_json::from_value(run["environment"].clone()).map_err(bad)?;
    let comparison = stored_comparison(&run).map_err(bad)?;
    let run_store::log::Records { records, damaged, .. } = run_store::log::read::<LogLine>(paths.log())?;
    let damaged = damaged.iter().map(|line| format!("log.jsonl, line {line}: no valid record; it is left out here"));
    let finished = run["finished"].as_bool().unwrap_or(false);
    let text = |key: &str| run[key].as_str().unwrap_or_default().to_string();
    let about = ReportHeader::read(paths)?;
    let changed = with_moved(run_json::changes(&run).map_err(bad)?, paths)?;
    let latency = latency(paths, about.budget.max_latency_ms)?;
    Ok(RunReport {
        title: match about.tasks.is_empty() {
            true => format!("EfficientBERT run: {}", text("recipe")),
            false => format!("EfficientBERT search on {}", listed(&about.tasks)),
        },
        recipe: text("recipe"),
        description: text("description"),
        tasks: about.tasks,
        teacher: about.teacher,
        data: about.data,
        budget: about.budget,
        changed,
        started: records.first().map_or(environment.started.clone(), |l| utc(l.time_ms)),
        finished: records.last().filter(|_| finished).map(|l| utc(l.time_ms)),
        machine: environment.machine,
        threads: Some(environment.threads),
        pass: pass(&run["latency"]),
        versions: environment.versions,
        seed: run["seed"].as_u64().unwrap_or_default(),
        device: environment.device,
        score_name: "mean of the tasks' primary metrics on held-out training examples".into(),
        stages: study.map(|study| stages(study, &records)).transpose()?.unwrap_or_default(),
        curves: curves(&records),
        comparison: comparison.unwrap_or_default(),
        latency,
        gains: stored_gains(&run).map_err(bad)?,
        student: student_report(paths, &run)?,
        notes: damaged.collect(),
    })
}

/// `changes` with where inputs are that are not where the recipe says any more, or are others.
fn with_moved(changes: Option<Vec<ChangedSetting>>, paths: &RunPaths) -> Result<Option<Vec<ChangedSetting>>> {
    let moved = Record::read(paths)?.map(|record| record.moved).unwrap_or_default().settings();
    if moved.is_empty() {
        return Ok(changes);
    }
    let mut all = changes.unwrap_or_default();
    for (key, value) in moved {
        match all.iter_mut().find(|change| change.key == key) {
            Some(change) => change.value = value,
            None => all.push(ChangedSetting { key, value, recipe: None }),
        }
    }
    Ok(Some(all))
}

/// What a pass is, from the settings in `run.json`.
fn pass(latency: &Value) -> Option<String> {
    let number = |key: &str| latency[key].as_u64();
    let (batch, seq, runs) = (number("batch")?, number("seq")?, number("runs")?);
    let format = latency["precision"].as_str()?;
    Some(format!("{batch} x {seq} tokens, {format}, the median time of {runs} in the quietest of several rounds"))
}

fn stages(store: &dyn StudyStore, records: &[LogLine]) -> Result<Vec<StageReport>> {
    let mut stages = Vec::new();
    for (stage, phase) in PhaseId::stages() {
        let mut trials = store.trials(stage)?;
        if trials.is_empty() {
            continue;
        }
        trials.sort_by(Trial::order);
        let point = |t: &Trial| TrialPoint {
            number: t.number,
            score: t.fitness,
            params: t.cost.params,
            macs: t.cost.macs,
            latency_ms: t.latency_ms,
            state: t.state.name().into(),
            genome: t.genome.clone(),
        };
        stages.push(StageReport {
            name: phase.title().into(),
            trials: trials.iter().map(point).collect(),
            best: store.best(stage)?.map(|t| t.number),
            rejected: store.rejection_counts(stage)?.into_iter().map(|(r, n)| (r.name().to_string(), n)).collect(),
            seconds: seconds(records, &phase.name()),
        });
    }
    Ok(stages)
}

/// Seconds spent in a phase, over all processes that worked on it. The time between a kill and the
/// resume does not count, nor does what a killed process did after its last event.
pub fn seconds(records: &[LogLine], phase: &str) -> Option<f64> {
    let (mut total, mut last) = (None, 0);
    for line in records.iter().filter(|l| l.event.phase() == Some(phase)) {
        let since = if matches!(line.event, RunEvent::PhaseStarted { .. }) { 0 } else { line.time_ms - last };
        total = Some(total.unwrap_or(0.0) + since as f64 / 1e3);
        last = line.time_ms;
    }
    total
}

fn curves(records: &[LogLine]) -> Vec<Curve> {
    let mut series: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for line in records {
        if let RunEvent::Step { phase, step, loss, .. } = &line.event {
            if !series.contains_key(phase) {
                order.push(phase.clone());
            }
            // A step that a resumed process did again replaces the first report of it.
            series.entry(phase.clone()).or_default().insert(*step, *loss);
        }
    }
    let title = |phase: &str| PhaseId::of_name(phase).map_or_else(|| phase.to_owned(), |id| id.title().to_owned());
    order
        .into_iter()
        .map(|phase| Curve {
            title: title(&phase),
            y_label: "loss".into(),
            points: series[&phase].iter().map(|(s, l)| (*s, *l)).collect(),
            series: phase,
        })
        .collect()
}

fn student_report(paths: &RunPaths, run: &Value) -> Result<Option<StudentReport>> {
    let dir = paths.student();
    if !Path::new(&dir.join(bert_core::WEIGHTS_FILE)).exists() {
        return Ok(None);
    }
    let (config, outline) = model_dir::outline(&dir)?;
    let seq = run["latency"]["seq"].as_u64().unwrap_or(128) as usize;
    let count = outline.count(seq);
    let layer = |(spec, part): (&bert_core::LayerSpec, &bert_core::Cost)| LayerReport {
        expression: spec.expression.clone(),
        stacks: spec.stacks as u64,
        ratio: if spec.ratio == 1 { "1".into() } else { format!("1/{}", spec.ratio) },
        inner: (config.intermediate_size / spec.ratio.max(1)) as u64,
        params: part.params,
        macs: part.macs,
    };
    Ok(Some(StudentReport {
        hidden: config.hidden_size as u64,
        heads: config.num_attention_heads as u64,
        params: Some(count.params_without_fit()),
        macs: Some(count.macs()),
        layers: config.layers.iter().zip(&count.layers).map(layer).collect(),
    }))
}

/// `YYYY-MM-DD HH:MM:SS UTC` (civil-from-days of Howard Hinnant).
pub fn utc(ms: i64) -> String {
    let (days, seconds) = (ms.div_euclid(86_400_000), ms.div_euclid(1000).rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::{LogLine, RunEvent, gain, mean_and_error, seconds, utc};

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

    #[test]
    fn time_between_a_kill_and_the_resume_is_not_counted() {
        let started = || RunEvent::PhaseStarted { phase: "stage-1".into(), total: 2, done: 0 };
        let rejected = || RunEvent::Rejected { phase: "stage-1".into(), reason: "duplicate".into() };
        let finished = || RunEvent::PhaseFinished { phase: "stage-1".into(), seconds: 2.0 };
        let note = || RunEvent::Note { message: "teacher: resumed".into() };
        let events = [(0, started()), (1500, rejected()), (90_000, note()), (91_000, started()), (93_000, finished())];
        let records: Vec<LogLine> = events.into_iter().map(|(time_ms, event)| LogLine { time_ms, event }).collect();
        assert_eq!(seconds(&records, "stage-1"), Some(3.5));
        assert_eq!(seconds(&records, "stage-2"), None);
    }

    #[test]
    fn unix_time_is_written_as_a_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_219_200_123), "2026-11-21 00:00:00 UTC");
    }
}
