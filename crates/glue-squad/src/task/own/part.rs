//! A dev part of the training rows, stratified.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::task::{Example, Label};

/// Groups of equal size that numbers are divided into by their order, where each gets at least as many.
const BINS: usize = 10;

/// Which examples are held out: of each class nearly the same part, and `part` of all, at least one. A class with one example stays in training. Numbers
/// are stratified by tenths of their order, sets of labels and texts of tags by their rarest one.
pub(super) fn held_out(examples: &[Example], part: f64, seed: u64) -> Vec<bool> {
    let mut groups: Vec<Vec<usize>> = groups(examples).into_values().collect();
    for (number, group) in groups.iter_mut().enumerate() {
        group.shuffle(&mut run_store::rng::keyed(seed, "glue_squad.own.dev_part", &[number as u64]));
    }
    let total = ((examples.len() as f64 * part).round() as usize).max(1);
    // Largest remainders, the larger groups first among equals.
    let share = |group: &Vec<usize>| group.len() as f64 * part;
    // One of each class stays in training.
    let most = |at: usize| groups[at].len() - 1;
    let mut taken: Vec<usize> =
        (0..groups.len()).map(|at| (share(&groups[at]).floor() as usize).min(most(at))).collect();
    let mut order: Vec<usize> = (0..groups.len()).filter(|&at| taken[at] < most(at)).collect();
    let remainder = |at: usize| share(&groups[at]).fract();
    order.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(groups[b].len().cmp(&groups[a].len())));
    let open = total.saturating_sub(taken.iter().sum());
    for at in order.into_iter().take(open) {
        taken[at] += 1;
    }
    let mut held = vec![false; examples.len()];
    for (group, taken) in groups.iter().zip(taken) {
        for &row in &group[..taken.min(group.len())] {
            held[row] = true;
        }
    }
    held
}

fn groups(examples: &[Example]) -> BTreeMap<usize, Vec<usize>> {
    let mut counts = BTreeMap::<usize, usize>::new();
    for example in examples {
        if let Some(Label::Set(set)) = example.label {
            set.iter().for_each(|label| *counts.entry(label).or_default() += 1);
        }
        if let Some(Label::Tags(of)) = &example.label {
            of.tags.iter().for_each(|tag| *counts.entry(usize::from(*tag)).or_default() += 1);
        }
    }
    let mut by_number: Vec<(usize, f64)> = Vec::new();
    let mut groups = BTreeMap::<usize, Vec<usize>>::new();
    for (row, example) in examples.iter().enumerate() {
        match &example.label {
            Some(Label::Score(score)) => by_number.push((row, *score)),
            Some(Label::Class(class)) => groups.entry(class + 1).or_default().push(row),
            Some(Label::Set(set)) => {
                let rarest = set.iter().min_by_key(|label| counts[label]).map_or(0, |label| label + 1);
                groups.entry(rarest).or_default().push(row);
            }
            Some(Label::Tags(of)) => {
                let rarest = of.tags.iter().map(|tag| usize::from(*tag)).min_by_key(|tag| counts[tag]);
                groups.entry(rarest.map_or(0, |tag| tag + 1)).or_default().push(row);
            }
            Some(Label::Match(_)) | None => groups.entry(0).or_default().push(row),
        }
    }
    by_number.sort_by(|a, b| a.1.total_cmp(&b.1));
    let bins = (by_number.len() / BINS).clamp(1, BINS);
    for (order, (row, _)) in by_number.iter().enumerate() {
        groups.entry(order * bins / by_number.len()).or_default().push(*row);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(labels: impl IntoIterator<Item = Label>) -> Vec<Example> {
        let example = |(id, label)| Example { id, text_a: "a".to_owned(), text_b: None, label: Some(label) };
        labels.into_iter().enumerate().map(example).collect()
    }

    fn of_class(examples: &[Example], held: &[bool], class: usize) -> usize {
        let is_meant = |e: &Example| e.label == Some(Label::Class(class));
        examples.iter().zip(held).filter(|(example, held)| **held && is_meant(example)).count()
    }

    #[test]
    fn every_class_gives_its_part_and_a_single_example_stays() {
        let labels = (0..1000).map(|n| Label::Class(usize::from(n % 10 == 0))).chain([Label::Class(2)]);
        let examples = examples(labels);
        let held = held_out(&examples, 0.1, 7);
        assert_eq!([0, 1, 2].map(|class| of_class(&examples, &held, class)), [90, 10, 0]);
        assert_eq!(held, held_out(&examples, 0.1, 7), "the same everywhere");
        assert_ne!(held, held_out(&examples, 0.1, 8));
    }

    #[test]
    fn numbers_are_held_out_from_all_of_their_range() {
        let examples = examples((0..200).map(|n| Label::Score(f64::from(n * 37 % 200))));
        let held = held_out(&examples, 0.1, 7);
        for tenth in 0..10 {
            let inside = |e: &Example| matches!(e.label, Some(Label::Score(s)) if (s / 20.0).floor() as usize == tenth);
            assert_eq!(examples.iter().zip(&held).filter(|(e, held)| **held && inside(e)).count(), 2, "{tenth}");
        }
    }

    #[test]
    fn few_rows_hold_out_one() {
        let held = held_out(&examples([0, 0, 1, 1].map(Label::Class)), 0.1, 7);
        assert_eq!(held.iter().filter(|held| **held).count(), 1);
    }
}
