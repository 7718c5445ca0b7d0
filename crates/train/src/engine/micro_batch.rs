//! The micro-batches in which a step is taken.

use std::ops::Range;

use super::LossTerms;

/// What a job computes the loss of: one of the parts into which the batch of a step is cut.
///
/// The parts of a step are contiguous rows of one batch, at its width, so that their weighted losses add up to the loss of the
/// batch: by rows where that is a mean over examples or all positions ([`Cut::weigh`]), by tokens where it is one over real tokens
/// ([`Cut::density`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// The step, from 0. Data and anything random depend on it alone.
    pub step: u64,
    /// Which part of the step, from 0.
    pub index: u32,
    /// Parts of the step, at least 1.
    pub of: u32,
}

impl MicroBatch {
    /// All of a step.
    pub fn whole(step: u64) -> Self {
        Self { step, index: 0, of: 1 }
    }

    /// What this part has of a batch of `rows` examples; `None` for nothing, where there are fewer examples than parts.
    pub fn cut(self, rows: usize) -> Option<Cut> {
        let border = |index: u32| (rows as u128 * u128::from(index) / u128::from(self.of)) as usize;
        let taken = border(self.index)..border(self.index + 1);
        (!taken.is_empty()).then_some(Cut { taken, rows })
    }
}

/// The rows of a batch that a part has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    taken: Range<usize>,
    rows: usize,
}

impl Cut {
    /// The rows.
    pub fn rows(&self) -> Range<usize> {
        self.taken.clone()
    }

    /// Real tokens to a row of this part, divided by those to a row of the batch: what a mean over the real tokens of the part is
    /// to be multiplied by before [`Self::weigh`]; 1 for a whole batch.
    ///
    /// `tokens` are those of the part, `of` those of the batch.
    pub fn density(&self, tokens: usize, of: usize) -> f64 {
        if self.taken.len() == self.rows {
            return 1.0;
        }
        (tokens as f64 * self.rows as f64) / (of as f64 * self.taken.len() as f64)
    }

    /// Terms that are means over the rows of this part as their share of the means over the batch.
    pub fn weigh(&self, terms: LossTerms) -> LossTerms {
        if self.taken.len() == self.rows {
            return terms;
        }
        let share = self.taken.len() as f64 / self.rows as f64;
        LossTerms(terms.0.into_iter().map(|(name, term)| (name, term * share)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_tokens_add_up_and_a_whole_batch_is_left_alone() {
        let tokens = [7, 2, 4, 3, 9];
        let count = |rows: Range<usize>| tokens[rows].iter().sum::<usize>();
        for of in 1..5 {
            let cuts = (0..of).filter_map(|index| MicroBatch { step: 0, index, of }.cut(tokens.len()));
            let share = |cut: Cut| cut.density(count(cut.rows()), 25) * cut.rows().len() as f64 / 5.0;
            let shares: Vec<f64> = cuts.map(share).collect();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        }
        assert_eq!(MicroBatch::whole(0).cut(5).unwrap().density(25, 25), 1.0);
        assert_eq!(
            MicroBatch { step: 0, index: 0, of: 2 }.cut(5).unwrap().density(9, 25),
            0.9,
            "4.5 tokens to a row of 5"
        );
    }

    #[test]
    fn the_parts_of_a_step_have_every_row_once_and_shares_that_add_up() {
        for of in 1..6 {
            for rows in 1..12 {
                let cuts: Vec<_> = (0..of).filter_map(|index| MicroBatch { step: 0, index, of }.cut(rows)).collect();
                let all: Vec<usize> = cuts.iter().flat_map(Cut::rows).collect();
                assert_eq!(all, (0..rows).collect::<Vec<_>>(), "{rows} rows in {of} parts");
                let most = cuts.iter().map(|c| c.rows().len()).max().unwrap();
                assert_eq!(most, rows.div_ceil(of as usize), "no part is larger than needed");
            }
        }
    }
}
