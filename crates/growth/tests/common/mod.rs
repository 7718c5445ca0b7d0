//! Models with drawn weights, and what they compute, in plain `f64` loops: BERT and ModernBERT, without bottlenecks and searched expressions.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod ligo;

use std::collections::BTreeMap;

use encoder_spec::{
    Activation, Attention, BertConfig, Block, Encoder, HostTensor, Layer, Linear, Norm, Normalization, Parts, Pooling,
    Shaped, TaskHeadConfig, TaskHeadKind, Transform, VectorConfig,
};
use growth::Quantity;
use model_dir::Tensors;

/// Values and choices from a seed (SplitMix64).
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Uniform in -1 to 1.
    pub fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Weights of the encoder by path: maps that keep the size of what they get, scales around 1.
pub fn weights(config: &BertConfig, parts: Parts, seed: u64) -> Tensors {
    let draw = &mut Draw(seed);
    let of = |(path, shape): (String, Vec<usize>)| {
        let is_scale = path.ends_with("norm.weight");
        let scale = match shape[..] {
            [_, _] if path.contains("embeddings.weight") => 0.9,
            [_, inputs] => (3.0 / inputs as f32).sqrt(),
            _ => 0.3,
        };
        let data = (0..shape.iter().product()).map(|_| scale * draw.value() + f32::from(u8::from(is_scale)));
        (path, HostTensor { data: data.collect(), shape })
    };
    Tensors(Encoder::describe(config, parts).unwrap().weights().into_iter().map(of).collect())
}

/// One head of each kind that looks at something else.
pub fn heads() -> Vec<TaskHeadConfig> {
    let vector = VectorConfig { pooling: Pooling::Mean, size: Some(3), normalize: false, max_len: None };
    vec![
        TaskHeadConfig::new("classes", TaskHeadKind::Classification, ["a", "b", "c"].map(String::from).into()),
        TaskHeadConfig::new("spans", TaskHeadKind::Span, Vec::new()),
        TaskHeadConfig::embedding("vectors", vector),
    ]
}

pub fn text(config: &BertConfig, tokens: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let draw = &mut Draw(seed ^ 0xabcd);
    let ids = (0..tokens).map(|_| draw.below(config.vocab_size) as u32).collect();
    let segments = (0..tokens).map(|_| draw.below(config.type_vocab_size) as u32).collect();
    (ids, segments)
}

