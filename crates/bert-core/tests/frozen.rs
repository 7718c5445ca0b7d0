//! Frozen models give what the PyTorch reference and the burn modules give.

mod reference;

use std::path::Path;

use bert_core::weights::{HostTensor, NameFormat, Tensors};
use bert_core::{
    BertConfig, EncodeOptions, ModelDir, Package, Parts, Pooling, TaskHeadConfig, TaskHeadKind, TaskModel, TokenBatch,
    VectorConfig, WEIGHTS_FILE, freeze, preset,
};
use burn::tensor::Device;
use cpu_runtime::{Outputs, Packing, Precision, Ragged, Session};
use encoder_spec::ModernBertConfig;
use reference::{golden, reference_config};

/// Absolute tolerance in f32 against the reference.
const TOLERANCE: f32 = 2e-5;

/// `x W^T + b` for every row.
fn projected(x: &[f32], weight: &HostTensor, bias: &HostTensor) -> Vec<f32> {
    let dot = |row: &[f32], w: &[f32]| row.iter().zip(w).map(|(a, b)| a * b).sum::<f32>();
    let row = |row: &[f32]| {
        let values = weight.data.chunks(row.len()).zip(&bias.data).map(|(w, b)| dot(row, w) + b);
        values.collect::<Vec<_>>()
    };
    x.chunks(weight.shape[1]).flat_map(row).collect()
}

#[test]
fn frozen_models_reproduce_the_reference() {
    for name in ["bert", "tiny-bert", "mobile-bert", "mobile-bert-tiny", "mobile-bert-layernorm"] {
        let config = reference_config(name);
        let file = Tensors::read_safetensors(&golden(&format!("{name}.safetensors"))).unwrap();
        let params = file.under("param.");
        let mlm = params.0.contains_key("lm_head.dense.weight");
        let model = TaskModel::new(&config, Parts { mlm, ..Parts::default() }, &Device::flex()).unwrap();
        let model = model.apply(params.clone(), NameFormat::Reference, Path::new(name)).unwrap();
        let frozen = freeze(&model, &config, Precision::F32).unwrap();

        // All positions are compared, blocked ones too: every row stays whole.
        let ids: Vec<u32> = file.0["input.token_ids"].data.iter().map(|&v| v as u32).collect();
        let segments: Vec<u32> = file.0["input.segment_ids"].data.iter().map(|&v| v as u32).collect();
        let mask: Vec<u8> = file.0["input.pad_mask"].data.iter().map(|&v| u8::from(v == 0.0)).collect();
        let shape = &file.0["input.token_ids"].shape;
        let offsets: Vec<usize> = (0..=shape[0]).map(|s| s * shape[1]).collect();
        let batch = cpu_runtime::Batch {
            ids: &ids,
            segments: &segments,
            offsets: &offsets,
            mask: &mask,
            ..cpu_runtime::Batch::default()
        };
        let mut session = Session::new(2);
        let hidden = session.run(&frozen, &batch, Outputs::default()).unwrap().hidden;
        let ours = match params.0.get("fit_dense.weight") {
            Some(weight) => projected(hidden, weight, &params.0["fit_dense.bias"]),
            None => hidden.to_vec(),
        };
        let reference = &file.0[&format!("output.hidden.{}", config.num_hidden_layers)];
        assert_eq!(ours.len(), reference.data.len(), "{name}");
        let worst = ours.iter().zip(&reference.data).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(worst <= TOLERANCE, "{name}: largest difference {worst:e}");
    }
}

