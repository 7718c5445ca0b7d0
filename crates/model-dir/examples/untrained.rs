//! `untrained DIR [HIDDEN LAYERS]`: writes a model without training into DIR, with a head for labels and one for vectors.
//! Its vocabulary has 8000 words, `w0` to `w7999`.

#![allow(clippy::disallowed_methods, reason = "a program")]

use std::error::Error;
use std::path::PathBuf;

use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind, VectorConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().ok_or("name a folder")?);
    let mut size = |default: usize| words.next().map_or(Ok(default), |word| word.parse());
    let (hidden, layers) = (size(128)?, size(4)?);
    let heads = vec![
        TaskHeadConfig::new("mood", TaskHeadKind::Classification, vec!["bad".into(), "good".into()]),
        TaskHeadConfig::embedding("embedding", VectorConfig::default()),
    ];
    let config = BertConfig { task_heads: heads, ..BertConfig::bert(1, hidden, layers, 4, 4 * hidden) };
    let vocabulary: Vec<String> = (0..8000).map(|number| format!("w{number}")).collect();
    let vocabulary: Vec<&str> = vocabulary.iter().map(String::as_str).collect();
    model_dir::write_untrained(&dir, config, &vocabulary, 1)?;
    Ok(())
}
