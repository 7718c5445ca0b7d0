//! Losses of distillation in one pass, forward and backward.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

use super::applies;
use crate::extension::run;
use crate::kernels::losses::Loss;

/// Scores at or below this are mask, not attention; they are set to 0 on both sides (TinyBERT, EfficientBERT).
const BLOCKED_SCORE: f64 = -100.0;

/// `mean((a - b)²)`.
///
/// # Shapes
/// - `a`, `b`: any, equal
/// - output: `[1]`
pub fn mse<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<1> {
    compare(a, b, Loss::Squares)
}

/// [`mse`] of attention scores, entries at or below -100 set to 0 on both sides: they are mask, not attention.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, heads, seq, seq]`
/// - output: `[1]`
pub fn attention_mse(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    compare(student, teacher, Loss::UnblockedSquares)
}

/// `mean(-softmax(t / T) log_softmax(s / T))` over all elements, without a factor `T²`. The teacher is a constant.
///
/// # Shapes
/// - `student`, `teacher`: `[.., classes]`
/// - output: `[1]`
pub fn soft_cross_entropy<const D: usize>(student: Tensor<D>, teacher: Tensor<D>, temperature: f64) -> Tensor<1> {
    compare(student, teacher.inner(), Loss::SoftCrossEntropy { temperature: temperature as f32 })
}

fn compare<const D: usize>(a: Tensor<D>, b: Tensor<D>, loss: Loss) -> Tensor<1> {
    assert_eq!(a.dims(), b.dims(), "shapes of what is compared");
    if !applies(&a) || !applies(&b) {
        return composed(a, b, loss);
    }
    run([a.into_dispatch(), b.into_dispatch()], loss)
}

/// The loss in burn's primitives.
fn composed<const D: usize>(a: Tensor<D>, b: Tensor<D>, loss: Loss) -> Tensor<1> {
    let squares = |a: Tensor<D>, b: Tensor<D>| {
        let d = a - b;
        (d.clone() * d).mean()
    };
    let unblocked = |x: Tensor<D>| {
        let blocked = x.clone().inner().lower_equal_elem(BLOCKED_SCORE);
        x.mask_fill(blocked, 0.0)
    };
    match loss {
        Loss::Squares => squares(a, b),
        Loss::UnblockedSquares => squares(unblocked(a), unblocked(b)),
        Loss::SoftCrossEntropy { temperature } => {
            let target = softmax(b / temperature, D - 1);
            (target * log_softmax(a / temperature, D - 1)).mean().neg()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, normal};

    const ALL: [Loss; 3] = [Loss::Squares, Loss::UnblockedSquares, Loss::SoftCrossEntropy { temperature: 2.0 }];

    fn pair(shape: [usize; 2]) -> [Tensor<2>; 2] {
        [normal(shape, 1.5, 1), normal(shape, 1.5, 2)]
    }

    /// Some values of both below -100, not at the same places.
    fn partly_blocked(shape: [usize; 2]) -> [Tensor<2>; 2] {
        let [a, b] = pair(shape);
        let block = |x: Tensor<2>, by: Tensor<2>| x.mask_fill(by.greater_elem(2.0), -10_000.0);
        [block(a, normal(shape, 1.5, 3)), block(b, normal(shape, 1.5, 4))]
    }

    #[test]
    fn values_and_gradients_equal_those_of_burns_primitives() {
        for loss in ALL {
            for shape in [[1, 2], [9, 45], [300, 384]] {
                let what = format!("{loss:?} {shape:?}");
                let inputs = if loss == Loss::UnblockedSquares { partly_blocked(shape) } else { pair(shape) };
                let [a, b] = inputs.clone();
                assert_same(&what, compare(a.clone(), b.clone(), loss), composed(a, b.clone(), loss));
                let [a, _] = inputs;
                // The other side is a constant, as the teacher is.
                let fused = |[a]: [Tensor<2>; 1]| compare(a, b.clone(), loss);
                gradients_agree(&what, [a], fused, |[a]| composed(a, b.clone(), loss));
            }
        }
    }

    #[test]
    fn squares_have_gradients_on_both_sides() {
        let inputs = partly_blocked([20, 30]);
        for loss in [Loss::Squares, Loss::UnblockedSquares] {
            let (fused, reference) =
                (|[a, b]: [Tensor<2>; 2]| compare(a, b, loss), |[a, b]: [Tensor<2>; 2]| composed(a, b, loss));
            gradients_agree("both sides", inputs.clone(), fused, reference);
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        for loss in ALL {
            let [a, b] = pair([3, 4]);
            gradients_are_slopes(&format!("{loss:?}"), [a], |[a]| compare(a, b.clone(), loss));
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        assert_same_bits_on_any_threads(pair([700, 384]), |[a, b]| mse(a, b));
    }
}
