//! Models that only answer: compiled for this processor, or as modules on another device.

use std::path::Path;
use std::sync::Arc;

use cpu_runtime::{Model, Outputs, Packing, Precision, Ragged, Session};
use encoder_spec::BertConfig;
use glue_squad::batch::EncodedBatch;
use glue_squad::features::Features;
use glue_squad::squad::SpanLogits;
use glue_squad::task::Predictions;
use tokenizer::Padding;

use crate::data::{EvalSet, to_ragged};
use crate::evaluate::{predictions_compiled, words_at};
use crate::heads::AnsweringHead;
use crate::span::{SpanEvalSet, span_logits_compiled};
use crate::{Result, Watch};
#[cfg(feature = "burn")]
use {
    crate::{data::to_device, evaluate::predictions, span::span_logits},
    bert_core::{EncodeOptions, TaskModel, freeze},
    burn::tensor::Device,
};

/// Where a model answers.
#[derive(Clone, Debug)]
pub enum Target {
    /// On this machine's processor.
    Processor {
        /// Threads.
        threads: usize,
    },
    /// On a device of burn's, in f32.
    #[cfg(feature = "burn")]
    Device(Device),
}

/// A model that answers.
pub enum Inference {
    /// Compiled for this machine's processor.
    Compiled {
        /// The model; others may share it.
        model: Arc<cpu_runtime::Model>,
        /// Threads and buffers.
        session: Box<Session>,
    },
    /// As burn modules on a device.
    #[cfg(feature = "burn")]
    Modules {
        /// The model.
        model: Box<TaskModel>,
        /// Where.
        device: Device,
    },
}

impl Inference {
    /// Loads a model directory; [`Packing::AtUse`] for a model that answers once.
    ///
    /// # Errors
    /// As [`Model::open`], or the target does not compute in this format.
    pub fn load(dir: &Path, target: &Target, precision: Precision, packing: Packing) -> Result<(BertConfig, Self)> {
        match target {
            Target::Processor { threads } => {
                let (config, model) = Model::open(dir, precision, packing)?;
                Ok((config, Self::compiled(model, *threads)))
            }
            #[cfg(feature = "burn")]
            Target::Device(device) => {
                check_format(precision)?;
                let bert_core::ModelDir { config, model, .. } = bert_core::ModelDir::load(dir, device)?;
                Ok((config, Self::Modules { model: Box::new(model), device: device.clone() }))
            }
        }
    }

    /// `model` of `config` for answering on `target`, where it has to be already.
    ///
    /// # Errors
    /// The model is not the configuration's, or the target does not compute in this format.
    #[cfg(feature = "burn")]
    pub fn of_model(model: TaskModel, config: &BertConfig, target: &Target, precision: Precision) -> Result<Self> {
        match target {
            Target::Processor { threads } => Ok(Self::compiled(freeze(&model, config, precision)?, *threads)),
            Target::Device(device) => {
                check_format(precision)?;
                Ok(Self::Modules { model: Box::new(model), device: device.clone() })
            }
        }
    }

    /// A compiled model on so many threads.
    pub fn compiled(model: impl Into<Arc<cpu_runtime::Model>>, threads: usize) -> Self {
        Self::Compiled { model: model.into(), session: Box::new(Session::new(threads)) }
    }

    /// The same weights with `threads` threads and buffers of their own, to compute at the same time; `None` for burn modules.
    pub fn beside(&self, threads: usize) -> Option<Self> {
        match self {
            Self::Compiled { model, .. } => Some(Self::compiled(Arc::clone(model), threads)),
            #[cfg(feature = "burn")]
            Self::Modules { .. } => None,
        }
    }

    /// The compiled model and what it computes with; `None` for burn modules.
    pub fn as_compiled(&mut self) -> Option<(&cpu_runtime::Model, &mut Session)> {
        match self {
            Self::Compiled { model, session } => Some((&**model, &mut **session)),
            #[cfg(feature = "burn")]
            Self::Modules { .. } => None,
        }
    }

