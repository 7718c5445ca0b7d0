//! Networks with drawn weights, and what they compute, in plain `f64` loops.
#![allow(dead_code, reason = "each test file uses a part")]

use cpu_runtime::Ragged;
use encoder_spec::{
    Activation, AttentionSource, Block, Embedding, MappedTensor, ModelType, Normalization, Pooling, Program,
    Projection, Rotary, TaskHeadKind, Transform, VectorConfig,
};
use mlp_space::Align;
use mlp_space::eval::{LinearWeights, evaluate};

pub type Encoder = encoder_spec::Encoder<MappedTensor>;
type Attention = encoder_spec::Attention<MappedTensor>;
type Bottleneck = encoder_spec::Bottleneck<MappedTensor>;
type FeedForward = encoder_spec::FeedForward<MappedTensor>;
type Head = encoder_spec::Head<MappedTensor>;
type Layer = encoder_spec::Layer<MappedTensor>;
type Linear = encoder_spec::Linear<MappedTensor>;
type Norm = encoder_spec::Norm<MappedTensor>;

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

    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Uniform values with standard deviation `scale`.
    pub fn values(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).map(|v| v * scale * 3f32.sqrt()).collect()
    }

    fn tensor(&mut self, shape: &[usize], scale: f32) -> MappedTensor {
        MappedTensor { shape: shape.to_vec(), data: self.values(shape.iter().product(), scale).into() }
    }

    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        let weight = self.tensor(&[outputs, inputs], 1.0 / (inputs as f32).sqrt());
        Linear { weight, bias: Some(self.tensor(&[outputs], 0.1)) }
    }

    pub fn norm(&mut self, kind: Normalization, width: usize) -> Norm {
        let mut weight = self.tensor(&[width], 0.1);
        weight.data = weight.data.iter().map(|v| v + 1.0).collect::<Vec<_>>().into();
        Norm { kind, weight, bias: Some(self.tensor(&[width], 0.1)) }
    }

    pub fn table(&mut self, rows: usize, width: usize) -> MappedTensor {
        self.tensor(&[rows, width], 0.5)
    }
}

/// Which feed-forwards.
#[derive(Clone, Debug)]
pub enum Forward {
    Plain {
        activation: Activation,
        blocks: usize,
        inner: usize,
    },
    /// Expression, alignment, blocks, inner width, and how much wider the weights are than that.
    Searched {
        expression: String,
        align: Align,
        blocks: usize,
        inner: usize,
        extra: usize,
    },
}

/// What makes a network a ModernBERT.
#[derive(Clone, Debug)]
pub struct Modern {
    /// How far the tokens of each layer see; where the list ends they see all.
    pub reach: Vec<Option<usize>>,
    /// Whether maps and norms have biases.
    pub biases: bool,
    /// Whether the pooled vector is made of the mean.
    pub mean: bool,
    pub positions: Rotary,
}

/// Which bottleneck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Narrow {
    None,
    Wide,
    Shared,
    Inner,
}

/// Attention of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Own {
    /// The network's heads, as wide as the layer inside.
    Usual,
    /// Heads, and their width.
    Heads(usize, usize),
    /// None.
    Absent,
}

/// Sizes of a network.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub vocab: usize,
    pub positions: usize,
    /// Width of the word table and whether it is seen as trigrams; `None`: the hidden width.
    pub embed: Option<(usize, bool)>,
    pub hidden: usize,
    pub heads: usize,
    pub norm: Normalization,
    pub tied: bool,
    pub narrow: Narrow,
    /// Inside a bottleneck.
    pub width: usize,
    pub bottleneck_norm: bool,
    pub layers: Vec<Forward>,
    /// Of each layer; usual where the list ends.
    pub attention: Vec<Own>,
    pub pooler: bool,
    pub modern: Option<Modern>,
}

pub const EPS: Normalization = Normalization::LayerNorm { eps: 1e-5 };

impl Sizes {
    pub fn plain(hidden: usize, heads: usize, layers: Vec<Forward>) -> Self {
        Self {
            vocab: 60,
            positions: 140,
            embed: None,
            hidden,
            heads,
            norm: EPS,
            tied: false,
            narrow: Narrow::None,
            width: hidden,
            bottleneck_norm: true,
            layers,
            attention: Vec::new(),
            pooler: true,
            modern: None,
        }
    }

