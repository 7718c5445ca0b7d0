//! The HTML page around the charts: headings, tables and explanations, in the order in which a reader asks.

use crate::data::{RunReport, StudentReport};
use crate::format::{
    MISSING, budget, count_or_missing, duration, finite, milliseconds, points_with_error, text_or_missing,
};
use crate::markup::Markup;
use crate::plots::{Cost, loss_curves, model_front, score_of, shared_tasks};
use crate::search;
use crate::table::all_tasks;

/// Scores beside the sizes that still fit a printed page; of more, each model is a card.
const TASKS_ON_PAPER: usize = 4;

const HEAD: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    // The page promises to need no network; the browser holds it to that.
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    "<style>\n",
    include_str!("style.css"),
    "</style><title>"
);

/// The whole report as one HTML page: styles and pictures inside, no script, nothing loaded from anywhere.
///
/// All text is escaped. Empty parts are left out or said to be empty; numbers that are missing or not finite are shown as `n/a`.
#[must_use]
pub fn render_html(run: &RunReport) -> String {
    let mut page = Markup::default();
    page.raw(HEAD).text(&run.title).raw("</title></head><body><header><h1>").text(&run.title).raw("</h1>");
    about(&mut page, run);
    page.raw("</header><main>");
    result(&mut page, run);
    network(&mut page, run);
    search::section(&mut page, run);
    latency(&mut page, run);
    curves(&mut page, run);
    circumstances(&mut page, run);
    page.raw("</main></body></html>\n");
    page.finish()
}

/// What was run, from the run itself; what the recipe says of itself comes below, since the run may have changed it.
fn about(page: &mut Markup, run: &RunReport) {
    page.raw("<dl class=\"facts\">");
    fact(page, "tasks", &run.tasks.join(", "));
    fact(page, "data", &run.data);
    fact(page, "teacher", &run.teacher);
    fact(page, "budget of the student", &budget(&run.budget));
    fact(page, "started", &run.started);
    fact(page, "finished", run.finished.as_deref().unwrap_or("not finished"));
    fact(page, "cost", &cost(run));
    page.raw("</dl><p class=\"soft\">Recipe ").text(text_or_missing(&run.recipe));
    let changed = run.changed.as_deref().map_or(0, <[_]>::len);
    if changed > 0 {
        let settings = if changed == 1 { " changed setting" } else { " changed settings" };
        page.raw(" with ").text(changed).raw(settings);
    }
    page.raw(", seed ").text(run.seed).raw(", device ").text(text_or_missing(&run.device)).raw(".");
    if !run.description.trim().is_empty() {
        page.raw(" The recipe says of itself: <q>").text(run.description.trim()).raw("</q>");
    }
    page.raw("</p>");
}

/// Time of work, and that of all threads together in core-hours.
fn cost(run: &RunReport) -> String {
    match (run.seconds.filter(|seconds| seconds.is_finite()), run.threads) {
        (None, _) => MISSING.into(),
        (seconds, None) => duration(seconds),
        (Some(seconds), Some(threads)) => {
            let unit = if threads == 1 { "thread" } else { "threads" };
            let hours = seconds * threads as f64 / 3600.0;
            format!("{} with {threads} {unit}: {hours:.2} core-hours", duration(Some(seconds)))
        }
    }
}

