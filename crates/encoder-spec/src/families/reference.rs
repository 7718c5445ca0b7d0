//! Tensor names of the files that EfficientBERT's authors released.

/// `is_bert`: a plain BERT, whose lone feed-forward has a name of its own.
pub(crate) fn name(parts: &[&str], is_bert: bool) -> String {
    match parts {
        ["encoder", "embeddings", part, p] => {
            let name = match *part {
                "word_embeddings" => "token_embeddings",
                "token_type_embeddings" => "segment_embeddings",
                "projection" => "dense",
                "norm" => "layernorm",
                other => other,
            };
            format!("embeddings.{name}.{p}")
        }
        ["encoder", "layers", i, rest @ ..] => {
            let name = match rest {
                ["attention", "output", p] => format!("attention.dense.{p}"),
                ["attention", "norm", p] => format!("attention.layernorm.{p}"),
                ["bottleneck", "input", p] => format!("dense1.{p}"),
                ["bottleneck", "output", p] => format!("dense2.{p}"),
                ["bottleneck", "output_norm", p] => format!("layernorm.{p}"),
                ["feed_forward", "blocks", j, part, p] => {
                    let part = part.replace("norm", "layernorm");
                    if is_bert { format!("ffn.{part}.{p}") } else { format!("all_ffn.{j}.{part}.{p}") }
                }
                other => other.join("."),
            };
            format!("encoder.{i}.{name}")
        }
        ["encoder", rest @ ..] => rest.join("."),
        ["mlm", "bias"] => "lm_head.lm_bias".into(),
        ["mlm", "norm", p] => format!("lm_head.layernorm.{p}"),
        ["mlm", rest @ ..] => format!("lm_head.{}", rest.join(".")),
        _ => parts.join("."),
    }
}
