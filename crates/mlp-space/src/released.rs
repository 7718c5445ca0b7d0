//! The architectures EfficientBERT published, by name.

use crate::arch::Architecture;
use crate::error::Error;
use crate::expr::{Expression, LinearId, Unary};

/// The final architecture (stage 3 winner): EfficientBERT, -TINY, + and, with every layer doubled, ++.
pub const FINAL: [&str; 6] = [
    "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))",
    "elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))",
    "sigmoid(linear1_2(relu(linear1_2(x,wb1)),wb2))",
    "linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)",
    "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)",
    "leaky_relu(linear2_3(gelu(linear2_3(x,wb1)),wb2))",
];

/// The winner of stage 1, seed of stage 2.
pub const STAGE1_WINNER: [&str; 6] = [
    "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))",
    "linear2_1(gelu(linear2_1(x,wb1)),wb2)",
    "sigmoid(linear1_4(gelu(linear1_4(x,wb1)),wb2))",
    "linear4_4(gelu(linear4_4(x,wb1)),wb2)",
    "linear1_3(gelu(linear1_3(x,wb1)),wb2)",
    "leaky_relu(linear2_4(gelu(linear2_4(x,wb1)),wb2))",
];

/// The winner of stage 2, seed of stage 3.
pub const STAGE2_WINNER: [&str; 6] = [
    "tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))",
    "elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))",
    "sigmoid(linear1_4(relu(linear1_4(x,wb1)),wb2))",
    "linear4_4(gelu(linear4_4(max(x,tanh(x)),wb1)),wb2)",
    "linear1_3(relu(mul(linear1_3(x,wb1),x)),wb2)",
    "leaky_relu(linear2_4(gelu(linear2_4(x,wb1)),wb2))",
];

/// Names [`preset`] knows, with what they are.
pub const PRESETS: [(&str, &str); 5] = [
    ("efficientbert", "the final architecture, 6 layers (EfficientBERT, -TINY and +)"),
    ("efficientbert++", "the final architecture with every layer doubled, 12 layers"),
    ("stage1-winner", "winner of stage 1, 6 layers"),
    ("stage2-winner", "winner of stage 2, 6 layers"),
    ("warm-up", "the warm-up supernet: 6 layers of four full-width plain GELU feed-forwards"),
];

/// A published architecture by name; see [`PRESETS`].
///
/// # Errors
/// [`Error::UnknownPreset`] listing the known names.
pub fn preset(name: &str) -> Result<Architecture, Error> {
    match name {
        "efficientbert" => parse(FINAL),
        "efficientbert++" => parse(FINAL).and_then(|a| a.doubled()),
        "stage1-winner" => parse(STAGE1_WINNER),
        "stage2-winner" => parse(STAGE2_WINNER),
        "warm-up" => Architecture::new(vec![Expression::plain(LinearId::LARGEST, Unary::Gelu); 6]),
        _ => Err(Error::UnknownPreset {
            name: name.chars().take(64).collect(),
            known: PRESETS.map(|(name, _)| name).join(", "),
        }),
    }
}

fn parse(texts: [&str; 6]) -> Result<Architecture, Error> {
    texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().and_then(Architecture::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::valid::Heights;
    use crate::widths::Widths;

    #[test]
    fn every_published_expression_is_valid_runs_and_round_trips() {
        for text in FINAL.into_iter().chain(STAGE1_WINNER).chain(STAGE2_WINNER) {
            let e: Expression = text.parse().unwrap();
            assert_eq!(e.to_string(), text);
            assert_eq!(e.validate(), Ok(()), "{text}");
            for hidden in [540, 360, 24] {
                assert_eq!(e.check_widths(Widths::square(hidden)), Ok(()), "{text} at {hidden}");
            }
        }
    }

    #[test]
    fn every_listed_preset_loads_and_an_unknown_one_lists_them() {
        for (name, _) in PRESETS {
            assert_eq!(preset(name).unwrap().validate(Heights::default()), Ok(()), "{name}");
        }
        let error = preset("efficientbert+++").unwrap_err().to_string();
        assert!(error.contains("stage2-winner"), "{error}");
    }

    #[test]
    fn the_stages_differ_only_where_the_search_was_free() {
        let (one, two, last) =
            (preset("stage1-winner").unwrap(), preset("stage2-winner").unwrap(), preset("efficientbert").unwrap());
        assert_eq!(one.ids(), two.ids(), "stage 2 keeps the ids of stage 1");
        assert_eq!(two.with_ids(last.ids()).unwrap(), last, "stage 3 keeps the operators of stage 2");
    }
}
