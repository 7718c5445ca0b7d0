//! The program of a feed-forward as the steps of `fused-ops`.

use encoder_spec::Step;
use fused_ops::{Combine, Program, Step as Fused};
use mlp_space::{Align, Binary};

/// `program` in a block of `width` with `inner` channels between its linear maps. Operands of different width are cut or padded first,
/// as the program's alignment says.
///
/// # Panics
/// The program does not run at these widths ([`encoder_spec::Program::widths`]), or has a gate.
pub(crate) fn fused(program: &encoder_spec::Program, width: usize, inner: usize) -> Program {
    let widths = program.widths(width, inner).expect("a program that runs at the widths of its encoder");
    let mut fused = Program::default();
    // Where each value stands among those of the result.
    let mut at = vec![0];
    for (step, &width) in program.steps().iter().zip(&widths[1..]) {
        let next = match *step {
            Step::First(a) => Fused::First(at[a]),
            Step::Second(a) => Fused::Second(at[a]),
            Step::Gate(_) => panic!("a gated program is no program of two linear maps"),
            Step::Activation(function, a) => Fused::Unary(function.into(), at[a]),
            Step::Binary(op, a, b) => {
                let (how, padding) = match op {
                    Binary::Add => (Combine::Add, 0.0),
                    Binary::Mul => (Combine::Mul, 1.0),
                    Binary::Max => (Combine::Max, Align::MAX_PADDING),
                };
                let [a, b] = [a, b].map(|value| match widths[value].cmp(&width) {
                    std::cmp::Ordering::Equal => at[value],
                    std::cmp::Ordering::Greater => fused.push(Fused::Cut(at[value], width)),
                    std::cmp::Ordering::Less => fused.push(Fused::Pad(at[value], width, padding)),
                });
                Fused::Binary(how, a, b)
            }
        };
        at.push(fused.push(next));
    }
    fused
}
