//! A study as one flat table: a row for each trial.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::study::parameters::{Value, parameters};
use crate::study::record::{RejectedDraw, Trial};
use crate::study::stage::StageRecord;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Whole,
    /// Numbers.
    Number,
    /// Text.
    Text,
}

/// A value, or nothing where it is not known or there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Nothing,
    /// A value of a [`Kind::Whole`] column.
    Whole(i64),
    /// A value of a [`Kind::Number`] column.
    Number(f64),
    /// A value of a [`Kind::Text`] column.
    Text(String),
}

impl Cell {
    fn whole(value: impl TryInto<i64>) -> Self {
        // A store keeps 63 bits, so nothing is cut here.
        Self::Whole(value.try_into().unwrap_or(i64::MAX))
    }

    fn text(value: &str) -> Self {
        Self::Text(value.to_owned())
    }

    fn option<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Nothing, cell)
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Whole(value, _) => Self::Whole(value),
            Value::Number(value, _) => Self::Number(value),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// The columns that every study has, with their kinds.
const FIXED: [(&str, Kind); 15] = [
    ("stage", Kind::Whole),
    ("number", Kind::Whole),
    ("state", Kind::Text),
    ("place", Kind::Whole),
    ("fitness", Kind::Number),
    ("params", Kind::Whole),
    ("macs", Kind::Whole),
    ("latency_ms", Kind::Number),
    ("seed", Kind::Whole),
    ("started_ms", Kind::Whole),
    ("finished_ms", Kind::Whole),
    ("seconds", Kind::Number),
    ("reason", Kind::Text),
    ("fingerprint", Kind::Text),
    ("architecture", Kind::Text),
];

/// How the state of a draw is called that was not evaluated.
const REJECTED: &str = "rejected";

/// Rows of cells under named columns.
///
/// After the columns that every study has (times are Unix milliseconds, `place` is 1 for the best of its stage) come the metrics of the
/// evaluations as `metrics.NAME`, then what varies in the architectures as [`parameters`] names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names and kinds.
    pub columns: Vec<(String, Kind)>,
    /// As many cells each as there are columns, each of the column's kind or nothing.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The trials of `stages` in order; with `rejected` also the draws that were not evaluated, before the trial in whose place they
    /// were drawn.
    #[must_use]
    pub fn of(stages: &[StageRecord], rejected: bool) -> Self {
        let trials = || stages.iter().flat_map(|stage| &stage.trials);
        let draws = || stages.iter().filter(|_| rejected).flat_map(|stage| &stage.rejected);
        let metrics: BTreeSet<&String> = trials().flat_map(|trial| trial.metrics.keys()).collect();
        let mut varied: Vec<(String, Kind)> = Vec::new();
        let mut known = BTreeSet::new();
        let genomes = trials().map(|trial| &trial.genome).chain(draws().map(|draw| &draw.genome));
        for (name, value) in genomes.flat_map(|genome| parameters(genome)) {
            // Of another space, whose text has a column already.
            if name != "architecture" && known.insert(name.clone()) {
                varied.push((name, kind(&value)));
            }
        }
        let columns = FIXED.into_iter().map(|(name, kind)| (name.to_owned(), kind));
        let columns = columns.chain(metrics.iter().map(|name| (format!("metrics.{name}"), Kind::Number)));
        let columns: Vec<(String, Kind)> = columns.chain(varied.iter().cloned()).collect();
        let rest = |metric: &dyn Fn(&str) -> Option<f64>, genome: &str| -> Vec<Cell> {
            let mut values: BTreeMap<String, Value> = parameters(genome).into_iter().collect();
            let metrics = metrics.iter().map(|name| Cell::option(metric(name), Cell::Number));
            metrics.chain(varied.iter().map(|(name, _)| Cell::option(values.remove(name), Cell::from))).collect()
        };
        let mut rows = Vec::new();
        for stage in stages {
            let places = stage.places();
            let mut draws = stage.rejected.iter().filter(|_| rejected).peekable();
            let mut of_draw = |draw: &RejectedDraw| [fixed_of_draw(draw), rest(&|_| None, &draw.genome)].concat();
            for trial in &stage.trials {
                while let Some(draw) = draws.next_if(|draw| draw.number <= trial.number) {
                    rows.push(of_draw(draw));
                }
                let metric = |name: &str| trial.metrics.get(name).copied();
                let place = places.get(&trial.number).copied();
                rows.push([fixed_of_trial(trial, place), rest(&metric, &trial.genome)].concat());
            }
            rows.extend(draws.map(&mut of_draw));
        }
        Self { columns, rows }
    }

    /// The table as comma-separated values (RFC 4180, with `\n` at the end of a line): a line of names, then one for each row; nothing
    /// is an empty field. Numbers are written so that reading them gives the same bits.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = String::new();
        let mut line = |fields: &mut dyn Iterator<Item = String>| {
            for (i, field) in fields.enumerate() {
                text += if i > 0 { "," } else { "" };
                text += &field;
            }
            text.push('\n');
        };
        line(&mut self.columns.iter().map(|(name, _)| quoted(name)));
        for row in &self.rows {
            line(&mut row.iter().map(field));
        }
        text
    }
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Whole(..) => Kind::Whole,
        Value::Number(..) => Kind::Number,
        Value::Text(_) => Kind::Text,
    }
}

