//! An architecture as numbers, for a learner.
//!
//! [`reference`](fn@reference) and [`ids`] are what EfficientBERT's search tree sees in stages 1 and 2 and in stage 3; [`rich`] and
//! [`id_features`] state the same facts so that a learner need not find them out.

use crate::arch::Architecture;
use crate::cost;
use crate::expr::{Binary, Expression, LinearId, Node, Token, Unary, WeightSlot};
use crate::widths::Widths;

/// Numbers per layer of [`reference`](fn@reference).
pub const REFERENCE_LENGTH: usize = 20;

/// What fills the rest of a layer in [`reference`](fn@reference).
pub const REFERENCE_PADDING: f64 = -1.0;

/// Which primitives the token numbers of [`reference`](fn@reference) count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbering {
    /// Stage 1: 16 linear maps 0..15, operators 16..18, activations 19..25, `x` 26, `wb1` 27, `wb2` 28.
    Stage1,
    /// Stage 2, where ids are frozen: one linear map 0, operators 1..3, activations 4..10, `x` 11, `wb1` 12, `wb2` 13.
    Stage2,
}

/// The reference's number of a token. (DEAP re-registers renamed arguments, so the leaves come last.)
pub fn token_number(token: Token, numbering: Numbering) -> usize {
    let (linear, operators) = match (token, numbering) {
        (Token::Linear(id), Numbering::Stage1) => (id.index(), LinearId::COUNT),
        (_, Numbering::Stage1) => (0, LinearId::COUNT),
        (_, Numbering::Stage2) => (0, 1),
    };
    let activations = operators + Binary::ALL.len();
    let leaves = activations + Unary::ALL.len();
    match token {
        Token::Linear(_) => linear,
        Token::Binary(op) => operators + op.index(),
        Token::Unary(op) => activations + op.index(),
        Token::Input => leaves,
        Token::Weights(WeightSlot::First) => leaves + 1,
        Token::Weights(WeightSlot::Second) => leaves + 2,
    }
}

/// Token numbers in prefix order, [`REFERENCE_LENGTH`] per layer, padded with -1.
///
/// A longer expression is cut; the reference lets the row grow instead and shifts all later layers.
pub fn reference(architecture: &Architecture, numbering: Numbering) -> Vec<f64> {
    let mut out = Vec::with_capacity(architecture.layers().len() * REFERENCE_LENGTH);
    for expression in architecture.layers() {
        let numbers = expression.tokens().into_iter().map(|token| token_number(token, numbering) as f64);
        out.extend(numbers.chain(std::iter::repeat(REFERENCE_PADDING)).take(REFERENCE_LENGTH));
    }
    out
}

/// Stage 3: one id number 0..15 per layer.
pub fn ids(architecture: &Architecture) -> Vec<f64> {
    architecture.ids().iter().map(|id| id.index() as f64).collect()
}

/// Stage 3 with derived numbers: per layer id number, stacks, inner fraction `1/r` and feed-forward parameters in millions;
/// at the end the sum of the last over the layers.
pub fn id_features(architecture: &Architecture, widths: Widths) -> Vec<f64> {
    let mut out = Vec::new();
    let mut total = 0.0;
    for id in architecture.ids() {
        let millions = cost::feed_forward(*id, widths.hidden, widths.base).params as f64 / 1e6;
        total += millions;
        out.extend([id.index() as f64, f64::from(id.stacks()), 1.0 / f64::from(id.ratio()), millions]);
    }
    out.push(total);
    out
}

/// Where in a feed-forward a node stands.
#[derive(Clone, Copy)]
enum Region {
    /// Inside the first linear map's operand.
    Before,
    /// Inside the second linear map's operand, outside the first linear map's.
    Between,
    /// Outside both.
    After,
}

const REGIONS: [&str; 3] = ["before", "between", "after"];
const OPS: usize = Unary::ALL.len() + Binary::ALL.len();
const LAYER_FACTS: [&str; 6] = ["height", "tokens", "stacks", "inner_fraction", "parallel", "ln_parameters"];

/// Numbers per layer of [`rich`].
pub const RICH_LENGTH: usize = REGIONS.len() * (OPS + 1) + LAYER_FACTS.len();

/// Per layer, [`RICH_LENGTH`] numbers: for each region (before the first linear map, between the two, after the second) how
/// often each activation and operator stands there and how often `x` is used; then height, token count, stacks, inner
/// fraction `1/r`, whether the linear maps stand side by side (1) or one inside the other (0), and the natural logarithm of
/// the layer's feed-forward parameters.
pub fn rich(architecture: &Architecture, widths: Widths) -> Vec<f64> {
    let mut out = Vec::with_capacity(architecture.layers().len() * RICH_LENGTH);
    for (expression, id) in architecture.layers().iter().zip(architecture.ids()) {
        let mut counts = [[0.0; OPS + 1]; 3];
        count(expression.root(), Region::After, &mut counts);
        out.extend(counts.as_flattened());
        let parameters = cost::feed_forward(*id, widths.hidden, widths.base).params as f64;
        out.extend([
            expression.height() as f64,
            expression.tokens().len() as f64,
            f64::from(id.stacks()),
            1.0 / f64::from(id.ratio()),
            if side_by_side(expression) { 1.0 } else { 0.0 },
            parameters.max(1.0).ln(),
        ]);
    }
    out
}

