//! Golden files of the PyTorch reference code.

use std::path::{Path, PathBuf};

use bert_core::{Activation, BertConfig, NormKind};
use serde_json::Value;

/// A golden file.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The configuration of the model of a golden file.
pub fn reference_config(name: &str) -> BertConfig {
    let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let c: Value = serde_json::from_str::<Value>(&text).unwrap()["config"].clone();
    let size = |key: &str| c[key].as_u64().unwrap() as usize;
    let sizes = ["vocab_size", "hidden_size", "num_layers", "num_attn_heads", "ffn_hidden_size"].map(size);
    let mut config = BertConfig::bert(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]);
    config.max_position_embeddings = size("position_size");
    config.layer_norm_eps = 1e-5;
    config.hidden_act = Activation::GeluTanh;
    config.fit_size = c.get("fit_size").and_then(Value::as_u64).map(|v| v as usize);
    if c.get("inner_hidden_size").is_some() {
        let tiny = c["is_tiny"].as_bool().unwrap();
        config.embedding_size = Some(size("embed_size"));
        config.trigram_input = true;
        config.intra_bottleneck_size = Some(size("inner_hidden_size"));
        config.bottleneck_norm = false;
        config.num_feedforward_networks = if tiny { 2 } else { 4 };
        config.use_bottleneck_attention = tiny;
        config.tie_key_query = tiny;
        if c["use_opt"].as_bool().unwrap() {
            config.normalization_type = NormKind::NoNorm;
            config.hidden_act = Activation::Relu;
        }
    }
    config
}
