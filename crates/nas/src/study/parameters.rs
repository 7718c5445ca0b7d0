//! What varies in an architecture, as named values that tables and other programs understand.

use std::ops::RangeInclusive;

use mlp_space::{Architecture, Expression, LinearId};
use serde::{Serialize, Serializer};

use crate::space::EncoderGenome;

/// One thing that varies.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number, and what it can be.
    Whole(i64, RangeInclusive<i64>),
    /// A number, and what it can be.
    Number(f64, RangeInclusive<f64>),
    /// One of several forms.
    Text(String),
}

impl Serialize for Value {
    /// The value alone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(value, _) => serializer.serialize_i64(*value),
            Self::Number(value, _) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// The values of an architecture, as a study stores it, by name.
///
/// Of an [`Architecture`] these are for each layer, counted from 1: `layer1.stacks` (1 to 4), `layer1.ratio` (inner width over base
/// width, 1/4 to 1) and `layer1.expression` without both, such as `linear(gelu(linear(x,wb1)),wb2)`. Of an [`EncoderGenome`] they are
/// `hidden`, `embed`, `layers` and for each layer `layer1.heads`, `layer1.attention` (its width), `layer1.feed_forward` (the width of all its stacks
/// together) and `layer1.expression`, 0 and `none` for what it does not have. An architecture of another space is one value, `architecture`.
#[must_use]
pub fn parameters(genome: &str) -> Vec<(String, Value)> {
    if let Ok(encoder) = genome.parse::<EncoderGenome>() {
        return of_encoder(&encoder);
    }
    let Ok(architecture) = genome.parse::<Architecture>() else {
        return vec![("architecture".to_owned(), Value::Text(genome.to_owned()))];
    };
    // So that names sort as the layers stand.
    let digits = architecture.layers().len().to_string().len();
    let layers = (1..).zip(architecture.layers().iter().zip(architecture.ids()));
    let of_layer = |(number, (layer, id)): (usize, (&Expression, &LinearId))| {
        let name = |what: &str| format!("layer{number:0digits$}.{what}");
        [
            (name("stacks"), Value::Whole(i64::from(id.stacks()), 1..=4)),
            (name("ratio"), Value::Number(1.0 / f64::from(id.ratio()), 0.25..=1.0)),
            (name("expression"), Value::Text(operators(layer))),
        ]
    };
    layers.flat_map(of_layer).collect()
}

/// No width is above this.
const WIDEST: i64 = 1 << 24;

fn of_encoder(encoder: &EncoderGenome) -> Vec<(String, Value)> {
    let whole = |number: usize| Value::Whole(i64::try_from(number).unwrap_or(WIDEST).min(WIDEST), 0..=WIDEST);
    let mut values: Vec<(String, Value)> =
        [("hidden", encoder.hidden), ("embed", encoder.embed), ("layers", encoder.layers.len())]
            .map(|(name, number)| (name.to_owned(), whole(number)))
            .into();
    let digits = encoder.layers.len().to_string().len();
    for (number, layer) in (1..).zip(&encoder.layers) {
        let mut add = |what: &str, value| values.push((format!("layer{number:0digits$}.{what}"), value));
        let (heads, width) = layer.attention.map_or((0, 0), |shape| (shape.heads, shape.width));
        let id = layer.feed_forward.as_ref().and_then(Expression::id);
        add("heads", whole(heads));
        add("attention", whole(width));
        add("feed_forward", whole(id.map_or(0, |id| usize::from(id.stacks()) * id.inner_size(encoder.base))));
        add("expression", Value::Text(layer.feed_forward.as_ref().map_or_else(|| "none".to_owned(), operators)));
    }
    values
}

/// The text of an expression without its stacks and ratio.
fn operators(layer: &Expression) -> String {
    match layer.id() {
        Some(id) => layer.to_string().replace(&format!("linear{id}("), "linear("),
        None => layer.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_has_its_widths_and_four_values_a_layer() {
        let genome = "hidden=24 embed=8 base=96: 2x16 + linear2_3(gelu(linear2_3(x,wb1)),wb2); 3x24";
        let whole = |number| Value::Whole(number, 0..=WIDEST);
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            ("hidden", whole(24)),
            ("embed", whole(8)),
            ("layers", whole(2)),
            ("layer1.heads", whole(2)),
            ("layer1.attention", whole(16)),
            ("layer1.feed_forward", whole(64)),
            ("layer1.expression", text("linear(gelu(linear(x,wb1)),wb2)")),
            ("layer2.heads", whole(3)),
            ("layer2.attention", whole(24)),
            ("layer2.feed_forward", whole(0)),
            ("layer2.expression", text("none")),
        ];
        assert_eq!(parameters(genome), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn an_architecture_has_three_values_a_layer_and_they_tell_it_apart_from_all_others() {
        let genome = "linear2_3(gelu(linear2_3(x,wb1)),wb2); max(x,linear1_1(tanh(linear1_1(x,wb1)),wb2))";
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = [
            ("layer1.stacks", Value::Whole(2, 1..=4)),
            ("layer1.ratio", Value::Number(1.0 / 3.0, 0.25..=1.0)),
            ("layer1.expression", text("linear(gelu(linear(x,wb1)),wb2)")),
            ("layer2.stacks", Value::Whole(1, 1..=4)),
            ("layer2.ratio", Value::Number(1.0, 0.25..=1.0)),
            ("layer2.expression", text("max(x,linear(tanh(linear(x,wb1)),wb2))")),
        ];
        assert_eq!(parameters(genome), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn names_of_many_layers_sort_as_the_layers_stand() {
        let genome = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"; 12].join("; ");
        let names: Vec<String> = parameters(&genome).into_iter().map(|(name, _)| name).collect();
        let mut layers: Vec<&str> = names.iter().filter_map(|name| name.split('.').next()).collect();
        layers.dedup();
        assert!(layers.is_sorted() && layers.len() == 12 && layers[0] == "layer01", "{layers:?}");
    }

    #[test]
    fn an_architecture_of_another_space_is_one_value() {
        assert_eq!(parameters("3;1;4"), [("architecture".to_owned(), Value::Text("3;1;4".to_owned()))]);
    }
}
