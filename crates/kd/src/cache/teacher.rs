//! A teacher with the cache before it.

use std::sync::Arc;

use bert_core::{EncodeOptions, EncoderOutput, TokenBatch};
use burn::tensor::{Int, Tensor};

use super::key::{Asked, key};
use super::pieces::{Answer, Pieces};
use super::store::Question;
use super::{Expected, Format, TeacherCache, TeacherLayers};
use crate::job::{Scored, Teacher};

/// Asks a teacher what the cache does not know.
///
/// It returns only the layers that the objective compares: other elements of the lists, and
/// [`EncoderOutput::last_hidden`], hold empty tensors, whether the answer was kept or is new.
pub struct CachedTeacher<'a> {
    teacher: Box<dyn Teacher + 'a>,
    cache: Arc<TeacherCache>,
    identity: String,
    layers: TeacherLayers,
    expected: Expected,
}

impl std::fmt::Debug for CachedTeacher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("CachedTeacher");
        shown.field("identity", &self.identity).field("layers", &self.layers).field("expected", &self.expected);
        shown.finish_non_exhaustive()
    }
}

impl<'a> CachedTeacher<'a> {
    /// Puts `cache` before `teacher`, whose [`fingerprint`](super::fingerprint) is `identity`; `layers` are those that the objective
    /// compares.
    pub fn new(
        teacher: impl Teacher + 'a,
        cache: Arc<TeacherCache>,
        identity: impl Into<String>,
        layers: TeacherLayers,
        expected: Expected,
    ) -> Self {
        Self { teacher: Box::new(teacher), cache, identity: identity.into(), layers, expected }
    }

    fn ask(
        &self,
        batch: &TokenBatch,
        options: EncodeOptions,
        asked: Asked,
        compute: impl FnOnce() -> (EncoderOutput, Option<Answer>),
    ) -> (EncoderOutput, Option<Answer>) {
        let layers = self.layers.asked(options);
        let format = self.cache.format();
        let key = key(&self.identity, format, asked, &layers, batch);
        let [rows, _] = batch.dims();
        let device = batch.mask.device();
        let expected = self.expected;
        let question = Question { key: &key, layers: &layers, asked, rows, device: &device, expected };
        if let Some(pieces) = self.cache.find(&question) {
            return pieces.output(&layers);
        }
        let (output, answer) = compute();
        let Some(mut pieces) = Pieces::of(&output, &layers, answer.clone()) else {
            // A teacher of fewer layers than the objective was checked against; the loss says which.
            return (output, answer);
        };
        let host = match format == Format::F16 || self.cache.writes() && self.cache.may_keep(expected) {
            true => pieces.to_host(format),
            false => None,
        };
        if let (Format::F16, Some(host)) = (format, &host)
            && let Some(rounded) = Pieces::from_host(host.clone(), &layers, asked, rows, &device)
        {
            pieces = rounded;
        }
        self.cache.keep(&question, &pieces, host);
        pieces.output(&layers)
    }
}

impl Teacher for CachedTeacher<'_> {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        self.ask(batch, options, Asked::States(head), || (self.teacher.states(batch, head, options), None)).0
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        let compute = || {
            let (output, logits) = self.teacher.logits(batch, head, options);
            (output, Some(Answer::Logits(logits)))
        };
        match self.ask(batch, options, Asked::Answers(head), compute) {
            (output, Some(Answer::Logits(logits))) => (output, logits),
            // What is kept for this question has scores of examples.
            (_, _) => self.teacher.logits(batch, head, options),
        }
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        let compute = || {
            let (output, scores) = self.teacher.span_logits(batch, head, options);
            (output, Some(Answer::Spans(scores)))
        };
        match self.ask(batch, options, Asked::Spans(head), compute) {
            (output, Some(Answer::Spans(scores))) => (output, scores),
            (_, _) => self.teacher.span_logits(batch, head, options),
        }
    }

    /// Not kept: other words are hidden in every epoch, and scores of a vocabulary take more room than they are worth.
    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        self.teacher.word_logits(batch, at, options)
    }
}
