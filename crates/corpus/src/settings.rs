//! How a corpus becomes sequences.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mask::MaskSettings;

/// The shortest maximum length: three special tokens and room for two others, with some to spare.
const LEAST_LEN: usize = 8;
/// The longest, so that a position fits 16 bits with room.
const MOST_LEN: usize = 32_768;
/// More packings of one text than anyone uses; a shard holds all of a block of text.
const MOST_COPIES: u32 = 64;

/// How sequences are filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Packing {
    /// `[CLS] a [SEP] b [SEP]` of consecutive sentences of one document, as BERT's pre-training.
    Pairs {
        /// Chance that a document is packed to a random shorter length; BERT and EfficientBERT have 0.1.
        short_seq_prob: f64,
        /// Chance that b comes from another document of the same 2 MiB of text; BERT has 0.5, 0 for text in its own order.
        random_next: f64,
    },
    /// `[CLS] tokens [SEP]`, filled to the last token whatever the sentences, without pairs, as for token dropping.
    Full {
        /// A sequence goes on with the next document, behind a `[SEP]`, where one ends before it is full.
        cross_documents: bool,
    },
}

impl Packing {
    /// Pairs with the reference's chances.
    pub const BERT: Self = Self::Pairs { short_seq_prob: Self::SHORT_SEQ_PROB, random_next: Self::RANDOM_NEXT };
    /// BERT's chance that a document is packed to a random shorter length.
    pub const SHORT_SEQ_PROB: f64 = 0.1;
    /// BERT's chance that the second segment comes from another document.
    pub const RANDOM_NEXT: f64 = 0.5;
}

/// How a corpus is packed. Two packings of the same inputs by the same tokenizer with equal settings are equal, byte by byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackSettings {
    /// Tokens of a sequence with its special tokens. Default 128.
    pub max_len: usize,
    /// How sequences are filled. Default [`Packing::BERT`].
    pub packing: Packing,
    /// How often the text is packed, each time with other draws (BERT's `dupe_factor`). Default 1; EfficientBERT has 5.
    pub copies: u32,
    /// Static masking: tokens are hidden in the shards themselves. Default none, for training without masks or with dynamic ones.
    pub masking: Option<MaskSettings>,
    /// Seed of every random choice. Default 42.
    pub seed: u64,
    /// Bytes of text per shard, about; a rerun makes missing shards again, each as a whole. Default 32 MiB, some 14 MiB of shard.
    pub shard_text_bytes: u64,
    /// Neighboring inputs smaller than this are packed together until they have as many bytes. Default 8 MiB.
    pub group_bytes: u64,
}

impl Default for PackSettings {
    fn default() -> Self {
        Self {
            max_len: 128,
            packing: Packing::BERT,
            copies: 1,
            masking: None,
            seed: 42,
            shard_text_bytes: 32 << 20,
            group_bytes: 8 << 20,
        }
    }
}

pub(crate) fn check_chances(short_seq_prob: f64, random_next: f64) -> Result<()> {
    let chances = [("short_seq_prob", short_seq_prob), ("random_next", random_next)];
    match chances.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
        Some((name, value)) => Err(Error::Settings(format!("{name} is {value}; a chance is a number from 0 to 1"))),
        None => Ok(()),
    }
}

impl PackSettings {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Settings(text));
        if !(LEAST_LEN..=MOST_LEN).contains(&self.max_len) {
            return refuse(format!("max_len is {}; lengths from {LEAST_LEN} to {MOST_LEN} are possible", self.max_len));
        }
        if !(1..=MOST_COPIES).contains(&self.copies) {
            return refuse(format!("copies is {}; 1 to {MOST_COPIES} are possible", self.copies));
        }
        if let Packing::Pairs { short_seq_prob, random_next } = self.packing {
            check_chances(short_seq_prob, random_next)?;
        }
        if !(1..=1 << 30).contains(&self.shard_text_bytes) {
            return refuse(format!("shard_text_bytes is {}; 1 byte to 1 GiB are possible", self.shard_text_bytes));
        }
        self.masking.as_ref().map_or(Ok(()), MaskSettings::check)
    }

    /// The first setting that differs, as text; `None` where all are equal.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (mine, theirs) = (fields(self), fields(other));
        mine.iter().find_map(|(key, value)| {
            let found = theirs.get(key)?;
            (found != value).then(|| format!("{key} was {found}, now it is {value}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named_with_their_range() {
        let message = |settings: PackSettings| settings.check().unwrap_err().to_string();
        let default = PackSettings::default;
        assert!(default().check().is_ok());
        assert!(message(PackSettings { max_len: 7, ..default() }).contains("max_len is 7"));
        assert!(message(PackSettings { copies: 0, ..default() }).contains("copies is 0"));
        let packing = Packing::Pairs { short_seq_prob: f64::NAN, random_next: 0.5 };
        assert!(message(PackSettings { packing, ..default() }).contains("short_seq_prob is NaN"));
        let masking = Some(MaskSettings { random: 0.6, keep: 0.6, ..MaskSettings::default() });
        assert!(message(PackSettings { masking, ..default() }).contains("1.2 together"));
        assert!(message(PackSettings { shard_text_bytes: 0, ..default() }).contains("shard_text_bytes"));
    }

    #[test]
    fn the_first_difference_is_shown_with_both_values() {
        let other = PackSettings { seed: 7, ..PackSettings::default() };
        assert_eq!(other.difference(&other), None);
        assert_eq!(PackSettings::default().difference(&other).unwrap(), "seed was 7, now it is 42");
    }

    #[test]
    fn settings_are_read_from_what_is_given_and_unknown_keys_are_refused() {
        let text = r#"{"max_len": 512, "packing": {"kind": "full", "cross_documents": true}}"#;
        let read: PackSettings = serde_json::from_str(text).unwrap();
        assert_eq!(
            read,
            PackSettings { max_len: 512, packing: Packing::Full { cross_documents: true }, ..PackSettings::default() }
        );
        assert!(serde_json::from_str::<PackSettings>(r#"{"max_length": 1}"#).is_err());
    }
}
