//! A model with a part of its word pieces.

use encoder_spec::{BertConfig, Encoder, HostTensor, Parts};
use serde_json::json;

use crate::{Error, Result, Tensors};

/// Keys of a configuration that name a token by its id.
const TOKEN: &str = "_token_id";

/// The model whose piece `i` is piece `rows[i]` of a given one: the word table, and what its masked-LM head has for each piece, with
/// these rows alone. `tensors` stand under their paths ([`Encoder::weights`]). Ids of tokens in the configuration become the new ones; those
/// of tokens that are not kept go.
///
/// # Errors
/// No rows, a row that the table does not have, or tensors that are not those of `config`.
pub fn with_vocabulary(config: &BertConfig, tensors: Tensors, rows: &[u32]) -> Result<(BertConfig, Tensors)> {
    let whole = config.vocab_size;
    if let Some(row) = rows.iter().find(|row| **row as usize >= whole) {
        return Err(Error::NoRow { row: *row as usize, rows: whole });
    }
    let parts = Parts::of_paths(tensors.0.keys());
    let trimmed = config_of_rows(config, rows);
    let (before, after) = (Encoder::describe(config, parts)?.weights(), Encoder::describe(&trimmed, parts)?.weights());
    let mut made = Tensors::default();
    for (path, tensor) in tensors.0 {
        let (Some(old), Some(new)) = (before.get(&path), after.get(&path)) else {
            return Err(Error::Disagree { expected: "nothing of that name".into(), found: format!("`{path}`") });
        };
        if *old != tensor.shape {
            let text = |shape: &[usize]| format!("`{path}` of shape {shape:?}");
            return Err(Error::Disagree { expected: text(old), found: text(&tensor.shape) });
        }
        // What has another shape now has a piece for each place of that axis.
        let tensor = match old.iter().zip(new).position(|(old, new)| old != new) {
            Some(axis) => selected(&tensor, axis, rows),
            None => tensor,
        };
        made.0.insert(path, tensor);
    }
    Ok((trimmed, made))
}

/// The configuration of the model that [`with_vocabulary`] gives.
pub fn config_of_rows(config: &BertConfig, rows: &[u32]) -> BertConfig {
    let new = |old: u64| rows.iter().position(|row| u64::from(*row) == old);
    let mut trimmed = BertConfig { vocab_size: rows.len(), ..config.clone() };
    trimmed.pad_token_id = new(config.pad_token_id as u64).unwrap_or(0);
    trimmed.extra.retain(|key, value| {
        let Some(old) = value.as_u64().filter(|_| key.ends_with(TOKEN)) else { return true };
        let found = new(old);
        *value = json!(found);
        found.is_some()
    });
    trimmed
}

/// The places `rows` of an axis.
fn selected(tensor: &HostTensor, axis: usize, rows: &[u32]) -> HostTensor {
    let (places, inner) = (tensor.shape[axis], tensor.shape[axis + 1..].iter().product::<usize>());
    let mut shape = tensor.shape.clone();
    shape[axis] = rows.len();
    let outer = tensor.data.chunks(places * inner);
    let data = outer.flat_map(|block| rows.iter().flat_map(move |row| &block[*row as usize * inner..][..inner]));
    HostTensor { data: data.copied().collect(), shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoder_spec::ModelType;

    /// A model whose values say where they stand: 1000 for each row of a word, and the column.
    fn model(config: &BertConfig) -> Tensors {
        let parts = Parts { mlm: true, mlm_extra: config.model_type == ModelType::MobileBert, ..Parts::POOLER };
        let shapes = Encoder::describe(config, parts).unwrap().weights();
        let fill = |shape: Vec<usize>| HostTensor {
            data: (0..shape.iter().product()).map(|i: usize| i as f32).collect(),
            shape,
        };
        Tensors(shapes.into_iter().map(|(path, shape)| (path, fill(shape))).collect())
    }

    fn mobilebert() -> BertConfig {
        BertConfig::from_json(
            r#"{"model_type": "mobilebert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 8, "embedding_size": 4, "intra_bottleneck_size": 4, "trigram_input": true, "hidden_act": "relu",
                "normalization_type": "no_norm", "max_position_embeddings": 8}"#,
        )
        .unwrap()
    }

    #[test]
    fn everything_that_has_a_place_for_each_piece_keeps_those_of_the_rows() {
        for config in [BertConfig::bert(11, 8, 1, 2, 16), mobilebert()] {
            let before = model(&config);
            let rows = [0, 2, 10];
            let (trimmed, after) = with_vocabulary(&config, before.clone(), &rows).unwrap();
            assert_eq!(trimmed.vocab_size, 3);
            let mut changed = 0;
            for (path, old) in &before.0 {
                let new = &after.0[path];
                if old == new {
                    continue;
                }
                changed += 1;
                let axis = old.shape.iter().position(|size| *size == 11).unwrap();
                assert_eq!(new.shape[axis], 3, "{path}");
                let width = old.shape[axis + 1..].iter().product::<usize>();
                for (place, row) in rows.iter().enumerate() {
                    let (old, new) = (&old.data[*row as usize * width..], &new.data[place * width..]);
                    assert_eq!(old[..width], new[..width], "{path}");
                }
            }
            // The word table, the bias of the head, and MobileBERT's further output weights.
            assert_eq!(changed, if config.model_type == ModelType::MobileBert { 3 } else { 2 });
        }
    }

    #[test]
    fn ids_of_the_configuration_are_the_new_ones() {
        let mut config = BertConfig { pad_token_id: 1, ..BertConfig::bert(11, 8, 1, 2, 16) };
        config.extra.extend([("sep_token_id".into(), json!(9)), ("eos_token_id".into(), json!(5))]);
        let (trimmed, _) = with_vocabulary(&config, model(&config), &[1, 9]).unwrap();
        assert_eq!((trimmed.pad_token_id, &trimmed.extra["sep_token_id"]), (0, &json!(1)));
        assert!(!trimmed.extra.contains_key("eos_token_id"));
    }

    #[test]
    fn rows_that_are_not_there_and_tensors_of_another_model_are_refused() {
        let config = BertConfig::bert(11, 8, 1, 2, 16);
        let message = with_vocabulary(&config, model(&config), &[0, 11]).unwrap_err().to_string();
        assert!(message.contains("piece 11") && message.contains("11 rows"), "{message}");
        let wider = BertConfig::bert(12, 8, 1, 2, 16);
        let message = with_vocabulary(&config, model(&wider), &[0]).unwrap_err().to_string();
        assert!(message.contains("[12") && message.contains("[11"), "{message}");
        assert!(with_vocabulary(&config, model(&config), &[]).is_err());
    }
}
