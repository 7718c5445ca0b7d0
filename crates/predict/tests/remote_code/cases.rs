//! Models of every kind, with drawn weights.

use encoder_spec::{
    Activation, AttentionShape, BertConfig, Encoder, HostTensor, LayerParts, ModelType, ModernBertConfig, NormKind,
    NumberScale, PRESETS, Parts, Pooling, TaskHeadConfig, TaskHeadKind, VectorConfig, layered_config, preset,
    student_frame,
};
use mlp_space::sample::Space;
use mlp_space::{Align, Architecture, StudentShape, Widths};
use model_dir::Tensors;
use run_store::rng::{below, keyed, unit};

/// Word pieces.
pub const WORDS: usize = 40;
/// The longest text in tokens.
pub const POSITIONS: usize = 24;

/// A model to write.
pub struct Case {
    pub name: String,
    pub config: BertConfig,
    pub parts: Parts,
}

impl Case {
    fn new(name: impl Into<String>, config: BertConfig, parts: Parts) -> Self {
        Self { name: name.into(), config, parts }
    }

    /// Weights drawn with the seed, by path.
    pub fn tensors(&self, seed: u64) -> Tensors {
        let mut rng = keyed(seed, &self.name, &[]);
        let weights = Encoder::describe(&self.config, self.parts).expect("a model").weights();
        let tensor = |(path, shape): (String, Vec<usize>)| {
            let is_norm = path.contains("norm") && path.ends_with(".weight");
            // Linear maps keep the size of what they read; norms are near those that change nothing.
            let (middle, spread) = match shape[..] {
                [_, inputs] if path.contains("embeddings.") && !path.contains("projection") => {
                    (0.0, 2.0 / inputs as f64)
                }
                [_, inputs] => (0.0, 3.0 / inputs as f64),
                _ => (f64::from(u8::from(is_norm)), 0.03),
            };
            let mut value = || (middle + (2.0 * unit(&mut rng) - 1.0) * spread.sqrt()) as f32;
            let data = (0..shape.iter().product()).map(|_| value()).collect();
            (path, HostTensor { shape, data })
        };
        Tensors(weights.into_iter().map(tensor).collect())
    }
}

/// A head of every kind.
pub fn heads() -> Vec<TaskHeadConfig> {
    let named = |task: &str, kind, labels: &[&str]| {
        TaskHeadConfig::new(task, kind, labels.iter().map(ToString::to_string).collect())
    };
    let vector = |pooling, size, normalize| VectorConfig { pooling, size, normalize, max_len: Some(20) };
    vec![
        named("reviews", TaskHeadKind::Classification, &["bad", "fair", "good"]),
        named("topics", TaskHeadKind::MultiLabel, &["a", "b", "c", "d"]),
        named("warmth", TaskHeadKind::Regression, &[]),
        TaskHeadConfig {
            scale: Some(NumberScale { mean: 50.25, deviation: 21.5 }),
            ..named("price", TaskHeadKind::Regression, &[])
        },
        named("squad-v1", TaskHeadKind::Span, &[]),
        named("names", TaskHeadKind::Tags, &["O", "B-X", "I-X", "B-Y", "I-Y"]),
        TaskHeadConfig::embedding("means", vector(Pooling::Mean, Some(7), true)),
        TaskHeadConfig::embedding("firsts", vector(Pooling::Cls, None, false)),
    ]
}

/// The preset, small: its layers, norms and conventions.
fn small(name: &str) -> BertConfig {
    let config = preset(name).expect("a preset");
    let layers = if config.layers.is_empty() { 2 } else { config.layers.len() };
    BertConfig {
        vocab_size: WORDS,
        hidden_size: 24,
        // Padded operands need an inner width that is not below the hidden one.
        intermediate_size: if config.layers.is_empty() || config.pad_operands { 72 } else { 24 },
        num_attention_heads: 4,
        num_hidden_layers: layers,
        max_position_embeddings: POSITIONS,
        embedding_size: config.embedding_size.map(|_| 8),
        intra_bottleneck_size: config.intra_bottleneck_size.map(|_| if name == "ib-bert-large" { 48 } else { 16 }),
        fit_size: None,
        task_heads: vec![heads()[0].clone()],
        modern: config.modern.clone().map(|modern| ModernBertConfig { global_layers: vec![true; layers], ..modern }),
        ..config
    }
}

/// A student whose layers are drawn: expressions, stacks, ratios, attention of their own, absent parts.
fn drawn(n: u64) -> BertConfig {
    let mut rng = keyed(18, "searched", &[n]);
    let pad_operands = n % 2 == 1;
    let (hidden, layers) = (24, 4);
    let base = if pad_operands { 72 } else { 24 };
    let shape = StudentShape {
        vocab: WORDS,
        embed: 10,
        hidden,
        base,
        heads: 4,
        max_positions: POSITIONS,
        segments: 2,
        fit: None,
    };
    let align = if pad_operands { Align::Pad } else { Align::Cut };
    let space = Space::runnable(Widths { hidden, base, align });
    let expressions = (0..layers).map(|_| space.sample(None, &mut rng).expect("an expression")).collect();
    let frame = BertConfig { pad_operands, ..student_frame(&shape, layers) };
    let mut parts = |layer: usize| {
        let heads = 1 + below(&mut rng, 4);
        let own = AttentionShape { heads, width: heads * (3 + below(&mut rng, 9)) };
        let usual = LayerParts::usual(&frame);
        match (layer, below(&mut rng, 3)) {
            (0, _) => LayerParts { attention: None, ..usual },
            (1, _) => LayerParts { attention: Some(own), feed_forward: false },
            (_, 0) => usual,
            _ => LayerParts { attention: Some(own), ..usual },
        }
    };
    let parts: Vec<LayerParts> = (0..layers).map(&mut parts).collect();
    layered_config(&frame, &Architecture::new(expressions).expect("layers"), &parts).expect("a student")
}