    /// A ModernBERT with gated feed-forwards of these inner widths, of heads of even width.
    pub fn modern(hidden: usize, heads: usize, inner: &[usize], modern: Modern) -> Self {
        let layer = |&inner: &usize| Forward::Plain { activation: Activation::GeluErf, blocks: 1, inner };
        Self { modern: Some(modern), ..Self::plain(hidden, heads, inner.iter().map(layer).collect()) }
    }

    pub fn encoder(&self, seed: u64) -> Encoder {
        let draw = &mut Draw(seed);
        let (hidden, norm) = (self.hidden, self.norm);
        let of_bert = self.modern.is_none();
        let embedding = Embedding {
            words: draw.table(self.vocab, self.embed.map_or(hidden, |(width, _)| width)),
            projection: self.embed.map(|(width, trigram)| Projection {
                linear: draw.linear(if trigram { 3 * width } else { width }, hidden),
                trigram,
            }),
            positions: of_bert.then(|| draw.table(self.positions, hidden)),
            longest: self.positions,
            segments: of_bert.then(|| draw.table(2, hidden)),
            norm: draw.norm(norm, hidden),
        };
        let own = self.attention.iter().copied().chain(std::iter::repeat(Own::Usual));
        let layer = |(index, (forward, own))| match &self.modern {
            None => self.layer(forward, own, draw),
            Some(modern) => self.modern_layer(index, forward, modern, draw),
        };
        let layers = self.layers.iter().zip(own).enumerate().map(layer).collect();
        let head =
            |kind, outputs, draw: &mut Draw| Head { kind, vector: None, dense: Some(draw.linear(hidden, outputs)) };
        let vectors = |pooling, dense: Option<_>, normalize| {
            let vector = VectorConfig { pooling, size: dense.as_ref().map(|_: &Linear| 7), normalize, max_len: None };
            Head { kind: TaskHeadKind::Embedding, vector: Some(vector), dense }
        };
        let pooler = (of_bert && self.pooler).then(|| draw.linear(hidden, hidden));
        let prediction = (!of_bert && self.pooler).then(|| Transform {
            dense: draw.linear(hidden, hidden),
            activation: Activation::GeluErf,
            norm: draw.norm(norm, hidden),
        });
        let heads = vec![head(TaskHeadKind::Classification, 3, draw), head(TaskHeadKind::Span, 2, draw)];
        let dense = [draw.linear(hidden, 7), draw.linear(hidden, 7)].map(Some);
        let [first, second] = dense;
        let vectors = [
            vectors(Pooling::Mean, first, true),
            vectors(Pooling::Cls, second, false),
            vectors(Pooling::Mean, None, false),
            vectors(Pooling::Cls, None, true),
        ];
        let heads = heads.into_iter().chain(vectors).collect();
        let final_norm = (!of_bert).then(|| draw.norm(norm, hidden));
        let is_mean = self.modern.as_ref().is_some_and(|modern| modern.mean);
        let pooling = if is_mean { Pooling::Mean } else { Pooling::Cls };
        let family = ModelType::Bert;
        let (fit, mlm) = (None, None);
        Encoder { family, embedding, layers, final_norm, fit, pooling, pooler, prediction, heads, mlm }
    }

    fn modern_layer(&self, index: usize, forward: &Forward, modern: &Modern, draw: &mut Draw) -> Layer {
        let Forward::Plain { activation, blocks, inner } = forward else { panic!("a gated layer") };
        let (hidden, norm) = (self.hidden, self.norm);
        let mut linear = |inputs, outputs, draw: &mut Draw| Linear { bias: None, ..draw.linear(inputs, outputs) };
        let mut with_bias = |inputs, outputs, draw: &mut Draw| draw.linear(inputs, outputs);
        let map: &mut dyn FnMut(usize, usize, &mut Draw) -> Linear =
            if modern.biases { &mut with_bias } else { &mut linear };
        let own_norm = |draw: &mut Draw| {
            let norm = draw.norm(norm, hidden);
            Norm { bias: norm.bias.clone().filter(|_| modern.biases), ..norm }
        };
        let attention = Attention {
            heads: self.heads,
            query: map(hidden, hidden, draw),
            key: (!self.tied).then(|| map(hidden, hidden, draw)),
            value: map(hidden, hidden, draw),
            output: map(hidden, hidden, draw),
            norm: (index > 0).then(|| own_norm(draw)),
            rotary: Some(modern.positions),
            reach: modern.reach.get(index).copied().flatten(),
        };
        let block = |_| Block {
            dense1: map(hidden, *inner, draw),
            dense2: map(*inner, hidden, draw),
            gate: Some(map(hidden, *inner, draw)),
            norm: own_norm(draw),
        };
        let blocks = (0..*blocks).map(block).collect();
        let feed_forward = FeedForward { program: Program::gated(*activation), inner: *inner, blocks };
        Layer { attention: Some(attention), feed_forward, bottleneck: None, norm_first: true }
    }

