//! From a model directory to a folder with the file.

use std::path::Path;

use encoder_spec::{BertConfig, Encoder, MappedTensor, TaskHeadConfig};
use model_dir::{CONFIG_FILE, ModelDir, class_files, tokenizer_files};
use serde::Serialize;

use crate::check::{Check, check};
use crate::export::{Exported, OnnxFile, Weights};
use crate::format::Format;
use crate::outputs::{Output, usual_outputs};
use crate::{Error, Result};

/// Name of the file, as Optimum calls it.
const FILE: &str = "model.onnx";
/// Largest difference between file and model, relative to the largest value where that is above 1.
const ALLOWED_F32: f64 = 1e-4;
/// The same where weights are rounded to 11 bits. It finds faults of the export, not of the rounding.
const ALLOWED_F16: f64 = 5e-2;

/// What is exported, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Names of outputs: tasks of heads, `hidden` or `words`; empty: [`usual_outputs`].
    pub outputs: Vec<String>,
    /// The number format.
    pub format: Format,
    /// Where weights are written.
    pub weights: Weights,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the file in the folder.
    pub file: String,
    /// Number format, in words.
    pub format: String,
    /// Bytes of the file, and of the weights beside it where there are some.
    pub bytes: usize,
    /// Bytes of the model directory's weights.
    pub model_bytes: u64,
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Largest difference between the file's outputs and the model's, relative to the largest value where that is above 1; `None` for
    /// int8, whose rounding is measured by its score.
    pub difference: Option<f64>,
}

/// Exports the model directory `model` to the new folder `out`: the ONNX file, `config.json` and the tokenizer. The file is run first,
/// and its outputs are compared with the model's.
///
/// # Errors
/// The directory cannot be read, there is no such output, the file computes something else, or the folder cannot be written.
pub fn export(model: &Path, out: &Path, request: &Request) -> Result<Report> {
    let weights = model.join(model_dir::WEIGHTS_FILE);
    let model_bytes = std::fs::metadata(&weights).map_err(|source| Error::Read { path: weights, source })?.len();
    let mapped = ModelDir::map(model)?;
    mapped.check_finite()?;
    let config = mapped.config.clone();
    let encoder = mapped.into_encoder()?;
    let outputs = chosen_outputs(&config, &encoder, &request.outputs)?;
    let exported = Exported::new(&config, &encoder, &outputs, &request.format)?;
    let names = exported.names.clone();
    let file = exported.file(FILE, request.weights, &about(&config, &outputs));
    let allowed = match request.format {
        Format::F32 => Some(ALLOWED_F32),
        Format::F16 => Some(ALLOWED_F16),
        Format::Int8(_) => None,
    };
    let asked =
        Check { outputs: &outputs, names: &names, heads: &config.task_heads, allowed: allowed.unwrap_or(f64::MAX) };
    let difference = check(&file, encoder, &asked).map_err(|error| match error {
        Error::Differs { difference, .. } if request.format == Format::F16 && !difference.is_finite() => Error::Half,
        other => other,
    })?;
    write(model, out, &config, &file)?;
    Ok(Report {
        file: file.name.clone(),
        format: request.format.to_string(),
        bytes: file.bytes(),
        model_bytes,
        outputs: names.into_iter().flatten().collect(),
        difference: allowed.map(|_| difference),
    })
}

/// Writes the file with what other programs need beside it.
fn write(model: &Path, out: &Path, config: &BertConfig, file: &OnnxFile) -> Result<()> {
    // The file's weights are not those of the directory.
    let mut config = config.clone();
    config.extra.remove("quantization_config");
    let text = config.to_json()?;
    let beside = [tokenizer_files(model)?, class_files(&config)].concat();
    let mut files: Vec<(&str, &[u8])> = beside.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    files.push((CONFIG_FILE, text.as_bytes()));
    files.extend(file.files());
    Ok(run_store::folder::write(out, &files)?)
}

/// The outputs of these names, each once: tasks of heads, `hidden` or `words`; without names [`usual_outputs`].
///
/// # Errors
/// [`Error::NoOutput`].
pub fn chosen_outputs(config: &BertConfig, encoder: &Encoder<MappedTensor>, names: &[String]) -> Result<Vec<Output>> {
    let head = |name: &str| config.task_heads.iter().position(|head| head.task == name).map(Output::Head);
    let one = |name: &String| match name.as_str() {
        name if head(name).is_some() => Ok(head(name).expect("found")),
        "hidden" => Ok(Output::Hidden),
        "words" if encoder.mlm.is_some() => Ok(Output::Words),
        _ => {
            let heads = config.task_heads.iter().map(|head| head.task.as_str());
            let words = encoder.mlm.as_ref().map(|_| "words");
            let known: Vec<&str> = heads.chain(words).chain(["hidden"]).collect();
            Err(Error::NoOutput(format!("output `{name}`"), known.join(", ")))
        }
    };
    let outputs: Vec<Output> = match names {
        [] => usual_outputs(encoder),
        names => names.iter().map(one).collect::<Result<_>>()?,
    };
    // Each once, in the order in which they were named.
    let mut once: Vec<Output> = Vec::with_capacity(outputs.len());
    outputs.into_iter().for_each(|output| {
        if !once.contains(&output) {
            once.push(output);
        }
    });
    Ok(once)
}

/// What a program that has the file alone wants to know.
fn about(config: &BertConfig, outputs: &[Output]) -> Vec<(&'static str, String)> {
    let mut about = vec![
        ("model_type", name_of(config.model_type)),
        ("max_position_embeddings", config.max_position_embeddings.to_string()),
    ];
    if let [Output::Head(index)] = outputs {
        let TaskHeadConfig { task, kind, labels, .. } = &config.task_heads[*index];
        about.push(("task", task.clone()));
        about.push(("kind", name_of(kind)));
        if !labels.is_empty() {
            about.push(("labels", serde_json::to_string(labels).unwrap_or_default()));
        }
    }
    about
}

/// The name that `config.json` has for a value.
fn name_of(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
