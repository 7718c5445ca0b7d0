//! `config.json`.

use std::path::Path;

use encoder_spec::BertConfig;

use crate::{Error, Result};

/// Reads a Hugging Face `config.json`; what its keys mean is in `docs/model-directory.md`.
///
/// # Errors
/// The file cannot be read, or [`BertConfig::from_json`] refuses its text; the message names the file and the field.
pub fn read_config(path: &Path) -> Result<BertConfig> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    BertConfig::from_json(&text).map_err(|e| Error::config_file(path, e))
}