fn result(page: &mut Markup, run: &RunReport) {
    page.raw("<section><h2>Models compared</h2>");
    if run.comparison.is_empty() {
        page.raw("<p class=\"soft\">No models were compared in this run.</p></section>");
        return;
    }
    let tasks = all_tasks(&run.comparison);
    for gain in &run.gains {
        page.raw("<p><strong>").text(sentence(gain)).raw("</strong></p>");
    }
    for m in &run.comparison {
        for warning in &m.warnings {
            page.raw("<p class=\"warning\"><strong>").text(&m.name).raw(":</strong> ").text(warning).raw("</p>");
        }
    }
    // On paper nothing scrolls.
    let many = if tasks.len() > TASKS_ON_PAPER { "cards many" } else { "cards" };
    page.raw("<div class=\"wide\">").open("table", &[("class", &many)]);
    page.raw("<thead><tr><th>model</th><th class=\"left\">role</th><th>parameters</th>");
    page.raw("<th>MACs<small>per pass</small></th><th>latency<small>per pass</small></th>");
    for (task, metric) in &tasks {
        page.raw("<th>").text(task).raw("<small>").text(metric).raw("</small></th>");
    }
    page.raw("</tr></thead><tbody>");
    for m in &run.comparison {
        page.raw(if m.role == crate::Role::Student { "<tr class=\"is-student\">" } else { "<tr>" });
        page.raw("<td>").text(&m.name).raw("</td>");
        text_cell(page, "role", m.role.name());
        cell(page, "parameters", &count_or_missing(m.params));
        cell(page, "MACs per pass", &count_or_missing(m.macs));
        cell(page, "latency per pass", &milliseconds(m.latency_ms));
        for task in &tasks {
            cell(page, &format!("{} {}", task.0, task.1), &points_with_error(score_of(m, task)));
        }
        page.raw("</tr>");
    }
    page.raw(
        "</tbody></table></div><p class=\"soft\">MACs are multiply-adds, counted once. Scores are points of 100. ",
    );
    if let Some(pass) = &run.pass {
        page.raw("A pass: ").text(pass).raw(". ");
    }
    page.raw("n/a: not measured.</p>");
    for m in run.comparison.iter().filter(|m| !m.note.trim().is_empty()) {
        page.raw("<p class=\"soft\"><strong>").text(&m.name).raw("</strong>: ").text(&m.note).raw("</p>");
    }
    let shared = shared_tasks(&run.comparison);
    let charts: Vec<Markup> = Cost::ALL.iter().filter_map(|c| model_front(&run.comparison, &shared, *c)).collect();
    if !charts.is_empty() {
        let names: Vec<String> = shared.iter().map(|(task, metric)| format!("{task} {metric}")).collect();
        page.raw("<p class=\"soft\">Mean score over what all scored models share: ").text(names.join(", "));
        page.raw(". The line joins the models that no other beats in both score and cost.</p>");
        figures(page, &charts, MODELS_KEY);
    }
    page.raw("</section>");
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

const MODELS_KEY: &str = concat!(
    "<span class=\"key square k-teacher\"></span>teacher<span class=\"key triangle k-baseline\"></span>baseline",
    "<span class=\"key star k-student\"></span>student<span class=\"key bar k-front\"></span>front"
);
fn network(page: &mut Markup, run: &RunReport) {
    page.raw("<section><h2>The network found</h2>");
    match &run.student {
        None => page.raw("<p class=\"soft\">This run did not get as far as choosing a network.</p>"),
        Some(student) => {
            let layers = student.layers.len();
            page.raw("<p>").text(layers).raw(if layers == 1 { " layer, " } else { " layers, " });
            page.text(student.hidden).raw(" channels, ");
            if student.embed > 0 {
                page.raw("a word table of width ").text(student.embed).raw(", ");
            }
            page.text(heads(student)).raw("; ").text(count_or_missing(student.params));
            page.raw(" parameters and ").text(count_or_missing(student.macs));
            page.raw(" multiply-adds (counted once) in all.</p><p class=\"soft\">Each picture reads from left to right; heights ");
            page.raw("are in proportion to the channels written above, so a narrow waist is a narrow inner layer.</p>");
            page.append(&crate::network::layers(student))
        }
    };
    page.raw("</section>");
}

/// Attention heads of a layer, the fewest and the most where layers differ.
fn heads(student: &StudentReport) -> String {
    let all = || student.layers.iter().map(|layer| layer.heads).filter(|&heads| heads > 0);
    match (all().min(), all().max()) {
        (Some(1), Some(1)) => "1 attention head".into(),
        (Some(least), Some(most)) if least == most => format!("{least} attention heads"),
        (Some(least), Some(most)) => format!("{least} to {most} attention heads"),
        _ => "no attention".into(),
    }
}

/// A part of a whole, in hundredths.
fn percent(part: Option<f64>) -> String {
    finite(part).map_or_else(|| MISSING.into(), |part| format!("{:.1}", part * 100.0))
}

fn latency(page: &mut Markup, run: &RunReport) {
    let Some(found) = &run.latency else { return };
    page.raw("<section><h2>Latency, predicted and measured</h2><p>Candidates were predicted from a table of measured parts, ");
    page.text(&found.table).raw(". ");
    match found.limit_ms {
        Some(limit) => page
            .raw("Predictions were kept ")
            .text(percent(Some(found.margin)))
            .raw("% below the limit of ")
            .text(milliseconds(Some(limit)))
            .raw("; the best candidate that is within it by the clock won."),
        None => page.raw("There was no limit."),
    };
    page.raw("</p><p class=\"soft\">");
    match (found.architectures, found.mean_abs_error) {
        (Some(n), Some(_)) => page
            .raw("On ")
            .text(n)
            .raw(" random architectures of a search space its predictions were off by ")
            .text(percent(found.mean_abs_error))
            .raw("% of the measured latency on average, nine of ten by less than ")
            .text(percent(found.p90_abs_error))
            .raw("%."),
        _ => page.raw("How well it predicts other networks was not measured: <code>bench --check</code> does."),
    };
    for correction in &found.corrections {
        page.raw(" After a round without a winner predictions were multiplied by ")
            .text(format!("{correction:.3}"))
            .raw(".");
    }
    page.raw("</p>");
    if found.candidates.is_empty() {
        page.raw("</section>");
        return;
    }
    page.raw("<div class=\"wide\"><table class=\"cards\"><thead><tr><th>candidate for the winner</th><th>predicted</th><th>measured</th>");
    page.raw("<th>off by</th><th>pace</th><th class=\"left\">verdict</th></tr></thead><tbody>");
    for c in &found.candidates {
        page.raw("<tr><td>stage ").text(c.stage).raw(", trial ").text(c.trial).raw("</td>");
        cell(page, "predicted", &milliseconds(Some(c.predicted_ms)));
        cell(page, "measured", &milliseconds(Some(c.measured_ms)));
        let off = finite(Some(c.predicted_ms / c.measured_ms - 1.0));
        cell(page, "off by", &off.map_or_else(|| MISSING.into(), |off| format!("{:+.1}%", off * 100.0)));
        cell(page, "pace", &finite(Some(c.pace)).map_or_else(|| MISSING.into(), |pace| format!("{pace:.2}")));
        let is_by_clock = found.limit_ms.is_none_or(|limit| c.measured_ms <= limit);
        let verdict = match (found.limit_ms, c.within, is_by_clock) {
            (None, ..) => "no limit",
            (_, false, _) => "too slow",
            (_, true, true) => "within the limit",
            (_, true, false) => "within the limit at the table's pace",
        };
        text_cell(page, "verdict", verdict);
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div><p class=\"soft\">Pace: how much longer than in the table its reference network took at the same time. ");
    page.raw("On a busy machine, and on another processor than the table's, that is above 1.</p></section>");
}

fn curves(page: &mut Markup, run: &RunReport) {
    const KEYS: [&str; 6] = [
        "<span class=\"key bar k0\"></span>",
        "<span class=\"key bar k1\"></span>",
        "<span class=\"key bar k2\"></span>",
        "<span class=\"key bar k3\"></span>",
        "<span class=\"key bar k4\"></span>",
        "<span class=\"key bar k5\"></span>",
    ];
    let charts = loss_curves(&run.curves);
    if charts.is_empty() {
        return;
    }
    page.raw("<section><h2>Training</h2><div class=\"charts\">");
    for (title, series, chart) in &charts {
        page.raw("<figure><h4>").text(title).raw("</h4>").append(chart).raw("<figcaption>");
        for (name, key) in series.iter().zip(KEYS.iter().cycle()).filter(|(name, _)| !name.is_empty()) {
            page.raw(key).text(name);
        }
        page.raw("</figcaption></figure>");
    }
    page.raw("</div></section>");
}

fn circumstances(page: &mut Markup, run: &RunReport) {
    page.raw("<section><h2>How it was run</h2><dl class=\"facts\">");
    fact(page, "processor", &run.machine.cpu);
    fact(page, "cores", &run.machine.cores.map_or_else(|| MISSING.into(), |n| n.to_string()));
    fact(page, "threads", &run.threads.map_or_else(|| MISSING.into(), |n| n.to_string()));
    fact(page, "system", &run.machine.os);
    for (name, version) in &run.versions {
        page.raw("<div><dt>").text(name).raw("</dt><dd>").text(text_or_missing(version)).raw("</dd></div>");
    }
    page.raw("</dl>");
    for note in &run.notes {
        page.raw("<p>").text(note).raw("</p>");
    }
    changed(page, run);
    page.raw("</section>");
}

fn changed(page: &mut Markup, run: &RunReport) {
    let Some(changed) = &run.changed else { return };
    if changed.is_empty() {
        page.raw("<p>All settings are the recipe's.</p>");
        return;
    }
    page.raw("<h3>Changed settings</h3><p class=\"soft\">What this run has otherwise than its recipe, by an option or with --set.</p>");
    page.raw(
        "<div class=\"wide\"><table class=\"cards values\"><thead><tr><th>key</th><th class=\"left\">this run</th>",
    );
    page.raw("<th class=\"left\">the recipe, or its default</th></tr></thead><tbody>");
    for setting in changed {
        page.raw("<tr><td><code>").text(&setting.key).raw("</code></td>");
        text_cell(page, "this run", &setting.value);
        text_cell(page, "the recipe", setting.recipe.as_deref().unwrap_or("not set"));
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div>");
}

fn fact(page: &mut Markup, name: &'static str, value: &str) {
    page.raw("<div><dt>").raw(name).raw("</dt><dd>").text(text_or_missing(value)).raw("</dd></div>");
}

/// A number; where the table is narrow, `label` stands beside it in place of the column's head.
pub(crate) fn cell(page: &mut Markup, label: &str, text: &str) {
    let class = if text == MISSING { "na" } else { "number" };
    page.element("td", &[("class", &class), ("data-label", &label)], text);
}

/// [`cell`] of words.
pub(crate) fn text_cell(page: &mut Markup, label: &str, text: &str) {
    page.element("td", &[("class", &"left"), ("data-label", &label)], text);
}

pub(crate) fn figures(page: &mut Markup, charts: &[Markup], key: &'static str) {
    page.raw("<div class=\"charts\">");
    for chart in charts {
        page.raw("<figure>").append(chart).raw("</figure>");
    }
    page.raw("</div><p class=\"keys\">").raw(key).raw("</p>");
}
