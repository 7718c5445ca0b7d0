//! A student that begins as its teacher: its weights computed from the teacher's, before any training.
//!
//! Every part of the student is the best smaller form of the teacher's part, and then each linear map that feeds a residual is
//! mended by least squares on texts for which the teacher's values are known. The parts are made in the order of the computation, so
//! that each makes up for what those before it lost.
//!
//! | file | makes |
//! |---|---|
//! | `settings` | what is done, and what is left out |
//! | `sample` | the texts, and the way between padded batches and columns of tokens |
//! | `layer_map` | which layer of the teacher each layer begins as |
//! | `fit` | whether the two models go together |
//! | `channels` | which hidden channels are kept, the most important first |
//! | `embedding` | word table by truncated SVD, positions, segments |
//! | `attention` | each head by the best low-rank factors of its scores and of its output |
//! | `feed_forward` | neurons by importance, spread over stacks |
//! | `second_map` | the map after the neurons, within any expression |
//! | `program` | what an expression computes, value by value |
//! | `norm` | scales and shifts of norms over fewer channels |
//! | `heads` | pooler, task heads, the distillation projection |
//! | `modules` | weights of burn modules as matrices |
//!
//! Where weights will be cut (a supernet), the most important come first, so that first rows, first columns and first stacks are good
//! models of their own.

mod attention;
mod channels;
mod embedding;
mod feed_forward;
mod fit;
mod heads;
mod layer_map;
pub(crate) mod modules;
mod norm;
pub(crate) mod program;
mod sample;
mod second_map;
mod settings;

use bert_core::{BertConfig, TaskModel};
use encoder_spec::{Encoder, Shape};
use linear_fit::{Affine, Matrix, fit_near};
use predict::heads::AnsweringHead;

pub use fit::check;
pub use layer_map::layer_map;
pub use sample::Sample;
pub use settings::{ChannelChoice, Part, Settings};

use crate::{Error, Result};

/// What a student begins as.
#[derive(Debug)]
pub struct Start<'a> {
    /// A BERT, without autodiff.
    pub teacher: &'a TaskModel,
    /// Its configuration.
    pub config: &'a BertConfig,
    /// The teacher's layer, from 1, of each of the student's layers ([`layer_map`]).
    pub layers: &'a [usize],
    /// The teacher's head of each of the student's heads; `None` where it has none, and the student's stays as it is.
    pub heads: &'a [Option<AnsweringHead>],
    /// Texts of the kind that the student will see.
    pub sample: &'a Sample,
    /// What is done.
    pub settings: &'a Settings,
    /// Whether leading slices of the feed-forwards will be models too, as those of a supernet.
    pub slices: bool,
}

/// `student`, which `spec` describes, with the weights that make it most like its teacher. The masked-language-model head stays as it is.
///
/// A student of the teacher's sizes computes what the teacher does, with its channels and neurons in the order of their importance; one
/// without a distillation projection keeps the teacher's order of channels, since its hidden states are compared as they are. Of several
/// feed-forward stacks each is made for the whole output of the teacher's feed-forward, given the stacks before it.
///
/// Deterministic: a function of both models, the sample and the settings.
///
/// # Errors
/// [`Error::FromTeacher`] when the models do not go together: other families than BERT and EfficientBERT, bottlenecks, other norms, a student
/// that is wider or deeper than the teacher or has another vocabulary; or values that are not finite.
pub fn begin(student: TaskModel, spec: &Encoder<Shape>, start: &Start<'_>) -> Result<TaskModel> {
    let teacher_spec = Encoder::describe(start.config, start.teacher.parts())?;
    check(spec, &teacher_spec, start.layers)?;
    fit::check_heads(spec, &teacher_spec, start.heads)?;
    let keeps_order = spec.fit.is_none() && spec.hidden() == teacher_spec.hidden();
    let channels = match keeps_order {
        true => (0..spec.hidden()).collect(),
        false => channels::choose(start, &teacher_spec, spec.hidden()),
    };
    let work = Work { start, spec, teacher_spec: &teacher_spec, channels, keeps_order };
    work.student(student)
}

