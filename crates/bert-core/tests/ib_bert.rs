//! MobileBERT's teacher computes what its formulas say, in plain loops in `f64`.

use bert_core::weights::{HostTensor, Tensors, apply_internal, collect_internal};
use bert_core::{BertConfig, EncodeOptions, Parts, TaskModel, TokenBatch, init, preset};
use burn::tensor::{Device, Tensor};

type Row = Vec<f64>;

/// The preset with small sizes; still wider inside its layers than between them.
fn small() -> BertConfig {
    BertConfig {
        vocab_size: 11,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 20,
        max_position_embeddings: 6,
        embedding_size: Some(4),
        intra_bottleneck_size: Some(12),
        ..preset("ib-bert-large").unwrap()
    }
}

/// Parameters by module path.
struct Weights(Tensors);

impl Weights {
    fn of(&self, name: &str) -> &HostTensor {
        &self.0.0[name]
    }

    /// `W x + b`.
    fn linear(&self, path: &str, x: &[f64]) -> Row {
        let (weight, bias) = (self.of(&format!("{path}.weight")), self.of(&format!("{path}.bias")));
        let rows = weight.data.chunks_exact(x.len()).zip(&bias.data);
        rows.map(|(row, b)| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*b)).collect()
    }

    fn layer_norm(&self, path: &str, x: &[f64]) -> Row {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let affine = self.of(&format!("{path}.weight")).data.iter().zip(&self.of(&format!("{path}.bias")).data);
        let scaled = x.iter().zip(affine);
        scaled.map(|(x, (w, b))| (x - mean) / (variance + 1e-12).sqrt() * f64::from(*w) + f64::from(*b)).collect()
    }

    fn row(&self, table: &str, index: usize, width: usize) -> Row {
        self.of(table).data[index * width..][..width].iter().map(|&v| f64::from(v)).collect()
    }

    /// `LayerNorm(W [next; current; previous] + position + segment)`.
    fn embed(&self, ids: &[usize], segments: &[usize]) -> Vec<Row> {
        let at = |name: &str| format!("encoder.embeddings.{name}");
        let word = |t: Option<usize>| match t.and_then(|t| ids.get(t)) {
            Some(&id) => self.row(&at("word_embeddings.weight"), id, 4),
            None => vec![0.0; 4],
        };
        let token = |t: usize| {
            let seen = [word(Some(t + 1)), word(Some(t)), word(t.checked_sub(1))].concat();
            let words = self.linear(&at("projection"), &seen);
            let position = self.row(&at("position_embeddings.weight"), t, 8);
            let segment = self.row(&at("token_type_embeddings.weight"), segments[t], 8);
            self.layer_norm(&at("norm"), &sum(&sum(&words, &position), &segment))
        };
        (0..ids.len()).map(token).collect()
    }

    /// Attention over all tokens from the wide input, feed-forward and residuals inside, `LayerNorm(h + W_out x)`.
    fn layer(&self, index: usize, h: &[Row]) -> Vec<Row> {
        let at = |part: &str| format!("encoder.layers.{index}.{part}");
        let of_all = |part: &str| h.iter().map(|h| self.linear(&at(part), h)).collect::<Vec<_>>();
        let [q, k, v] = ["attention.query", "attention.key", "attention.value"].map(of_all);
        let (heads, width) = (3, 4);
        let attended = |t: usize| {
            let mut context = Vec::new();
            for head in (0..heads).map(|i| i * width..(i + 1) * width) {
                let dot = |k: &Row| q[t][head.clone()].iter().zip(&k[head.clone()]).map(|(a, b)| a * b).sum::<f64>();
                let scores: Row = k.iter().map(|k| (dot(k) / (width as f64).sqrt()).exp()).collect();
                let total: f64 = scores.iter().sum();
                context.extend(head.map(|c| scores.iter().zip(&v).map(|(s, v)| s / total * v[c]).sum::<f64>()));
            }
            self.linear(&at("attention.output"), &context)
        };
        let token = |t: usize| {
            let inside = self.layer_norm(&at("bottleneck.input_norm"), &self.linear(&at("bottleneck.input"), &h[t]));
            let x = self.layer_norm(&at("attention.norm"), &sum(&inside, &attended(t)));
            let block = |part: &str| at(&format!("feed_forward.blocks.0.{part}"));
            let wide: Row = self.linear(&block("dense1"), &x).into_iter().map(gelu).collect();
            let x = self.layer_norm(&block("norm"), &sum(&x, &self.linear(&block("dense2"), &wide)));
            self.layer_norm(&at("bottleneck.output_norm"), &sum(&h[t], &self.linear(&at("bottleneck.output"), &x)))
        };
        (0..h.len()).map(token).collect()
    }
}

fn sum(a: &[f64], b: &[f64]) -> Row {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// `x Φ(x)`, the error function by its Taylor series.
fn gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut erf) = (z, z);
    for n in 1..200 {
        term *= -z * z / f64::from(n);
        erf += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + erf * 2.0 / std::f64::consts::PI.sqrt())
}

#[test]
fn the_inverted_bottleneck_teacher_computes_its_formulas() {
    let (config, device) = (small(), Device::flex());
    let model = TaskModel::new(&config, Parts::NONE, &device).unwrap();
    let mut weights = collect_internal(&init::normal(model.clone(), 5, 0.4));
    // Biases and norms are not 0 and 1 in a trained model.
    for tensor in weights.0.values_mut().filter(|t| t.shape.len() == 1) {
        tensor.data.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.7).sin() * 0.2);
    }
    let model = apply_internal(model, weights.clone(), "weights".as_ref()).unwrap();
    let (ids, segments) = ([3, 7, 1, 10, 4], [0, 0, 0, 1, 1]);
    let tokens = TokenBatch::from_host([1, 5], &ids.map(|id| id as i32), &segments.map(|s| s as i32), &[1; 5], &device);
    let found = model.encode(&tokens, EncodeOptions::STATES_AND_SCORES);
    let weights = Weights(weights);
    let mut expected = weights.embed(&ids, &segments);
    for (layer, states) in found.hidden_states.into_iter().enumerate() {
        if layer > 0 {
            expected = weights.layer(layer - 1, &expected);
        }
        assert_close(layer, states, &expected.concat());
    }
    assert_eq!(found.attention_scores[1].dims(), [1, 3, 5, 5]);
}

fn assert_close(layer: usize, found: Tensor<3>, expected: &[f64]) {
    let found = found.try_into_vec_as::<f32>().unwrap();
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst < 2e-5, "hidden state {layer}: off by {worst:e}");
}
