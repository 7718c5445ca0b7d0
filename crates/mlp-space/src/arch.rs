//! An architecture: one feed-forward expression per layer.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::expr::{Expression, LinearId};
use crate::valid::Heights;
use crate::widths::Widths;

/// Most layers an architecture may have.
pub const MAX_LAYERS: usize = 256;

/// One feed-forward expression per layer, each of which uses both weights once under one id.
///
/// The text form separates layers by `; `. A JSON array of strings, one expression per line, and the commas between
/// expressions that EfficientBERT's scripts print are read as well. It serializes as an array of strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Architecture {
    layers: Vec<Expression>,
    ids: Vec<LinearId>,
}

impl Architecture {
    /// An architecture from its layers, first layer first.
    ///
    /// # Errors
    /// [`Error::NoLayers`], [`Error::TooManyLayers`], or [`Error::Layer`] when a layer fails
    /// [`Expression::check_weights`].
    pub fn new(layers: Vec<Expression>) -> Result<Self, Error> {
        if layers.is_empty() {
            return Err(Error::NoLayers);
        }
        if layers.len() > MAX_LAYERS {
            return Err(Error::TooManyLayers { found: layers.len(), limit: MAX_LAYERS });
        }
        let ids = each_layer(&layers, |e| Ok(e.check_weights()?))?;
        Ok(Self { layers, ids })
    }

    /// The expressions, first layer first.
    pub fn layers(&self) -> &[Expression] {
        &self.layers
    }

    /// Stack count and ratio of every layer.
    pub fn ids(&self) -> &[LinearId] {
        &self.ids
    }

    /// The same operators with other stack counts and ratios: what stage 3 searches.
    ///
    /// # Errors
    /// [`Error::LayerCount`] unless there is one id per layer.
    pub fn with_ids(&self, ids: &[LinearId]) -> Result<Self, Error> {
        if ids.len() != self.layers.len() {
            return Err(Error::LayerCount { what: "linear ids", expected: self.layers.len(), found: ids.len() });
        }
        let layers = self.layers.iter().zip(ids).map(|(e, id)| e.with_id(*id)).collect();
        Ok(Self { layers, ids: ids.to_vec() })
    }

    /// Every layer twice in a row: how EfficientBERT++ is made of EfficientBERT.
    ///
    /// # Errors
    /// [`Error::TooManyLayers`] beyond [`MAX_LAYERS`].
    pub fn doubled(&self) -> Result<Self, Error> {
        Self::new(self.layers.iter().flat_map(|e| [e.clone(), e.clone()]).collect())
    }

    /// Whether every layer belongs to the search space.
    ///
    /// # Errors
    /// [`Error::Layer`] with the first layer's broken rule.
    pub fn validate(&self, heights: Heights) -> Result<(), Error> {
        each_layer(&self.layers, |e| Ok(e.validate_within(heights)?)).map(|_| ())
    }

    /// Whether every layer runs at these widths.
    ///
    /// # Errors
    /// [`Error::Layer`] with the first layer's mismatch.
    pub fn check_widths(&self, widths: Widths) -> Result<(), Error> {
        each_layer(&self.layers, |e| Ok(e.check_widths(widths)?)).map(|_| ())
    }
}

fn each_layer<T>(layers: &[Expression], f: impl Fn(&Expression) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    layers.iter().enumerate().map(|(i, e)| f(e).map_err(|error| in_layer(i, error))).collect()
}

fn in_layer(index: usize, source: Error) -> Error {
    Error::Layer { layer: index + 1, source: Box::new(source) }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.layers.iter().enumerate() {
            write!(f, "{}{e}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let pieces: Vec<String> = if text.trim_start().starts_with('[') {
            serde_json::from_str(text).map_err(|e| Error::Json { reason: e.to_string() })?
        } else {
            split_layers(text).into_iter().map(ToOwned::to_owned).collect()
        };
        if pieces.len() > MAX_LAYERS {
            return Err(Error::TooManyLayers { found: pieces.len(), limit: MAX_LAYERS });
        }
        let layers = pieces.iter().enumerate().map(|(i, piece)| piece.parse().map_err(|error| in_layer(i, error)));
        Self::new(layers.collect::<Result<_, _>>()?)
    }
}

/// Splits at newlines, semicolons and commas outside brackets. Blank lines and one separator at a line's end are allowed;
/// any other empty piece stays and is reported as an empty expression.
fn split_layers(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (mut depth, mut start) = (0_usize, 0);
        for (i, c) in line.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ';' => {
                    pieces.push(line[start..i].trim());
                    (start, depth) = (i + 1, 0);
                }
                ',' if depth == 0 => {
                    pieces.push(line[start..i].trim());
                    start = i + 1;
                }
                _ => {}
            }
        }
        if start < line.len() {
            pieces.push(line[start..].trim());
        }
    }
    pieces
}

impl serde::Serialize for Architecture {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.layers)
    }
}

impl<'de> serde::Deserialize<'de> for Architecture {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let layers = Vec::<String>::deserialize(deserializer)?;
        let parsed = layers.iter().enumerate().map(|(i, text)| text.parse().map_err(|error| in_layer(i, error)));
        parsed.collect::<Result<_, _>>().and_then(Self::new).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::released::{FINAL, preset};

    #[test]
    fn every_text_form_reads_back_as_the_same_architecture() {
        let arch = preset("efficientbert").unwrap();
        let json = serde_json::to_string(&arch).unwrap();
        assert_eq!(json, serde_json::to_string(&FINAL).unwrap());
        for text in [arch.to_string(), json, FINAL.join("\n\n"), FINAL.join(", "), format!("{};\n", FINAL.join(";\n"))]
        {
            assert_eq!(text.parse::<Architecture>().as_ref(), Ok(&arch), "{text}");
        }
    }

    #[test]
    fn errors_name_the_layer() {
        let message = |text: &str| text.parse::<Architecture>().unwrap_err().to_string();
        let plain = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";
        assert!(message(&format!("{plain}; gelu(")).starts_with("layer 2: expression, column 6: expected x"));
        assert_eq!(message(&format!("{plain}; x")), "layer 2: wb1 is used 0 times; it must be used exactly once");
        assert!(message(&format!("{plain};;{plain}")).starts_with("layer 2: expression, column 1"));
        assert!(message("[1]").starts_with("architecture is not a JSON array of strings"));
        assert_eq!(message(" \n"), Error::NoLayers.to_string());
        assert!(message(&format!("{plain};").repeat(MAX_LAYERS + 1)).starts_with("257 layers"));
    }

    #[test]
    fn doubling_repeats_each_layer_in_place() {
        let arch = preset("efficientbert++").unwrap();
        assert_eq!(arch.layers().len(), 12);
        assert!(
            (0..6)
                .all(|i| arch.layers()[2 * i] == arch.layers()[2 * i + 1]
                    && arch.layers()[2 * i].to_string() == FINAL[i])
        );
    }

    #[test]
    fn ids_are_replaced_layer_by_layer_and_counted() {
        let arch = preset("efficientbert").unwrap();
        let ids = [LinearId::LARGEST; 6];
        assert_eq!(arch.with_ids(&ids).unwrap().ids(), ids);
        assert!(matches!(arch.with_ids(&ids[..5]), Err(Error::LayerCount { expected: 6, found: 5, .. })));
    }
}
