//! Models that only answer: compiled for this processor, or as modules on another device.

use std::path::Path;

use bert_core::{BertConfig, EncodeOptions, Encoder, ModelDir, TaskModel, freeze};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use cpu_runtime::{Outputs, Packing, Ragged, Session};
use glue_squad::batch::EncodedBatch;
use glue_squad::features::Features;
use glue_squad::squad::SpanLogits;
use glue_squad::task::Predictions;
use tokenizer::{Padding, TextEncoder};
use train::data::{EvalSet, to_device, to_ragged};
use train::evaluate::{predict_frozen, predict_watched};
use train::heads::AnsweringHead;
use train::span::{SpanEvalSet, span_logits, span_logits_frozen};

use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::{CliError, ResultExt};
use crate::models;

/// Number formats of a model that answers.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Weights, products and word embeddings in 16-bit floats.
    Bf16,
    /// Weights and word embeddings in 8-bit integers with a scale per row, activations too while they are multiplied.
    Int8,
}

impl Precision {
    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The format of compiled models.
    pub fn format(self) -> cpu_runtime::Precision {
        match self {
            Self::F32 => cpu_runtime::Precision::F32,
            Self::Bf16 => cpu_runtime::Precision::Bf16,
            Self::Int8 => cpu_runtime::Precision::Int8,
        }
    }
}

/// The option of commands that answer.
#[derive(Args, Clone, Copy, Debug)]
pub struct PrecisionArgs {
    /// Number format of weights and products; other than f32 on the cpu only.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Precision::F32)]
    pub precision: Precision,
}

/// A model that answers.
pub enum Inference {
    /// On this processor.
    Frozen {
        /// The model.
        model: Box<cpu_runtime::Model>,
        /// Threads and buffers.
        session: Box<Session>,
    },
    /// On another device.
    Modules {
        /// The model.
        model: Box<TaskModel>,
        /// Where.
        device: Device,
    },
}

/// Loads the model directory that `option` names.
///
/// # Errors
/// As [`models::load`], or the device does not compute in this format.
pub fn load(
    option: &str,
    dir: &Path,
    precision: Precision,
    context: &Context,
) -> Result<(BertConfig, Inference), CliError> {
    load_as(option, dir, precision, Packing::Ahead, context)
}

fn load_as(
    option: &str,
    dir: &Path,
    precision: Precision,
    packing: Packing,
    context: &Context,
) -> Result<(BertConfig, Inference), CliError> {
    check(precision, context)?;
    if context.kind() != DeviceKind::Cpu {
        let ModelDir { config, model, .. } = models::load(option, dir, &context.device)?;
        return Ok((config, Inference::Modules { model: Box::new(model), device: context.device.clone() }));
    }
    models::check_folder(option, dir)?;
    let (config, model) = ModelDir::freeze_as(dir, precision.format(), packing).hint(models::IMPORT_HINT)?;
    Ok((config, Inference::frozen(model, context)))
}

/// Loads a model directory together with its tokenizer; [`Packing::AtUse`] for a model that answers once.
///
/// # Errors
/// As [`load`], no usable tokenizer, or one whose ids the model's tables do not hold.
pub fn load_with_tokenizer(
    option: &str,
    dir: &Path,
    precision: Precision,
    packing: Packing,
    context: &Context,
) -> Result<(BertConfig, Inference, TextEncoder), CliError> {
    // Side by side: one waits for files and memory while the other parses.
    let (model, encoder) =
        rayon::join(|| load_as(option, dir, precision, packing, context), || models::tokenizer_alone(dir));
    let ((config, model), encoder) = (model?, encoder?);
    models::check_tables(option, &config, &encoder)?;
    models::warn_of(&encoder, context);
    Ok((config, model, encoder))
}

/// # Errors
/// The device does not compute in this format.
pub fn check(precision: Precision, context: &Context) -> Result<(), CliError> {
    if precision == Precision::F32 || context.kind() == DeviceKind::Cpu {
        return Ok(());
    }
    let (format, device) = (precision.name(), context.kind().name());
    Err(CliError::usage(format!("--precision {format}: not available with --device {device}; use f32")))
}

