//! What an entry is found by.

use std::fmt::Write;

use bert_core::weights::Tensors;
use bert_core::{BertConfig, TokenBatch};

use super::{Format, TeacherLayers};

/// The layout of entries, and the version of the code that computed them.
const VERSION: &str = concat!("teacher cache 3, ", env!("CARGO_PKG_VERSION"));

/// Hash of a teacher: its configuration and every weight, by module path.
pub fn fingerprint(config: &BertConfig, weights: &Tensors) -> String {
    let mut text = serde_json::to_string(config).unwrap_or_else(|_| format!("{config:?}"));
    for (path, tensor) in &weights.0 {
        let mut bytes = vec![0; 4 * tensor.data.len()];
        for (to, value) in bytes.chunks_exact_mut(4).zip(&tensor.data) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{path} {:?} {}", tensor.shape, run_store::hash::bytes(&bytes));
    }
    run_store::hash::bytes(text)
}

/// What a teacher is asked for beside layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing; the head names the task of the batch, which may have a model of its own.
    States(Option<usize>),
    /// Scores of a head for each example.
    Answers(usize),
    /// Scores of a head for each token.
    Spans(usize),
}

/// The key of an entry: 64 hexadecimal digits, a hash of everything that the answer depends on. Besides teacher, question and
/// batch these are what the last bits depend on: format of products, device, instruction set.
pub(super) fn key(teacher: &str, format: Format, asked: Asked, layers: &TeacherLayers, batch: &TokenBatch) -> String {
    let device = batch.mask.device();
    let (precision, isa) = (fused_ops::precision(), cpu_kernels::Isa::current());
    let [rows, width] = batch.dims();
    let mut bytes = format!(
        "{VERSION}\n{teacher}\n{format} {asked:?} {layers:?}\n{device:?} {isa} {precision:?}\n{rows} {width}\n"
    )
    .into_bytes();
    let tensors = [batch.ids.clone().into_data(), batch.type_ids.clone().into_data(), batch.mask.clone().into_data()];
    for data in &tensors {
        bytes.extend_from_slice(data.as_bytes());
    }
    run_store::hash::bytes(&bytes)
}
