//! Published architectures by name.

use mlp_space::{StudentShape, released};

use crate::{Activation, BertConfig, Error, ModelType, NormKind, Result, student_config, student_frame};

/// Names accepted by [`preset`].
pub const PRESETS: [&str; 17] = [
    "bert-base",
    "bert-large",
    "minilm-l6",
    "tinybert-4",
    "tinybert-6",
    "mobilebert",
    "mobilebert-tiny",
    "mobilebert-reference",
    "mobilebert-tiny-reference",
    "ib-bert-large",
    "modernbert-base",
    "modernbert-large",
    "efficientbert",
    "efficientbert-tiny",
    "efficientbert+",
    "efficientbert++",
    "efficientbert-tinybert-6",
];

const VOCAB: usize = 30_522;
const MODERN_VOCAB: usize = 50_368;

/// Configuration of a published architecture.
///
/// - `bert-base`, `bert-large`: Devlin et al. 2019
/// - `minilm-l6`: MiniLM, 6 layers of 384 (Wang et al. 2020)
/// - `tinybert-4`, `tinybert-6`: Jiao et al. 2020
/// - `mobilebert`, `mobilebert-tiny`: Sun et al. 2020, the released configurations; with
///   `-reference` the variants of EfficientBERT's code (no shared query/key bottleneck and no
///   bottleneck norm; keys tied to queries)
/// - `ib-bert-large`: MobileBERT's teacher (Sun et al. 2020), a BERT-large of 24 layers, 1024 wide inside and, like its
///   student, 512 wide between layers; LayerNorm and GELU, queries, keys and values from the 512
/// - `modernbert-base`, `modernbert-large`: Warner et al. 2024
/// - `efficientbert`, `efficientbert-tiny`, `efficientbert++`: Dong et al. 2021, with the
///   distillation projection to 768; `efficientbert+` is `efficientbert` with other weights
/// - `efficientbert-tinybert-6`: EfficientBERT's feed-forwards in TinyBERT-6's shape; operators keep the wider operand
///   ([`BertConfig::pad_operands`]), and there is no projection, the width being BERT-base's
///
/// # Errors
/// [`Error::UnknownPreset`] lists the known names.
pub fn preset(name: &str) -> Result<BertConfig> {
    Ok(match name {
        "bert-base" => BertConfig::bert(VOCAB, 768, 12, 12, 3072),
        "bert-large" => BertConfig::bert(VOCAB, 1024, 24, 16, 4096),
        "minilm-l6" => BertConfig::bert(VOCAB, 384, 6, 12, 1536),
        "tinybert-4" => BertConfig::bert(VOCAB, 312, 4, 12, 1200),
        "tinybert-6" => BertConfig::bert(VOCAB, 768, 6, 12, 3072),
        "mobilebert" => BertConfig { key_query_shared_bottleneck: true, ..mobilebert(4) },
        "mobilebert-tiny" => BertConfig { use_bottleneck_attention: true, ..mobilebert(2) },
        "mobilebert-reference" => BertConfig { bottleneck_norm: false, ..mobilebert(4) },
        "mobilebert-tiny-reference" => {
            BertConfig { bottleneck_norm: false, use_bottleneck_attention: true, tie_key_query: true, ..mobilebert(2) }
        }
        "ib-bert-large" => BertConfig {
            model_type: ModelType::MobileBert,
            embedding_size: Some(128),
            trigram_input: true,
            intra_bottleneck_size: Some(1024),
            ..BertConfig::bert(VOCAB, 512, 24, 4, 4096)
        },
        "modernbert-base" => BertConfig::modernbert(MODERN_VOCAB, 768, 22, 12, 1152),
        "modernbert-large" => BertConfig::modernbert(MODERN_VOCAB, 1024, 28, 16, 2624),
        "efficientbert" | "efficientbert+" => efficientbert(540, "efficientbert")?,
        "efficientbert-tiny" => efficientbert(360, "efficientbert")?,
        "efficientbert++" => efficientbert(360, "efficientbert++")?,
        "efficientbert-tinybert-6" => BertConfig {
            pad_operands: true,
            embedding_size: None,
            trigram_input: false,
            fit_size: None,
            intermediate_size: 3072,
            ..efficientbert(768, "efficientbert")?
        },
        _ => return Err(Error::UnknownPreset { name: name.into(), known: PRESETS.to_vec() }),
    })
}

fn mobilebert(feed_forwards: usize) -> BertConfig {
    BertConfig {
        model_type: ModelType::MobileBert,
        hidden_act: Activation::Relu,
        hidden_dropout_prob: 0.0,
        embedding_size: Some(128),
        trigram_input: true,
        normalization_type: NormKind::NoNorm,
        intra_bottleneck_size: Some(128),
        num_feedforward_networks: feed_forwards,
        ..BertConfig::bert(VOCAB, 512, 24, 4, 512)
    }
}

/// `architecture`: a name that [`mlp_space::released::preset`] knows.
fn efficientbert(hidden: usize, architecture: &str) -> Result<BertConfig> {
    let shape = StudentShape { hidden, base: hidden, ..StudentShape::efficientbert() };
    let architecture = released::preset(architecture)?;
    student_config(&student_frame(&shape, architecture.layers().len()), &architecture)
}
