//! Which values of a gene the good candidates have more often than the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::study::parameters::{Value, parameters};
use crate::study::record::Trial;

/// Of how many candidates one counts as good.
const GOOD: usize = 4;

/// Values of a gene that are shown one by one.
const MOST: usize = 8;

/// How often a gene has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Frequency {
    /// A width such as `hidden`, or what varies from layer to layer such as `stacks`; `function` are the functions of an expression.
    pub gene: String,
    /// The value as text; of a gene with more than eight numbers a range such as `76 to 152`.
    pub value: String,
    /// Part of all candidates, or of all their layers, that have it.
    pub all: f64,
    /// The same of the good candidates.
    pub good: f64,
}

/// Frequencies of all values of all genes among the complete trials of a stage, and among the best quarter of these, at least one; and how many
/// candidates both are. Layers count alike. A layer may have several functions, so those do not sum to 1.
///
/// Genes stand in the order of the architecture, values rise. Numbers of a gene that has more than eight are gathered in up to eight ranges of about as
/// many candidates each; of more texts the eight most frequent are given.
#[must_use]
pub fn frequencies(trials: &[Trial]) -> (Vec<Frequency>, [usize; 2]) {
    let mut complete: Vec<&Trial> = trials.iter().filter(|trial| trial.fitness.is_some()).collect();
    complete.sort_by(|a, b| Trial::order(a, b));
    let good = complete.len().div_ceil(GOOD);
    let mut genes: Vec<(String, Counts)> = Vec::new();
    for (place, trial) in complete.iter().enumerate() {
        for (name, value) in parameters(&trial.genome) {
            let (gene, values) = named(&name, value);
            let known = genes.iter().position(|(known, _)| *known == gene).unwrap_or_else(|| {
                genes.push((gene, Counts::default()));
                genes.len() - 1
            });
            genes[known].1.add(values, place < good);
        }
    }
    let rows = genes.into_iter().flat_map(|(gene, counts)| counts.frequencies(&gene)).collect();
    (rows, [complete.len(), good])
}

/// A gene without its layer, and its value, or the functions of an expression.
fn named(name: &str, value: Value) -> (String, BTreeSet<Shown>) {
    let gene = name.split_once('.').map_or(name, |(_, gene)| gene);
    let one = |number: f64, text: String| BTreeSet::from([Shown { number: number.to_bits(), text }]);
    match value {
        Value::Whole(number, _) => (gene.to_owned(), one(number as f64, number.to_string())),
        Value::Number(number, _) => (gene.to_owned(), one(number, part(number))),
        Value::Text(text) if gene == "expression" => ("function".to_owned(), functions(&text)),
        Value::Text(text) => (gene.to_owned(), one(0.0, text)),
    }
}

/// A value, ordered by its number first; all numbers are 0 or above, so that their bits are in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    number: u64,
    text: String,
}

/// `1/3` in place of 0.333.
fn part(number: f64) -> String {
    let inverse = 1.0 / number;
    match number < 1.0 && (inverse - inverse.round()).abs() < 1e-9 {
        true => format!("1/{}", inverse.round()),
        false => format!("{number}"),
    }
}

/// The functions of an expression but its linear maps; `none` where there is no expression.
fn functions(expression: &str) -> BTreeSet<Shown> {
    let words = expression.split(['(', ',', ')']).zip(expression.matches(['(', ',', ')']));
    let mut found: BTreeSet<&str> = words.filter(|&(_, after)| after == "(").map(|(word, _)| word).collect();
    found.remove("linear");
    if found.is_empty() {
        found.insert("none");
    }
    found.into_iter().map(|text| Shown { number: 0, text: text.to_owned() }).collect()
}

#[derive(Debug, Default)]
struct Counts {
    places: [usize; 2],
    values: BTreeMap<Shown, [usize; 2]>,
}

impl Counts {
    fn add(&mut self, values: BTreeSet<Shown>, good: bool) {
        let count = |counts: &mut [usize; 2]| {
            counts[0] += 1;
            counts[1] += usize::from(good);
        };
        count(&mut self.places);
        values.into_iter().for_each(|value| count(self.values.entry(value).or_default()));
    }

