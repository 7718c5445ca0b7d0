//! What can be said of a feed-forward without its weights.

use encoder_spec::{Activation, Program, Step};
use mlp_space::Binary;

/// Whether the program gives 0 for every input where its second map gives 0.
pub(crate) fn vanishes(program: &Program) -> bool {
    // The input is no 0.
    let mut zero = vec![false];
    for &step in program.steps() {
        zero.push(match step {
            Step::Second(_) => true,
            Step::First(_) | Step::Gate(_) => false,
            Step::Activation(Activation::Sigmoid, _) => false,
            Step::Activation(_, a) => zero[a],
            Step::Binary(Binary::Mul, a, b) => zero[a] || zero[b],
            Step::Binary(Binary::Add | Binary::Max, a, b) => zero[a] && zero[b],
        });
    }
    zero.last() == Some(&true)
}

/// Whether outer and inner channels meet in the program only in its linear maps. Where an operator reads one of each, channel `i` of one
/// goes with channel `i` of the other, which copies of channels would change.
pub(crate) fn keeps_channels_apart(program: &Program) -> bool {
    // Whether a value is of inner channels.
    let mut inner = vec![false];
    for &step in program.steps() {
        inner.push(match step {
            Step::First(a) | Step::Gate(a) if !inner[a] => true,
            Step::Second(a) if inner[a] => false,
            Step::Activation(_, a) => inner[a],
            Step::Binary(_, a, b) if inner[a] == inner[b] => inner[a],
            _ => return false,
        });
    }
    inner.last() == Some(&false)
}

#[cfg(test)]
mod tests {
    use mlp_space::Align;

    use super::*;

    fn program(expression: &str) -> Program {
        Program::searched(&expression.parse().unwrap(), Align::Cut)
    }

    #[test]
    fn only_what_is_zero_for_every_input_vanishes() {
        for (expression, expected) in [
            ("linear1_1(gelu(linear1_1(x,wb1)),wb2)", true),
            ("tanh(linear1_1(gelu(linear1_1(x,wb1)),wb2))", true),
            ("sigmoid(linear1_1(gelu(linear1_1(x,wb1)),wb2))", false),
            ("add(mul(x,x),linear1_1(x,wb2))", false),
            ("mul(mul(x,x),linear1_1(x,wb2))", true),
            ("max(linear1_1(x,wb2),linear1_1(x,wb2))", true),
            ("linear1_1(x,wb1)", false),
        ] {
            assert_eq!(vanishes(&program(expression)), expected, "{expression}");
        }
        assert!(vanishes(&Program::gated(Activation::GeluErf)));
    }

    #[test]
    fn channels_meet_where_an_operator_reads_inner_and_outer_ones() {
        for (expression, expected) in [
            ("linear1_2(relu(linear1_2(x,wb1)),wb2)", true),
            ("tanh(linear1_2(gelu(linear1_2(max(x,tanh(x)),wb1)),wb2))", true),
            ("linear1_2(mul(linear1_2(x,wb1),tanh(linear1_2(x,wb1))),wb2)", true),
            ("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)", false),
            ("linear1_1(x,wb1)", false),
            ("linear1_1(x,wb2)", false),
        ] {
            assert_eq!(keeps_channels_apart(&program(expression)), expected, "{expression}");
        }
        assert!(keeps_channels_apart(&Program::gated(Activation::GeluErf)));
    }
}