/// What all parts look at.
struct Work<'a> {
    start: &'a Start<'a>,
    spec: &'a Encoder<Shape>,
    teacher_spec: &'a Encoder<Shape>,
    /// The teacher's channel of each of the student's.
    channels: Vec<usize>,
    /// Whether the student has the teacher's channels in the teacher's order.
    keeps_order: bool,
}

impl Work<'_> {
    fn student(&self, mut student: TaskModel) -> Result<TaskModel> {
        let (sample, teacher) = (self.start.sample, self.start.teacher);
        let mut projection = heads::Projection::new(self);
        let mut theirs = sample.embedded(&teacher.encoder.embeddings);
        let mut after = sample.gather(&theirs);
        let mut ours = embedding::begin(&mut student.encoder.embeddings, self, &after)?;
        projection.compare(&ours, &after);
        for (index, &source) in self.start.layers.iter().enumerate() {
            let skipped = if index == 0 { 0 } else { self.start.layers[index - 1] };
            for layer in &teacher.encoder.layers[skipped..source - 1] {
                theirs = sample
                    .through(theirs, |x, mask| layer.forward(x, mask, bert_core::AttentionOptions::default()).hidden);
            }
            if skipped + 1 < source {
                after = sample.gather(&theirs);
            }
            let (layer, begun) = (&teacher.encoder.layers[source - 1], &mut student.encoder.layers[index]);
            let mut half = attention::Half::of(self, layer, theirs, after)?;
            let states = std::mem::take(&mut half.output);
            let second = feed_forward::Half::of(self, layer, states, half.after.clone());
            // Where nothing follows, attention is made for what the teacher's whole layer gives.
            let target = match self.spec.layers[index].feed_forward.blocks.is_empty() {
                true => attention::Target { sums: &second.sums, after: &second.after, norm: &second.norm },
                false => half.target(),
            };
            ours = attention::begin(begun.attention.as_mut(), self, (index, source - 1), (&half, &target), &ours)?;
            ours = feed_forward::begin(&mut begun.feed_forward, self, (index, source - 1), &second, &ours)?;
            (theirs, after) = (second.output, second.after);
            projection.compare(&ours, &after);
        }
        let deepest = self.start.layers.last().copied().unwrap_or_default();
        if deepest < teacher.encoder.layers.len() {
            for layer in &teacher.encoder.layers[deepest..] {
                theirs = sample
                    .through(theirs, |x, mask| layer.forward(x, mask, bert_core::AttentionOptions::default()).hidden);
            }
            after = sample.gather(&theirs);
        }
        if let Some(fit) = &mut student.encoder.fit_dense {
            modules::write(fit, &projection.solve()?);
        }
        heads::begin(&mut student, self, (&ours, &after))?;
        Ok(student)
    }

    /// The map from the student's hidden states to the teacher's at the same place: the kept channels are themselves, the dropped ones
    /// what the kept ones say of them.
    fn reconstruction(&self, ours: &Matrix, theirs: &Matrix) -> Result<Affine> {
        let placed = Affine::scatter(&self.channels, theirs.nrows());
        match self.start.settings.does(Part::Reconstruction) {
            true => self.near(&placed, ours, theirs, None),
            false => Ok(placed),
        }
    }

    /// Least squares near a prior over the tokens of the sample.
    fn near(&self, prior: &Affine, x: &Matrix, y: &Matrix, weights: Option<&[f64]>) -> Result<Affine> {
        fit_near(prior, x, y, weights, self.start.settings.ridge).ok_or_else(not_finite)
    }

    /// The kept channels of the teacher's values.
    fn kept(&self, theirs: &Matrix) -> Matrix {
        theirs.select_rows(&self.channels)
    }
}

fn not_finite() -> Error {
    Error::FromTeacher("a value of the teacher on the sample is not a finite number".into())
}
