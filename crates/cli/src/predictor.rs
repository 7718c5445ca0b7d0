//! Models that answer, as commands take them.

use std::ops::ControlFlow;
use std::path::Path;

use bert_core::BertConfig;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use cpu_runtime::{Packing, Precision};
use predict::{Inference, Predictor, Target};
use table_rows::{Format, Layout};

use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::CliError;
use crate::models::{check_model_directory, explained, import_hint, warn_of};
use crate::progress::Progress;

/// Reads a number format by its name.
pub fn formats() -> impl TypedValueParser<Value = Precision> {
    let described = Precision::ALL.map(|precision| {
        PossibleValue::new(precision.name()).help(match precision {
            Precision::F32 => "32-bit floats",
            Precision::Bf16 => "Weights, products and word embeddings in 16-bit floats",
            Precision::Int8 => {
                "Weights and word embeddings in 8-bit integers with a scale per row, activations too while they are multiplied"
            }
        })
    });
    PossibleValuesParser::new(described).map(|name| {
        Precision::ALL.into_iter().find(|precision| precision.name() == name).expect("one of the possible values")
    })
}

/// The option of commands that answer.
#[derive(Args, Clone, Copy, Debug)]
pub struct PrecisionArgs {
    /// Number format of weights and products; formats other than f32 on the cpu only.
    #[arg(long, value_parser = formats(), value_name = "FORMAT", default_value_t = Precision::F32)]
    pub precision: Precision,
}

/// How a table of texts holds its rows.
///
/// # Errors
/// A separator that is none.
pub fn layout(format: Option<Format>, separator: Option<char>) -> Result<Layout, CliError> {
    let ascii = |c: char| Layout::separator_of(c).map_err(|e| CliError::usage(format!("--separator: {e}")));
    Ok(Layout { format, separator: separator.map(ascii).transpose()? })
}

/// Where `context`'s models answer in `precision`.
pub fn target(precision: Precision, context: &Context) -> Result<Target, CliError> {
    if context.kind() == DeviceKind::Cpu {
        return Ok(Target::Processor { threads: context.threads });
    }
    if precision == Precision::F32 {
        return Ok(Target::Device(context.device.clone()));
    }
    let (format, device) = (precision.name(), context.kind().name());
    Err(CliError::usage(format!("--precision {format}: not available with --device {device}; use f32")))
}

/// Loads the model directory that `option` names, without its tokenizer.
pub fn load_model(
    option: &str,
    dir: &Path,
    precision: Precision,
    context: &Context,
) -> Result<(BertConfig, Inference), CliError> {
    let target = target(precision, context)?;
    check_model_directory(option, dir)?;
    Inference::load(dir, &target, precision, Packing::Ahead).map_err(|error| refused(option, dir, error))
}

/// Loads the model directory that `option` names; [`Packing::AtUse`] for a model that answers once.
pub fn load(
    option: &str,
    dir: &Path,
    precision: Precision,
    packing: Packing,
    context: &Context,
) -> Result<Predictor, CliError> {
    let target = target(precision, context)?;
    check_model_directory(option, dir)?;
    let loaded = Predictor::load(dir, &target, precision, packing);
    let predictor = loaded.map_err(|error| refused(option, dir, error))?;
    warn_of(&predictor.tokenizer, context);
    Ok(predictor)
}

/// A BERT of `transformers` may have names or heads that `import` alone knows.
fn refused(option: &str, dir: &Path, error: predict::Error) -> CliError {
    match error {
        predict::Error::Directory(_) | predict::Error::Modules(_) | predict::Error::Runtime(_) => {
            CliError::from(error).with_hint(import_hint(dir))
        }
        error => explained(option, error),
    }
}

pub fn shown(progress: &Progress) -> impl FnMut(usize, usize) -> ControlFlow<()> + '_ {
    |done, _| {
        progress.step(done as u64, &[]);
        ControlFlow::Continue(())
    }
}
