//! Behavior of the page: complete, self-contained, and honest about what is missing.

mod sample;

use report::{ModelRow, Role, RunReport, StageReport, TrialPoint, render_html};
use sample::made_up_run;

/// The tags of a page in order, checked to be balanced.
fn tags(page: &str) -> Vec<String> {
    const VOID: [&str; 3] = ["meta", "!DOCTYPE", "link"];
    let (mut all, mut open): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    // Styles hold no angle bracket, so every '<' begins a tag.
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("every tag is closed");
        let name = tag.split_whitespace().next().unwrap().to_owned();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "tags are nested");
        } else if !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        all.push(name);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

#[test]
fn a_whole_run_is_one_balanced_page_with_every_part() {
    let page = render_html(&made_up_run(80, 200));
    tags(&page);
    for part in ["Models compared", "The network found", "The search", "Training", "How it was run", "Layer 6", "FFN 4"]
    {
        assert!(page.contains(part), "{part}");
    }
    // Three stages of four charts, three of the compared models, two of training; six layers.
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 3 * 4 + 3 + 2);
    assert_eq!(page.matches("<svg class=\"layer\"").count(), 6);
    assert!(page.contains("multiply-adds, counted once") && !page.contains("FLOP"));
    assert!(page.contains("prefers-color-scheme"));
}

