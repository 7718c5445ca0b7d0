//! Models that grow by a learned growth.

use encoder_spec::{Activation, BertConfig, HostTensor, ModelType, NormKind, Parts};
use growth::{Copies, Depth, Growth, LayerWidths, Ligo, Plan};
use model_dir::Tensors;

use super::{Draw, difference, heads};

pub const WORDS: Parts = Parts { pooler: true, mlm: true, mlm_extra: false };
pub const DEPTHS: [Depth; 3] = [Depth::Stack, Depth::Interleave, Depth::CopyLast];

pub fn bert() -> BertConfig {
    BertConfig {
        hidden_act: Activation::GeluTanh,
        max_position_embeddings: 8,
        task_heads: heads(),
        ..BertConfig::bert(11, 8, 2, 2, 5)
    }
}

pub fn modern() -> BertConfig {
    BertConfig { hidden_act: Activation::GeluTanh, ..BertConfig::modernbert(11, 8, 2, 2, 5) }
}

pub fn mobile() -> BertConfig {
    BertConfig {
        model_type: ModelType::MobileBert,
        hidden_act: Activation::Relu,
        embedding_size: Some(6),
        trigram_input: true,
        normalization_type: NormKind::LayerNorm,
        intra_bottleneck_size: Some(8),
        key_query_shared_bottleneck: true,
        num_feedforward_networks: 2,
        max_position_embeddings: 8,
        ..BertConfig::bert(11, 12, 2, 2, 5)
    }
}

/// A larger model: `more` layers, `neurons` more inside the feed-forwards, `factor` times the other widths.
pub fn larger(small: &BertConfig, more: usize, neurons: usize, factor: usize) -> BertConfig {
    let mut large = small.clone();
    large.num_hidden_layers += more;
    large.intermediate_size += neurons;
    large.hidden_size *= factor;
    large.num_attention_heads *= factor;
    large.embedding_size = small.embedding_size.map(|size| size * factor);
    large.intra_bottleneck_size = small.intra_bottleneck_size.map(|size| size * factor);
    if let Some(modern) = &mut large.modern {
        modern.global_layers = (0..large.num_hidden_layers).map(|i| i % 3 == 0).collect();
    }
    large
}

/// A model that grows in everything that `seed` says.
pub fn drawn(seed: u64) -> (BertConfig, BertConfig, Growth) {
    let draw = &mut Draw(seed);
    let small = [bert, modern, mobile][draw.below(3)]();
    let (more, neurons, factor) = (draw.below(4), draw.below(4), 1 + draw.below(3));
    let neurons = if more == 0 && factor == 1 { 1 + neurons } else { neurons };
    let copies = if draw.below(2) == 0 { Copies::First } else { Copies::Random };
    let growth = Growth { depth: DEPTHS[draw.below(3)], copies, seed, ..Growth::default() };
    (small.clone(), larger(&small, more, neurons, factor), growth)
}

pub fn planned(small: &BertConfig, large: &BertConfig, growth: &Growth) -> (Plan, Ligo) {
    let plan = Plan::new(small, large, WORDS, growth).unwrap();
    // What layers share begins with the same copies.
    let is_shared = growth.copies == Copies::First && growth.seed % 2 == 1;
    let ligo = Ligo::new(&plan, if is_shared { LayerWidths::Shared } else { LayerWidths::Own }).unwrap();
    (plan, ligo)
}

/// Adds drawn values to all matrices.
pub fn moved(mut ligo: Ligo, seed: u64) -> Ligo {
    let draw = &mut Draw(seed);
    for (_, values) in ligo.parameters_mut() {
        values.iter_mut().for_each(|v| *v += 0.3 * draw.value());
    }
    ligo
}

pub fn drawn_like(tensors: &Tensors, seed: u64) -> Tensors {
    let draw = &mut Draw(seed);
    let of = |(path, t): (&String, &HostTensor)| {
        (path.clone(), HostTensor { shape: t.shape.clone(), data: t.data.iter().map(|_| draw.value()).collect() })
    };
    Tensors(tensors.0.iter().map(of).collect())
}

pub fn scalar(a: &Tensors, b: &Tensors) -> f64 {
    let of = |(path, a): (&String, &HostTensor)| {
        a.data.iter().zip(&b.0[path].data).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    a.0.iter().map(of).sum()
}

/// `a x + b y`
pub fn combined((a, x): (f32, &Tensors), (b, y): (f32, &Tensors)) -> Tensors {
    let of = |(path, x): (&String, &HostTensor)| {
        let data = x.data.iter().zip(&y.0[path].data).map(|(x, y)| a * x + b * y).collect();
        (path.clone(), HostTensor { shape: x.shape.clone(), data })
    };
    Tensors(x.0.iter().map(of).collect())
}

pub fn assert_close(a: &Tensors, b: &Tensors, tolerance: f64) {
    assert!(a.0.keys().eq(b.0.keys()));
    let values = |t: &HostTensor| t.data.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    for (path, a) in &a.0 {
        assert_eq!(a.shape, b.0[path].shape, "{path}");
        let error = difference(&values(a), &values(&b.0[path]));
        assert!(error <= tolerance, "{path}: {error:e}");
    }
}
