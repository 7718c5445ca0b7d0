//! The files of a tokenizer as a new model directory gets them: all that readers look for, and no two that contradict each other.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokenizers::{AddedToken, Model, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use crate::agree::{Casing, described};
use crate::error::Result;
use crate::load::TextEncoder;
use crate::stated::{ADDED, ADDITIONAL, CONFIG, DECODER, EXTRA, JsonFile, MAP, NAMED, Object};

/// The longest length that is one; what is larger stands for none, as `transformers` writes it.
const LONGEST: f64 = 1e9;

impl TextEncoder {
    /// The files of a model directory whose model has `positions` positions, by name: `tokenizer.json`, `tokenizer_config.json`,
    /// `special_tokens_map.json`, `added_tokens.json` where there are such tokens, and `vocab.txt` of a WordPiece
    /// tokenizer. What was there keeps its bytes as far as it agrees with the tokenizer; what was not is made. The configuration
    /// states casing and special tokens, a class that `transformers` has, and a `model_max_length` of at most `positions`.
    ///
    /// # Errors
    /// The library cannot write the tokenizer.
    pub fn files(&self, positions: usize) -> Result<Vec<(String, Vec<u8>)>> {
        let library = self.library()?;
        let stated = &self.origin.stated;
        let json = match &self.origin.json {
            Some(bytes) => bytes.clone(),
            None => self.to_json()?,
        };
        let mut files = vec![("tokenizer.json".to_owned(), json)];
        let mut put = |name: &str, bytes: Vec<u8>| files.push((name.to_owned(), bytes));
        put(CONFIG, self.changed(stated.config.as_ref(), |config| self.describe(config, library, positions)));
        put(MAP, self.changed(stated.map.as_ref(), |map| self.name_tokens(map)));
        let is_outside = |token: &AddedToken| library.get_model().token_to_id(&token.content).is_none();
        let mut added = self.further(library);
        added.retain(|_, token| !token.special || is_outside(token));
        if !added.is_empty() || stated.added.is_some() {
            let fill = |object: &mut Object| {
                object.extend(added.into_iter().map(|(id, token)| (token.content, json!(id))));
            };
            put(ADDED, self.changed(stated.added.as_ref(), fill));
        }
        if let Some(lines) = vocabulary(library) {
            put("vocab.txt", lines.into_bytes());
        }
        Ok(files)
    }

    /// A file with `change` made to it; its own bytes where that changes nothing.
    fn changed(&self, part: Option<&JsonFile>, change: impl FnOnce(&mut Object)) -> Vec<u8> {
        let mut object = part.map(|part| part.object.clone()).unwrap_or_default();
        change(&mut object);
        if let Some(part) = part.filter(|part| part.object == object) {
            return part.bytes.clone();
        }
        format!("{:#}\n", Value::Object(object)).into_bytes()
    }

    /// Completes a `tokenizer_config.json`.
    fn describe(&self, config: &mut Object, library: &Tokenizer, positions: usize) {
        let casing = bert_casing(library);
        let class = if casing.is_some() { "BertTokenizer" } else { "PreTrainedTokenizerFast" };
        let written = config.entry("tokenizer_class").or_insert_with(|| class.into());
        // DistilBERT's class is BERT's without segments. Here pairs have two, so other programs must give them two.
        if let Some(fast) = written.as_str().and_then(|class| class.strip_prefix("DistilBertTokenizer")) {
            *written = format!("BertTokenizer{fast}").into();
        }
        if let Some(Casing { lower, accents, chinese }) = casing {
            config.insert("do_lower_case".into(), lower.into());
            config.insert("strip_accents".into(), accents.into());
            config.insert("tokenize_chinese_chars".into(), chinese.into());
        }
        self.name_tokens(config);
        let own = config.get("model_max_length").and_then(Value::as_f64).filter(|own| (1.0..LONGEST).contains(own));
        if own.is_none_or(|own| own > positions as f64) {
            config.insert("model_max_length".into(), positions.into());
        }
        if let Some(Value::Object(listed)) = config.get_mut(DECODER) {
            for (id, token) in library.get_added_tokens_decoder() {
                let is_listed = listed.values().any(|known| known["content"] == token.content.as_str());
                if !is_listed {
                    listed.insert(id.to_string(), described(&token));
                }
            }
            return;
        }
        // For readers of vocab.txt: which tokens are never split, and how those of added_tokens.json are found.
        let key = if config.get(EXTRA).is_some_and(Value::is_array) { EXTRA } else { ADDITIONAL };
        for AddedToken { content: name, .. } in self.further(library).into_values().filter(|token| token.special) {
            let is_named = config.iter().any(|(key, value)| {
                let names = |value: &Value| *value == name.as_str() || value["content"] == name.as_str();
                let listed = value.as_array().is_some_and(|list| list.iter().any(names));
                key.ends_with("_token") && names(value) || [EXTRA, ADDITIONAL].contains(&key.as_str()) && listed
            });
            if let (false, Value::Array(list)) =
                (is_named, config.entry(key).or_insert_with(|| Value::Array(Vec::new())))
            {
                list.push(name.into());
            }
        }
    }

    /// The tokens that are never split besides the five that have names of their own, by id.
    fn further(&self, library: &Tokenizer) -> BTreeMap<u32, AddedToken> {
        let is_named = |token: &AddedToken| NAMED.iter().any(|(key, _)| self.origin.stated.name(key) == token.content);
        library.get_added_tokens_decoder().into_iter().filter(|(_, token)| !is_named(token)).collect()
    }

    /// Names the special tokens that the tokenizer has, where `object` does not name the same.
    fn name_tokens(&self, object: &mut Object) {
        let ids = [self.unk_id(), Some(self.sep_id()), Some(self.pad_id()), Some(self.cls_id()), self.mask_id()];
        for ((key, _), _) in NAMED.iter().zip(ids).filter(|(_, id)| id.is_some()) {
            let name = self.origin.stated.name(key);
            let same = object.get(*key).is_some_and(|own| own == name || own["content"] == name);
            if !same {
                object.insert((*key).to_owned(), name.into());
            }
        }
    }
}

/// The casing of a tokenizer that splits text as BERT does.
fn bert_casing(library: &Tokenizer) -> Option<Casing> {
    let (ModelWrapper::WordPiece(model), Some(NormalizerWrapper::BertNormalizer(normalizer))) =
        (library.get_model(), library.get_normalizer())
    else {
        return None;
    };
    let is_bert = normalizer.clean_text
        && model.continuing_subword_prefix == "##"
        && model.max_input_chars_per_word == 100
        && matches!(library.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    let (lower, accents) = (normalizer.lowercase, normalizer.strip_accents);
    is_bert.then_some(Casing { lower, accents, chinese: normalizer.handle_chinese_chars })
}

/// A WordPiece vocabulary, one token per line; `None` where a file of lines cannot hold it.
fn vocabulary(library: &Tokenizer) -> Option<String> {
    let ModelWrapper::WordPiece(model) = library.get_model() else { return None };
    let vocab = model.get_vocab();
    let lines = *vocab.values().max()? as usize + 1;
    let is_line = |token: &String| !token.contains(['\n', '\r']) && token.trim_end() == token;
    // Lines without a token are for a hole here and there.
    if lines > 2 * vocab.len() || !vocab.keys().all(is_line) {
        return None;
    }
    let mut tokens = vec![""; lines];
    for (token, id) in &vocab {
        tokens[*id as usize] = token;
    }
    Some(tokens.into_iter().flat_map(|token| [token, "\n"]).collect())
}
