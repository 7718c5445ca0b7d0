//! Which expressions run at given widths.

use crate::expr::{Expression, LinearId, Node, WeightSlot};
use crate::valid::Invalid;

/// What an element-wise operator does with operands of different width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// Both are cut to the narrower width, keeping the first channels: EfficientBERT.
    #[default]
    Cut,
    /// The narrower is padded to the wider width: the transfer of the found expressions to TinyBERT's shape. `add` pads
    /// with 0, `mul` with 1, and `max` with [`Align::MAX_PADDING`].
    Pad,
}

impl Align {
    /// What `max` pads with. The released code writes `1 / -1e10` where minus infinity was meant, so a padded channel
    /// is the wider operand clamped to (almost) 0 from below.
    pub const MAX_PADDING: f64 = -1e-10;

    /// Width of an element-wise operator's result.
    pub fn width(self, a: usize, b: usize) -> usize {
        match self {
            Self::Cut => a.min(b),
            Self::Pad => a.max(b),
        }
    }
}

/// The widths of a student that decide which expressions run in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widths {
    /// Hidden width: channels of `x` and of the result.
    pub hidden: usize,
    /// Base width `b` of the feed-forward: the inner width at ratio `1/r` is `floor(b / r)`.
    pub base: usize,
    /// What operators do with operands of different width.
    #[serde(default)]
    pub align: Align,
}

impl Widths {
    /// EfficientBERT's widths: base width and hidden width agree, operators cut.
    pub fn square(hidden: usize) -> Self {
        Self { hidden, base: hidden, align: Align::Cut }
    }

    /// Inner width `floor(base / r)`.
    pub fn inner(self, id: LinearId) -> usize {
        id.inner_size(self.base)
    }
}

impl Expression {
    /// Width of the result. Weights are used whole: `wb1` takes exactly `hidden` channels, `wb2` exactly the inner width.
    ///
    /// # Errors
    /// [`Invalid::LinearInput`] when a linear map meets another width, [`Invalid::NoInnerWidth`] when the base width is
    /// smaller than the ratio's divisor.
    pub fn output_width(&self, widths: Widths) -> Result<usize, Invalid> {
        output_width(self.root(), widths)
    }

    /// Whether the expression runs in a student of these widths, that is [`Expression::output_width`] is the hidden width,
    /// so that `x + f(x)` exists.
    ///
    /// # Errors
    /// As [`Expression::output_width`], and [`Invalid::Output`].
    pub fn check_widths(&self, widths: Widths) -> Result<(), Invalid> {
        let found = self.output_width(widths)?;
        if found == widths.hidden { Ok(()) } else { Err(Invalid::Output { hidden: widths.hidden, found }) }
    }
}

fn output_width(node: &Node, widths: Widths) -> Result<usize, Invalid> {
    match node {
        Node::Input => Ok(widths.hidden),
        Node::Unary(_, a) => output_width(a, widths),
        Node::Binary(_, a, b) => Ok(widths.align.width(output_width(a, widths)?, output_width(b, widths)?)),
        Node::Linear { id, weights, input } => {
            let inner = widths.inner(*id);
            if inner == 0 {
                return Err(Invalid::NoInnerWidth { base: widths.base, ratio: id.ratio() });
            }
            let (expected, output) = match weights {
                WeightSlot::First => (widths.hidden, inner),
                WeightSlot::Second => (inner, widths.hidden),
            };
            let found = output_width(input, widths)?;
            if found != expected {
                let (hidden, base) = (widths.hidden, widths.base);
                return Err(Invalid::LinearInput { slot: *weights, expected, found, hidden, base });
            }
            Ok(output)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, widths: Widths, expected: Result<(), Invalid>) {
        assert_eq!(text.parse::<Expression>().unwrap().check_widths(widths), expected, "{text}");
    }

    const PARALLEL_FULL: &str = "gelu(add(linear1_1(x,wb1),linear1_1(x,wb2)))";
    const PARALLEL_HALF: &str = "gelu(add(linear1_2(x,wb1),linear1_2(x,wb2)))";
    const MIXED_INNER: &str = "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)";

    #[test]
    fn a_wide_input_cut_to_the_inner_width_feeds_the_second_linear_map() {
        check(MIXED_INNER, Widths::square(540), Ok(()));
        check("add(x,linear1_4(elu(linear1_4(sigmoid(x),wb1)),wb2))", Widths::square(24), Ok(()));
    }

    #[test]
    fn parallel_linear_maps_run_only_where_inner_and_hidden_width_agree() {
        check(PARALLEL_FULL, Widths::square(540), Ok(()));
        let narrow =
            Invalid::LinearInput { slot: WeightSlot::Second, expected: 270, found: 540, hidden: 540, base: 540 };
        check(PARALLEL_HALF, Widths::square(540), Err(narrow));
    }

    #[test]
    fn an_inner_width_above_the_hidden_width_needs_padding() {
        let tiny_bert = Widths { hidden: 768, base: 3072, align: Align::Cut };
        let cut =
            Invalid::LinearInput { slot: WeightSlot::Second, expected: 1536, found: 768, hidden: 768, base: 3072 };
        check(MIXED_INNER, tiny_bert, Err(cut));
        check(MIXED_INNER, Widths { align: Align::Pad, ..tiny_bert }, Ok(()));
    }

    #[test]
    fn a_result_of_another_width_than_the_residual_is_refused() {
        check("gelu(add(x,linear1_2(x,wb1)))", Widths::square(540), Err(Invalid::Output { hidden: 540, found: 270 }));
    }

    #[test]
    fn a_base_width_below_the_divisor_leaves_no_inner_channel() {
        let e = "linear1_4(gelu(linear1_4(x,wb1)),wb2)";
        check(e, Widths { hidden: 8, base: 3, align: Align::Cut }, Err(Invalid::NoInnerWidth { base: 3, ratio: 4 }));
    }
}
