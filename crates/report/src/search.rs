//! The part of the page about the search: its stages, what the good candidates have in common, and what the scores are worth.

use crate::data::{FidelityRow, RunReport, StageReport};
use crate::format::{count, duration, finite, milliseconds, score, text_or_missing};
use crate::genes::pictures;
use crate::markup::Markup;
use crate::page::{cell, figures, text_cell};
use crate::plots::{Cost, search_history, stage_front};

/// Rows of a stage's table of trials; the run folder has all of them.
const TRIALS_SHOWN: usize = 10;

const STAGE_KEY: &str = concat!(
    "<span class=\"key k-dot\"></span>a trial<span class=\"key bar k-best\"></span>best so far",
    "<span class=\"key k-front\"></span>on the front of score and cost<span class=\"key star k-student\"></span>chosen",
    "<span class=\"key bar k-failed\"></span>no score<span class=\"key bar k-teacher\"></span>model beyond the chart"
);

/// The stages of the search, what the good candidates have in common, and what the scores are worth.
pub(crate) fn section(page: &mut Markup, run: &RunReport) {
    page.raw("<section><h2>The search</h2>");
    if run.stages.is_empty() {
        page.raw("<p class=\"soft\">No stage of the search was run.</p>");
    }
    let score_name = if run.score_name.trim().is_empty() { "score" } else { &run.score_name };
    for stage in &run.stages {
        stage_part(page, stage, run, score_name);
    }
    fidelities(page, &run.fidelities);
    page.raw("</section>");
}

fn stage_part(page: &mut Markup, stage: &StageReport, run: &RunReport, score_name: &str) {
    let scored = stage.trials.iter().filter(|t| finite(t.score).is_some()).count();
    page.raw("<h3>").text(text_or_missing(&stage.name)).raw("</h3><p class=\"soft\">");
    page.text(stage.trials.len())
        .raw(" trials, ")
        .text(scored)
        .raw(" with a score; took ")
        .text(duration(stage.seconds));
    if let Some(best) = stage.best {
        page.raw("; chose trial ").text(best);
    }
    page.raw(".</p>");
    if let Some(chart) = search_history(stage, score_name) {
        let front = |c: &Cost| stage_front(stage, &run.comparison, *c, score_name);
        let mut charts = vec![chart];
        charts.extend(Cost::ALL.iter().filter_map(front));
        figures(page, &charts, STAGE_KEY);
    } else {
        page.raw("<p class=\"soft\">No trial of this stage has a score, so there is nothing to draw.</p>");
    }
    if !stage.rejected.is_empty() {
        page.raw("<div class=\"wide\"><table><thead><tr><th>thrown away before training because</th><th>candidates</th></tr>");
        page.raw("</thead><tbody>");
        for (reason, n) in &stage.rejected {
            page.raw("<tr><td>").text(reason).raw("</td>");
            cell(page, "candidates", &n.to_string());
            page.raw("</tr>");
        }
        page.raw("</tbody></table></div>");
    }
    genes(page, stage);
    if !stage.trials.is_empty() {
        trials(page, stage);
    }
}

fn trials(page: &mut Markup, stage: &StageReport) {
    let shown = stage.trials.len().min(TRIALS_SHOWN);
    page.raw("<details><summary>The ").text(shown).raw(" best of ").text(stage.trials.len()).raw(" trials</summary>");
    page.raw("<div class=\"wide\"><table class=\"cards\"><thead><tr><th>candidate</th><th>trial</th><th>score</th><th>parameters</th>");
    page.raw("<th>MACs</th><th>latency</th><th class=\"left\">state</th></tr></thead><tbody>");
    for t in &stage.trials[..shown] {
        page.raw("<tr><td><code>").text(&t.genome).raw("</code></td>");
        cell(page, "trial", &t.number.to_string());
        cell(page, "score", &score(t.score));
        cell(page, "parameters", &count(t.params));
        cell(page, "MACs", &count(t.macs));
        cell(page, "latency", &milliseconds(t.latency_ms));
        text_cell(page, "state", &t.state);
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div></details>");
}

/// What varies among the candidates of a stage, beside what varies among the best of them.
fn genes(page: &mut Markup, stage: &StageReport) {
    let pictures = pictures(stage);
    if pictures.is_empty() {
        return;
    }
    let [all, good] = stage.counted;
    page.raw("<h4>What the best candidates have</h4><p class=\"soft\">Of the ")
        .text(all)
        .raw(" candidates with a score, and of the best ");
    page.text(good).raw(", the part that has each value. Candidates are drawn from the sizes that the budget allows, so all of them do not have all values alike often");
    page.raw(if good < FEW { "; so few say little.</p>" } else { ".</p>" });
    page.raw("<div class=\"charts\">");
    for (title, picture) in &pictures {
        page.raw("<figure><h5>").text(title).raw("</h5>").append(picture).raw("</figure>");
    }
    page.raw("</div><p class=\"keys\"><span class=\"key k-all\"></span>all candidates<span class=\"key k-student\"></span>the best quarter</p>");
}

/// Fewer good candidates than this say nothing of a gene.
const FEW: u64 = 5;

fn fidelities(page: &mut Markup, rows: &[FidelityRow]) {
    if rows.is_empty() {
        return;
    }
    page.raw("<h3>What the scores are worth</h3><p class=\"soft\">Spearman's rank correlation of a score with a later one of the same networks, with its 95% ");
    page.raw("interval: 1 where both order the networks alike, 0 where one says nothing of the other. ");
    page.raw("The control is the number of parameters, which costs nothing.</p>");
    page.raw("<div class=\"wide\"><table class=\"cards\"><thead><tr><th>score</th><th class=\"left\">orders</th><th>networks</th>");
    page.raw("<th>correlation</th><th>95% interval</th><th class=\"left\"></th></tr></thead><tbody>");
    for row in rows {
        let number =
            |value| finite(Some(value)).map_or_else(|| crate::format::MISSING.into(), |value| format!("{value:.2}"));
        page.raw("<tr><td>").text(&row.score).raw("</td>");
        text_cell(page, "orders", &row.target);
        cell(page, "networks", &row.networks.to_string());
        cell(page, "correlation", &number(row.spearman));
        cell(page, "95% interval", &format!("{} to {}", number(row.low), number(row.high)));
        text_cell(page, "", &row.verdict);
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div>");
}
