//! What varies in an architecture, as named values that tables and other programs understand.

use std::ops::RangeInclusive;

use mlp_space::{Architecture, Expression, LinearId};
use serde::{Serialize, Serializer};

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
/// width, 1/4 to 1) and `layer1.expression` without both, such as `linear(gelu(linear(x,wb1)),wb2)`. An architecture of another space is
/// one value, `architecture`.
#[must_use]
pub fn parameters(genome: &str) -> Vec<(String, Value)> {
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
