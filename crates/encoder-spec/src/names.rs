//! From module paths to the names that files use.

use std::collections::{BTreeMap, BTreeSet};

use crate::ModelType;
use crate::families::reference;

/// Naming scheme of a weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFormat {
    /// Hugging Face's names for that family; for searched students the names documented in
    /// `docs/model-directory.md`, which follow the same style.
    HuggingFace(ModelType),
    /// The names of EfficientBERT's released code.
    Reference,
}

impl NameFormat {
    /// Names in the file of a model's parameters, by module path; `paths` are all of them.
    pub fn names<'a>(self, paths: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
        let paths: Vec<&str> = paths.into_iter().collect();
        // How many feed-forwards a layer has: the last one has its own name in Hugging Face's MobileBERT.
        let mut blocks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (layer, rest) in paths.iter().filter_map(|path| path.split_once(".feed_forward.blocks.")) {
            blocks.entry(layer).or_default().insert(rest.split('.').next().unwrap_or_default());
        }
        // The reference names a lone plain feed-forward `ffn`, its searched ones `all_ffn.J`.
        let is_bert = !paths.iter().any(|path| path.contains(".projection.") || path.contains(".bottleneck."));
        let name = |path: &str| {
            let parts: Vec<&str> = path.split('.').collect();
            let layer = path.split_once(".feed_forward.blocks.").map_or("", |(layer, _)| layer);
            match self {
                Self::HuggingFace(family) => hugging_face(family, &parts, blocks.get(layer).map_or(1, BTreeSet::len)),
                Self::Reference => reference::name(&parts, is_bert),
            }
        };
        paths.iter().map(|path| ((*path).to_owned(), name(path))).collect()
    }

    /// The place of the weight at `path` among those that are one tensor in files, whose rows stand one after the other: 0 for the
    /// first of them, and for weights that are tensors of their own.
    pub fn place(path: &str) -> usize {
        match path.rsplit('.').nth(1) {
            Some("key" | "gate") => 1,
            Some("value") => 2,
            _ => 0,
        }
    }

    /// Module path of the weight that the tensor `name` of a file is a copy of, for the ties the models have.
    pub fn tied_to(self, name: &str) -> Option<String> {
        match (self, name) {
            (Self::Reference, "lm_head.lm_decoder.weight")
            | (Self::HuggingFace(_), "cls.predictions.decoder.weight") => {
                Some("encoder.embeddings.word_embeddings.weight".into())
            }
            (Self::HuggingFace(_), "cls.predictions.decoder.bias") => Some("mlm.bias".into()),
            (Self::HuggingFace(family), _) => family.family().tied_to(name).map(str::to_owned),
            (Self::Reference, _) => {
                let (layer, leaf) = name.strip_prefix("encoder.")?.split_once(".attention.key.")?;
                Some(format!("encoder.layers.{layer}.attention.query.{leaf}"))
            }
        }
    }

    /// What may stand before the names of an encoder that has heads.
    pub fn prefix(self) -> Option<&'static str> {
        match self {
            Self::HuggingFace(family) => Some(family.prefix()),
            Self::Reference => None,
        }
    }
}

/// The name of a task head's weight.
pub(crate) fn head(index: &str, leaf: &str) -> String {
    match index {
        "0" => format!("classifier.{leaf}"),
        _ => format!("classifier_{index}.{leaf}"),
    }
}

fn hugging_face(family: ModelType, parts: &[&str], blocks: usize) -> String {
    if let Some(own) = family.family().weight_name(parts) {
        return own;
    }
    match parts {
        ["encoder", "embeddings", "norm", p] => format!("embeddings.LayerNorm.{p}"),
        ["encoder", "embeddings", "projection", p] => {
            format!("embeddings.embedding_transformation.{p}")
        }
        ["encoder", "embeddings", rest @ ..] => format!("embeddings.{}", rest.join(".")),
        ["encoder", "layers", i, rest @ ..] => {
            format!("encoder.layer.{i}.{}", hugging_face_layer(family, rest, blocks))
        }
        ["encoder", "fit_dense", p] => format!("fit_dense.{p}"),
        ["pooler", p] => format!("pooler.dense.{p}"),
        ["heads", i, "dense", p] => head(i, p),
        ["mlm", "dense", p] => format!("cls.predictions.transform.dense.{p}"),
        ["mlm", "norm", p] => format!("cls.predictions.transform.LayerNorm.{p}"),
        ["mlm", "bias"] => "cls.predictions.bias".into(),
        ["mlm", "extra"] => "cls.predictions.dense.weight".into(),
        _ => parts.join("."),
    }
}

fn hugging_face_layer(family: ModelType, parts: &[&str], blocks: usize) -> String {
    match parts {
        ["attention", "norm", p] => format!("attention.output.LayerNorm.{p}"),
        ["attention", "output", p] => format!("attention.output.dense.{p}"),
        ["attention", rest @ ..] => format!("attention.self.{}", rest.join(".")),
        ["bottleneck", "input", p] => format!("bottleneck.input.dense.{p}"),
        ["bottleneck", "input_norm", p] => format!("bottleneck.input.LayerNorm.{p}"),
        ["bottleneck", "attention", p] => format!("bottleneck.attention.dense.{p}"),
        ["bottleneck", "attention_norm", p] => format!("bottleneck.attention.LayerNorm.{p}"),
        ["bottleneck", "output", p] => format!("output.bottleneck.dense.{p}"),
        ["bottleneck", "output_norm", p] => format!("output.bottleneck.LayerNorm.{p}"),
        ["feed_forward", "blocks", j, part, p] => {
            family.family().block_name(j.parse().unwrap_or_default(), blocks, part, p)
        }
        _ => parts.join("."),
    }
}
