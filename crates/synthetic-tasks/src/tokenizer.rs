//! The vocabulary and the tokenizer file, in the Hugging Face `tokenizers` format.

use serde_json::{Map, Value, json};

use crate::lexicon;

/// BERT's special tokens, in id order from 0.
pub const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Special tokens, then every word of the grammar; a token's id is its place.
#[must_use]
pub fn vocabulary() -> Vec<&'static str> {
    SPECIAL_TOKENS.into_iter().chain(lexicon::words()).collect()
}

/// `vocab.txt`: one token per line.
pub(crate) fn vocab_txt() -> String {
    vocabulary().iter().map(|token| format!("{token}\n")).collect()
}

/// `tokenizer.json`: lower-casing BERT normalizer and pre-tokenizer, WordPiece model, and the
/// `[CLS] A [SEP]` / `[CLS] A [SEP] B [SEP]` template with segments 0 and 1.
pub(crate) fn tokenizer_json() -> String {
    let vocabulary = vocabulary();
    let id = |token: &str| vocabulary.iter().position(|t| *t == token).unwrap_or(1);
    let added: Vec<Value> = SPECIAL_TOKENS
        .iter()
        .map(|token| {
            json!({
                "id": id(token), "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();
    let vocab: Map<String, Value> =
        vocabulary.iter().enumerate().map(|(id, token)| ((*token).to_owned(), Value::from(id))).collect();
    let special = |token: &str, segment: u8| json!({"SpecialToken": {"id": token, "type_id": segment}});
    let sequence = |name: &str, segment: u8| json!({"Sequence": {"id": name, "type_id": segment}});
    let described = |token: &str| json!({"id": token, "ids": [id(token)], "tokens": [token]});
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0),
                sequence("B", 1), special("[SEP]", 1)
            ],
            "special_tokens": {"[CLS]": described("[CLS]"), "[SEP]": described("[SEP]")}
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab
        }
    });
    format!("{file:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokenizer_file_numbers_tokens_as_vocab_txt_does() {
        let file: Value = serde_json::from_str(&tokenizer_json()).unwrap();
        let lines = vocab_txt();
        let tokens: Vec<_> = lines.lines().collect();
        let vocab = file["model"]["vocab"].as_object().unwrap();
        assert_eq!(vocab.len(), tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            assert_eq!(vocab[*token], id, "id of `{token}`");
        }
        assert_eq!(tokens[..5], SPECIAL_TOKENS);
        assert!(tokens.len() <= 400, "{} tokens", tokens.len());
    }
}
