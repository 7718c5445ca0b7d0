//! One step with token dropping against numbers that were computed by another program, in PyTorch and `f64`: which tokens are kept, the loss, the
//! gradients of all weights and the importance afterwards. `benches/peers/pretrain_reference.py sample` makes the files in `data/token_drop`.

#[allow(dead_code)]
mod text;

use std::path::{Path, PathBuf};

use bert_core::weights::{HostTensor, NameFormat, Tensors};
use bert_core::{BertConfig, Kept, ModelType, Parts, TaskModel};
use burn::module::Module;
use burn::tensor::Device;
use corpus::Masked;
use glue_squad::batch::{EncodedBatch, Labels};
use safetensors::SafeTensors;
use text::{Texts, mask};
use train::engine::{Job, MicroBatch};
use train::mlm::MaskedBatch;
use train::optim::{Gradients, state_of};
use train::pretrain::{DropSettings, MaskedLanguageModeling, SpecialIds, TokenDropping};

const ROWS: usize = 3;
const TOKENS: usize = 16;
const FORMAT: NameFormat = NameFormat::HuggingFace(ModelType::Bert);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/token_drop").join(name)
}

fn whole_numbers(bytes: &[u8], name: &str) -> Vec<i64> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    tensors.tensor(name).unwrap().data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

fn numbers(bytes: &[u8], name: &str) -> Vec<f64> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    match tensor.dtype() {
        safetensors::Dtype::F64 => tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        _ => tensor.data().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
    }
}

/// The batch with its words hidden, and the importance before the step.
fn given() -> (MaskedBatch, Vec<f32>) {
    let bytes = std::fs::read(file("batch.safetensors")).unwrap();
    let small = |name: &str| -> Vec<i32> { whole_numbers(&bytes, name).into_iter().map(|v| v as i32).collect() };
    let batch = EncodedBatch {
        batch: ROWS,
        seq: TOKENS,
        ids: small("input_ids"),
        type_ids: small("token_type_ids"),
        mask: small("attention_mask").into_iter().map(|v| v as u8).collect(),
        labels: Labels::None,
        indices: (0..ROWS).collect(),
        second: None,
    };
    let (places, ids) = (whole_numbers(&bytes, "masked_positions"), whole_numbers(&bytes, "masked_ids"));
    let weights = numbers(&bytes, "masked_weights");
    let each = places.len() / ROWS;
    let words = (0..ROWS).map(|row| {
        let at = row * each..(row + 1) * each;
        let real = at.filter(|i| weights[*i] > 0.0);
        real.map(|i| Masked { position: places[i] as u16, id: ids[i] as u32 }).collect()
    });
    let importance = numbers(&bytes, "importance").into_iter().map(|v| v as f32).collect();
    (MaskedBatch::new(batch, words.collect()), importance)
}

fn assert_near(what: &str, ours: &[f32], theirs: &[f64], limit: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let size = theirs.iter().map(|v| v * v).sum::<f64>().sqrt();
    let off = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt();
    assert!(off <= limit * size.max(1e-2), "{what}: off by {off:e} of {size:e}");
}

#[test]
fn a_step_equals_the_reference_in_both_forms() {
    let config = BertConfig::from_json(&std::fs::read_to_string(file("config.json")).unwrap()).unwrap();
    let parts = Parts::NONE.with_words(&config);
    let build = |tensors: Tensors| {
        TaskModel::new(&config, parts, &Device::flex()).unwrap().apply(tensors, FORMAT, &file("model.safetensors"))
    };
    let model = build(Tensors::read_safetensors(&file("model.safetensors")).unwrap()).unwrap();
    let (hidden, importance) = given();
    let (text, mask) = (Texts::new(), mask());
    for (form, compatible) in [("compatible", true), ("mended", false)] {
        let bytes = std::fs::read(file(&format!("{form}.safetensors"))).unwrap();
        let settings = DropSettings { keep: 0.5, compatible, ..DropSettings::default() };
        let special = SpecialIds { always_kept: vec![1, 2, 3, 4], pad: 0 };
        let dropping = TokenDropping::new(settings, (config.vocab_size, special), TOKENS, None, 1).unwrap();
        let job = MaskedLanguageModeling {
            text: &text,
            mask: &mask,
            held_out: None,
            dropping: Some(&dropping),
            pool: None,
            max_len: None,
        };
        let before = HostTensor { shape: vec![importance.len()], data: importance.clone() };
        job.recall(&Tensors([("importance".to_owned(), before)].into())).unwrap();

        let lengths: Vec<usize> = hidden.batch.mask.chunks(TOKENS).map(bert_core::length).collect();
        let keep = whole_numbers(&bytes, "keep");
        let real = lengths.iter().enumerate().flat_map(|(row, n)| &keep[row * TOKENS..][..*n]);
        let expected = Kept::new(&lengths, &real.map(|keep| *keep == 1).collect::<Vec<_>>());
        assert_eq!(dropping.select(&hidden.batch, (0, 0), None), expected, "{form}");

        let tracked = model.clone().train();
        let whole = (MicroBatch::whole(0), 0);
        let loss = job.loss_of(&tracked, &hidden, whole, &Device::flex()).unwrap().expect("words are hidden");
        assert_near(form, &[loss.clone().inner().into_scalar::<f32>()], &numbers(&bytes, "loss"), 1e-6);
        job.finished(0);
        assert_near(form, &dropping.importance(), &numbers(&bytes, &format!("importance.{form}")), 1e-6);

        // The reference's gradients as the weights of a model, so that names and layouts are ours.
        let names = SafeTensors::deserialize(&bytes).unwrap();
        let of_weights = names.names().into_iter().filter_map(|name| Some((name, name.strip_prefix("gradient.")?)));
        let tensors = of_weights.map(|(whole, name)| {
            let shape = names.tensor(whole).unwrap().shape().to_vec();
            let data = numbers(&bytes, whole).into_iter().map(|v| v as f32).collect();
            let name = if name.starts_with("cls.") { name.to_owned() } else { format!("bert.{name}") };
            (name, HostTensor { shape, data })
        });
        let expected = build(Tensors(tensors.collect())).unwrap();
        let flat = state_of([&expected, &expected], &Tensors::default());
        let found = Gradients::of(&loss, &tracked);
        let mut compared = 0;
        for (name, theirs) in &flat.0 {
            let Some(path) = name.strip_suffix(".first") else { continue };
            let theirs: Vec<f64> = theirs.data.iter().map(|v| f64::from(*v)).collect();
            let ours = found.get(path).unwrap_or_else(|| vec![0.0; theirs.len()]);
            assert_near(&format!("{form}: {path}"), &ours, &theirs, 2e-5);
            compared += 1;
        }
        assert!(compared > 80, "{compared} weights");
    }
}