    fn layer(&self, forward: &Forward, own: Own, draw: &mut Draw) -> Layer {
        let (hidden, norm) = (self.hidden, self.norm);
        let width = if self.narrow == Narrow::None { hidden } else { self.width };
        let (queries, values) = match self.narrow {
            Narrow::None | Narrow::Inner => (width, width),
            Narrow::Wide => (hidden, hidden),
            Narrow::Shared => (width, hidden),
        };
        let shape = match own {
            Own::Usual => Some((self.heads, width)),
            Own::Heads(heads, each) => Some((heads, heads * each)),
            Own::Absent => None,
        };
        let attention = shape.map(|(heads, inside)| Attention {
            heads,
            query: draw.linear(queries, inside),
            key: (!self.tied).then(|| draw.linear(queries, inside)),
            value: draw.linear(values, inside),
            output: draw.linear(inside, width),
            norm: Some(draw.norm(norm, width)),
            rotary: None,
            reach: None,
        });
        let inner_norm = |draw: &mut Draw| self.bottleneck_norm.then(|| draw.norm(norm, width));
        let bottleneck = (self.narrow != Narrow::None).then(|| Bottleneck {
            input: draw.linear(hidden, width),
            input_norm: inner_norm(draw),
            attention: match self.narrow {
                Narrow::Shared => {
                    AttentionSource::SharedKeyQuery { dense: draw.linear(hidden, width), norm: inner_norm(draw) }
                }
                Narrow::Inner => AttentionSource::Bottleneck,
                _ => AttentionSource::Wide,
            },
            output: draw.linear(width, hidden),
            output_norm: draw.norm(norm, hidden),
        });
        let (program, blocks, inner, size) = match forward {
            Forward::Plain { activation, blocks, inner } => (Program::plain(*activation), *blocks, *inner, *inner),
            Forward::Searched { expression, align, blocks, inner, extra } => {
                let program = Program::searched(&expression.parse().unwrap(), *align);
                (program, *blocks, *inner, inner + extra)
            }
        };
        let block = |_| Block {
            dense1: draw.linear(width, size),
            dense2: draw.linear(size, width),
            gate: None,
            norm: draw.norm(norm, width),
        };
        let feed_forward = FeedForward { program, inner, blocks: (0..blocks).map(block).collect() };
        Layer { attention, feed_forward, bottleneck, norm_first: false }
    }
}

/// Sequences of these lengths with drawn ids, segments, and what follows them.
pub fn sequences(sizes: &Sizes, lengths: &[usize], seed: u64) -> Vec<Sequence> {
    let draw = &mut Draw(seed ^ 0xabcd);
    let one = |&n: &usize| Sequence {
        ids: (0..n).map(|_| draw.below(sizes.vocab) as u32).collect(),
        segments: (0..n).map(|_| draw.below(2) as u32).collect(),
        mask: vec![1; n],
        follower: draw.coin().then(|| draw.below(sizes.vocab) as u32),
    };
    lengths.iter().map(one).collect()
}

#[derive(Clone, Debug)]
pub struct Sequence {
    pub ids: Vec<u32>,
    pub segments: Vec<u32>,
    pub mask: Vec<u8>,
    pub follower: Option<u32>,
}

/// The batch of these sequences, as if cut out of padded rows.
pub fn ragged(sequences: &[Sequence]) -> Ragged {
    let mut ragged = Ragged::new();
    for s in sequences {
        let (mut ids, mut segments, mut mask) = (s.ids.clone(), s.segments.clone(), s.mask.clone());
        if let Some(id) = s.follower {
            ids.push(id);
            segments.push(0);
            mask.push(0);
        }
        ragged.push_row(&ids, &segments, &mask);
    }
    ragged
}

