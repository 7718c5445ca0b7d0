//! The teacher of a job.

use bert_core::{EncodeOptions, Encoder, EncoderOutput, TaskModel, TokenBatch};
use burn::tensor::{Int, Tensor};

/// A frozen teacher: hidden states and scores, and the logits of a head.
///
/// Of an output, a job looks at what `options` ask for and its objective compares; [`EncoderOutput::last_hidden`] need not be there.
///
/// It answers on the device of the batch, from several threads at a time.
pub trait Teacher: Sync {
    /// Encodes a batch of text and keeps what `options` ask for.
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput;

    /// Encodes a batch of the task that head `head` is for, as [`Teacher::logits`] and [`Teacher::span_logits`] do, without its scores.
    ///
    /// One model encodes every task alike; where each task has a model of its own, it is that one's to say.
    fn task_states(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> EncoderOutput {
        let _ = head;
        self.states(batch, options)
    }

    /// Encodes a batch and scores it with head `head`.
    ///
    /// # Shapes
    /// - second output: `[batch, outputs]`
    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>);

    /// Encodes a batch and scores every token with the span head `head`.
    ///
    /// # Shapes
    /// - second output: `[batch, seq, 2]`
    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>);

    /// Encodes a batch and scores every word piece at some positions; `None`, and nothing computed, without a masked-language-model
    /// head.
    ///
    /// # Shapes
    /// - `positions`: `[n]`, each `row * seq + column`
    /// - second output: `[n, vocab]`
    fn word_logits(
        &self,
        _batch: &TokenBatch,
        _positions: Tensor<1, Int>,
        _options: EncodeOptions,
    ) -> Option<(EncoderOutput, Tensor<2>)> {
        None
    }
}

/// A teacher behind a pointer: all of its methods, those with a default too.
macro_rules! behind_a_pointer {
    ($($pointer:ty),*) => {$(
        impl<T: Teacher + ?Sized> Teacher for $pointer {
            fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
                (**self).states(batch, options)
            }

            fn task_states(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> EncoderOutput {
                (**self).task_states(batch, head, options)
            }

            fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
                (**self).logits(batch, head, options)
            }

            fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
                (**self).span_logits(batch, head, options)
            }

            fn word_logits(
                &self,
                batch: &TokenBatch,
                positions: Tensor<1, Int>,
                options: EncodeOptions,
            ) -> Option<(EncoderOutput, Tensor<2>)> {
                (**self).word_logits(batch, positions, options)
            }
        }
    )*};
}

behind_a_pointer!(&T, Box<T>);

impl Teacher for TaskModel {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.encode(batch, options)
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        self.forward(batch, head, options)
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        self.forward_tokens(batch, head, options)
    }

    fn word_logits(
        &self,
        batch: &TokenBatch,
        positions: Tensor<1, Int>,
        options: EncodeOptions,
    ) -> Option<(EncoderOutput, Tensor<2>)> {
        self.mlm.as_ref()?;
        let output = self.encode(batch, options);
        let scores = TaskModel::words(self, output.last_hidden.clone(), positions)?;
        Some((output, scores))
    }
}
