//! What of a Hugging Face file does not become part of a model directory.

use std::collections::BTreeMap;

use bert_core::weights::Tensors;
use bert_core::{BertConfig, ModelType};

/// Parts of a bare encoder, by the first word of a tensor's name.
const ENCODER_PARTS: [&str; 3] = ["embeddings", "encoder", "pooler"];
/// The same of a ModernBERT.
const MODERN_PARTS: [&str; 3] = ["embeddings", "layers", "final_norm"];
/// Groups of names that a message shows.
const SHOWN: usize = 8;

/// Takes out what lies outside the encoder and gives its names: heads of any kind, projections of a distillation, a conditional random
/// field, another model. What lies inside stays, known or not.
///
/// Inside is what carries the family's prefix, such as `bert.`; in a file without it, embeddings, layers and pooler.
pub(super) fn outside_encoder(tensors: &mut Tensors, config: &BertConfig) -> Vec<String> {
    let prefix = config.model_type.prefix();
    let parts = if config.model_type == ModelType::ModernBert { MODERN_PARTS } else { ENCODER_PARTS };
    let is_prefixed = tensors.0.keys().any(|name| name.starts_with(prefix));
    let mut outside = Vec::new();
    tensors.0.retain(|name, _| {
        let part = name.split('.').next().unwrap_or_default();
        let is_inside = if is_prefixed { name.starts_with(prefix) } else { parts.contains(&part) };
        // A directory of this program may carry the projection that its configuration names.
        let is_kept = is_inside || part == "fit_dense" && config.fit_size.is_some();
        outside.extend((!is_kept).then(|| name.clone()));
        is_kept
    });
    outside
}

/// `1 tensor`, `2 tensors`.
pub(super) fn count(n: usize) -> String {
    if n == 1 { "1 tensor".into() } else { format!("{n} tensors") }
}

/// The names in short: `classifier.* (2 tensors), crf.* (3 tensors)`.
pub(super) fn in_short(names: &[String]) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let words: Vec<&str> = name.split('.').collect();
        let group = match words[..] {
            // Behind the prefix of a whole model the part says more.
            ["bert" | "mobilebert" | "model" | "roberta" | "distilbert" | "electra" | "cls", part, _, ..] => {
                format!("{}.{part}.*", words[0])
            }
            [first, _, ..] => format!("{first}.*"),
            _ => name.clone(),
        };
        *groups.entry(group).or_default() += 1;
    }
    let mut shown: Vec<String> =
        groups.iter().take(SHOWN).map(|(group, n)| format!("{group} ({})", count(*n))).collect();
    let rest: usize = groups.values().skip(SHOWN).sum();
    if rest > 0 {
        shown.push(format!("and {} of other names", count(rest)));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use bert_core::weights::HostTensor;

    use super::*;

    fn tensors(names: &[&str]) -> Tensors {
        let tensor = || HostTensor { shape: vec![1], data: vec![0.0] };
        Tensors(names.iter().map(|name| ((*name).to_owned(), tensor())).collect())
    }

    fn split(names: &[&str], config: &BertConfig) -> (Vec<String>, Vec<String>) {
        let mut tensors = tensors(names);
        let outside = outside_encoder(&mut tensors, config);
        (tensors.0.into_keys().collect(), outside)
    }

    #[test]
    fn the_prefix_decides_where_there_is_one_and_the_part_where_there_is_none() {
        let config = BertConfig::bert(9, 4, 1, 2, 6);
        let names =
            ["bert.adapter.weight", "bert.encoder.layer.0.output.dense.bias", "encoder.layer.0.x", "linear.weight"];
        let (inside, outside) = split(&names, &config);
        assert_eq!((&inside[..], &outside[..]), (&names.map(String::from)[..2], &names.map(String::from)[2..]));
        let names = ["adapter.weight", "embeddings.x.weight", "encoder.layer.0.x", "pooler.dense.bias"];
        let (inside, outside) = split(&names, &config);
        assert_eq!((outside, inside.len()), (vec!["adapter.weight".to_owned()], 3));
        let mobile = BertConfig { model_type: ModelType::MobileBert, fit_size: Some(3), ..config };
        let (inside, outside) = split(&["mobilebert.pooler.dense.bias", "bert.x.y", "fit_dense.weight"], &mobile);
        assert_eq!((inside.len(), outside), (2, vec!["bert.x.y".to_owned()]));
        let modern = BertConfig::modernbert(9, 4, 1, 2, 6);
        for names in [["model.layers.0.attn.Wo.weight", "head.dense.weight"], ["final_norm.weight", "classifier.bias"]]
        {
            let (inside, outside) = split(&names, &modern);
            assert_eq!((inside, outside), (vec![names[0].to_owned()], vec![names[1].to_owned()]));
        }
    }

    #[test]
    fn names_are_grouped_and_counted_and_cut_off() {
        let names = ["cls.predictions.bias", "cls.predictions.transform.dense.bias", "crf.transitions", "scale"];
        let names = names.map(String::from);
        assert_eq!(in_short(&names), "cls.predictions.* (2 tensors), crf.* (1 tensor), scale (1 tensor)");
        let many: Vec<String> = (0..20).map(|i| format!("head{i:02}.weight")).collect();
        let text = in_short(&many);
        assert!(text.ends_with("head07.* (1 tensor), and 12 tensors of other names"), "{text}");
    }
}
