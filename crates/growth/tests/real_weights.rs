//! A trained model grows, too: its scales, outliers and token statistics are not those of drawn weights.

mod common;

use common::ligo::assert_close;
use common::text;
use cpu_runtime::{Model, Outputs, Precision, Ragged, Session};
use encoder_spec::{BertConfig, Encoder, HostTensor, Parts};
use growth::{Depth, Growth, LayerWidths, Ligo, NewLayers, Plan, Quantity};
use model_dir::{ModelDir, Tensors};

fn hidden(config: &BertConfig, parts: Parts, tensors: Tensors) -> Vec<f32> {
    let encoder = Encoder::describe(config, parts).unwrap().filled(tensors.0).unwrap().map(|_, t| t.clone().into());
    let model = Model::compile(encoder, Precision::F32).unwrap();
    let mut batch = Ragged::new();
    for seed in 0..6 {
        let (ids, segments) = text(config, 5 + 9 * seed as usize, seed);
        batch.push(&ids, segments.into_iter());
    }
    Session::new(2).run(&model, &batch.as_batch(), Outputs::default()).unwrap().hidden.to_vec()
}

#[test]
fn a_minilm_computes_the_same_after_it_has_grown() {
    let Some(folder) = test_support::shared("models/minilm-l6-h384-uncased") else { return };
    let small = ModelDir::<HostTensor>::read(&folder).unwrap();
    let (config, parts) = (small.config, small.outline.parts());
    let before = hidden(&config, parts, small.tensors.clone());
    let larger = [
        BertConfig { intermediate_size: 2000, num_hidden_layers: 8, ..config.clone() },
        BertConfig { hidden_size: 768, num_attention_heads: 24, ..config.clone() },
    ];
    for large in larger {
        let growth = Growth { depth: Depth::Interleave, new_layers: NewLayers::Identity, ..Growth::default() };
        let plan = Plan::new(&config, &large, parts, &growth).unwrap();
        assert_eq!(plan.changes(), []);
        let after = hidden(&large, parts, plan.apply(&small.tensors, Quantity::Weights).unwrap());
        let rows = before.chunks(config.hidden_size).zip(after.chunks(large.hidden_size));
        let differences =
            rows.flat_map(|(old, new)| new.iter().enumerate().map(|(j, v)| (v - old[j % old.len()]).abs()));
        let worst = differences.fold(0f32, f32::max);
        assert!(worst < 1e-5, "{worst:e}");
    }
}

#[test]
fn a_learned_growth_of_a_minilm_begins_as_its_plan() {
    let Some(folder) = test_support::shared("models/minilm-l6-h384-uncased") else { return };
    let small = ModelDir::<HostTensor>::read(&folder).unwrap();
    let (config, parts) = (small.config, small.outline.parts());
    let large = BertConfig {
        num_hidden_layers: 12,
        hidden_size: 768,
        num_attention_heads: 24,
        intermediate_size: 3072,
        ..config.clone()
    };
    let plan = Plan::new(&config, &large, parts, &Growth::default()).unwrap();
    let ligo = Ligo::new(&plan, LayerWidths::Own).unwrap();
    let expected = plan.apply(&small.tensors, Quantity::Weights).unwrap();
    assert_close(&ligo.expand(&small.tensors).unwrap(), &expected, 1e-6);
    // A gradient for every matrix.
    let pulled = ligo.pullback(&small.tensors, &expected).unwrap();
    assert!(pulled.0.values().all(|t| t.data.iter().any(|v| *v != 0.0)));
}
