//! The teacher of a job.

use bert_core::{EncodeOptions, EncoderOutput, TaskModel, TokenBatch};
use burn::tensor::{Int, Tensor};

/// Layers of a teacher, and scores of one of its heads.
pub type Scored<const D: usize> = (EncoderOutput, Tensor<D>);

/// A frozen teacher: hidden states and scores, and the logits of a head.
///
/// Of an output, a job looks at what `options` ask for and its objective compares; [`EncoderOutput::last_hidden`] need not be there.
///
/// It answers on the device of the batch, from several threads at a time.
pub trait Teacher: Sync {
    /// Encodes a batch and keeps what `options` ask for. A batch of a task names the head for it, as [`Teacher::logits`] does, and
    /// a batch of text none: where each task has a model of its own, the head decides which one encodes.
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput;

    /// Encodes a batch and scores it with head `head`.
    ///
    /// # Shapes
    /// - scores: `[batch, outputs]`
    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2>;

    /// Encodes a batch and scores every token with head `head`, of spans or tags.
    ///
    /// # Shapes
    /// - scores: `[batch, seq, outputs]`
    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3>;

    /// Encodes a batch and scores every word piece at some positions; `None`, and nothing computed, without a masked-language-model
    /// head.
    ///
    /// # Shapes
    /// - `at`: `[n]`, each `row * seq + column`
    /// - scores: `[n, vocab]`
    fn word_logits(&self, _batch: &TokenBatch, _at: Tensor<1, Int>, _options: EncodeOptions) -> Option<Scored<2>> {
        None
    }
}

/// A teacher behind a pointer: all of its methods, those with a default too.
macro_rules! behind_a_pointer {
    ($($pointer:ty),*) => {$(
        impl<T: Teacher + ?Sized> Teacher for $pointer {
            fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
                (**self).states(batch, head, options)
            }

            fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
                (**self).logits(batch, head, options)
            }

            fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
                (**self).span_logits(batch, head, options)
            }

            fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
                (**self).word_logits(batch, at, options)
            }
        }
    )*};
}

behind_a_pointer!(&T, Box<T>);

impl Teacher for TaskModel {
    fn states(&self, batch: &TokenBatch, _: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        exact(|| self.encode(batch, options))
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        exact(|| self.forward(batch, head, options))
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        exact(|| self.forward_tokens(batch, head, options))
    }

    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        self.mlm.as_ref()?;
        exact(|| {
            let output = self.encode(batch, options);
            let scores = TaskModel::words(self, output.last_hidden.clone(), at)?;
            Some((output, scores))
        })
    }
}

/// What a teacher computes: never in rounded numbers, also where its student learns with them.
fn exact<R>(work: impl FnOnce() -> R) -> R {
    fused_ops::with_rounded_int8(false, work)
}
