//! One student of the space of whole encoders, as a study stores it.

use std::fmt;
use std::str::FromStr;

use encoder_spec::{AttentionShape, BertConfig, LayerParts, layered_config};
use mlp_space::{Architecture, Expression, LinearId, Unary};

use crate::error::{Error, Result};

/// One layer: self-attention and a feed-forward, or one of them.
///
/// As text: `12x264 + EXPRESSION`, `12x264` or `EXPRESSION`, where 12 is the number of heads and 264 the width of all of them together.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderLayer {
    /// Heads and width of the attention; `None`: the layer has none.
    pub attention: Option<AttentionShape>,
    /// The feed-forward; `None`: the layer has none.
    pub feed_forward: Option<Expression>,
}

/// A student: its widths and its layers.
///
/// As text: `hidden=264 embed=128 base=304: LAYER; LAYER`.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderGenome {
    /// Hidden width.
    pub hidden: usize,
    /// Width of the word table.
    pub embed: usize,
    /// Base width of the feed-forwards, which their ratios divide; may be above the hidden width.
    pub base: usize,
    /// In order of application, at least one.
    pub layers: Vec<EncoderLayer>,
}

impl EncoderGenome {
    /// The configuration of the student: `frame` with this student's widths and layers.
    ///
    /// # Errors
    /// [`Error::Genome`] where such a student cannot be built.
    pub fn config(&self, frame: &BertConfig) -> Result<BertConfig> {
        // Written once in the file, and beside a layer only where that has others.
        let usual = self.layers.iter().find_map(|layer| layer.attention).filter(|shape| shape.width == self.hidden);
        let frame = BertConfig {
            hidden_size: self.hidden,
            embedding_size: Some(self.embed),
            num_attention_heads: usual.map_or(1, |shape| shape.heads),
            intermediate_size: self.base,
            ..frame.clone()
        };
        let architecture = self.feed_forwards().map_err(|e| self.wrong(e))?;
        let parts: Vec<LayerParts> = self
            .layers
            .iter()
            .map(|layer| LayerParts { attention: layer.attention, feed_forward: layer.feed_forward.is_some() })
            .collect();
        layered_config(&frame, &architecture, &parts).map_err(|e| self.wrong(e))
    }

    /// The feed-forwards; a plain one of a quarter of the base width stands where a layer has none.
    ///
    /// # Errors
    /// No layers.
    pub fn feed_forwards(&self) -> std::result::Result<Architecture, mlp_space::Error> {
        let layer = |layer: &EncoderLayer| layer.feed_forward.clone().unwrap_or_else(narrowest);
        Architecture::new(self.layers.iter().map(layer).collect())
    }

    pub(super) fn wrong(&self, detail: impl ToString) -> Error {
        Error::Genome { text: self.to_string(), detail: detail.to_string() }
    }
}

fn narrowest() -> Expression {
    let least = LinearId::all().filter(|id| id.stacks() == 1).max_by_key(|id| id.ratio());
    Expression::plain(least.unwrap_or(LinearId::LARGEST), Unary::Gelu)
}

impl fmt::Display for EncoderLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.attention, &self.feed_forward) {
            (Some(AttentionShape { heads, width }), Some(expression)) => write!(f, "{heads}x{width} + {expression}"),
            (Some(AttentionShape { heads, width }), None) => write!(f, "{heads}x{width}"),
            (None, Some(expression)) => write!(f, "{expression}"),
            (None, None) => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for EncoderGenome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hidden, embed, base, layers } = self;
        let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
        write!(f, "hidden={hidden} embed={embed} base={base}: {}", layers.join("; "))
    }
}

impl FromStr for EncoderLayer {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let shape = |text: &str| {
            let (heads, width) = text.split_once('x')?;
            Some(AttentionShape { heads: heads.parse().ok()?, width: width.parse().ok()? })
        };
        let expression = |text: &str| text.parse::<Expression>().map_err(|e| e.to_string());
        match text.split_once(" + ") {
            Some((attention, feed_forward)) => {
                let attention = shape(attention).ok_or_else(|| format!("`{attention}` is not HEADSxWIDTH"))?;
                Ok(Self { attention: Some(attention), feed_forward: Some(expression(feed_forward)?) })
            }
            None => match shape(text) {
                Some(attention) => Ok(Self { attention: Some(attention), feed_forward: None }),
                None => Ok(Self { attention: None, feed_forward: Some(expression(text)?) }),
            },
        }
    }
}

impl FromStr for EncoderGenome {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (widths, layers) = text.split_once(": ").ok_or("no colon after the widths")?;
        let mut words = widths.split(' ');
        let mut width = |key: &str| {
            let word = words.next().and_then(|word| word.strip_prefix(key)?.strip_prefix('='));
            let number = word.and_then(|number| number.parse::<usize>().ok()).filter(|&number| number > 0);
            number.ok_or_else(|| format!("`{key}=NUMBER` is missing"))
        };
        let (hidden, embed, base) = (width("hidden")?, width("embed")?, width("base")?);
        if let Some(more) = words.next() {
            return Err(format!("`{more}` is not known"));
        }
        let layers = layers.split("; ").map(str::parse).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self { hidden, embed, base, layers })
    }
}