type Rows = Vec<Vec<f64>>;

/// Last hidden states, pooled vector, values of each head.
pub fn forward(sizes: &Sizes, encoder: &Encoder, s: &Sequence) -> (Rows, Vec<f64>, Vec<Rows>) {
    let e = &encoder.embedding;
    let word = |id: Option<u32>| match id {
        Some(id) => row(&e.words, id as usize),
        None => vec![0.0; e.words.shape[1]],
    };
    let mut h: Rows = Vec::new();
    for i in 0..s.ids.len() {
        let next = s.ids.get(i + 1).copied().or(if i + 1 == s.ids.len() { s.follower } else { None });
        let words = match &e.projection {
            Some(p) if p.trigram => {
                let previous = i.checked_sub(1).map(|j| s.ids[j]);
                apply(&p.linear, &[word(next), word(Some(s.ids[i])), word(previous)].concat())
            }
            Some(p) => apply(&p.linear, &word(Some(s.ids[i]))),
            None => word(Some(s.ids[i])),
        };
        let of = |table: &Option<MappedTensor>, i| table.as_ref().map_or(vec![0.0; words.len()], |table| row(table, i));
        let sum = add(&add(&words, &of(&e.segments, s.segments[i] as usize)), &of(&e.positions, i));
        h.push(norm(&e.norm, &sum));
    }
    for (forward, layer) in sizes.layers.iter().zip(&encoder.layers) {
        h = run_layer(forward, layer, &h, &s.mask);
    }
    if let Some(last) = &encoder.final_norm {
        h = each(&h, |x| norm(last, x));
    }
    let predicted = |x: &[f64]| match &encoder.prediction {
        Some(Transform { dense, activation: function, norm: own }) => {
            let inner: Vec<f64> = apply(dense, x).into_iter().map(|v| activation(*function, v)).collect();
            norm(own, &inner)
        }
        None => x.to_vec(),
    };
    let source = match encoder.pooling {
        Pooling::Cls => h[0].clone(),
        Pooling::Mean => {
            let takes_all = s.mask.iter().all(|m| *m == 0);
            let rows: Vec<&Vec<f64>> =
                h.iter().zip(&s.mask).filter(|(_, m)| takes_all || **m != 0).map(|(x, _)| x).collect();
            let sum = rows.iter().fold(vec![0.0; sizes.hidden], |sum, x| add(&sum, x));
            sum.into_iter().map(|v| v / rows.len() as f64).collect()
        }
    };
    let pooled = match &encoder.pooler {
        Some(pooler) => apply(pooler, &source).into_iter().map(f64::tanh).collect(),
        None => predicted(&source),
    };
    let head = |head: &Head| match (&head.dense, head.vector) {
        (dense, Some(vector)) => vec![vector_of(vector, dense.as_ref(), &h, &s.mask)],
        (Some(dense), None) if head.kind.is_on_tokens() => each(&h, |x| apply(dense, &predicted(x))),
        (Some(dense), None) => vec![apply(dense, &pooled)],
        (None, None) => unreachable!("a head without weights makes vectors"),
    };
    let heads = encoder.heads.iter().map(head).collect();
    (h, pooled, heads)
}

fn vector_of(vector: VectorConfig, dense: Option<&Linear>, h: &Rows, mask: &[u8]) -> Vec<f64> {
    let seen: Vec<&Vec<f64>> = h.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(h, _)| h).collect();
    let mean = |i: usize| seen.iter().map(|h| h[i]).sum::<f64>() / seen.len() as f64;
    let pooled: Vec<f64> = match vector.pooling {
        Pooling::Mean => (0..h[0].len()).map(mean).collect(),
        Pooling::Cls => h[0].clone(),
    };
    let v = dense.map_or(pooled.clone(), |dense| apply(dense, &pooled));
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.into_iter().map(|x| if vector.normalize { x / length } else { x }).collect()
}