fn small(name: &str) -> BertConfig {
    let config = preset(name).unwrap();
    let head = |task: &str, kind, labels: &[&str]| {
        TaskHeadConfig::new(task, kind, labels.iter().map(ToString::to_string).collect())
    };
    BertConfig {
        vocab_size: 40,
        hidden_size: 24,
        // Padded operands need an inner width that is not below the hidden one.
        intermediate_size: if config.pad_operands { 72 } else { 24 },
        num_attention_heads: 4,
        max_position_embeddings: 40,
        embedding_size: config.embedding_size.map(|_| 8),
        intra_bottleneck_size: config.intra_bottleneck_size.map(|_| 8),
        fit_size: Some(12),
        num_hidden_layers: config.layers.len().max(2),
        // A long and a short reach.
        modern: config.modern.clone().map(|modern| ModernBertConfig {
            global_layers: vec![true, false],
            local_attention: 8,
            mean_pooling: true,
            ..modern
        }),
        // Differences at one position must show: initial weights of 0.02 would hide them.
        initializer_range: 0.3,
        task_heads: vec![
            head("sst-2", TaskHeadKind::Classification, &["negative", "positive"]),
            head("squad", TaskHeadKind::Span, &[]),
            head("sts-b", TaskHeadKind::Regression, &[]),
            TaskHeadConfig::embedding(
                "a",
                VectorConfig { pooling: Pooling::Mean, size: Some(7), normalize: true, max_len: None },
            ),
            TaskHeadConfig::embedding(
                "b",
                VectorConfig { pooling: Pooling::Cls, size: None, normalize: false, max_len: None },
            ),
        ],
        ..config
    }
}

const FAMILIES: [&str; 9] = [
    "tinybert-4",
    "mobilebert",
    "mobilebert-tiny",
    "mobilebert-reference",
    "mobilebert-tiny-reference",
    "ib-bert-large",
    "modernbert-base",
    "efficientbert",
    "efficientbert-tinybert-6",
];

fn built(config: &BertConfig, pooler: bool) -> TaskModel {
    TaskModel::new(config, Parts { pooler, ..Parts::default() }, &Device::flex()).unwrap().initialized(config, 7)
}

/// Padded rows of ids with lengths 21, 34, 1 and 13, padded to 36 with id 0.
struct Padded {
    ids: Vec<i32>,
    segments: Vec<i32>,
    mask: Vec<u8>,
}

const ROWS: usize = 4;
const WIDTH: usize = 36;

fn padded() -> Padded {
    let mut batch = Padded { ids: vec![], segments: vec![], mask: vec![] };
    for (row, length) in [21, 34, 1, 13].into_iter().enumerate() {
        for column in 0..WIDTH {
            let inside = column < length;
            batch.ids.push(if inside { ((row * 31 + column * 17) % 39 + 1) as i32 } else { 0 });
            batch.segments.push(i32::from(inside && column > length / 2));
            batch.mask.push(u8::from(inside && !(row == 1 && column == 5)));
        }
    }
    batch
}

fn ragged(batch: &Padded) -> Ragged {
    let mut ragged = Ragged::new();
    let natural = |v: &[i32]| v.iter().map(|&v| v as u32).collect::<Vec<_>>();
    for row in 0..ROWS {
        let at = row * WIDTH..(row + 1) * WIDTH;
        ragged.push_row(&natural(&batch.ids[at.clone()]), &natural(&batch.segments[at.clone()]), &batch.mask[at]);
    }
    ragged
}

fn relative(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
    norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / norm(&mut theirs.iter().copied())
}