/// Names of the numbers of [`rich`], for example `layer3.between.relu`.
pub fn rich_names(layers: usize) -> Vec<String> {
    let mut out = Vec::with_capacity(layers * RICH_LENGTH);
    for layer in 1..=layers {
        for region in REGIONS {
            let ops = Unary::ALL.map(Unary::name).into_iter().chain(Binary::ALL.map(Binary::name)).chain(["x"]);
            out.extend(ops.map(|op| format!("layer{layer}.{region}.{op}")));
        }
        out.extend(LAYER_FACTS.map(|fact| format!("layer{layer}.{fact}")));
    }
    out
}

fn count(node: &Node, region: Region, counts: &mut [[f64; OPS + 1]; 3]) {
    let row = &mut counts[region as usize];
    let below = match node {
        Node::Input => {
            row[OPS] += 1.0;
            region
        }
        Node::Unary(op, _) => {
            row[op.index()] += 1.0;
            region
        }
        Node::Binary(op, ..) => {
            row[Unary::ALL.len() + op.index()] += 1.0;
            region
        }
        Node::Linear { weights: WeightSlot::First, .. } => Region::Before,
        Node::Linear { weights: WeightSlot::Second, .. } => Region::Between,
    };
    node.children().for_each(|child| count(child, below, counts));
}

fn side_by_side(expression: &Expression) -> bool {
    let linear_inside = |node: &Node| {
        node.children().any(|input| {
            let mut stack = vec![input];
            std::iter::from_fn(move || {
                let node = stack.pop()?;
                stack.extend(node.children());
                Some(node)
            })
            .any(|node| matches!(node, Node::Linear { .. }))
        })
    };
    !expression.iter().any(|node| matches!(node, Node::Linear { .. }) && linear_inside(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::released::preset;

    fn one(text: &str) -> Architecture {
        text.parse().unwrap()
    }

    #[test]
    fn reference_rows_number_tokens_in_prefix_order_and_pad_with_minus_one() {
        let row = reference(&one("tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))"), Numbering::Stage1);
        assert_eq!(row[..7], [21.0, 13.0, 19.0, 13.0, 26.0, 27.0, 28.0]);
        assert_eq!(row[7..], [-1.0; 13]);
        let row = reference(&one("linear1_3(relu(mul(linear1_3(x,wb1),x)),wb2)"), Numbering::Stage2);
        assert_eq!(row[..9], [0.0, 7.0, 2.0, 0.0, 11.0, 12.0, 11.0, 13.0, -1.0]);
        assert_eq!(reference(&preset("efficientbert").unwrap(), Numbering::Stage1).len(), 120);
    }

    #[test]
    fn stage_three_rows_are_the_id_numbers() {
        let arch = preset("efficientbert").unwrap();
        assert_eq!(ids(&arch), [13.0, 4.0, 1.0, 5.0, 1.0, 6.0]);
        let features = id_features(&arch, Widths::square(540));
        assert_eq!(features.len(), 6 * 4 + 1);
        assert!((features[24] - 3.911_040).abs() < 1e-9, "{}", features[24]);
        assert_eq!(features[..3], [13.0, 4.0, 0.5]);
    }

    #[test]
    fn rich_rows_say_where_each_operator_stands() {
        let arch = one("tanh(linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2))");
        let (row, names) = (rich(&arch, Widths::square(540)), rich_names(1));
        assert_eq!((row.len(), names.len()), (RICH_LENGTH, RICH_LENGTH));
        let seen: Vec<(&str, f64)> = names
            .iter()
            .zip(&row)
            .filter(|(_, v)| **v != 0.0)
            .map(|(n, v)| (n.trim_start_matches("layer1."), *v))
            .collect();
        assert_eq!(
            seen[..8],
            [
                ("before.tanh", 1.0),
                ("before.max", 1.0),
                ("before.x", 2.0),
                ("between.gelu", 1.0),
                ("after.tanh", 1.0),
                ("height", 6.0),
                ("tokens", 10.0),
                ("stacks", 2.0)
            ]
        );
        assert_eq!(seen[8], ("inner_fraction", 0.5));
        assert_eq!(seen[9].0, "ln_parameters");
        assert!((seen[9].1 - 586_980_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn side_by_side_linear_maps_are_flagged() {
        let flag = RICH_LENGTH - 2;
        assert_eq!(rich_names(1)[flag], "layer1.parallel");
        assert_eq!(rich(&one("gelu(add(linear1_1(x,wb1),linear1_1(x,wb2)))"), Widths::square(8))[flag], 1.0);
        assert_eq!(rich(&one("linear1_1(gelu(linear1_1(x,wb1)),wb2)"), Widths::square(8))[flag], 0.0);
    }
}