/// A weight in `f64`.
#[derive(Clone, Debug)]
pub struct Exact {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Shaped for Exact {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
}

impl Exact {
    fn row(&self, i: usize) -> Vec<f64> {
        let width = self.shape[1];
        self.data[i * width..][..width].to_vec()
    }
}

pub type Weights = BTreeMap<String, Exact>;

pub fn exact(tensors: &Tensors) -> Weights {
    let of = |(path, t): (&String, &HostTensor)| {
        let data = t.data.iter().map(|v| f64::from(*v)).collect();
        (path.clone(), Exact { shape: t.shape.clone(), data })
    };
    tensors.0.iter().map(of).collect()
}

pub type Rows = Vec<Vec<f64>>;

/// Last hidden states, and scores of all words for every token.
pub fn forward(config: &BertConfig, parts: Parts, weights: &Weights, ids: &[u32], segments: &[u32]) -> (Rows, Rows) {
    let encoder = Encoder::describe(config, parts).unwrap().filled(weights.clone()).unwrap();
    let e = &encoder.embedding;
    let mut h: Rows = Vec::new();
    for (i, (&id, &segment)) in ids.iter().zip(segments).enumerate() {
        let mut x = e.words.row(id as usize);
        if let Some(projection) = &e.projection {
            assert!(!projection.trigram, "not needed here");
            x = apply(&projection.linear, &x);
        }
        for (table, row) in [(&e.segments, segment as usize), (&e.positions, i)] {
            if let Some(table) = table {
                x = add(&x, &table.row(row));
            }
        }
        h.push(norm(&e.norm, &x));
    }
    for layer in &encoder.layers {
        h = run(layer, config.hidden_act, h);
    }
    if let Some(last) = &encoder.final_norm {
        h = each(&h, |x| norm(last, x));
    }
    let Some(mlm) = &encoder.mlm else { return (h, Vec::new()) };
    let own = encoder.word_transform().unwrap();
    let score = |x: &[f64]| {
        let t = transform(own, x);
        let bias = |word: usize| mlm.bias.as_ref().map_or(0.0, |bias| bias.data[word]);
        (0..config.vocab_size).map(|word| dot(&e.words.row(word), &t) + bias(word)).collect::<Vec<f64>>()
    };
    let scores = each(&h, score);
    (h, scores)
}

/// Mean cross-entropy of each token's answer.
pub fn loss(
    config: &BertConfig,
    parts: Parts,
    weights: &Weights,
    ids: &[u32],
    segments: &[u32],
    answers: &[u32],
) -> f64 {
    let (_, scores) = forward(config, parts, weights, ids, segments);
    let of = |(scores, answer): (&Vec<f64>, &u32)| {
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        highest + scores.iter().map(|s| (s - highest).exp()).sum::<f64>().ln() - scores[*answer as usize]
    };
    scores.iter().zip(answers).map(of).sum::<f64>() / answers.len() as f64
}

fn run(layer: &Layer<Exact>, function: Activation, h: Rows) -> Rows {
    let mut h = h;
    let maybe = |n: &Option<Norm<Exact>>, x: &[f64]| n.as_ref().map_or(x.to_vec(), |n| norm(n, x));
    if let Some(a) = &layer.attention {
        let source = if layer.norm_first { each(&h, |x| maybe(&a.norm, x)) } else { h.clone() };
        let sum: Rows = h.iter().zip(mixed(a, &source)).map(|(x, y)| add(x, &y)).collect();
        h = if layer.norm_first { sum } else { each(&sum, |x| maybe(&a.norm, x)) };
    }
    for block in &layer.feed_forward.blocks {
        h = each(&h, |x| {
            if layer.norm_first {
                add(x, &inner(block, function, &norm(&block.norm, x)))
            } else {
                norm(&block.norm, &add(x, &inner(block, function, x)))
            }
        });
    }
    h
}

fn inner(block: &Block<Exact>, function: Activation, x: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = apply(&block.dense1, x).into_iter().map(|v| activation(function, v)).collect();
    if let Some(gate) = &block.gate {
        values.iter_mut().zip(apply(gate, x)).for_each(|(v, g)| *v *= g);
    }
    apply(&block.dense2, &values)
}

fn mixed(a: &Attention<Exact>, h: &Rows) -> Rows {
    let width = a.query.outputs() / a.heads;
    let turned = |rows: Rows| -> Rows {
        let Some(rotary) = a.rotary else { return rows };
        let turn = |(position, mut x): (usize, Vec<f64>)| {
            for head in x.chunks_exact_mut(width) {
                for i in 0..width / 2 {
                    let angle = position as f64 * rotary.theta.powf(-2.0 * i as f64 / width as f64);
                    let (sin, cos) = angle.sin_cos();
                    let (a, b) = (head[i], head[i + width / 2]);
                    (head[i], head[i + width / 2]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
            x
        };
        rows.into_iter().enumerate().map(turn).collect()
    };
    let q = turned(each(h, |x| apply(&a.query, x)));
    let k = turned(each(h, |x| apply(a.key.as_ref().unwrap_or(&a.query), x)));
    let v = each(h, |x| apply(&a.value, x));
    let mut out = Vec::new();
    for (i, query) in q.iter().enumerate() {
        let mut context = Vec::new();
        for columns in (0..a.heads).map(|head| head * width..(head + 1) * width) {
            let score = |j: usize| match a.reach.is_some_and(|reach| i.abs_diff(j) > reach) {
                true => 0.0,
                false => (dot(&query[columns.clone()], &k[j][columns.clone()]) / (width as f64).sqrt()).exp(),
            };
            let scores: Vec<f64> = (0..k.len()).map(score).collect();
            let total: f64 = scores.iter().sum();
            context.extend(columns.map(|c| (0..k.len()).map(|j| scores[j] / total * v[j][c]).sum::<f64>()));
        }
        out.push(apply(&a.output, &context));
    }
    out
}

fn transform(own: &Transform<Exact>, x: &[f64]) -> Vec<f64> {
    let values: Vec<f64> = apply(&own.dense, x).into_iter().map(|v| activation(own.activation, v)).collect();
    norm(&own.norm, &values)
}

fn norm(own: &Norm<Exact>, x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scaled = |(i, v): (usize, &f64)| {
        let normed = match own.kind {
            Normalization::LayerNorm { eps } => (v - mean) / (variance + eps).sqrt(),
            Normalization::NoNorm => *v,
        };
        normed * own.weight.data[i] + own.bias.as_ref().map_or(0.0, |bias| bias.data[i])
    };
    x.iter().enumerate().map(scaled).collect()
}

/// The tanh form, which needs no error function; tests choose it.
fn activation(function: Activation, x: f64) -> f64 {
    match function {
        Activation::GeluTanh => {
            x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Activation::Tanh => x.tanh(),
        other => panic!("{other:?} is not needed here"),
    }
}

fn apply(l: &Linear<Exact>, x: &[f64]) -> Vec<f64> {
    let bias = |o: usize| l.bias.as_ref().map_or(0.0, |bias| bias.data[o]);
    (0..l.outputs()).map(|o| dot(&l.weight.row(o), x) + bias(o)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn each(rows: &Rows, f: impl FnMut(&[f64]) -> Vec<f64>) -> Rows {
    let mut f = f;
    rows.iter().map(|x| f(x)).collect()
}

/// Largest difference, in units of the larger of 1 and the largest value.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(1f64, |size, v| size.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// All quantities.
pub const QUANTITIES: [Quantity; 3] = [Quantity::Weights, Quantity::FirstMoment, Quantity::SecondMoment];
