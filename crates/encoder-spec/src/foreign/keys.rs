//! From the keys of a family's `config.json` to BERT's.

use serde_json::{Map, Value};

use super::{ForeignError, bert};
use crate::{Activation, Result};

/// Fields of [`crate::BertConfig`]. In a file of another family these names mean what the family says, or nothing.
const FIELDS: [&str; 30] = [
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "default_norm_eps",
    "initializer_range",
    "pad_token_id",
    "embedding_size",
    "trigram_input",
    "normalization_type",
    "intra_bottleneck_size",
    "key_query_shared_bottleneck",
    "use_bottleneck_attention",
    "bottleneck_norm",
    "tie_key_query",
    "num_feedforward_networks",
    "fit_size",
    "layers",
    "pad_operands",
    "modern",
    "task_heads",
];

/// Keys of a file that are not read yet, and BERT's keys so far.
pub(crate) struct Keys {
    file: Map<String, Value>,
    bert: Map<String, Value>,
}

impl Keys {
    pub(super) fn of(mut file: Map<String, Value>) -> Self {
        file.remove("model_type");
        Self { file, bert: Map::new() }
    }

    /// A value that the family does not pass on; `null` is no value.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.file.remove(key).filter(|value| !value.is_null())
    }

    /// Whether the file has a key, be it with `null`.
    pub fn has(&self, key: &str) -> bool {
        self.file.contains_key(key)
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// It is missing, or something else.
    pub fn size(&mut self, key: &str) -> Result<u64, ForeignError> {
        let value = self.file.remove(key).ok_or_else(|| refused(key, "is missing".into()))?;
        value.as_u64().ok_or_else(|| refused(key, format!("must be a whole number, is {value}")))
    }

    /// As [`Keys::size`] for a key with a second name, which the file may have in place of the first.
    ///
    /// # Errors
    /// As there; both are there and differ.
    pub fn size_of_two(&mut self, key: &str, alias: &str) -> Result<u64, ForeignError> {
        if !self.file.contains_key(alias) {
            return self.size(key);
        }
        let second = self.size(alias)?;
        if !self.file.contains_key(key) {
            return Ok(second);
        }
        let first = self.size(key)?;
        match first == second {
            true => Ok(first),
            false => Err(refused(key, format!("is {first}, and `{alias}`, which means the same, is {second}"))),
        }
    }

    /// Sets one of BERT's keys.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.bert.insert(key.to_owned(), value.into());
    }

    /// The size that one of BERT's keys has got.
    pub fn put_size(&self, key: &str) -> Option<u64> {
        self.bert.get(key).and_then(Value::as_u64)
    }

    /// Passes sizes on that have BERT's names.
    ///
    /// # Errors
    /// As [`Keys::size`].
    pub fn pass_sizes(&mut self, keys: &[&str]) -> Result<(), ForeignError> {
        for key in keys {
            let size = self.size(key)?;
            self.put(key, size);
        }
        Ok(())
    }

    /// Passes the value of `from` on as BERT's `to`; `default` where there is none.
    pub fn pass_or(&mut self, from: &str, to: &str, default: impl Into<Value>) {
        let value = self.take(from).unwrap_or_else(|| default.into());
        self.put(to, value);
    }

    /// Passes an activation on as BERT's `hidden_act`; GELU where there is none.
    ///
    /// # Errors
    /// It is not one that is known.
    pub fn pass_activation(&mut self, from: &str) -> Result<(), ForeignError> {
        let value = self.take(from).unwrap_or_else(|| "gelu".into());
        if let Err(error) = serde_json::from_value::<Activation>(value.clone()) {
            return Err(refused(from, format!("{error}, is {value}")));
        }
        self.put("hidden_act", value);
        Ok(())
    }

    /// Passes the value of `key` on, where there is one.
    pub fn pass(&mut self, key: &str) {
        if let Some(value) = self.take(key) {
            self.put(key, value);
        }
    }

    /// Whether `architectures` names a class with this ending.
    pub fn is_of_class(&self, ending: &str) -> bool {
        let classes = self.file.get("architectures").and_then(Value::as_array);
        classes.into_iter().flatten().filter_map(Value::as_str).any(|class| class.ends_with(ending))
    }

    /// BERT's keys and what else stands in the file, without keys that would mean something to a BERT; these are the second value.
    pub(super) fn finish(self) -> (Map<String, Value>, Vec<String>) {
        let (mut bert_keys, mut ignored) = (self.bert, Vec::new());
        for (key, value) in self.file {
            if FIELDS.contains(&key.as_str()) {
                ignored.push(key);
            } else {
                bert_keys.insert(key, value);
            }
        }
        bert_keys.insert("model_type".into(), bert());
        (bert_keys, ignored)
    }
}

/// What is wrong with a key.
pub(super) fn refused(key: &str, message: String) -> ForeignError {
    ForeignError::Key { key: key.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{BertConfig, LayerSpec, NormKind, TaskHeadConfig, TaskHeadKind};

    #[test]
    fn the_list_has_every_field_of_a_configuration() {
        // Fields are written where they are not the default.
        let config = BertConfig {
            classifier_dropout: Some(0.1),
            default_norm_eps: Some(1e-5),
            embedding_size: Some(3),
            trigram_input: true,
            normalization_type: NormKind::NoNorm,
            intra_bottleneck_size: Some(2),
            key_query_shared_bottleneck: true,
            use_bottleneck_attention: true,
            bottleneck_norm: false,
            tie_key_query: true,
            num_feedforward_networks: 2,
            fit_size: Some(3),
            layers: vec![LayerSpec::without_feed_forward()],
            pad_operands: true,
            modern: crate::preset("modernbert-base").unwrap().modern,
            task_heads: vec![TaskHeadConfig::new("a", TaskHeadKind::Span, Vec::new())],
            ..BertConfig::bert(9, 4, 1, 2, 6)
        };
        let Value::Object(written) = serde_json::to_value(config).unwrap() else { panic!("an object") };
        let written: BTreeSet<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(written, FIELDS.into_iter().collect());
    }

    #[test]
    fn values_are_passed_on_and_what_only_a_bert_reads_is_not() {
        let file = json!({ "n": 3, "act": null, "hidden_act": "relu", "layers": [], "note": 1, "model_type": "x" });
        let mut keys = Keys::of(file.as_object().unwrap().clone());
        let n = keys.size("n").unwrap();
        keys.put("num_hidden_layers", n);
        keys.pass_or("act", "hidden_act", "gelu");
        let (bert, ignored) = keys.finish();
        let expected = json!({ "num_hidden_layers": 3, "hidden_act": "gelu", "note": 1, "model_type": "bert" });
        assert_eq!(Value::Object(bert), expected);
        assert_eq!(ignored, ["hidden_act", "layers"]);
    }

    #[test]
    fn sizes_that_are_missing_or_no_numbers_or_two_at_once_are_named() {
        let keys = || Keys::of(json!({ "a": "x", "b": 2, "c": 3, "d": 3 }).as_object().unwrap().clone());
        let message = |error: ForeignError| error.to_string();
        assert_eq!(message(keys().size("e").unwrap_err()), "config field `e`: is missing");
        assert_eq!(message(keys().size("a").unwrap_err()), "config field `a`: must be a whole number, is \"x\"");
        assert_eq!((keys().size_of_two("b", "e"), keys().size_of_two("e", "b")), (Ok(2), Ok(2)));
        assert_eq!(keys().size_of_two("c", "d"), Ok(3));
        assert!(message(keys().size_of_two("b", "c").unwrap_err()).contains("`b`: is 2, and `c`"));
    }
}
