//! DistilBERT (Sanh et al. 2019).
//!
//! | `transformers` | BERT |
//! |---|---|
//! | no segments | two segments whose rows are 0, so that pairs compute the same |
//! | every norm has the epsilon 1e-12 | `layer_norm_eps` |
//! | `vocab_transform`, `vocab_layer_norm`, `vocab_projector` | the masked-LM head, with the same activation |
//! | `pre_classifier`, ReLU, `classifier` | nothing: a pooler has tanh |
//!
//! Sinusoidal positions are stored like learned ones.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::tensors::Encoder;
use super::{ForeignError, ForeignFamily, Place, moved};
use crate::{HostTensor, Result};

/// Epsilon of every norm.
const EPS: f64 = 1e-12;
/// Rows of the segment table.
const SEGMENTS: usize = 2;
/// What a layer calls its parts, and what BERT calls them.
const LAYER: [(&str, &str); 8] = [
    ("attention.q_lin.", "attention.self.query."),
    ("attention.k_lin.", "attention.self.key."),
    ("attention.v_lin.", "attention.self.value."),
    ("attention.out_lin.", "attention.output.dense."),
    ("sa_layer_norm.", "attention.output.LayerNorm."),
    ("ffn.lin1.", "intermediate.dense."),
    ("ffn.lin2.", "output.dense."),
    ("output_layer_norm.", "output.LayerNorm."),
];

/// The family.
pub(super) struct DistilBert;

impl ForeignFamily for DistilBert {
    fn name(&self) -> &'static str {
        "DistilBERT"
    }

    fn model_types(&self) -> &'static [&'static str] {
        &["distilbert"]
    }

    fn prefix(&self) -> &'static str {
        "distilbert."
    }

    fn read_keys(&self, keys: &mut Keys) -> Result<(), ForeignError> {
        keys.pass_sizes(&["vocab_size", "max_position_embeddings"])?;
        for (key, bert) in
            [("dim", "hidden_size"), ("n_layers", "num_hidden_layers"), ("n_heads", "num_attention_heads")]
        {
            let size = keys.size_of_two(key, bert)?;
            keys.put(bert, size);
        }
        let inner = keys.size("hidden_dim")?;
        keys.put("intermediate_size", inner);
        // Of two kinds of heads, and the file has one.
        let dropouts = [("seq_classif_dropout", 0.2), ("qa_dropout", 0.1)];
        let (dropout, default) = dropouts[usize::from(keys.is_of_class("ForQuestionAnswering"))];
        keys.pass_or(dropout, "classifier_dropout", default);
        keys.pass_activation("activation")?;
        keys.pass_or("dropout", "hidden_dropout_prob", 0.1);
        keys.pass_or("attention_dropout", "attention_probs_dropout_prob", 0.1);
        keys.pass_or("initializer_range", "initializer_range", 0.02);
        keys.pass_or("pad_token_id", "pad_token_id", 0);
        keys.put("layer_norm_eps", EPS);
        keys.put("type_vocab_size", SEGMENTS);
        // The other kind's dropout, how positions began, and an old name of tied output weights, which the file itself tells.
        for key in ["seq_classif_dropout", "qa_dropout", "sinusoidal_pos_embds", "tie_weights_"] {
            keys.take(key);
        }
        Ok(())
    }

    fn encoder_name(&self, name: &str) -> Option<String> {
        if name.starts_with("embeddings.") {
            return Some(name.to_owned());
        }
        let (layer, part) = name.strip_prefix("transformer.layer.")?.split_once('.')?;
        let bert = LAYER.iter().find_map(|(own, bert)| moved(part, own, bert))?;
        Some(format!("encoder.layer.{layer}.{bert}"))
    }

    fn outside(&self, name: &str) -> Place {
        let head = moved(name, "vocab_transform.", "cls.predictions.transform.dense.")
            .or_else(|| moved(name, "vocab_layer_norm.", "cls.predictions.transform.LayerNorm."))
            .or_else(|| moved(name, "vocab_projector.weight", "cls.predictions.decoder.weight"))
            .or_else(|| moved(name, "vocab_projector.bias", "cls.predictions.bias"));
        head.map_or(Place::Unchanged, Place::Head)
    }

    fn check_heads(&self, _: &Map<String, Value>, has: &dyn Fn(&str) -> bool) -> Result<(), ForeignError> {
        if has("pre_classifier.weight") {
            let message = "the classifier of DistilBERT (`pre_classifier`, ReLU, `classifier`) is not supported: the layer before a head \
                           has tanh here";
            return Err(ForeignError::Head { message: message.into() });
        }
        Ok(())
    }

    fn reshape(&self, config: &Map<String, Value>, encoder: &mut Encoder) -> Result<(), ForeignError> {
        let width = config.get("hidden_size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        // A width that is absurd is refused with the configuration.
        let Some(width) = width.filter(|width| *width <= crate::config::MAX_SIZE) else { return Ok(()) };
        let zeros = HostTensor { shape: vec![SEGMENTS, width], data: vec![0.0; SEGMENTS * width] };
        encoder.add("embeddings.token_type_embeddings.weight", zeros)
    }
}
