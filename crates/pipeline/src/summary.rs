//! The comparison of teacher, baseline and student, `run.json`, the model card, the report.

use std::collections::BTreeMap;
use std::path::Path;

use encoder_spec::{Layer, Shape};
use model_dir::Origin;
use nas::study::{StudyStore, Trial, frequencies};
use predict::card::scored_card;
use predict::majority::{MajorityBaseline, card_lines};
use report::{
    ChangedSetting, Curve, GeneValue, LatencyPoint, LatencyReport, LayerReport, Machine, ModelRow, RunReport,
    StageReport, StudentReport, TrialPoint,
};
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::events::RunEvent;
use crate::input_record::Record;
use crate::latency::{Conditions, History, Maker, history};
use crate::phase::{FinalModel, LogLine, PhaseId, stage_title};
use crate::recipe::{CandidateScore, Recipe};
use crate::report_header::{ReportHeader, listed};
use crate::report_scores::fidelities;
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
        "candidate_score": recipe.search.score,
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
                stage: c.stage,
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
pub fn model_card(recipe: &Recipe, student: &FinalModel, majority: &[MajorityBaseline]) -> String {
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
    for (i, expression) in student.config.layers.iter().map(|layer| &layer.expression).enumerate() {
        text.push_str(&format!("| {} | `{expression}` |\n", i + 1));
    }
    text.push_str(
        "\nUse it with `efficientbert predict --model DIR TEXT` or `efficientbert eval`, or in `transformers` with \
         `trust_remote_code=True`.\n",
    );
    scored_card(&text, &Origin::default(), &student.config, &student.evaluation, majority)
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
        seconds: all_seconds(&records),
        machine: environment.machine,
        threads: Some(environment.threads),
        pass: pass(&run["latency"]),
        versions: environment.versions,
        seed: run["seed"].as_u64().unwrap_or_default(),
        device: environment.device,
        score_name: match serde_json::from_value(run["candidate_score"].clone()) {
            Ok(CandidateScore::Probability) => {
                "probability of the right answer (R\u{b2} of numbers), held-out examples".into()
            }
            // Runs of earlier versions do not say it.
            Ok(CandidateScore::Metric) | Err(_) => {
                "mean of the tasks' primary metrics on held-out training examples".into()
            }
        },
        stages: study.map(|study| stages(study, &records)).transpose()?.unwrap_or_default(),
        curves: curves(&records),
        comparison: comparison.unwrap_or_default(),
        latency,
        gains: stored_gains(&run).map_err(bad)?,
        fidelities: fidelities(paths, study, run["seed"].as_u64().unwrap_or_default())?,
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
        let (found, counted) = frequencies(&trials);
        let genes = found.into_iter().map(|f| GeneValue { gene: f.gene, value: f.value, all: f.all, good: f.good });
        let genes = genes.collect();
        stages.push(StageReport {
            name: stage_title(stage, trials.first().map(|trial| trial.genome.as_str())).into(),
            trials: trials.iter().map(point).collect(),
            best: store.best(stage)?.map(|t| t.number),
            rejected: store.rejection_counts(stage)?.into_iter().map(|(r, n)| (r.name().to_string(), n)).collect(),
            seconds: seconds(records, &phase.name()),
            genes,
            counted: counted.map(|count| count as u64),
        });
    }
    Ok(stages)
}

/// Seconds spent in all phases.
fn all_seconds(records: &[LogLine]) -> Option<f64> {
    let phases: std::collections::BTreeSet<&str> = records.iter().filter_map(|line| line.event.phase()).collect();
    let each: Vec<f64> = phases.into_iter().filter_map(|phase| seconds(records, phase)).collect();
    (!each.is_empty()).then(|| each.iter().sum())
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
    let layer = |((spec, part), built): ((&bert_core::LayerSpec, &bert_core::Cost), &Layer<Shape>)| LayerReport {
        expression: spec.expression.clone(),
        stacks: built.feed_forward.blocks.len() as u64,
        ratio: if spec.ratio == 1 { "1".into() } else { format!("1/{}", spec.ratio) },
        inner: built.feed_forward.blocks.first().map_or(0, |block| block.dense1.outputs() as u64),
        heads: built.attention.as_ref().map_or(0, |attention| attention.heads as u64),
        attention: built.attention.as_ref().map_or(0, |attention| attention.width() as u64),
        params: part.params,
        macs: part.macs,
    };
    Ok(Some(StudentReport {
        hidden: config.hidden_size as u64,
        embed: config.embed_width() as u64,
        params: Some(count.params_without_fit()),
        macs: Some(count.macs()),
        layers: config.layers.iter().zip(&count.layers).zip(&outline.layers).map(layer).collect(),
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
    use super::{LogLine, RunEvent, all_seconds, seconds, utc};

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
        assert_eq!((all_seconds(&records), all_seconds(&[])), (Some(3.5), None));
    }

    #[test]
    fn unix_time_is_written_as_a_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_219_200_123), "2026-11-21 00:00:00 UTC");
    }
}