impl Inference {
    /// `model` of `config` for answering on `context`'s device.
    ///
    /// # Errors
    /// The model is not the configuration's.
    pub fn new(
        model: TaskModel,
        config: &BertConfig,
        precision: Precision,
        context: &Context,
    ) -> Result<Self, CliError> {
        check(precision, context)?;
        if context.kind() == DeviceKind::Cpu {
            return Ok(Self::frozen(freeze(&model, config, precision.format())?, context));
        }
        Ok(Self::Modules { model: Box::new(model), device: context.device.clone() })
    }

    fn frozen(model: cpu_runtime::Model, context: &Context) -> Self {
        Self::Frozen { model: Box::new(model), session: Box::new(Session::new(context.threads)) }
    }

    /// Predictions of `head` on `set`; `watch` is told how many examples are done.
    ///
    /// # Errors
    /// As [`predict_watched`].
    pub fn predict(
        &mut self,
        head: &AnsweringHead,
        set: &EvalSet,
        watch: &mut dyn FnMut(usize),
    ) -> Result<Predictions, CliError> {
        Ok(match self {
            Self::Frozen { model, session } => predict_frozen(model, session, head, set, watch)?,
            Self::Modules { model, device } => predict_watched(model, head, set, device, watch)?,
        })
    }

    /// Scores of span head `head` for every window of `set`; `watch` is told how many windows are done.
    ///
    /// # Errors
    /// As [`span_logits`].
    pub fn spans(
        &mut self,
        head: usize,
        set: &SpanEvalSet,
        watch: &mut dyn FnMut(usize),
    ) -> Result<Vec<SpanLogits>, CliError> {
        Ok(match self {
            Self::Frozen { model, session } => span_logits_frozen(model, session, head, set, watch)?,
            Self::Modules { model, device } => span_logits(model, head, set, device, watch)?,
        })
    }

    /// Values of these heads, which look at the pooled vector, for every text: one `[texts, outputs]` per head. What is
    /// compiled answers to each text as if it were alone; modules compute the padding, and trigrams see it.
    ///
    /// # Errors
    /// The model does not take the texts.
    pub fn answer(&mut self, texts: &[Features], padding: Padding, heads: &[usize]) -> Result<Vec<Vec<f32>>, CliError> {
        match self {
            Self::Frozen { model, session } => {
                let mut ragged = Ragged::new();
                texts.iter().for_each(|t| ragged.push(&t.ids, t.type_ids.iter().copied().map(u32::from)));
                let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads })?;
                Ok(output.heads().map(<[f32]>::to_vec).collect())
            }
            Self::Modules { model, device } => {
                let rows: Vec<usize> = (0..texts.len()).collect();
                let batch = to_device(&EncodedBatch::collate(texts, &rows, padding)?, device);
                let pooled = model.pool(model.encode(&batch, EncodeOptions::LAST).last_hidden);
                let values = |&head: &usize| {
                    let logits = model.heads[head].forward_pooled(pooled.clone());
                    logits.try_into_vec_as::<f32>().expect("float tensors convert to f32")
                };
                Ok(heads.iter().map(values).collect())
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
    pub fn last_hidden(&mut self, batch: &EncodedBatch) -> Result<Vec<f32>, CliError> {
        match self {
            Self::Frozen { model, session } => {
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
    pub fn pass(&mut self, batch: &PassBatch) -> Result<(), CliError> {
        match (self, batch) {
            (Self::Frozen { model, session }, PassBatch::Frozen(ragged)) => {
                session.run(model, &ragged.as_batch(), Outputs::default())?;
            }
            (Self::Modules { model, .. }, PassBatch::Modules(tokens)) => {
                let last = model.encode(tokens, EncodeOptions::LAST).last_hidden;
                // Reading one value waits for a device that computes in the background.
                let _ = last.narrow(2, 0, 1).narrow(1, 0, 1).narrow(0, 0, 1).into_data();
            }
            _ => unreachable!("a batch is made by the model that takes it"),
        }
        Ok(())
    }

    /// `batch` where this model computes.
    pub fn place(&self, batch: &EncodedBatch) -> PassBatch {
        match self {
            Self::Frozen { .. } => {
                let mut ragged = Ragged::new();
                to_ragged(batch, &mut ragged);
                PassBatch::Frozen(ragged)
            }
            Self::Modules { device, .. } => PassBatch::Modules(Box::new(to_device(batch, device))),
        }
    }
}

/// A batch where a model computes.
pub enum PassBatch {
    /// For [`Inference::Frozen`].
    Frozen(Ragged),
    /// For [`Inference::Modules`].
    Modules(Box<bert_core::TokenBatch>),
}