    /// Predictions of `head` on `set`; `watch` is called with the number of examples done.
    ///
    /// # Errors
    /// As [`predictions_compiled`].
    pub fn predict(&mut self, head: &AnsweringHead, set: &EvalSet, watch: &mut Watch<'_>) -> Result<Predictions> {
        Ok(match self {
            Self::Compiled { model, session } => predictions_compiled(model, session, head, set, watch)?,
            #[cfg(feature = "burn")]
            Self::Modules { model, device } => predictions(model, head, set, device, watch)?,
        })
    }

    /// Scores of span head `head` for every window of `set`; `watch` is called with the number of windows done.
    ///
    /// # Errors
    /// As [`span_logits_compiled`].
    pub fn spans(&mut self, head: usize, set: &SpanEvalSet, watch: &mut Watch<'_>) -> Result<Vec<SpanLogits>> {
        Ok(match self {
            Self::Compiled { model, session } => span_logits_compiled(model, session, head, set, watch)?,
            #[cfg(feature = "burn")]
            Self::Modules { model, device } => span_logits(model, head, set, device, watch)?,
        })
    }

    /// Values of these heads, which look at the pooled vector, for every text: one `[texts, outputs]` per head. What is
    /// compiled answers to each text as if it were alone; modules compute the padding, and trigrams see it.
    ///
    /// # Errors
    /// The model does not take the texts.
    #[cfg_attr(not(feature = "burn"), expect(unused_variables, reason = "what is compiled computes no padding"))]
    pub fn answer(&mut self, texts: &[Features], padding: Padding, heads: &[usize]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Compiled { model, session } => {
                let mut ragged = Ragged::new();
                texts.iter().for_each(|t| ragged.push(&t.ids, t.type_ids.iter().copied().map(u32::from)));
                let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads })?;
                Ok(output.heads().map(<[f32]>::to_vec).collect())
            }
            #[cfg(feature = "burn")]
            Self::Modules { model, device } => {
                let rows: Vec<usize> = (0..texts.len()).collect();
                let batch = to_device(&EncodedBatch::collate(texts, &rows, padding)?, device);
                let last = model.encode(&batch, EncodeOptions::LAST).last_hidden;
                let values = |&head: &usize| {
                    let logits = model.of_texts(head, last.clone(), batch.mask.clone());
                    logits.try_into_vec_as::<f32>().expect("float tensors convert to f32")
                };
                Ok(heads.iter().map(values).collect())
            }
        }
    }

    /// Values of head `head`, which looks at every token, for the first tokens of the words of every text: `[words, outputs]` per text, NaN for
    /// a word without a token. `None` in place of a text with a value that is not finite.
    ///
    /// # Errors
    /// The model does not take the texts.
    #[cfg_attr(not(feature = "burn"), expect(unused_variables, reason = "what is compiled computes no padding"))]
    pub fn tag(&mut self, texts: &[Features], padding: Padding, head: usize) -> Result<Vec<Option<Vec<f32>>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let words = |values: &[f32], tokens: usize, firsts: &mut dyn Iterator<Item = usize>| {
            let width = values.len() / tokens.max(1);
            let of = |(text, first): (&Features, usize)| {
                words_at(values, width, first, text.words.as_deref().unwrap_or_default())
            };
            texts.iter().zip(firsts).map(of).collect::<Vec<_>>()
        };
        match self {
            Self::Compiled { model, session } => {
                let mut ragged = Ragged::new();
                texts.iter().for_each(|t| ragged.push(&t.ids, t.type_ids.iter().copied().map(u32::from)));
                let batch = ragged.as_batch();
                let output = session.run(model, &batch, Outputs { pooled: false, heads: &[head] })?;
                let values = output.heads().next().unwrap_or_default();
                Ok(words(values, batch.tokens(), &mut batch.offsets.iter().copied()))
            }
            #[cfg(feature = "burn")]
            Self::Modules { model, device } => {
                let rows: Vec<usize> = (0..texts.len()).collect();
                let batch = EncodedBatch::collate(texts, &rows, padding)?;
                let (_, logits) = model.forward_tokens(&to_device(&batch, device), head, EncodeOptions::LAST);
                let values = logits.try_into_vec_as::<f32>().expect("float tensors convert to f32");
                Ok(words(&values, batch.batch * batch.seq, &mut rows.iter().map(|row| row * batch.seq)))
            }
        }
    }

    /// Last hidden states of whole rows, masked positions included.
    ///
    /// # Shapes
    /// `ids`, `segments`, `mask`: `[batch, seq]`; output `[batch, seq, hidden]`
    ///
    /// # Errors
    /// The model does not take the batch.
    pub fn last_hidden(&mut self, batch: &EncodedBatch) -> Result<Vec<f32>> {
        match self {
            Self::Compiled { model, session } => {
                let natural = |values: &[i32]| values.iter().map(|&v| v as u32).collect::<Vec<_>>();
                let (ids, segments) = (natural(&batch.ids), natural(&batch.type_ids));
                let offsets: Vec<usize> = (0..=batch.batch).map(|s| s * batch.seq).collect();
                let rows = cpu_runtime::Batch {
                    ids: &ids,
                    segments: &segments,
                    offsets: &offsets,
                    mask: &batch.mask,
                    ..cpu_runtime::Batch::default()
                };
                Ok(session.run(model, &rows, Outputs::default())?.hidden.to_vec())
            }
            #[cfg(feature = "burn")]
            Self::Modules { model, device } => {
                let hidden = model.encode(&to_device(batch, device), EncodeOptions::LAST).last_hidden;
                Ok(hidden.try_into_vec_as::<f32>().expect("float tensors convert to f32"))
            }
        }
    }

    /// Computes the last hidden states and waits for them, but leaves them where they are.
    ///
    /// # Errors
    /// The model does not take the batch.
    pub fn pass(&mut self, batch: &PlacedBatch) -> Result<()> {
        match (self, batch) {
            (Self::Compiled { model, session }, PlacedBatch::Compiled(ragged)) => {
                session.run(model, &ragged.as_batch(), Outputs::default())?;
            }
            #[cfg(feature = "burn")]
            (Self::Modules { model, .. }, PlacedBatch::Modules(tokens)) => {
                let last = model.encode(tokens, EncodeOptions::LAST).last_hidden;
                // Reading one value waits for a device that computes in the background.
                let _ = last.narrow(2, 0, 1).narrow(1, 0, 1).narrow(0, 0, 1).into_data();
            }
            #[cfg(feature = "burn")]
            _ => unreachable!("a batch is made by the model that takes it"),
        }
        Ok(())
    }

    /// `batch` where this model computes.
    pub fn place(&self, batch: &EncodedBatch) -> PlacedBatch {
        match self {
            Self::Compiled { .. } => {
                let mut ragged = Ragged::new();
                to_ragged(batch, &mut ragged);
                PlacedBatch::Compiled(ragged)
            }
            #[cfg(feature = "burn")]
            Self::Modules { device, .. } => PlacedBatch::Modules(Box::new(to_device(batch, device))),
        }
    }
}

/// A batch where a model computes.
pub enum PlacedBatch {
    /// For [`Inference::Compiled`].
    Compiled(Ragged),
    /// For [`Inference::Modules`].
    #[cfg(feature = "burn")]
    Modules(Box<bert_core::TokenBatch>),
}

/// Checks that burn modules compute in this number format.
///
/// # Errors
/// burn modules do not compute in this format.
#[cfg(feature = "burn")]
fn check_format(precision: Precision) -> Result<()> {
    if precision == Precision::F32 { Ok(()) } else { Err(crate::Error::Precision(precision)) }
}
