//! ELECTRA (Clark et al. 2020), discriminators and generators.
//!
//! | `transformers` | BERT |
//! |---|---|
//! | `embedding_size` other than `hidden_size`: `embeddings_project` after the norm of the embedding | nothing: a BERT's projection is before it |
//! | `generator_predictions`, `generator_lm_head` | the masked-LM head, whose activation is always `gelu` |
//! | `discriminator_predictions` | left behind: it tells replaced tokens from others |
//! | `classifier.dense`, GELU, `classifier.out_proj` | nothing: a pooler has tanh |
//! | `sequence_summary` of multiple choice | nothing |

use serde_json::{Map, Value};

use super::keys::{Keys, refused};
use super::roberta::pass_common;
use super::{ForeignError, ForeignFamily, Place, fixed_gelu, has_exact_gelu, moved};
use crate::Result;

/// `embedding_size` where the key is absent.
const EMBEDDING: u64 = 128;

/// The family.
pub(super) struct Electra;

impl ForeignFamily for Electra {
    fn name(&self) -> &'static str {
        "ELECTRA"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["electra"]
    }

    fn prefix(&self) -> &'static str {
        "electra."
    }

    fn read_keys(&self, keys: &mut Keys) -> Result<(), ForeignError> {
        let embedding = if keys.has("embedding_size") { keys.size("embedding_size")? } else { EMBEDDING };
        pass_common(keys)?;
        keys.pass_sizes(&["max_position_embeddings"])?;
        keys.pass_or("pad_token_id", "pad_token_id", 0);
        let hidden = keys.put_size("hidden_size");
        if Some(embedding) != hidden {
            return Err(refused(
                "embedding_size",
                format!(
                    "must equal `hidden_size` {}, is {embedding}: ELECTRA projects (`embeddings_project`) after the norm of the \
                     embedding, BERT before it",
                    hidden.unwrap_or_default()
                ),
            ));
        }
        Ok(())
    }

    fn encoder_name(&self, name: &str) -> Option<String> {
        ["embeddings.", "encoder."].iter().any(|part| name.starts_with(part)).then(|| name.to_owned())
    }

    fn outside(&self, name: &str) -> Place {
        if name.starts_with("discriminator_predictions.") {
            return Place::LeftBehind;
        }
        let head = moved(name, "generator_predictions.", "cls.predictions.transform.")
            .or_else(|| moved(name, "generator_lm_head.weight", "cls.predictions.decoder.weight"))
            .or_else(|| moved(name, "generator_lm_head.bias", "cls.predictions.bias"));
        head.map_or(Place::Unchanged, Place::Head)
    }

    fn check_heads(&self, config: &Map<String, Value>, has: &dyn Fn(&str) -> bool) -> Result<(), ForeignError> {
        let refuse = |message: &str| Err(ForeignError::Head { message: message.into() });
        if has("classifier.dense.weight") {
            return refuse(
                "the classifier of ELECTRA (`classifier.dense`, GELU, `classifier.out_proj`) is not supported: the layer before a head \
                 has tanh here",
            );
        }
        if has("sequence_summary.summary.weight") {
            return refuse("the head of ELECTRA for multiple choice (`sequence_summary`) is not supported");
        }
        if has("generator_predictions.dense.weight") && !has_exact_gelu(config) {
            return Err(fixed_gelu("ELECTRA", "generator_predictions", config));
        }
        Ok(())
    }
}
