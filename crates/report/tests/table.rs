//! Behavior of the comparison table in a terminal and as JSON.

mod sample;

use report::{ModelRow, Role, TERMINAL_COLUMNS, TaskScore, comparison_table_text};
use sample::made_up_run;

fn row(name: &str, params: Option<u64>, score: Option<f64>) -> ModelRow {
    let scores =
        score.map(|value| TaskScore { task: "SST-2".into(), metric: "accuracy".into(), value, standard_error: None });
    ModelRow { name: name.into(), params, scores: scores.into_iter().collect(), ..ModelRow::default() }
}

#[test]
fn columns_are_aligned_and_missing_numbers_are_said_to_be_missing() {
    let text = comparison_table_text(&[
        row("teacher", Some(108_900_000), Some(0.934)),
        row("student", Some(15_737_724), None),
    ]);
    let expected = "\
model    parameters  MACs  latency     SST-2
                                    accuracy
teacher       109 M   n/a      n/a      93.4
student      15.7 M   n/a      n/a       n/a

MACs: multiply-adds of one forward pass, counted once. Scores: points of 100. n/a: not measured.
";
    assert_eq!(text, expected);
}

#[test]
fn no_line_is_wider_than_a_terminal_and_every_score_is_there() {
    let mut rows = made_up_run(1, 1).comparison;
    rows[0].name = "a name that goes on and on ".repeat(9);
    rows[1].note = "a note that goes on and on ".repeat(9);
    rows[2].scores[0].task = "a task that goes on and on ".repeat(9);
    let text = comparison_table_text(&rows);
    for line in text.lines() {
        assert!(line.chars().count() <= TERMINAL_COLUMNS, "{line}");
    }
    for task in ["CoLA", "RTE", "QNLI"] {
        assert!(text.contains(task), "{task}\n{text}");
    }
}

#[test]
fn a_model_whose_scores_may_mean_nothing_is_marked() {
    let mut teacher = row("teacher", Some(9), Some(0.5));
    teacher.warnings = vec!["sst-2: all 872 answers are positive (1)".into()];
    let text = comparison_table_text(&[teacher, row("student", Some(9), Some(0.9))]);
    assert!(
        text.starts_with("model") && text.contains("\nteacher [!]  ") && text.contains("\nstudent      "),
        "{text}"
    );
    assert!(text.contains("\n[!] these scores may be meaningless, see the warnings\n"), "{text}");
    assert!(!comparison_table_text(&[row("student", Some(9), Some(0.9))]).contains("[!]"));
}

#[test]
fn nothing_to_compare_is_said() {
    assert_eq!(comparison_table_text(&[]), "no models to compare\n");
}

#[test]
fn a_name_cannot_move_the_cursor() {
    let mut hostile = row("a\u{1b}[2J\rb\nc", None, None);
    hostile.note = "\u{1b}]0;title\u{7}".into();
    let text = comparison_table_text(&[hostile]);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.contains("[1]"), "the note is there");
}

#[test]
fn json_has_null_for_what_is_missing() {
    let mut student = row("student", Some(15), Some(f64::NAN));
    student.role = Role::Student;
    let json = serde_json::to_value([student]).unwrap();
    assert_eq!((&json[0]["role"], &json[0]["params"]), (&"student".into(), &15.into()));
    for missing in ["macs", "latency_ms", "search_score"] {
        assert!(json[0][missing].is_null(), "{missing}");
    }
    assert!(json[0]["scores"][0]["value"].is_null());
}
