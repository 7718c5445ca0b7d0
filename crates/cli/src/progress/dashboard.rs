//! Several lines about a training, drawn in place under its bar.

use super::format::{duration, sparkline};
use super::phase::{Phase, Within};

/// Columns of a terminal that does not say how wide it is.
const USUAL: usize = 80;
/// Columns below which there is no room for a value.
const LEAST: usize = MARGIN + 8;
/// Columns to the left of every value.
const MARGIN: usize = 9;
/// Names of values that have lines of their own, or share one.
const ELSEWHERE: [&str; 7] = ["loss", "best", "tokens_per_second", "memory_mib", "lr", "grad_norm", "skipped"];

/// What stands behind and below the bar, on the terminal as wide as it is now.
pub(super) fn below(phase: &Phase) -> String {
    let columns = console::Term::stderr().size_checked().map_or(USUAL, |(_, columns)| usize::from(columns));
    // Drawn up to the last column, some terminals wrap.
    in_columns(phase, columns.max(LEAST) - 1)
}

/// [`below`] in lines of at most `width` columns: one that wraps cannot be drawn over.
fn in_columns(phase: &Phase, width: usize) -> String {
    let left = phase.left().map(|left| format!("{} left", duration(left))).unwrap_or_default();
    let mut lines = vec![left];
    let mut add = |title: &str, text: String| {
        if !text.trim().is_empty() {
            lines.push(format!("  {title:<7}{text}").chars().take(width).collect());
        }
    };
    add("now", phase.within.as_ref().map(Within::text).unwrap_or_default());
    add("", sparkline(&phase.losses, width - MARGIN));
    let of = |names: &[&str]| names.iter().filter_map(|n| phase.text(n)).collect::<Vec<_>>().join("  ");
    let others = phase.values_without(&ELSEWHERE);
    add("", of(&["loss", "best"]));
    add("terms", others.join("  "));
    add("step", of(&["lr", "grad_norm", "skipped"]));
    add("speed", of(&["tokens_per_second", "memory_mib"]));
    for (i, text) in phase.evaluations.iter().enumerate() {
        for (j, line) in wrapped(text, width - MARGIN - 2).into_iter().enumerate() {
            let indent = if j == 0 { "" } else { "  " };
            add(if i + j == 0 { "dev" } else { "" }, format!("{indent}{line}"));
        }
    }
    lines.join("\n")
}

/// `text` in lines of at most `width` columns, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::phase::tests::training;
    use super::*;

    const WIDTH: usize = 79;

    #[test]
    fn everything_measured_has_its_place_and_no_line_wraps() {
        let mut phase = training();
        for (step, loss) in [(1, 4.0), (2, 2.0), (3, 1.0)] {
            phase.losses.push(loss);
            phase.evaluated(&format!("step {step}: accuracy {loss}"));
        }
        phase.evaluated(&"x".repeat(200));
        let text = in_columns(&phase, WIDTH);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1 min 30 s left");
        assert_eq!(lines[1].trim(), "█▃▁");
        assert_eq!(lines[2].trim(), "loss NaN  best 0.7500");
        assert_eq!(lines[3], "  terms  attention NaN  hidden 0.2500");
        assert_eq!(lines[4], "  step   lr 5.00e-5  gradient norm 1.5000  skipped 0");
        assert_eq!(lines[5], "  speed  1,234 tokens/s  512 MiB");
        assert!(lines[6].starts_with("  dev    xxx"), "the newest comes first: {}", lines[6]);
        assert_eq!(lines[7], "         step 3: accuracy 1");
        assert_eq!(lines.len(), 10, "four evaluations stay");
        assert!(lines.iter().all(|l| l.chars().count() <= WIDTH));
    }

    #[test]
    fn scores_of_many_tasks_go_on_in_the_next_line() {
        let mut phase = training();
        phase.evaluated(&format!("step 30: {}", "sst-2/accuracy 87.04, ".repeat(6)));
        let text = in_columns(&phase, WIDTH);
        assert_eq!(text.matches("87.04").count(), 6, "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn work_without_losses_has_its_values_and_no_empty_lines() {
        let mut phase = Phase::new("eval", (5, 0), "examples", None);
        phase.values = vec![super::super::phase::Value::plain("ms", 1.5)];
        assert_eq!(in_columns(&phase, WIDTH), "\n  terms  ms 1.5000");
    }
}