    /// At most [`MOST`] values.
    fn gathered(&self) -> Vec<(String, [usize; 2])> {
        let mut values: Vec<(&Shown, [usize; 2])> =
            self.values.iter().map(|(value, &counts)| (value, counts)).collect();
        let is_number = values.iter().any(|(value, _)| value.number != 0);
        if values.len() > MOST && !is_number {
            values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            values.truncate(MOST);
            values.sort();
        }
        if values.len() <= MOST {
            return values.into_iter().map(|(value, counts)| (value.text.clone(), counts)).collect();
        }
        let mut ranges: BTreeMap<usize, (&str, &str, [usize; 2])> = BTreeMap::new();
        let mut before = 0;
        for (value, [all, good]) in values {
            // By the middle of a value's candidates among all.
            let range = (2 * before + all) * MOST / (2 * self.places[0]);
            let (_, last, counts) = ranges.entry(range).or_insert((&value.text, &value.text, [0, 0]));
            *last = &value.text;
            counts[0] += all;
            counts[1] += good;
            before += all;
        }
        let text =
            |first: &str, last: &str| if first == last { first.to_owned() } else { format!("{first} to {last}") };
        ranges.into_values().map(|(first, last, counts)| (text(first, last), counts)).collect()
    }

    fn frequencies(self, gene: &str) -> Vec<Frequency> {
        let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let row = |(value, [all, good]): (String, [usize; 2])| Frequency {
            gene: gene.to_owned(),
            value,
            all: share(all, self.places[0]),
            good: share(good, self.places[1]),
        };
        self.gathered().into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: u64, genome: &str, fitness: Option<f64>) -> Trial {
        Trial::of_test(number, genome, 1, fitness)
    }

    fn row(gene: &str, value: &str, all: f64, good: f64) -> Frequency {
        Frequency { gene: gene.into(), value: value.into(), all, good }
    }

    #[test]
    fn values_are_counted_over_all_candidates_and_over_the_best_quarter() {
        let plain = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";
        let other = "max(x,linear2_3(gelu(linear2_3(x,wb1)),wb2))";
        let trials = [
            trial(0, &format!("{plain}; {plain}"), Some(0.1)),
            trial(1, &format!("{other}; {plain}"), Some(0.9)),
            trial(2, &format!("{plain}; {plain}"), Some(0.2)),
            trial(3, &format!("{other}; {other}"), None),
            trial(4, &format!("{plain}; {other}"), Some(0.3)),
        ];
        let (rows, candidates) = frequencies(&trials);
        let expected = [
            row("stacks", "1", 0.75, 0.5),
            row("stacks", "2", 0.25, 0.5),
            row("ratio", "1/3", 0.25, 0.5),
            row("ratio", "1", 0.75, 0.5),
            row("function", "gelu", 1.0, 1.0),
            row("function", "max", 0.25, 0.5),
        ];
        assert_eq!((&rows[..], candidates), (&expected[..], [4, 1]));
    }

    #[test]
    fn widths_of_whole_encoders_are_genes_and_what_a_layer_lacks_is_none() {
        let trials =
            [trial(0, "hidden=24 embed=8 base=96: 2x16 + linear2_3(gelu(linear2_3(x,wb1)),wb2); 3x24", Some(1.0))];
        let (rows, _) = frequencies(&trials);
        for expected in [row("hidden", "24", 1.0, 1.0), row("heads", "2", 0.5, 0.5), row("function", "none", 0.5, 0.5)]
        {
            assert!(rows.contains(&expected), "{rows:?}");
        }
    }

    #[test]
    fn many_numbers_are_gathered_in_ranges_that_hold_all_candidates() {
        let genome = |hidden: usize| format!("hidden={hidden} embed=8 base=96: 2x16");
        let trials: Vec<Trial> =
            (0..40).map(|number| trial(number, &genome(100 + number as usize), Some(number as f64))).collect();
        let (rows, _) = frequencies(&trials);
        let hidden: Vec<&Frequency> = rows.iter().filter(|row| row.gene == "hidden").collect();
        assert_eq!(hidden.len(), 8);
        assert_eq!((hidden[0].value.as_str(), hidden[7].value.as_str()), ("100 to 104", "135 to 139"));
        let [all, good] = [0, 1].map(|which| hidden.iter().map(|row| [row.all, row.good][which]).sum::<f64>());
        assert!((all - 1.0).abs() < 1e-9 && (good - 1.0).abs() < 1e-9);
        assert!(hidden[7].good == 0.5 && hidden[5].good == 0.0, "{hidden:?}");
    }

    #[test]
    fn a_stage_without_a_complete_trial_has_none() {
        assert_eq!(frequencies(&[trial(0, "x", None)]), (Vec::new(), [0, 0]));
    }
}