/// Norms come first.
fn run_modern(forward: &Forward, layer: &Layer, h: &Rows, mask: &[u8]) -> Rows {
    let Forward::Plain { activation: function, .. } = forward else { panic!("a gated layer") };
    let a = layer.attention.as_ref().unwrap();
    let normed = each(h, |x| a.norm.as_ref().map_or(x.to_vec(), |n| norm(n, x)));
    let h: Rows = h.iter().zip(mixed(a, &normed, &normed, mask)).map(|(x, y)| add(x, &y)).collect();
    layer.feed_forward.blocks.iter().fold(h, |h, b| {
        each(&h, |x| {
            let n = norm(&b.norm, x);
            let first = apply(&b.dense1, &n).into_iter().map(|v| activation(*function, v));
            let inner: Vec<f64> = first.zip(apply(b.gate.as_ref().unwrap(), &n)).map(|(a, b)| a * b).collect();
            add(x, &apply(&b.dense2, &inner))
        })
    })
}

fn run_layer(forward: &Forward, layer: &Layer, h: &Rows, mask: &[u8]) -> Rows {
    if layer.norm_first {
        return run_modern(forward, layer, h, mask);
    }
    let Some(a) = &layer.attention else { return feed_forward(forward, &layer.feed_forward, h) };
    let Some(b) = &layer.bottleneck else {
        return feed_forward(forward, &layer.feed_forward, &attention(a, h, h, h, mask));
    };
    let maybe = |n: &Option<Norm>, x: Vec<f64>| n.as_ref().map_or(x.clone(), |n| norm(n, &x));
    let narrow = each(h, |x| maybe(&b.input_norm, apply(&b.input, x)));
    let y = match &b.attention {
        AttentionSource::Wide => attention(a, h, h, &narrow, mask),
        AttentionSource::Bottleneck => attention(a, &narrow, &narrow, &narrow, mask),
        AttentionSource::SharedKeyQuery { dense, norm: n } => {
            attention(a, &each(h, |x| maybe(n, apply(dense, x))), h, &narrow, mask)
        }
    };
    let y = feed_forward(forward, &layer.feed_forward, &y);
    h.iter().zip(&y).map(|(x, y)| norm(&b.output_norm, &add(x, &apply(&b.output, y)))).collect()
}

fn attention(a: &Attention, query: &Rows, value: &Rows, residual: &Rows, mask: &[u8]) -> Rows {
    let own = a.norm.as_ref().unwrap();
    mixed(a, query, value, mask).iter().zip(residual).map(|(y, x)| norm(own, &add(x, y))).collect()
}

