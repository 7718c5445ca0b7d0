//! Model directories for places where bytes count, such as pages of a browser.

use std::path::Path;

use model_dir::{CONFIG_FILE, Tensors, WEIGHTS_FILE};
use tokenizer::TextEncoder;

use crate::{Error, Result};

/// Writes the model directory `dir` to `out` with its matrices in 8-bit integers, which is about a quarter of the size, and with its tokenizer
/// as one `tokenizer.json`. Every program that loads model directories loads it. In `int8` it answers as `dir` does in `int8`, but for
/// rounding: each row of a matrix has the same bytes.
///
/// Tables of positions and segments, biases, norms and heads stay in `f32`, as they are computed.
///
/// # Errors
/// A file cannot be read or written, or the tokenizer is not all in its `tokenizer.json`.
pub fn pack(dir: &Path, out: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|error| Error::Pack(format!("cannot read {}: {error}", path.display())))
    };
    let said = |error: model_dir::Error| Error::Pack(error.to_string());
    if out.exists() {
        return Err(Error::Pack(format!("{} exists already; name a new directory", out.display())));
    }
    let config = read(CONFIG_FILE)?;
    // All checks of a model that is loaded.
    model_dir::ModelDir::read(dir).map_err(said)?;
    let tensors = Tensors::read_safetensors(&dir.join(WEIGHTS_FILE)).map_err(said)?;
    let weights = tensors.to_safetensors_int8(is_product_or_words).map_err(said)?;
    let given = TextEncoder::from_dir(dir).map_err(predict::Error::from)?;
    let json = given.to_json().map_err(predict::Error::from)?;
    let again = TextEncoder::from_json(&json, &out.join("tokenizer.json")).map_err(predict::Error::from)?;
    let ids = |t: &TextEncoder| (t.cls_id(), t.sep_id(), t.pad_id(), t.vocab_size(), t.frame());
    if ids(&given) != ids(&again) {
        let message =
            "its special tokens are named in tokenizer_config.json alone, and a tokenizer.json does not say so";
        return Err(Error::Pack(format!("{}: {message}", dir.display())));
    }
    let files: [(&str, &[u8]); 3] = [(CONFIG_FILE, &config), ("tokenizer.json", &json), (WEIGHTS_FILE, &weights)];
    run_store::folder::write(out, &files).map_err(|error| Error::Pack(error.to_string()))
}

/// What the runtime computes with in bytes.
fn is_product_or_words(name: &str) -> bool {
    let kept = ["classifier", "qa_outputs", "position_embeddings", "token_type_embeddings"];
    name.ends_with(".weight") && !kept.iter().any(|kept| name.contains(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_tables_of_places_stay_as_they_are() {
        for (name, small) in [
            ("bert.encoder.layer.0.attention.self.query.weight", true),
            ("embeddings.word_embeddings.weight", true),
            ("model.layers.0.attn.Wqkv.weight", true),
            ("embeddings.position_embeddings.weight", false),
            ("classifier_1.weight", false),
            ("qa_outputs.weight", false),
            ("pooler.dense.bias", false),
        ] {
            assert_eq!(is_product_or_words(name), small, "{name}");
        }
    }
}