/// All models: every preset, drawn students, every head alone and together, and every variant of an encoder that `transformers` has no
/// class for.
pub fn cases() -> Vec<Case> {
    let all = heads();
    let pooler = Parts::POOLER;
    let words = |config: &BertConfig, parts: Parts| parts.with_words(config);
    let mut cases: Vec<Case> =
        PRESETS.iter().map(|name| Case::new(format!("preset-{name}"), small(name), pooler)).collect();
    for n in 0..5 {
        let task_heads = vec![all[n as usize].clone()];
        cases.push(Case::new(format!("drawn-{n}"), BertConfig { task_heads, ..drawn(n) }, pooler));
    }
    let student = BertConfig { task_heads: Vec::new(), ..small("efficientbert-tiny") };
    let with = |config: &BertConfig, task_heads: &[TaskHeadConfig]| BertConfig {
        task_heads: task_heads.to_vec(),
        ..config.clone()
    };
    for head in &all {
        let parts = if head.kind.is_on_pooled() { pooler } else { Parts::NONE };
        cases.push(Case::new(format!("head-{}", head.task), with(&student, std::slice::from_ref(head)), parts));
    }
    let plain = BertConfig { task_heads: Vec::new(), ..small("tinybert-4") };
    let mobile = BertConfig { task_heads: Vec::new(), ..small("mobilebert") };
    let narrow = |embed: usize, trigram_input| BertConfig {
        embedding_size: Some(embed),
        trigram_input,
        ..with(&plain, &all[..1])
    };
    let reference = BertConfig { task_heads: Vec::new(), ..small("mobilebert-reference") };
    let variant = BertConfig {
        normalization_type: NormKind::LayerNorm,
        use_bottleneck_attention: true,
        tie_key_query: true,
        ..with(&reference, &all[5..6])
    };
    let tied = Parts { mlm: true, ..pooler };
    cases.extend([
        Case::new("searched-alone", BertConfig { fit_size: Some(12), ..student.clone() }, Parts::NONE),
        Case::new("searched-without-pooler", with(&student, &all[..1]), Parts::NONE),
        Case::new("searched-words", student.clone(), words(&student, Parts::NONE)),
        Case::new("searched-all-heads", with(&student, &all), words(&student, pooler)),
        Case::new("narrow", narrow(8, false), pooler),
        Case::new("narrow-trigrams", narrow(8, true), words(&plain, pooler)),
        Case::new("projected", narrow(24, false), pooler),
        Case::new("narrow-span", with(&narrow(8, false), &all[4..5]), Parts::NONE),
        Case::new("one-segment", BertConfig { type_vocab_size: 1, ..narrow(8, false) }, pooler),
        Case::new("bert-two-heads", with(&plain, &all[3..5]), pooler),
        Case::new("bert-head-and-words", with(&plain, &all[..1]), tied),
        Case::new("mobilebert-head-and-words", with(&mobile, &all[..1]), words(&mobile, pooler)),
        Case::new("mobilebert-head-and-tied-words", with(&mobile, &all[..1]), tied),
        Case::new("bert-without-pooler", with(&plain, &all[..1]), Parts::NONE),
        Case::new("bert-stacked", BertConfig { num_feedforward_networks: 3, ..with(&plain, &all[1..2]) }, pooler),
        Case::new(
            "bert-no-norm",
            BertConfig { normalization_type: NormKind::NoNorm, ..with(&plain, &all[..1]) },
            pooler,
        ),
        Case::new("mobilebert-two-heads", with(&mobile, &all[4..6]), Parts::NONE),
        Case::new(
            "mobilebert-without-bottleneck",
            BertConfig {
                intra_bottleneck_size: None,
                key_query_shared_bottleneck: false,
                embedding_size: None,
                trigram_input: false,
                normalization_type: NormKind::LayerNorm,
                default_norm_eps: Some(1e-5),
                ..with(&mobile, &all[1..3])
            },
            pooler,
        ),
        Case::new("mobilebert-tied-words", mobile.clone(), tied),
        Case::new("mobilebert-variant", variant, Parts::NONE),
        Case::new("mobilebert-variant-words", reference.clone(), words(&reference, pooler)),
    ]);
    let activations = ["gelu", "gelu_new", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "swish"];
    for name in activations {
        let hidden_act: Activation = serde_json::from_value(name.into()).expect("an activation");
        cases.push(Case::new(format!("act-{name}"), BertConfig { hidden_act, ..narrow(8, false) }, tied));
    }
    assert!(cases.iter().any(|case| case.config.model_type == ModelType::ModernBert));
    cases
}
