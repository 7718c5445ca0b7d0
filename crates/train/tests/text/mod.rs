//! Texts of several lengths, and a small model that finds hidden words in them.

use bert_core::{BertConfig, Parts, TaskModel};
use burn::tensor::Device;
use corpus::MaskSettings;
use glue_squad::batch::{BatchPlan, EncodedBatch};
use glue_squad::features::{Features, lengths};
use tokenizer::{Padding, TextEncoder};
use train::engine::{Monitor, TrainEvent};
use train::mlm::WordMask;
use train::pretrain::{DropSettings, SpecialIds, TokenDropping};
use train::text::TextSource;

pub const VOCAB: usize = 24;

pub fn config() -> BertConfig {
    BertConfig { max_position_embeddings: 16, initializer_range: 0.3, ..BertConfig::bert(VOCAB, 8, 4, 2, 16) }
        .with_dropout(0.1)
}

pub fn model(seed: u64) -> TaskModel {
    let config = config();
    TaskModel::new(&config, Parts::NONE.with_words(&config), &Device::flex()).unwrap().initialized(&config, seed)
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

pub fn mask() -> WordMask {
    let dir = tempfile::tempdir().unwrap();
    let mut words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    words.extend((5..VOCAB).map(|i| format!("word{i}\n")));
    std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
    let settings = MaskSettings { probability: 0.3, max_predictions: Some(4), ..MaskSettings::default() };
    WordMask::new(&settings, &TextEncoder::from_dir(dir.path()).unwrap(), 7).unwrap()
}

pub fn dropping(settings: DropSettings) -> TokenDropping {
    let special = SpecialIds { always_kept: vec![1, 2, 3, 4], pad: 0 };
    let counts: Vec<u64> = (0..VOCAB as u64).collect();
    TokenDropping::new(settings, (VOCAB, special), 16, Some(&counts), 9).unwrap()
}

#[derive(Default)]
pub struct Watch {
    pub stop_after: Option<u64>,
    pub losses: Vec<f64>,
    /// Of learned growths: the step, the first loss and the last.
    pub grown: Vec<(u64, f64, f64)>,
    pub done: u64,
}

impl Monitor for Watch {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            self.done = report.step;
            self.losses.push(report.loss);
        }
        if let TrainEvent::Grown { step, first, last } = event {
            self.grown.push((*step, *first, *last));
        }
    }
    fn interrupted(&self) -> bool {
        self.stop_after.is_some_and(|after| self.done >= after)
    }
}