/// Turns pairs of channels of each head by the position's angle.
fn turned(a: &Attention, rows: Rows) -> Rows {
    let Some(Rotary { theta }) = a.rotary else { return rows };
    let width = a.width() / a.heads;
    let turn = |(position, mut x): (usize, Vec<f64>)| {
        for head in x.chunks_exact_mut(width) {
            for i in 0..width / 2 {
                let (sin, cos) = (position as f64 * theta.powf(-2.0 * i as f64 / width as f64)).sin_cos();
                let (a, b) = (head[i], head[i + width / 2]);
                (head[i], head[i + width / 2]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
        x
    };
    rows.into_iter().enumerate().map(turn).collect()
}

/// What attention adds to its residual.
fn mixed(a: &Attention, query: &Rows, value: &Rows, mask: &[u8]) -> Rows {
    let q = turned(a, each(query, |x| apply(&a.query, x)));
    let k = turned(a, each(query, |x| apply(a.key.as_ref().unwrap_or(&a.query), x)));
    let v = each(value, |x| apply(&a.value, x));
    let width = a.width() / a.heads;
    let mut out = Vec::new();
    for (i, query) in q.iter().enumerate() {
        let mut context = Vec::new();
        for columns in (0..a.heads).map(|head| head * width..(head + 1) * width) {
            let score = |j: usize| {
                if a.reach.is_some_and(|reach| i.abs_diff(j) > reach) {
                    return f64::NEG_INFINITY;
                }
                let dot: f64 = columns.clone().map(|c| query[c] * k[j][c]).sum();
                dot / (width as f64).sqrt() + if mask[j] == 0 { -10_000.0 } else { 0.0 }
            };
            let scores: Vec<f64> = (0..k.len()).map(score).collect();
            let highest = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
            let total: f64 = weights.iter().sum();
            context.extend(columns.map(|c| (0..k.len()).map(|j| weights[j] / total * v[j][c]).sum::<f64>()));
        }
        out.push(apply(&a.output, &context));
    }
    out
}

fn feed_forward(forward: &Forward, f: &FeedForward, x: &Rows) -> Rows {
    f.blocks.iter().fold(x.clone(), |x, b| match forward {
        Forward::Plain { activation: function, .. } => each(&x, |x| {
            let inner: Vec<f64> = apply(&b.dense1, x).into_iter().map(|v| activation(*function, v)).collect();
            norm(&b.norm, &add(x, &apply(&b.dense2, &inner)))
        }),
        Forward::Searched { expression, align, inner, .. } => {
            let first = weights(&b.dense1).slice(b.dense1.inputs(), *inner);
            let second = weights(&b.dense2).slice(*inner, b.dense2.outputs());
            let expression = expression.parse().unwrap();
            each(&x, |x| norm(&b.norm, &add(x, &evaluate(&expression, x, &first, &second, *align).unwrap())))
        }
    })
}

fn weights(l: &Linear) -> LinearWeights {
    let at = |i: usize| (0..l.outputs()).map(move |o| entry(l, i, o));
    let bias = (0..l.outputs()).map(|o| bias(&l.bias, o)).collect();
    LinearWeights::new(l.inputs(), (0..l.inputs()).flat_map(at).collect(), bias).unwrap()
}

fn entry(l: &Linear, input: usize, output: usize) -> f64 {
    f64::from(l.weight.data[output * l.inputs() + input])
}

fn apply(l: &Linear, x: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), l.inputs());
    let sum = |o: usize| x.iter().enumerate().map(|(i, v)| v * entry(l, i, o)).sum::<f64>();
    (0..l.outputs()).map(|o| sum(o) + bias(&l.bias, o)).collect()
}

fn bias(bias: &Option<MappedTensor>, i: usize) -> f64 {
    bias.as_ref().map_or(0.0, |bias| f64::from(bias.data[i]))
}

fn norm(n: &Norm, x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let (mean, inverse) = match n.kind {
        Normalization::NoNorm => (0.0, 1.0),
        Normalization::LayerNorm { eps } => {
            let mean = x.iter().sum::<f64>() / count;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            (mean, 1.0 / (variance + f64::from(eps as f32)).sqrt())
        }
    };
    let one = |(i, v): (usize, &f64)| (v - mean) * inverse * f64::from(n.weight.data[i]) + bias(&n.bias, i);
    x.iter().enumerate().map(one).collect()
}

fn row(t: &MappedTensor, i: usize) -> Vec<f64> {
    t.data.chunks_exact(t.shape[1]).nth(i).unwrap().iter().map(|&v| f64::from(v)).collect()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn each(rows: &Rows, f: impl Fn(&[f64]) -> Vec<f64>) -> Rows {
    rows.iter().map(|x| f(x)).collect()
}

fn activation(f: Activation, x: f64) -> f64 {
    use mlp_space::Unary;
    use mlp_space::eval::unary;
    match f {
        Activation::GeluErf => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => unary(Unary::Gelu, x),
        Activation::Relu => unary(Unary::Relu, x),
        Activation::Sigmoid => unary(Unary::Sigmoid, x),
        Activation::Tanh => unary(Unary::Tanh, x),
        Activation::LeakyRelu => unary(Unary::LeakyRelu, x),
        Activation::Elu => unary(Unary::Elu, x),
        Activation::Swish => unary(Unary::Swish, x),
    }
}

/// Simpson's rule on `2 / sqrt(pi) exp(-t^2)`.
fn erf(x: f64) -> f64 {
    let (steps, x, sign) = (400, x.abs().min(6.0), x.signum());
    let h = x / f64::from(steps);
    let f = |i: i32| (-(h * f64::from(i)).powi(2)).exp();
    let inside: f64 = (1..steps).map(|i| f(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    sign * (f(0) + inside + f(steps)) * h / 3.0 * std::f64::consts::FRAC_2_SQRT_PI
}

/// Largest absolute difference.
pub fn difference(ours: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len(), "number of values");
    ours.iter().zip(reference).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
}

/// Euclidean norm of the difference over that of the reference.
pub fn relative(ours: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len(), "number of values");
    let square = |it: &mut dyn Iterator<Item = f64>| it.map(|v| v * v).sum::<f64>().sqrt();
    square(&mut ours.iter().zip(reference).map(|(&a, b)| f64::from(a) - b)) / square(&mut reference.iter().copied())
}