#[test]
fn every_family_gives_what_its_modules_give_without_computing_the_padding() {
    let device = Device::flex();
    for name in FAMILIES {
        for pooler in [true, false] {
            let config = small(name);
            let model = built(&config, pooler);
            let padded = padded();
            let tokens = TokenBatch::from_host([ROWS, WIDTH], &padded.ids, &padded.segments, &padded.mask, &device);
            let last = model.encode(&tokens, EncodeOptions::LAST).last_hidden;
            let pooled = model.pool(last.clone(), &tokens.mask);
            let values = |head: usize| model.heads[head].forward_pooled(pooled.clone()).try_into_vec_as::<f32>();
            let (first, third) = (values(0).unwrap(), values(2).unwrap());
            let vectors = [3, 4]
                .map(|head| model.of_texts(head, last.clone(), tokens.mask.clone()).try_into_vec_as::<f32>().unwrap());
            let spans = model.forward_tokens(&tokens, 1, EncodeOptions::LAST).1.try_into_vec_as::<f32>().unwrap();
            let last = last.try_into_vec_as::<f32>().unwrap();

            let frozen = freeze(&model, &config, Precision::F32).unwrap();
            let ragged = ragged(&padded);
            let batch = ragged.as_batch();
            assert_eq!(batch.tokens(), 21 + 34 + 1 + 13);
            let kept = |rows: &[f32]| -> Vec<f32> {
                let width = rows.len() / (ROWS * WIDTH);
                let lengths = batch.offsets.windows(2).map(|w| w[1] - w[0]).enumerate();
                lengths.flat_map(|(s, n)| rows[s * WIDTH * width..][..n * width].to_vec()).collect()
            };
            let mut session = Session::new(2);
            let mut run = |head| {
                let out = session.run(&frozen, &batch, Outputs { pooled: true, heads: &[head] }).unwrap();
                (out.hidden.to_vec(), out.pooled.to_vec(), out.heads().next().unwrap().to_vec())
            };
            let (hidden, our_pooled, logits) = run(0);
            assert!(relative(&hidden, &kept(&last)) < 1e-5, "{name}");
            assert!(relative(&our_pooled, &pooled.try_into_vec_as::<f32>().unwrap()) < 1e-5, "{name}");
            assert!(relative(&logits, &first) < 1e-5, "{name}");
            assert!(relative(&run(1).2, &kept(&spans)) < 1e-5, "{name}");
            assert!(relative(&run(2).2, &third) < 1e-5, "{name}");
            for (head, vectors) in [3, 4].into_iter().zip(&vectors) {
                assert!(relative(&run(head).2, vectors) < 1e-5, "{name}, head {head}");
            }

            let half = freeze(&model, &config, Precision::Bf16).unwrap();
            let rounded = Session::new(1).run(&half, &batch, Outputs::default()).unwrap().hidden.to_vec();
            let error = relative(&rounded, &hidden);
            assert!((1e-6..0.05).contains(&error), "{name}: {error}");
        }
    }
}

#[test]
fn a_directory_freezes_to_the_same_model_as_its_modules() {
    for name in FAMILIES {
        let config = small(name);
        let model = built(&config, true);
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("model");
        ModelDir::save(&dir, &config, &model, Package { card: "", files: &[], keep_fit: true }).unwrap();
        let (read, from_files) = cpu_runtime::Model::open(&dir, Precision::F32, Packing::Ahead).unwrap();
        assert_eq!(read.task_heads, config.task_heads);
        let ragged = ragged(&padded());
        let hidden = |model: &cpu_runtime::Model| {
            let mut session = Session::new(1);
            session.run(model, &ragged.as_batch(), Outputs { pooled: true, heads: &[] }).unwrap().pooled.to_vec()
        };
        assert_eq!(hidden(&from_files), hidden(&freeze(&model, &config, Precision::F32).unwrap()), "{name}");
    }
}

#[test]
fn a_directory_that_does_not_load_does_not_freeze_either() {
    let config = small("efficientbert");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    ModelDir::save(&dir, &config, &built(&config, true), Package::default()).unwrap();
    let weights = dir.join(WEIGHTS_FILE);
    let sound = Tensors::read_safetensors(&weights).unwrap();
    let name = "encoder.layer.0.attention.self.query.weight";
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Tensors));
    let changes: [Change<'_>; 4] = [
        ("missing", &|t| drop(t.0.remove(name))),
        ("left over", &|t| drop(t.0.insert("extra".into(), HostTensor { shape: vec![1], data: vec![0.0] }))),
        ("another shape", &|t| t.0.get_mut(name).unwrap().shape = vec![12, 48]),
        ("not finite", &|t| t.0.get_mut(name).unwrap().data[3] = f32::NAN),
    ];
    for (what, change) in changes {
        let mut tensors = sound.clone();
        change(&mut tensors);
        tensors.write_safetensors(&weights).unwrap();
        let loaded = ModelDir::load(&dir, &Device::flex()).unwrap_err().to_string();
        let frozen = cpu_runtime::Model::open(&dir, Precision::Bf16, Packing::Ahead).unwrap_err().to_string();
        assert_eq!(frozen, loaded, "{what}");
    }
}
