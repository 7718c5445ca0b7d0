//! One student of the space of whole encoders, as a study stores it.

use std::fmt;
use std::str::FromStr;

use encoder_spec::{BertConfig, student_config};
use mlp_space::Architecture;

use crate::error::{Error, Result};

/// A student: its widths, its heads and the feed-forward of each layer.
///
/// As text: `hidden=264 embed=128 heads=12 base=304: EXPRESSION; EXPRESSION`, one expression for each layer.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderGenome {
    /// Hidden width.
    pub hidden: usize,
    /// Width of the word table.
    pub embed: usize,
    /// Attention heads of each layer.
    pub heads: usize,
    /// Base width of the feed-forwards, which their ratios divide; may be above the hidden width.
    pub base: usize,
    /// The feed-forward of each layer.
    pub feed_forwards: Architecture,
}

impl EncoderGenome {
    /// The configuration of the student: `frame` with this student's widths, heads and layers.
    ///
    /// # Errors
    /// [`Error::Genome`] where such a student cannot be built.
    pub fn config(&self, frame: &BertConfig) -> Result<BertConfig> {
        let frame = BertConfig {
            hidden_size: self.hidden,
            embedding_size: Some(self.embed),
            num_attention_heads: self.heads,
            intermediate_size: self.base,
            ..frame.clone()
        };
        student_config(&frame, &self.feed_forwards).map_err(|e| self.wrong(e))
    }

    pub(super) fn wrong(&self, detail: impl ToString) -> Error {
        Error::Genome { text: self.to_string(), detail: detail.to_string() }
    }
}

impl fmt::Display for EncoderGenome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hidden, embed, heads, base, feed_forwards } = self;
        write!(f, "hidden={hidden} embed={embed} heads={heads} base={base}: {feed_forwards}")
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
        let (hidden, embed, heads, base) = (width("hidden")?, width("embed")?, width("heads")?, width("base")?);
        if let Some(more) = words.next() {
            return Err(format!("`{more}` is not known"));
        }
        let feed_forwards = layers.parse::<Architecture>().map_err(|e| e.to_string())?;
        Ok(Self { hidden, embed, heads, base, feed_forwards })
    }
}
