//! Small models with a masked-language-model head, texts of several lengths, and trainings that hide words of them.

use bert_core::{BertConfig, EncodeOptions, ModelType, Parts, TaskModel, TokenBatch};
use burn::tensor::{Device, Tensor};
use glue_squad::batch::{BatchPlan, EncodedBatch};
use glue_squad::features::{Features, lengths};
use kd::job::{GeneralDistillation, MlmTask, Teacher, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use tokenizer::{Padding, TextEncoder};
use train::mlm::WordMask;
use train::text::TextSource;

pub type Model = TaskModel;

pub const VOCAB: usize = 24;
pub const MASK: i32 = 4;
pub const STEPS: u64 = 8;
pub const HALF: &str = "[distill.mlm]\nmask = { probability = 0.4 }";

pub fn encoder() -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    let mut words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    words.extend((5..VOCAB).map(|i| format!("word{i}\n")));
    std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
    TextEncoder::from_dir(dir.path()).unwrap()
}

pub fn config() -> BertConfig {
    BertConfig {
        max_position_embeddings: 16,
        initializer_range: 0.3,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::bert(VOCAB, 8, 2, 2, 16)
    }
}

pub fn mobile() -> BertConfig {
    BertConfig { model_type: ModelType::MobileBert, embedding_size: Some(4), trigram_input: true, ..config() }
}

/// A model with the masked-language-model head of its family.
pub fn model(config: &BertConfig, seed: u64) -> Model {
    let parts = Parts::default().with_words(config);
    TaskModel::new(config, parts, &Device::flex()).unwrap().initialized(config, seed)
}

/// Sequences of 3 to 14 tokens.
#[derive(Debug)]
pub struct Texts(pub Vec<Features>);

impl Texts {
    pub fn new() -> Self {
        let row = |i: usize| {
            let words = (0..1 + (i * 5) % 12).map(|j| (5 + (i * 7 + j * 3) % (VOCAB - 5)) as u32);
            let ids: Vec<u32> = std::iter::once(2).chain(words).chain([3]).collect();
            Features { type_ids: vec![0; ids.len()], ids, label: None, words: None, second: None }
        };
        Self((0..22).map(row).collect())
    }
}

impl TextSource for Texts {
    fn batches_per_epoch(&self) -> u64 {
        6
    }
    fn batch(&self, step: u64) -> train::Result<EncodedBatch> {
        let plan = BatchPlan::new(lengths(&self.0), 4, 5)?;
        let padding = Padding { pad_id: 0, multiple: 8, max_len: 16 };
        Ok(EncodedBatch::collate(&self.0, &plan.batch_at_step(step), padding)?)
    }
}

pub fn mask(plan: &Plan) -> WordMask {
    WordMask::new(&plan.mlm().expect("a term between words").mask, &encoder(), 7).unwrap()
}

pub fn plan(text: &str, config: &BertConfig) -> Plan {
    let shape = Shape::with_words(config, true);
    Objective::from_toml(text).unwrap().plan(shape, shape, Source::Text, STEPS).unwrap()
}

pub fn job<'a>(
    plan: &'a Plan,
    teacher: &'a dyn Teacher,
    text: &'a Texts,
    mask: &'a WordMask,
) -> GeneralDistillation<'a> {
    GeneralDistillation { teacher, plan, text, words: Some(MlmTask { mask, held_out: None }), prepare: as_is() }
}

pub fn value(term: &Tensor<1>) -> f64 {
    f64::from(term.clone().inner().into_scalar::<f32>())
}

/// Scores of every word at every position, by the head on the whole batch.
pub fn all_scores(model: &Model, tokens: &TokenBatch) -> Vec<Vec<f64>> {
    let hidden = model.encode(tokens, EncodeOptions::LAST).last_hidden;
    let table = model.encoder.embeddings.word_embeddings.weight.val();
    let scores = model.mlm.as_ref().unwrap().forward(hidden, table).try_into_vec_as::<f32>().unwrap();
    scores.chunks(VOCAB).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
}
