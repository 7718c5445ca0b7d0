//! Parts that an encoder may have or not.

use crate::{BertConfig, ModelType};

/// The optional parts of a model that no configuration field describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Whether there is a dense layer between what is pooled and the task heads.
    pub pooler: bool,
    /// Whether there is a masked-language-model head.
    pub mlm: bool,
    /// Whether that head has output weights of its own beside the word table, as MobileBERT's.
    pub mlm_extra: bool,
}

impl Parts {
    /// None of them.
    pub const NONE: Self = Self { pooler: false, mlm: false, mlm_extra: false };
    /// The pooler alone.
    pub const POOLER: Self = Self { pooler: true, ..Self::NONE };

    /// The parts that a file with tensors of these names holds (Hugging Face's names, with or without the family's prefix).
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut parts = Self::default();
        for name in names {
            parts.pooler |= name.ends_with("pooler.dense.weight") || name == "head.dense.weight";
            parts.mlm |=
                ["cls.predictions.transform.dense.weight", "decoder.bias", "decoder.weight"].contains(&name.as_str());
            parts.mlm_extra |= name == "cls.predictions.dense.weight";
        }
        parts
    }

    /// The parts that an encoder with weights at these paths has ([`Encoder::weights`](crate::Encoder::weights)).
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a String>) -> Self {
        let mut parts = Self::default();
        for path in paths {
            parts.pooler |= path == "pooler.weight" || path == "prediction.dense.weight";
            parts.mlm |= path == "mlm.dense.weight" || path == "mlm.bias";
            parts.mlm_extra |= path == "mlm.extra";
        }
        parts
    }

    /// These parts and a masked-language-model head as the family of `config` has it: MobileBERT's with output weights of its own, the
    /// others' tied to the word table.
    #[must_use]
    pub fn with_words(self, config: &BertConfig) -> Self {
        let narrow = config.embed_width() < config.hidden_size;
        Self { mlm: true, mlm_extra: narrow && config.model_type == ModelType::MobileBert, ..self }
    }

    /// What the published checkpoints of a family have.
    pub fn published(family: ModelType) -> Self {
        family.family().published_parts()
    }
}
