//! A model directory that answers.

use std::path::Path;

use cpu_runtime::{Model, Packing, Precision};
use encoder_spec::{BertConfig, TaskHeadConfig};
use glue_squad::features::Features;
use glue_squad::task::Task;
use tokenizer::TextEncoder;

use crate::{Error, Inference, Result, Target};

/// A model with its tokenizer.
pub struct Predictor {
    /// The model's configuration.
    pub config: BertConfig,
    /// The model.
    pub model: Inference,
    /// Its tokenizer.
    pub tokenizer: TextEncoder,
}

/// A text or a pair as token ids, cut to what the model has positions for.
#[derive(Clone, Debug)]
pub struct Text {
    /// Token ids and segments.
    pub features: Features,
    /// Tokens before the cut.
    pub tokens: usize,
}

impl Text {
    /// Whether the end of it was cut off.
    pub fn is_cut(&self) -> bool {
        self.features.ids.len() < self.tokens
    }
}

impl Predictor {
    /// Loads a model directory; [`Packing::AtUse`] for a model that answers once.
    ///
    /// # Errors
    /// As [`Inference::load`], no usable tokenizer, or one whose ids the model's tables do not hold.
    pub fn load(dir: &Path, target: &Target, precision: Precision, packing: Packing) -> Result<Self> {
        // Side by side: one waits for files and memory while the other parses.
        let (model, tokenizer) = rayon::join(|| Inference::load(dir, target, precision, packing), || tokenizer(dir));
        let ((config, model), tokenizer) = (model?, tokenizer?);
        check_vocabulary(&config, &tokenizer)?;
        Ok(Self { config, model, tokenizer })
    }

    /// As [`Predictor::load`] on one thread, of the bytes of `config.json`, `model.safetensors` and `tokenizer.json`; `path` stands for their
    /// folder in errors. For programs without files.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(
        (config, weights): (&[u8], &[u8]),
        json: &[u8],
        path: &Path,
        precision: Precision,
        packing: Packing,
    ) -> Result<Self> {
        let tokenizer = TextEncoder::from_json(json, &path.join("tokenizer.json"))?;
        let (config, model) = Model::from_bytes((config, weights), path, precision, packing)?;
        check_vocabulary(&config, &tokenizer)?;
        Ok(Self { config, model: Inference::compiled(model, 1), tokenizer })
    }

    /// The same model and tokenizer with threads and buffers of their own, to answer at the same time; weights are shared. `None` for burn
    /// modules.
    pub fn beside(&self, threads: usize) -> Option<Self> {
        let model = self.model.beside(threads)?;
        Some(Self { config: self.config.clone(), model, tokenizer: self.tokenizer.clone() })
    }

    /// Positions of the heads that answer `task`, or of all heads.
    ///
    /// # Errors
    /// There is no such head, or one among several marks spans or words.
    pub fn heads(&self, task: Option<&str>) -> Result<Vec<usize>> {
        let heads = &self.config.task_heads;
        let known = || heads.iter().map(|h| h.task.as_str()).collect::<Vec<_>>().join(", ");
        if heads.is_empty() {
            return Err(Error::NoHead);
        }
        let chosen: Vec<usize> = match task {
            None => (0..heads.len()).collect(),
            Some(name) => {
                let found = heads.iter().position(|head| is_of(head, name));
                vec![found.ok_or_else(|| Error::UnknownHead { known: known() })?]
            }
        };
        match chosen.iter().find(|&&i| chosen.len() > 1 && !heads[i].kind.is_on_pooled()) {
            Some(&i) => Err(Error::SpanAmongOthers { head: heads[i].task.clone(), known: known() }),
            None => Ok(chosen),
        }
    }

    /// The longest text in tokens: what the model has positions for, and of a model that makes vectors alone what these are made of.
    pub fn longest(&self) -> usize {
        longest(&self.config)
    }

    /// A text or a pair as the model reads it.
    ///
    /// # Errors
    /// A pair that has no room beside its special tokens.
    pub fn encode(&self, a: &str, b: Option<&str>) -> Result<Text> {
        let longest = self.longest();
        let mut encoded = self.tokenizer.encode_pair(a, b, usize::MAX)?;
        let tokens = encoded.ids.len();
        if tokens > longest {
            encoded = self.tokenizer.encode_pair(a, b, longest)?;
        }
        Ok(Text {
            features: Features { ids: encoded.ids, type_ids: encoded.type_ids, label: None, words: None, second: None },
            tokens,
        })
    }
}

/// [`Predictor::longest`] of a model with this configuration.
pub fn longest(config: &BertConfig) -> usize {
    let positions = config.max_position_embeddings;
    match &config.task_heads[..] {
        [head] => head.vector.and_then(|vector| vector.max_len).map_or(positions, |longest| longest.min(positions)),
        _ => positions,
    }
}

/// Whether `head` is that of the task `name`, in any spelling.
pub fn is_of(head: &TaskHeadConfig, name: &str) -> bool {
    head.task == name || name.parse().is_ok_and(|task: Task| task.is_called(&head.task))
}

/// The tokenizer in the model directory `dir`, not compared with the model.
///
/// # Errors
/// [`Error::Tokenizer`]: no usable one.
pub fn tokenizer(dir: &Path) -> Result<TextEncoder> {
    Ok(TextEncoder::from_dir(dir)?)
}

/// Whether the model's table holds every id that the tokenizer gives.
///
/// # Errors
/// The table is too small.
pub fn check_vocabulary(config: &BertConfig, tokenizer: &TextEncoder) -> Result<()> {
    let (pieces, rows) = (tokenizer.vocab_size(), config.vocab_size);
    if pieces > rows { Err(Error::Vocabulary { pieces, rows }) } else { Ok(()) }
}

/// Whether the model has the segments that its tokenizer gives to `pairs` (a task, a file): BERT's tokenizer puts the second text of a
/// pair into a second one, RoBERTa's does not. `None` where only single texts are read.
///
/// # Errors
/// The table has too few rows.
pub fn check_segments(
    config: &BertConfig,
    tokenizer: &TextEncoder,
    pairs: Option<impl std::fmt::Display>,
) -> Result<()> {
    match pairs {
        Some(pairs) if config.type_vocab_size < tokenizer.frame().segments() => {
            Err(Error::Segments { rows: config.type_vocab_size, pairs: pairs.to_string() })
        }
        _ => Ok(()),
    }
}
