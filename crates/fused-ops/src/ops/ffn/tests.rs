//! The block against its single operations, and against burn's primitives through them.

use burn::nn::DropoutConfig;

use super::*;
use crate::kernels::activation::Activation::{GeluErf, GeluTanh, Relu, Tanh};
use crate::kernels::binary::Combine;
use crate::ops::dropout::with_dropout_seed;
use crate::ops::precision::{Precision, with_precision};
use crate::testing::{
    assert_close, assert_same, assert_same_bits_on_any_threads, gradients, gradients_agree, gradients_are_slopes, list,
    normal,
};

/// `x`, `W1`, `b1`, `W2`, `b2`, gamma, beta as matrices.
type Operands = [Tensor<2>; 7];

/// Tokens, width, inner width in use, inner width of the weights. The third has several tasks, the last a larger matrix.
const SIZES: [[usize; 4]; 4] = [[1, 1, 1, 1], [9, 24, 45, 45], [300, 33, 17, 17], [70, 24, 12, 48]];

fn operands([n, width, _, whole]: [usize; 4]) -> Operands {
    let slope = 1.0 / (width as f64).sqrt();
    [
        normal([n, width], 1.0, 1),
        normal([width, whole], slope, 2),
        normal([1, whole], 0.3, 3),
        normal([whole, width], slope, 4),
        normal([1, width], 0.3, 5),
        normal([1, width], 0.3, 6) + 1.0,
        normal([1, width], 0.3, 7),
    ]
}

/// Every kind of step, the input read once and several times, a function last, and operands of different width.
fn programs([_, width, inner, _]: [usize; 4]) -> Vec<Program> {
    let of = |steps: &[Step]| Program::from(steps.to_vec());
    let narrow = width.min(inner);
    let fit = |program: &mut Program, value: usize, found: usize| {
        if found > narrow { program.push(Step::Cut(value, narrow)) } else { value }
    };
    // x W1 cut to the narrower width, times x cut likewise: runs where the result has the inner width.
    let mut products = Program::default();
    let first = products.push(Step::First(0));
    let (a, b) = (fit(&mut products, first, inner), fit(&mut products, 0, width));
    products.push(Step::Binary(Combine::Mul, a, b));
    let mut all = vec![
        Program::plain(GeluErf),
        of(&[Step::First(0), Step::Unary(Relu, 1), Step::Second(2), Step::Unary(Tanh, 3)]),
        of(&[
            Step::Unary(Tanh, 0),
            Step::Binary(Combine::Max, 0, 1),
            Step::First(2),
            Step::Unary(GeluTanh, 3),
            Step::Second(4),
            Step::Binary(Combine::Add, 5, 0),
        ]),
        of(&[Step::First(0), Step::Second(1), Step::Binary(Combine::Mul, 2, 0), Step::Binary(Combine::Add, 0, 3)]),
        of(&[Step::Binary(Combine::Mul, 0, 0), Step::First(1), Step::Second(2)]),
        of(&[Step::Binary(Combine::Add, 0, 0), Step::First(1), Step::Unary(Tanh, 2), Step::Second(3)]),
    ];
    if narrow == inner {
        let last = products.steps().len();
        products.push(Step::Second(last));
        all.push(products);
    }
    all
}

