//! Models of every family with drawn weights: each preset with fewer words and layers, searched students, every kind of head.
#![allow(dead_code, reason = "each test file uses a part")]

use encoder_spec::{
    AttentionShape, BertConfig, Encoder, HostTensor, LayerParts, MappedTensor, NumberScale, PRESETS, Parts, Pooling,
    Shape, TaskHeadConfig, TaskHeadKind, VectorConfig, layered_config, preset, student_frame,
};
use mlp_space::{Architecture, Space, StudentShape, Widths};
use model_dir::{ModelDir, Package, Tensors};
use onnx::{Output, usual_outputs};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const WORDS: usize = 97;
pub const LONGEST: usize = 40;
/// Layers of plain presets, which are all alike.
const LAYERS: usize = 2;
const SEARCHED: u64 = 5;

/// A model and what is asked of it.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub config: BertConfig,
    pub encoder: Encoder<MappedTensor>,
    pub outputs: Vec<Output>,
}

pub fn cases() -> Vec<Case> {
    let presets = PRESETS.iter().map(|name| small(name));
    let searched = (0..SEARCHED).map(|seed| (format!("searched-{seed}"), searched(seed)));
    let plain = presets.chain(searched).enumerate().map(|(i, (name, config))| {
        // Every second one says something of a text, the others give their last states.
        let task_heads = if i % 2 == 0 { vec![head("text", TaskHeadKind::Classification, 3)] } else { vec![] };
        case(name, BertConfig { task_heads, ..config }, Parts { pooler: i % 4 != 0, ..Parts::default() })
    });
    let heads = heads().into_iter().enumerate().map(|(i, task_heads)| {
        let (family, config) = family(i);
        let names: Vec<&str> = task_heads.iter().map(|head| head.task.as_str()).collect();
        case(format!("{family}-{}-{i}", names.join("-")), BertConfig { task_heads, ..config }, Parts::POOLER)
    });
    let words = (0..4).map(|i| {
        let (family, config) = family(i);
        case(format!("{family}-words"), config, Parts { mlm: true, mlm_extra: family == "mobilebert", pooler: false })
    });
    plain.chain(heads).chain(words).collect()
}

fn small(name: &str) -> (String, BertConfig) {
    let mut config = preset(name).expect("a preset");
    config.vocab_size = WORDS;
    config.max_position_embeddings = LONGEST;
    if config.layers.is_empty() {
        config.num_hidden_layers = LAYERS;
    }
    if let Some(modern) = &mut config.modern {
        // A global layer, and one that sees three tokens on each side.
        modern.global_layers = vec![true, false];
        modern.local_attention = 6;
    }
    (name.to_owned(), config)
}

fn family(i: usize) -> (&'static str, BertConfig) {
    let name = ["tinybert-4", "efficientbert-tiny", "mobilebert", "modernbert-base"][i % 4];
    (name, small(name).1)
}

/// A student with drawn expressions, of which some layers lack a part or have attention of their own.
fn searched(seed: u64) -> BertConfig {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = StudentShape {
        hidden: 36,
        heads: 3,
        embed: 20,
        vocab: WORDS,
        base: 36,
        fit: None,
        ..StudentShape::efficientbert()
    };
    let frame = BertConfig {
        max_position_embeddings: LONGEST,
        trigram_input: seed.is_multiple_of(2),
        pad_operands: seed == 3,
        ..student_frame(&shape, 5)
    };
    let space = Space::runnable(Widths {
        hidden: frame.hidden_size,
        base: frame.intermediate_size,
        align: if frame.pad_operands { mlp_space::Align::Pad } else { mlp_space::Align::Cut },
    });
    let layers: Vec<_> = (0..5).map(|_| space.sample(None, &mut rng).expect("a space").to_string()).collect();
    let architecture: Architecture = layers.join(";").parse().expect("an architecture");
    let usual = LayerParts::usual(&frame);
    let parts = [
        usual,
        LayerParts { attention: None, ..usual },
        LayerParts { feed_forward: false, ..usual },
        LayerParts { attention: Some(AttentionShape { heads: 2, width: 14 }), ..usual },
        usual,
    ];
    layered_config(&frame, &architecture, &parts).expect("a student")
}

fn heads() -> Vec<Vec<TaskHeadConfig>> {
    use TaskHeadKind::{Classification, MultiLabel, Regression, Span, Tags};
    let number =
        TaskHeadConfig { scale: Some(NumberScale { mean: 50.5, deviation: 12.25 }), ..head("number", Regression, 0) };
    let vector = |pooling, size, normalize| {
        TaskHeadConfig::embedding("vector", VectorConfig { pooling, size, normalize, max_len: None })
    };
    let each = [
        vec![head("span", Span, 0)],
        vec![head("tags", Tags, 5)],
        vec![number.clone()],
        vec![head("labels", MultiLabel, 4)],
        vec![vector(Pooling::Mean, None, true)],
        vec![vector(Pooling::Cls, Some(10), false)],
        vec![head("class", Classification, 2), number, head("tags", Tags, 3)],
        vec![head("spans", Span, 0), vector(Pooling::Mean, Some(7), true)],
    ];
    // Each in two families.
    each.iter().cloned().chain(each.iter().skip(1).cloned()).collect()
}

fn head(task: &str, kind: TaskHeadKind, labels: usize) -> TaskHeadConfig {
    let labels = (0..labels).map(|i| format!("label {i}")).collect();
    TaskHeadConfig::new(task, kind, labels)
}

fn case(name: String, config: BertConfig, parts: Parts) -> Case {
    let outline = Encoder::describe(&config, parts).expect("a description");
    let outputs = usual_outputs(&outline);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let encoder = outline.try_map(|path, shape| Ok::<_, onnx::Error>(drawn(path, shape, &mut rng))).expect("drawn");
    Case { name, config, encoder, outputs }
}

/// Values of about the size that trained weights have.
fn drawn(path: &str, shape: &Shape, rng: &mut ChaCha8Rng) -> MappedTensor {
    let mut uniform = || (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let count = shape.iter().product();
    let data = match shape.len() {
        1 if path.ends_with("norm.weight") => (0..count).map(|_| 1.0 + 0.1 * uniform()).collect(),
        1 => (0..count).map(|_| 0.1 * uniform()).collect(),
        _ if path.ends_with("embeddings.weight") => (0..count).map(|_| uniform()).collect(),
        _ => {
            let scale = (3.0 / shape[1] as f32).sqrt();
            (0..count).map(|_| scale * uniform()).collect()
        }
    };
    HostTensor { shape: shape.clone(), data }.into()
}

impl Case {
    /// Writes a model directory without a tokenizer.
    pub fn save(&self, dir: &std::path::Path) -> ModelDir {
        let host = |t: &MappedTensor| HostTensor { shape: t.shape.clone(), data: t.data.to_vec() };
        let tensors = Tensors(self.encoder.weights().iter().map(|(path, t)| (path.clone(), host(t))).collect());
        model_dir::write(dir, &self.config, tensors, Package::default()).expect("a folder");
        ModelDir::map(dir).expect("what was written")
    }
}
