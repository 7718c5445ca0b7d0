//! Which networks are measured.

use std::collections::BTreeSet;
use std::fmt::Display;

use bert_core::{BertConfig, student_config};
use mlp_space::Architecture;
use nas::budget::{Budget, Reach};
use nas::space::{EncoderGenome, SearchSpace};
use rand_chacha::ChaCha8Rng;

use crate::phase::{SearchParts, encoder_space, first_space};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Windows of size between the smallest and the largest network, one of which each network is drawn from.
const WINDOWS: u32 = 16;

/// Draws for a network until it is none of those before.
const MOST_DRAWS: u64 = 1000;

/// A network to measure.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Its configuration.
    pub config: BertConfig,
    /// What it is, as its space writes it.
    pub label: String,
}

/// The first `count` networks of `draw`, a function of a network's number and of the attempt; each is none of those before it.
///
/// # Errors
/// What `draw` gives; nothing new within 1,000 attempts.
pub fn distinct(count: u32, mut draw: impl FnMut(u32, u64) -> Result<Drawn>) -> Result<Vec<Drawn>> {
    let (mut labels, mut all) = (BTreeSet::new(), Vec::new());
    for number in 0..count {
        let mut found = None;
        for attempt in 0..MOST_DRAWS {
            let drawn = draw(number, attempt)?;
            if labels.insert(drawn.label.clone()) {
                found = Some(drawn);
                break;
            }
        }
        let few =
            || Error::Mismatch(format!("only {number} networks can be drawn within the budget, {count} are asked for"));
        all.push(found.ok_or_else(few)?);
    }
    Ok(all)
}

/// `count` random networks of what the recipe's first stage draws from: whole encoders where it has `search.encoder`, else feed-forwards; within
/// its budget, or with `spread` of all sizes that the space has.
///
/// A narrow budget leaves networks of about one size, which their number of parameters cannot order; but these are what a search chooses
/// from. With `spread`, network `n` is drawn from a window of sizes, one of 16 between the smallest and the largest, in the order of the binary
/// digits of `n` read backwards, so that the first few are spread too.
///
/// # Errors
/// A budget that nothing meets, choices that make no student, or fewer networks than asked for.
pub fn draw(
    parts: &mut dyn SearchParts,
    recipe: &Recipe,
    frame: &BertConfig,
    (count, spread): (u32, bool),
) -> Result<Vec<Drawn>> {
    let wanted = (recipe, count, spread);
    match &recipe.search.encoder {
        None => {
            let config = |genome: &Architecture| Ok(student_config(frame, genome)?);
            let within = |budget| first_space(parts, &Recipe { budget, ..recipe.clone() }, frame);
            of_space(wanted, within, |space, rng| space.sample(rng), |space, free| space.reach(free), config)
        }
        Some(choices) => {
            let config = |genome: &EncoderGenome| Ok(genome.config(frame)?);
            let within = |budget| encoder_space(&Recipe { budget, ..recipe.clone() }, choices, frame);
            of_space(wanted, within, SearchSpace::sample, SearchSpace::reach, config)
        }
    }
}

/// Networks of the spaces that `within` makes of budgets.
fn of_space<S, G: Display>(
    (recipe, count, spread): (&Recipe, u32, bool),
    mut within: impl FnMut(Budget) -> Result<S>,
    sample: impl Fn(&S, &mut ChaCha8Rng) -> G,
    reach: impl Fn(&S, &Budget) -> Reach,
    config: impl Fn(&G) -> Result<BertConfig>,
) -> Result<Vec<Drawn>> {
    let spaces = match spread {
        false => vec![within(recipe.budget)?],
        true => {
            let free = Budget::default();
            let all = reach(&within(free)?, &free);
            windows((all.smallest.params, all.largest.params), within)?
        }
    };
    distinct(count, |number, attempt| {
        let space = &spaces[window(number) as usize * spaces.len() / WINDOWS as usize];
        let mut rng = run_store::rng::keyed(recipe.seed, "fidelity network", &[number.into(), attempt]);
        let genome = sample(space, &mut rng);
        Ok(Drawn { config: config(&genome)?, label: genome.to_string() })
    })
}

/// The number of a network's window.
fn window(number: u32) -> u32 {
    (number % WINDOWS).reverse_bits() >> (u32::BITS - WINDOWS.trailing_zeros())
}

/// The spaces of the windows between two sizes that hold any network, from the smallest to the largest.
fn windows<S>((low, high): (u64, u64), mut within: impl FnMut(Budget) -> Result<S>) -> Result<Vec<S>> {
    let at = |window: u32| low + (high - low) * u64::from(window) / u64::from(WINDOWS);
    let mut all = Vec::new();
    for window in 0..WINDOWS {
        let budget = Budget { min_params: Some(at(window)), max_params: Some(at(window + 1)), ..Budget::default() };
        match within(budget) {
            Ok(space) => all.push(space),
            Err(Error::Search(nas::Error::Unreachable { .. })) => {}
            Err(other) => return Err(other),
        }
    }
    match all.is_empty() {
        true => Err(Error::Mismatch("no network of the space has a size between its smallest and its largest".into())),
        false => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_networks_are_spread_over_the_windows_and_each_window_comes_once_in_16() {
        let first: Vec<u32> = (0..6).map(window).collect();
        assert_eq!(first, [0, 8, 4, 12, 2, 10]);
        let all: BTreeSet<u32> = (16..32).map(window).collect();
        assert_eq!(all, (0..16).collect());
    }

    #[test]
    fn networks_are_drawn_again_until_they_differ_and_too_few_are_refused() {
        let drawn = |label: u64| Drawn { config: BertConfig::bert(9, 4, 1, 1, 4), label: label.to_string() };
        let found = distinct(3, |number, attempt| Ok(drawn(u64::from(number) / 2 + attempt))).unwrap();
        let labels: Vec<_> = found.iter().map(|drawn| drawn.label.as_str()).collect();
        assert_eq!(labels, ["0", "1", "2"]);
        let error = distinct(3, |_, attempt| Ok(drawn(attempt % 2))).unwrap_err().to_string();
        assert!(error.contains("only 2 networks") && error.contains('3'), "{error}");
    }
}
