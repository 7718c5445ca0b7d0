//! Cross entropy against class numbers, row by row.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::applies;
use crate::extension::run;
use crate::kernels::cross_entropy::CrossEntropy;

/// `-log_softmax(x_r)[label_r]` of each row, without its mean: whoever asks may want the losses themselves.
///
/// # Shapes
/// - `scores`: `[rows, classes]`
/// - `labels`: `[rows]`, below `classes`
/// - output: `[rows]`
///
/// # Panics
/// Another number of labels than rows, or a label that is no class.
pub fn cross_entropy_rows(scores: Tensor<2>, labels: &[u32]) -> Tensor<1> {
    assert_eq!(scores.dims()[0], labels.len(), "a label for each row");
    if applies(&scores) {
        return run([scores.into_dispatch()], CrossEntropy(labels.into()));
    }
    composed(scores, labels)
}

/// The losses in burn's primitives.
fn composed(scores: Tensor<2>, labels: &[u32]) -> Tensor<1> {
    let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    let n = labels.len();
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [n, 1]), &scores.device());
    log_softmax(scores, 1).gather(1, labels).reshape([n]).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, normal};

    #[test]
    fn values_and_gradients_equal_those_of_burns_primitives() {
        for [n, classes] in [[1, 1], [5, 7], [33, 1000], [3, 30_522]] {
            let labels: Vec<u32> = (0..n).map(|i| (i * 7919 % classes) as u32).collect();
            let ours = |[x]: [Tensor<2>; 1]| cross_entropy_rows(x, &labels);
            let theirs = |[x]: [Tensor<2>; 1]| composed(x, &labels);
            let x = normal([n, classes], 3.0, 1);
            let what = format!("{n} x {classes}");
            assert_same(&what, ours([x.clone()]), theirs([x.clone()]));
            // The sum of one class's softmax and its label is 0: rounding alone is left.
            if classes > 1 {
                gradients_agree(&what, [x], ours, theirs);
            }
        }
    }

    #[test]
    fn rows_of_a_larger_tensor_have_their_own_gradients() {
        let labels = [4, 0, 2];
        let ours = |[x]: [Tensor<2>; 1]| cross_entropy_rows(x.narrow(0, 2, 3), &labels);
        let theirs = |[x]: [Tensor<2>; 1]| composed(x.narrow(0, 2, 3), &labels);
        gradients_agree("rows", [normal([6, 5], 1.0, 7)], ours, theirs);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        gradients_are_slopes("cross entropy", [normal([3, 5], 1.0, 2)], |[x]| cross_entropy_rows(x, &[0, 4, 2]));
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let labels: Vec<u32> = (0..90).collect();
        assert_same_bits_on_any_threads([normal([90, 900], 1.0, 3)], |[x]| cross_entropy_rows(x, &labels));
    }
}
