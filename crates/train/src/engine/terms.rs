//! The loss of a step, term by term.

use burn::tensor::Tensor;

/// Named loss terms of one step; the loss is their sum.
#[derive(Debug)]
pub struct LossTerms(pub Vec<(&'static str, Tensor<1>)>);

impl LossTerms {
    /// The sum of all terms.
    ///
    /// # Panics
    /// Without terms: every step has at least one.
    pub fn total(&self) -> Tensor<1> {
        let mut terms = self.0.iter().map(|(_, t)| t.clone());
        let first = terms.next().expect("a step has at least one term");
        terms.fold(first, |a, b| a + b)
    }
}