/// Calls `block` with layers made of the operands.
fn call(
    [n, width, inner, _]: [usize; 4],
    [x, w1, b1, w2, b2, gamma, beta]: Operands,
    rate: f64,
    block: impl Fn(Tensor<3>, &Ffn<'_>, Affine) -> Tensor<3>,
) -> Tensor<2> {
    let map = |weight: Tensor<2>, bias: Tensor<2>| Projection { weight, bias: Some(bias.flatten(0, 1)) };
    let dropout = DropoutConfig::new(rate).init();
    let ffn = Ffn { first: map(w1, b1), second: map(w2, b2), inner, dropout: &dropout };
    let norm = Affine { weight: gamma.flatten(0, 1), bias: beta.flatten(0, 1), eps: 1e-5 };
    with_dropout_seed(4, || block(x.reshape([1, n, width]), &ffn, norm)).reshape([n, width])
}

fn fused(sizes: [usize; 4], program: &Program, rate: f64) -> impl Fn(Operands) -> Tensor<2> {
    move |x| call(sizes, x, rate, |x, ffn, norm| ffn_block(x, ffn, program.clone(), norm))
}

fn single(sizes: [usize; 4], program: &Program, rate: f64) -> impl Fn(Operands) -> Tensor<2> {
    move |x| call(sizes, x, rate, |x, ffn, norm| unfused(x, ffn, program, norm))
}

#[test]
fn values_and_gradients_equal_those_of_the_single_operations() {
    for sizes in SIZES {
        for program in programs(sizes) {
            let what = format!("{sizes:?}, {program:?}");
            let [_, width, inner, _] = sizes;
            assert!(Layout::new(&program, width, inner).is_some(), "{what} is fused");
            let (fused, single) = (fused(sizes, &program, 0.0), single(sizes, &program, 0.0));
            assert_same(&what, fused(operands(sizes)), single(operands(sizes)));
            // Over one channel a norm gives its shift, and all gradients behind it are rounding alone.
            if width > 1 {
                gradients_agree(&what, operands(sizes), fused, single);
            }
        }
    }
}

#[test]
fn dropout_has_the_mask_of_the_single_operations() {
    let sizes = SIZES[2];
    for program in programs(sizes) {
        gradients_agree("dropout", operands(sizes), fused(sizes, &program, 0.3), single(sizes, &program, 0.3));
    }
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    let sizes = [3, 6, 4, 5];
    for program in [0, 1, 3].map(|i| programs(sizes).swap_remove(i)) {
        // Shifted away from where a function has no slope.
        let program = if program == programs(sizes)[1] { Program::plain(Tanh) } else { program };
        let mut operands = operands(sizes);
        operands[0] = operands[0].clone() + 0.5;
        gradients_are_slopes(&format!("{program:?}"), operands, fused(sizes, &program, 0.0));
    }
}

#[test]
fn outside_the_part_in_use_weights_have_no_gradient() {
    let sizes @ [_, width, inner, whole] = SIZES[3];
    let found = gradients(&operands(sizes), fused(sizes, &Program::plain(GeluErf), 0.0));
    for (row, values) in found[1].chunks(whole).enumerate() {
        assert!(values[inner..].iter().all(|&g| g == 0.0), "row {row}");
        assert!(values[..inner].iter().any(|&g| g != 0.0), "row {row}");
    }
    assert!(found[3][inner * width..].iter().all(|&g| g == 0.0));
    assert!(found[2][inner..].iter().all(|&g| g == 0.0));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let sizes = SIZES[2];
    let program = &programs(sizes)[2];
    assert_same_bits_on_any_threads(operands(sizes), fused(sizes, program, 0.1));
}

#[test]
fn bf16_is_close() {
    let sizes = SIZES[2];
    let program = Program::plain(GeluTanh);
    let f = fused(sizes, &program, 0.0);
    let exact = list(f(operands(sizes)));
    let short = with_precision(Precision::Bf16, || list(f(operands(sizes))));
    assert_close("values", &short, &exact, 1e-2);
    assert!(short != exact, "products are in bf16");
}

#[test]
fn programs_that_are_not_fused_are_computed_in_single_operations() {
    let sizes @ [_, width, inner, _] = [5, 24, 12, 12];
    let padded = Program::from(vec![
        Step::First(0),
        Step::Pad(1, width, -1e-10),
        Step::Binary(Combine::Max, 2, 0),
        Step::Cut(3, inner),
        Step::Second(4),
    ]);
    assert!(Layout::new(&padded, width, inner).is_none());
    assert_same("padding", fused(sizes, &padded, 0.0)(operands(sizes)), single(sizes, &padded, 0.0)(operands(sizes)));
    // A value read twice, a linear map used twice, a value that nobody reads, a value from nowhere, a result of another width.
    for steps in [
        vec![Step::First(0), Step::Binary(Combine::Add, 1, 1), Step::Second(2)],
        vec![Step::First(0), Step::Second(1), Step::First(2), Step::Second(3)],
        vec![Step::Unary(Tanh, 0), Step::First(0), Step::Second(2)],
        vec![Step::First(2), Step::Second(1)],
        vec![Step::Second(0), Step::First(1)],
        vec![],
    ] {
        assert!(Layout::new(&Program::from(steps.clone()), width, inner).is_none(), "{steps:?}");
    }
}

#[test]
fn without_a_bias_the_single_operations_serve() {
    let sizes = SIZES[1];
    let without = |f: &dyn Fn(Tensor<3>, &Ffn<'_>, Affine) -> Tensor<3>| {
        call(sizes, operands(sizes), 0.0, |x, ffn, norm| {
            let first = Projection { bias: None, ..ffn.first.clone() };
            f(x, &Ffn { first, ..ffn.clone() }, norm)
        })
    };
    let program = Program::plain(Relu);
    let ours = without(&|x, ffn, norm| ffn_block(x, ffn, program.clone(), norm));
    assert_same("no bias", ours, without(&|x, ffn, norm| unfused(x, ffn, &program, norm)));
}
