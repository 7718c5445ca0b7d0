//! RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2020) and CamemBERT (Martin et al. 2020), which share names and computation.
//!
//! | `transformers` | BERT |
//! |---|---|
//! | positions begin at `pad_token_id + 1` | the first `pad_token_id + 1` rows of the position table are left out |
//! | `lm_head` | the masked-LM head, whose activation is always `gelu` |
//! | `classifier.dense`, tanh, `classifier.out_proj` on the first token | the pooler and `classifier` |

use serde_json::{Map, Value};

use super::keys::{Keys, refused};
use super::tensors::Encoder;
use super::{ForeignError, ForeignFamily, Place, fixed_gelu, has_exact_gelu, moved};
use crate::Result;

/// `pad_token_id` where the key is absent.
const PADDING: u64 = 1;
/// Parts of the encoder, by the first word of a name.
const PARTS: [&str; 3] = ["embeddings.", "encoder.", "pooler."];
/// The position table.
const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// The family.
pub(super) struct Roberta;

impl ForeignFamily for Roberta {
    fn name(&self) -> &'static str {
        "RoBERTa"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["roberta", "xlm-roberta", "camembert"]
    }

    fn prefix(&self) -> &'static str {
        "roberta."
    }

    fn read_keys(&self, keys: &mut Keys) -> Result<(), ForeignError> {
        pass_common(keys)?;
        let rows = keys.size("max_position_embeddings")?;
        let padding = match keys.has("pad_token_id") {
            true => keys.size("pad_token_id")?,
            false => PADDING,
        };
        let Some(positions) = rows.checked_sub(padding).and_then(|rest| rest.checked_sub(1)).filter(|rest| *rest > 0)
        else {
            return Err(refused(
                "max_position_embeddings",
                format!("leaves no position, as positions begin behind `pad_token_id` {padding}; is {rows}"),
            ));
        };
        keys.put("pad_token_id", padding);
        keys.put("max_position_embeddings", positions);
        Ok(())
    }

    fn encoder_name(&self, name: &str) -> Option<String> {
        PARTS.iter().any(|part| name.starts_with(part)).then(|| name.to_owned())
    }

    fn outside(&self, name: &str) -> Place {
        let head = moved(name, "lm_head.dense.", "cls.predictions.transform.dense.")
            .or_else(|| moved(name, "lm_head.layer_norm.", "cls.predictions.transform.LayerNorm."))
            .or_else(|| moved(name, "lm_head.", "cls.predictions."))
            .or_else(|| moved(name, "classifier.out_proj.", "classifier."));
        match (head, name.strip_prefix("classifier.dense.")) {
            (Some(head), _) => Place::Head(head),
            (None, Some(leaf)) => Place::Pooler(leaf.to_owned()),
            (None, None) => Place::Unchanged,
        }
    }

    fn check_heads(&self, config: &Map<String, Value>, has: &dyn Fn(&str) -> bool) -> Result<(), ForeignError> {
        let classes = config.get("architectures").and_then(Value::as_array);
        let named = |class: &Value| class.as_str().is_some_and(|class| class.ends_with("ForTokenClassification"));
        let is_of_tokens = classes.is_some_and(|classes| classes.iter().any(named));
        if has("classifier.weight") && !is_of_tokens {
            let message = "`classifier.weight` is the head of a RoBERTa for tokens, which `architectures` does not name, or for multiple \
                           choice; a classifier of texts has `classifier.dense` and `classifier.out_proj`";
            return Err(ForeignError::Head { message: message.into() });
        }
        if has("lm_head.dense.weight") && !has_exact_gelu(config) {
            return Err(fixed_gelu("RoBERTa", "lm_head", config));
        }
        Ok(())
    }

    fn reshape(&self, config: &Map<String, Value>, encoder: &mut Encoder) -> Result<(), ForeignError> {
        let size = |key: &str| config.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let Some((name, table)) = encoder.get_mut(POSITIONS) else { return Ok(()) };
        let (Some(positions), Some(padding), Some(width)) =
            (size("max_position_embeddings"), size("pad_token_id"), size("hidden_size"))
        else {
            return Ok(());
        };
        // The sum was the file's number of rows, so it does not overflow.
        let expected = vec![positions + padding + 1, width];
        if table.shape != expected {
            return Err(ForeignError::Shape { name: name.to_owned(), found: table.shape.clone(), expected });
        }
        table.data.drain(..(padding + 1) * width);
        table.shape[0] = positions;
        Ok(())
    }
}

/// Keys that RoBERTa and ELECTRA have in common with BERT, with their defaults in `transformers`.
///
/// # Errors
/// A size is missing or no number.
pub(super) fn pass_common(keys: &mut Keys) -> Result<(), ForeignError> {
    let sizes = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"];
    keys.pass_sizes(&sizes)?;
    keys.pass_activation("hidden_act")?;
    keys.pass_or("hidden_dropout_prob", "hidden_dropout_prob", 0.1);
    keys.pass_or("attention_probs_dropout_prob", "attention_probs_dropout_prob", 0.1);
    keys.pass_or("type_vocab_size", "type_vocab_size", 2);
    keys.pass_or("layer_norm_eps", "layer_norm_eps", 1e-12);
    keys.pass_or("initializer_range", "initializer_range", 0.02);
    keys.pass("classifier_dropout");
    Ok(())
}