fn fixed_of_trial(trial: &Trial, place: Option<u64>) -> Vec<Cell> {
    vec![
        Cell::whole(trial.stage),
        Cell::whole(trial.number),
        Cell::text(trial.state.name()),
        Cell::option(place, Cell::whole),
        Cell::option(trial.fitness, Cell::Number),
        Cell::whole(trial.cost.params),
        Cell::whole(trial.cost.macs),
        Cell::option(trial.latency_ms, Cell::Number),
        Cell::whole(trial.seed),
        Cell::Whole(trial.started_at),
        Cell::option(trial.finished_at, Cell::Whole),
        Cell::option(trial.seconds(), Cell::Number),
        Cell::option(trial.reason.as_deref(), Cell::text),
        Cell::text(&trial.fingerprint),
        Cell::text(&trial.genome),
    ]
}

fn fixed_of_draw(draw: &RejectedDraw) -> Vec<Cell> {
    vec![
        Cell::whole(draw.stage),
        Cell::whole(draw.number),
        Cell::text(REJECTED),
        Cell::Nothing,
        Cell::Nothing,
        Cell::whole(draw.cost.params),
        Cell::whole(draw.cost.macs),
        Cell::option(draw.latency_ms, Cell::Number),
        Cell::Nothing,
        Cell::Whole(draw.at),
        Cell::Nothing,
        Cell::Nothing,
        Cell::text(draw.reason.name()),
        Cell::text(&draw.fingerprint),
        Cell::text(&draw.genome),
    ]
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Nothing => String::new(),
        Cell::Whole(value) => value.to_string(),
        Cell::Number(value) => format!("{value:?}"),
        Cell::Text(text) => quoted(text),
    }
}

/// A field, in quotes where it needs them.
fn quoted(text: &str) -> String {
    if !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    let mut field = String::with_capacity(text.len() + 2);
    // Writing to a string cannot fail.
    let _ = write!(field, "\"{}\"", text.replace('"', "\"\""));
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Rejection;
    use crate::study::conformance::{draw, new_trial};
    use crate::study::{Fitness, MemoryStudy, NewTrial, StudyIdentity, StudyStore};

    const GENOME: &str = "linear2_4(gelu(linear2_4(x,wb1)),wb2)";

    fn stage() -> StageRecord {
        let mut store = MemoryStudy::new(StudyIdentity { name: "s".into(), config_hash: "h".into(), seed: 1 });
        let trial = |number| NewTrial { genome: GENOME.into(), ..new_trial(1, number) };
        let id = store.begin_trial(&trial(0), &[draw(0, Rejection::TooSlow)]).unwrap();
        store.finish(id, &Fitness { score: 0.1 + 0.2, metrics: [("loss".into(), 2.0)].into() }, 1600).unwrap();
        let id = store.begin_trial(&trial(1), &[]).unwrap();
        store.fail(id, "a \"bad\" loss,\nat step 3", 300).unwrap();
        store.exhaust(1, &[draw(2, Rejection::Duplicate)]).unwrap();
        StageRecord::read(&store, 1).unwrap()
    }

    #[test]
    fn a_row_has_a_cell_of_its_columns_kind_everywhere() {
        let table = Table::of(&[stage()], true);
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[15..], ["metrics.loss", "layer1.stacks", "layer1.ratio", "layer1.expression"]);
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len());
            for (cell, (name, kind)) in row.iter().zip(&table.columns) {
                let fits = match cell {
                    Cell::Nothing => true,
                    Cell::Whole(_) => *kind == Kind::Whole,
                    Cell::Number(_) => *kind == Kind::Number,
                    Cell::Text(_) => *kind == Kind::Text,
                };
                assert!(fits, "{name}: {cell:?}");
            }
        }
        let states: Vec<&Cell> = table.rows.iter().map(|row| &row[2]).collect();
        assert_eq!(states, ["rejected", "complete", "failed", "rejected"].map(Cell::text).iter().collect::<Vec<_>>());
        assert_eq!(Table::of(&[stage()], false).rows.len(), 2);
    }

    #[test]
    fn numbers_come_back_from_csv_and_text_with_commas_quotes_and_line_ends_is_quoted() {
        let csv = Table::of(&[stage()], false).csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("stage,number,state,place,fitness,params,"), "{csv}");
        let first: Vec<&str> = lines[1].split(',').collect();
        assert_eq!(first[..5], ["1", "0", "complete", "1", "0.30000000000000004"]);
        assert_eq!(first[4].parse::<f64>().unwrap(), 0.1 + 0.2);
        assert_eq!(first[9..13], ["100", "1600", "1.5", ""], "times, seconds and no reason");
        assert!(lines[1].ends_with(",2.0,2,0.25,\"linear(gelu(linear(x,wb1)),wb2)\""), "{csv}");
        assert!(csv.contains("\"a \"\"bad\"\" loss,\nat step 3\""), "{csv}");
        assert_eq!(csv.matches("failed,,,").count(), 1, "{csv}");
    }
}
