//! Small models with a masked-language-model head, texts of several lengths, and trainings that hide words of them.

#[path = "../../../train/tests/text/mod.rs"]
pub mod text;

use bert_core::{BertConfig, EncodeOptions, ModelType, Parts, TaskModel, TokenBatch};
use burn::tensor::{Device, Tensor};
use kd::job::{GeneralDistillation, MlmTask, Teacher, as_is};
use kd::objective::{Objective, Plan, Shape, Source};
use tokenizer::TextEncoder;
use train::mlm::WordMask;

pub use text::{Texts, VOCAB};

pub type Model = TaskModel;

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
