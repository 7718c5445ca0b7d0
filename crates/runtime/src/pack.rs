//! Model directories for places where bytes count, such as pages of a browser.

use std::path::Path;

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
    if out.exists() {
        return Err(Error::Pack(format!("{} exists already; name a new directory", out.display())));
    }
    let said = |error: model_dir::Error| Error::Pack(error.to_string());
    // What `quantize` found to cost too much stays as it is.
    let keep = model_dir::ModelDir::map(dir).map_err(said)?.kept_of_bytes();
    let packed = model_dir::in_bytes(dir, &keep).map_err(said)?;
    let given = TextEncoder::from_dir(dir).map_err(predict::Error::from)?;
    let json = given.to_json().map_err(predict::Error::from)?;
    let again = TextEncoder::from_json(&json, &out.join("tokenizer.json")).map_err(predict::Error::from)?;
    let ids = |t: &TextEncoder| (t.cls_id(), t.sep_id(), t.pad_id(), t.vocab_size(), t.frame());
    if ids(&given) != ids(&again) {
        let message =
            "its special tokens are named in tokenizer_config.json alone, and a tokenizer.json does not say so";
        return Err(Error::Pack(format!("{}: {message}", dir.display())));
    }
    let mut files = vec![("tokenizer.json", json.as_slice())];
    files.extend(packed.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    run_store::folder::write(out, &files).map_err(|error| Error::Pack(error.to_string()))
}
