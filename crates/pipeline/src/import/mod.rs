//! Foreign weights as a model directory: BERT, MobileBERT, ModernBERT and what becomes a BERT (RoBERTa, DistilBERT, ELECTRA) of Hugging Face, and
//! checkpoints of EfficientBERT's released code.
//!
//! | file | concern |
//! |---|---|
//! | `folder` | what of it is found where a folder is named |
//! | `hf` | Hugging Face's checkpoints |
//! | `foreign` | those of other families, which become BERTs |
//! | `heads` | the head that such a file holds, under the task that it is said to be of |
//! | `vectors` | how a model of `sentence-transformers` makes vectors |
//! | `left_behind` | what does not become part of a model directory |
//! | `reference` | checkpoints of the released code |
//! | `error` | what is not imported, and the ways out |

mod error;
mod folder;
mod foreign;
mod heads;
mod hf;
mod left_behind;
mod reference;
mod vectors;

use std::path::Path;

use bert_core::{BertConfig, TaskModel};
use burn::tensor::Device;
use encoder_spec::Pooling;
use tokenizer::TextEncoder;

pub use error::{ImportError, Remedy};
pub use folder::{Checkpoint, format_of, import_named, must_be_imported};

use crate::note::Note;

/// Whose names the tensors carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's: BERT, MobileBERT, ModernBERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, ELECTRA, and model directories of this project.
    HuggingFace,
    /// Those of EfficientBERT's released code.
    Reference,
}

/// What is to be imported.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// A safetensors file, or a PyTorch file, of which only data is read and no code is run; or the index of several such files.
    pub weights: &'a Path,
    /// The model's configuration.
    pub config: &'a Path,
    /// Whose names the tensors carry.
    pub format: Format,
    /// Task of the head that the file holds ([`Format::HuggingFace`]).
    pub task: Option<&'a str>,
    /// What messages put before its name: `task`, or the option that names it.
    pub task_word: &'a str,
    /// Whether all that is outside the encoder is left behind ([`Format::HuggingFace`]).
    pub encoder_only: bool,
    /// Makes it a model of vectors of texts, of length 1, in place of the head that the file holds ([`Format::HuggingFace`]).
    pub pooling: Option<Pooling>,
}

impl Source<'_> {
    fn named(&self, task: &str) -> String {
        format!("{} {task}", self.task_word)
    }
}

/// What was made of it.
#[derive(Debug)]
pub struct Imported {
    /// The configuration.
    pub config: BertConfig,
    /// The model.
    pub model: TaskModel,
}

/// Reads weights and configuration of `source`; what a person should know of it is added to `notes`, as far as it came.
///
/// # Errors
/// Files that cannot be read or do not belong together, or a head that is not known or would be computed otherwise here.
pub fn import(source: &Source<'_>, device: &Device, notes: &mut Vec<Note>) -> Result<Imported, ImportError> {
    match source.format {
        Format::HuggingFace => hf::import(source, device, notes),
        Format::Reference => reference::import(source, device, notes),
    }
}

/// The files of the tokenizer that stands beside the weights, for a model of `positions`; as they are where no tokenizer can be
/// made of them.
///
/// # Errors
/// A file exists and cannot be read.
pub fn tokenizer_files(
    weights: &Path,
    positions: usize,
    notes: &mut Vec<Note>,
) -> Result<Vec<(String, Vec<u8>)>, ImportError> {
    let beside = weights.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let has = |name: &str| beside.join(name).is_file();
    let as_they_are = || model_dir::tokenizer_files(beside).map_err(ImportError::Tokenizer);
    let has_pieces = has("vocab.json") && has("merges.txt");
    if !has("tokenizer.json") && !has("vocab.txt") && !has_pieces {
        let sentence_piece = match has("sentencepiece.bpe.model") || has("spiece.model") {
            true => "; a SentencePiece model is not read, only the tokenizer.json that transformers makes of it",
            false => "",
        };
        notes.push(Note::Warning(format!(
            "neither tokenizer.json nor vocab.txt stands beside the weights; copy the one that belongs to them into the model \
             directory before text is read with it{sentence_piece}"
        )));
        return as_they_are();
    }
    if !has("tokenizer.json") {
        let (used, of) =
            if has("vocab.txt") { ("vocab.txt is", "it") } else { ("vocab.json and merges.txt are", "them") };
        notes.push(Note::Message(format!(
            "no tokenizer.json stands beside the weights; {used} used, and one is made of {of}"
        )));
    }
    let read = TextEncoder::from_dir(beside).and_then(|encoder| Ok((encoder.files(positions)?, encoder)));
    match read {
        Ok((files, encoder)) => {
            notes.extend(encoder.notes().map(Note::Warning));
            Ok(files)
        }
        Err(error) => {
            notes.push(Note::Warning(format!("{error}; the files of the tokenizer are copied as they are")));
            as_they_are()
        }
    }
}