#[test]
fn a_page_needs_no_network_and_runs_no_script() {
    let page = render_html(&made_up_run(20, 20));
    for forbidden in ["http://", "https://", "<script", "src=", "href=", "url(", "@import", "javascript:", "onload"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(render_html(&made_up_run(50, 50)), render_html(&made_up_run(50, 50)));
}

#[test]
fn predicted_and_measured_latencies_stand_side_by_side_with_the_tables_accuracy() {
    let run = made_up_run(5, 5);
    let page = render_html(&run);
    tags(&page);
    for part in [
        "2.1% below the limit of 75.0 ms",
        "On 100 random architectures",
        "off by 2.3% of the measured latency on average, nine of ten by less than 4.1%",
        "data-label=\"predicted\">73.1 ms",
        "data-label=\"measured\">75.9 ms",
        ">too slow<",
        ">within the limit at the table&#39;s pace<",
        ">within the limit<",
        "multiplied by 1.038",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let none = RunReport { latency: None, ..run };
    assert!(!render_html(&none).contains("predicted and measured"));
}

#[test]
fn an_empty_run_says_what_it_lacks() {
    let page = render_html(&RunReport::default());
    tags(&page);
    for text in ["No models were compared", "did not get as far", "No stage of the search", "not finished", "n/a"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<svg"));
}

#[test]
fn a_stage_without_trials_or_scores_draws_nothing() {
    let unscored = TrialPoint { score: Some(f64::NAN), params: 5, ..TrialPoint::default() };
    for trials in [vec![], vec![unscored]] {
        let stage = StageReport { name: "Stage 1".into(), trials, ..StageReport::default() };
        let page = render_html(&RunReport { stages: vec![stage], ..RunReport::default() });
        tags(&page);
        assert!(page.contains("nothing to draw") && !page.contains("<svg"));
        assert!(page.contains("took n/a"), "the time was not measured");
    }
}

#[test]
fn one_trial_is_enough_for_a_chart() {
    let trial = TrialPoint { number: 7, score: Some(0.5), params: 10, macs: 20, ..TrialPoint::default() };
    let stage = StageReport { trials: vec![trial], best: Some(7), ..StageReport::default() };
    let page = render_html(&RunReport { stages: vec![stage], ..RunReport::default() });
    tags(&page);
    // History, parameters, multiply-adds; its latency was not measured.
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 3);
    assert_eq!(page.matches(">chosen</text>").count(), 3);
    assert!(!page.contains("NaN"));
}

#[test]
fn the_best_trials_are_listed_in_the_order_of_the_search_not_by_number() {
    let trial = |number: u64, score, params| TrialPoint {
        number,
        score,
        params,
        genome: format!("candidate {number}"),
        ..TrialPoint::default()
    };
    // Of equal scores the search prefers the smaller one.
    let trials = vec![trial(2, Some(0.65289), 6_590_000), trial(0, Some(0.65289), 6_790_000), trial(1, None, 1)];
    let stage = StageReport { trials, best: Some(2), ..StageReport::default() };
    let page = render_html(&RunReport { stages: vec![stage], ..RunReport::default() });
    let rows: Vec<&str> = page.split("<code>candidate ").skip(1).map(|rest| &rest[..1]).collect();
    assert_eq!(rows, ["2", "0", "1"]);
    assert!(page.contains("chose trial 2"));
}

#[test]
fn numbers_that_are_not_finite_are_missing() {
    let mut run = made_up_run(30, 30);
    for (i, bad) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308].into_iter().enumerate() {
        run.stages[0].trials[i].score = Some(bad);
        run.stages[0].trials[i].latency_ms = Some(bad);
        run.curves[0].points[i].1 = bad;
        run.comparison[i].scores[0].value = bad;
        run.comparison[i].latency_ms = Some(bad);
    }
    run.stages[1].seconds = Some(f64::NAN);
    let page = render_html(&run);
    tags(&page);
    assert!(!page.contains("NaN") && !page.contains(">inf") && !page.contains("\"inf"));
}

#[test]
fn the_cost_is_given_in_core_hours_as_far_as_it_is_known() {
    let cost = |seconds, threads| render_html(&RunReport { seconds, threads, ..RunReport::default() });
    assert!(cost(Some(5400.0), Some(2)).contains("<dd>1 h 30 min with 2 threads: 3.00 core-hours</dd>"));
    assert!(cost(Some(30.0), None).contains("<dt>cost</dt><dd>30 s</dd>"));
    for unknown in [None, Some(f64::NAN)] {
        assert!(cost(unknown, Some(2)).contains("<dt>cost</dt><dd>n/a</dd>"));
    }
}

#[test]
fn missing_sizes_are_shown_as_missing_and_not_as_zero() {
    let row = ModelRow { name: "only a name".into(), role: Role::Baseline, ..ModelRow::default() };
    let page = render_html(&RunReport { comparison: vec![row], ..RunReport::default() });
    assert_eq!(page.matches(">n/a</td>").count(), 3);
    assert_eq!(page.matches("<td class=\"na\"").count(), 3);
    assert!(!page.contains(">0</td>"));
}

#[test]
fn a_page_says_what_was_run_before_what_the_recipe_says_of_itself() {
    let page = render_html(&made_up_run(5, 5));
    let body = page.split_once("<body>").unwrap().1;
    let at = |text: &str| body.find(text).unwrap_or_else(|| panic!("{text}"));
    let order = [
        "a made-up sample</h1>",
        "CoLA, SST-2, MRPC",
        "bert-base-uncased</dd>",
        "15.0 M to 16.0 M parameters",
        "2025-01-02 03:04:05 UTC",
        "with 3 changed settings",
        "The recipe says of itself: <q>A recipe&#39;s own words",
        "Models compared",
        "Changed settings",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    for cell in [
        "<code>search.stage1.proxy.general.steps</code></td><td class=\"left\" data-label=\"this run\">12</td>",
        "data-label=\"the recipe\">60</td>",
        "data-label=\"the recipe\">not set</td>",
    ] {
        assert!(body.contains(cell), "{cell}");
    }
}

#[test]
fn settings_that_are_all_the_recipes_and_settings_that_nobody_knows_are_told_apart() {
    let page = |changed| render_html(&RunReport { changed, ..RunReport::default() });
    assert!(page(Some(Vec::new())).contains("<p>All settings are the recipe's.</p>"));
    assert!(!page(None).contains("settings"));
}

#[test]
fn every_number_says_what_it_is_where_a_table_is_too_wide_for_its_head() {
    let run = made_up_run(5, 5);
    let page = render_html(&run);
    let student = page.split_once("<tr class=\"is-student\">").unwrap().1.split_once("</tr>").unwrap().0;
    for label in ["role", "parameters", "MACs per pass", "latency per pass", "MRPC mean acc, F1", "RTE accuracy"] {
        assert!(student.contains(&format!("data-label=\"{label}\"")), "{label}: {student}");
    }
    // A cell without a label is a row's first.
    assert_eq!(student.matches("<td").count(), student.matches("data-label").count() + 1);
    assert!(page.contains("@media(max-width:640px)") && page.contains("attr(data-label)"));
}

#[test]
fn scores_that_mean_nothing_have_a_warning_above_the_table_and_a_row_to_be_compared_with() {
    let page = render_html(&made_up_run(5, 5));
    let (above, table) = page.split_once("<table class=\"cards many\">").unwrap();
    assert!(
        above.contains(
            "<p class=\"warning\"><strong>6-layer plain BERT, distilled alike:</strong> mrpc: all 408 answers"
        )
    );
    assert!(table.contains("<td>majority class or mean</td><td class=\"left\" data-label=\"role\">no model</td>"));
}

#[test]
fn a_teacher_far_beyond_the_trials_is_a_level_line() {
    let page = render_html(&made_up_run(60, 10));
    assert!(page.contains("BERT-base, at 109 M parameters"));
    assert!(page.contains("class=\"level\""));
}

#[test]
fn a_huge_study_still_gives_a_page_that_opens() {
    let page = render_html(&made_up_run(100_000, 300_000));
    assert!(page.len() < 12_000_000, "{} bytes", page.len());
    assert!(page.contains("of 100000 trials"));
}

#[test]
fn a_report_survives_json_and_old_json_without_new_fields_is_read() {
    let run = made_up_run(5, 5);
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<RunReport>(&text).unwrap(), run);
    let old: RunReport =
        serde_json::from_str(r#"{"title": "old", "comparison": [{"name": "m", "role": "teacher"}]}"#).unwrap();
    assert_eq!(old.comparison[0].role, Role::Teacher);
}

mod escaping {
    use super::{made_up_run, tags};
    use proptest::prelude::*;
    use report::{ChangedSetting, RunReport, render_html};

    /// The run with one text in every place that a text can come from.
    fn with_text_everywhere(text: &str) -> RunReport {
        let mut run = made_up_run(12, 4);
        let t = || text.to_owned();
        (run.title, run.recipe, run.started, run.finished) = (t(), t(), t(), Some(t()));
        (run.description, run.tasks, run.teacher, run.data) = (t(), vec![t()], t(), t());
        run.changed = Some(vec![ChangedSetting { key: t(), value: t(), recipe: Some(t()) }]);
        (run.device, run.score_name, run.notes) = (t(), t(), vec![t()]);
        (run.machine.cpu, run.machine.os, run.versions) = (t(), t(), [(t(), t())].into());
        for stage in &mut run.stages {
            (stage.name, stage.rejected) = (t(), [(t(), 3)].into());
            stage.trials.iter_mut().for_each(|trial| (trial.state, trial.genome) = (t(), t()));
        }
        run.curves.iter_mut().for_each(|c| (c.title, c.y_label, c.series) = (t(), t(), t()));
        for m in &mut run.comparison {
            (m.name, m.note, m.warnings) = (t(), t(), vec![t()]);
            m.scores.truncate(1);
            (m.scores[0].task, m.scores[0].metric) = (t(), t());
        }
        run.student.as_mut().unwrap().layers.iter_mut().for_each(|l| (l.expression, l.ratio) = (t(), t()));
        run
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_can_change_the_structure_of_the_page(text in "[<>&\"'/a-z!\\-\\x00-\\x1f=;é漢 ]{0,40}") {
            let text = format!("x{text}");
            let (page, plain) = (render_html(&with_text_everywhere(&text)), render_html(&with_text_everywhere("x")));
            prop_assert_eq!(tags(&page), tags(&plain));
            prop_assert!(!page.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }

        #[test]
        fn any_numbers_give_a_balanced_page(scores in prop::collection::vec(any::<f64>(), 1..20), sizes in prop::collection::vec(any::<u64>(), 20)) {
            let mut run = made_up_run(20, 20);
            for (i, s) in scores.iter().enumerate() {
                let t = &mut run.stages[0].trials[i];
                (t.score, t.latency_ms, t.params, t.macs, t.number) = (Some(*s), Some(*s), sizes[i], sizes[19 - i], sizes[i]);
                run.curves[0].points[i] = (sizes[i], *s);
            }
            run.comparison[0].params = Some(sizes[0]);
            run.student.as_mut().unwrap().layers[0].inner = sizes[1];
            let page = render_html(&run);
            tags(&page);
            prop_assert!(!page.contains("NaN"));
        }
    }
}
