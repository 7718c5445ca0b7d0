//! How a model of `sentence-transformers` makes vectors of texts.

use bert_core::weights::{self, HostTensor, Tensors};
use encoder_spec::{TaskHeadConfig, VectorConfig};
use model_dir::SentenceModel;

use super::{ImportError, Source};
use crate::note::Note;

/// The name of the head where nobody gives one.
const USUAL_NAME: &str = "embedding";

/// The head that makes vectors: as the person asks, or as `modules.json` beside the configuration has it; the weights of its dense layer become a part of
/// `tensors`. `None` where neither is there.
///
/// # Errors
/// Modules that cannot be read, or compute something else.
pub(super) fn head(
    source: &Source<'_>,
    tensors: &mut Tensors,
    positions: usize,
    notes: &mut Vec<Note>,
) -> Result<Option<TaskHeadConfig>, ImportError> {
    let name = source.task.unwrap_or(USUAL_NAME);
    if let Some(pooling) = source.pooling {
        let before = tensors.0.len();
        let head = |name: &String| name.starts_with("classifier.") || name.starts_with("qa_outputs.");
        tensors.0.retain(|name, _| !head(name));
        if tensors.0.len() < before {
            let count = before - tensors.0.len();
            notes.push(Note::Message(format!("left behind: the head of the checkpoint ({count} tensors)")));
        }
        let vector = VectorConfig { pooling, size: None, normalize: true, max_len: None };
        return Ok(Some(TaskHeadConfig::embedding(name, vector)));
    }
    let Some(folder) = source.config.parent() else { return Ok(None) };
    let Some(SentenceModel { vector, dense, notes: said }) =
        SentenceModel::read(folder).map_err(ImportError::Modules)?
    else {
        return Ok(None);
    };
    if let (Some(path), Some(size)) = (dense, vector.size) {
        let read = weights::read(&path).map_err(ImportError::Weights)?;
        for (name, tensor) in read.0 {
            let name = name.strip_prefix("linear.").map_or(name.clone(), |rest| format!("classifier.{rest}"));
            tensors.0.insert(name, tensor);
        }
        // A layer without bias is one whose bias is 0. The size is that of the weights, which the file holds.
        let size = tensors.0.get("classifier.weight").and_then(|weight| weight.shape.first().copied()).unwrap_or(size);
        let bias = || HostTensor { shape: vec![size], data: vec![0.0; size] };
        tensors.0.entry("classifier.bias".to_owned()).or_insert_with(bias);
    }
    // One that is as long as the positions says nothing.
    let vector = VectorConfig { max_len: vector.max_len.filter(|longest| *longest < positions), ..vector };
    let (pooling, length) = (vector.pooling.name(), if vector.normalize { " of length 1" } else { "" });
    notes.push(Note::Message(format!("makes vectors{length} by {pooling} pooling, as modules.json has it")));
    notes.extend(said.into_iter().map(Note::Message));
    Ok(Some(TaskHeadConfig::embedding(name, vector)))
}
