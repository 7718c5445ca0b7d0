//! The student's attention: each head by the best low-rank factors of its scores and of its output.

use bert_core::{Attention, EncoderLayer};
use burn::nn::DropoutConfig;
use burn::tensor::Tensor;
use fused_ops::dense;
use linear_fit::{Affine, Matrix, Vector, low_rank, products};

use super::modules::{read, write};
use super::norm::{fit as fit_norm, normalized, prior, token_weights};
use super::settings::Part;
use super::{Work, not_finite};
use crate::Result;

/// The teacher's attention on the sample.
pub(super) struct Half<'a> {
    layer: &'a Attention,
    /// Its input, `[width, tokens]`.
    before: Matrix,
    /// What the heads give, `[width, tokens]`.
    context: Matrix,
    /// Its sum before the norm, `[width, tokens]`.
    sums: Matrix,
    /// Scale and shift of its norm on the kept channels.
    norm: (Vector, Vector),
    /// Its output, as the next half takes it.
    pub(super) output: Vec<Tensor<3>>,
    /// The same as columns.
    pub(super) after: Matrix,
}

/// Why a norm is there.
const NORM: &str = "a checked model has a norm after every attention";

/// What a layer's attention is made for: a sum, and the norm of it.
pub(super) struct Target<'a> {
    /// Before the norm, `[width, tokens]`.
    pub(super) sums: &'a Matrix,
    /// After it.
    pub(super) after: &'a Matrix,
    /// Scale and shift of the norm on the kept channels.
    pub(super) norm: &'a (Vector, Vector),
}

impl<'a> Half<'a> {
    /// The half itself: what attention is made for where a feed-forward follows.
    pub(super) fn target(&self) -> Target<'_> {
        Target { sums: &self.sums, after: &self.after, norm: &self.norm }
    }

    /// Computes the half of a teacher's layer; `before` are the columns of `states`.
    pub(super) fn of(work: &Work<'_>, layer: &'a EncoderLayer, states: Vec<Tensor<3>>, before: Matrix) -> Result<Self> {
        let sample = work.start.sample;
        let attention = layer.attention.as_ref().expect("a checked teacher has attention in every layer");
        let norm = attention.norm.as_ref().expect(NORM);
        let heads = work.start.config.num_attention_heads;
        let context = sample.through(states, |x, mask| contexts(attention, x, mask, heads));
        let sums = context.iter().map(|context| dense(&attention.output, context.clone())).collect::<Vec<_>>();
        let sums = sample.gather(&sums) + &before;
        let output: Vec<Tensor<3>> = sample.scatter(&sums).into_iter().map(|sums| norm.forward(sums)).collect();
        let after = sample.gather(&output);
        match after.iter().all(|v| v.is_finite()) {
            true => {
                let norm = prior(norm, &work.channels);
                Ok(Self { layer: attention, before, context: sample.gather(&context), sums, norm, output, after })
            }
            false => Err(not_finite()),
        }
    }
}

/// What the heads of an attention give, side by side.
fn contexts(attention: &Attention, x: Tensor<3>, mask: Tensor<4>, heads: usize) -> Tensor<3> {
    let key = attention.key.as_ref().unwrap_or(&attention.query);
    let qkv = [dense(&attention.query, x.clone()), dense(key, x.clone()), dense(&attention.value, x)];
    fused_ops::attention(qkv, mask, heads, &DropoutConfig::new(0.0).init(), false).0
}

/// Makes the attention of a layer; its output on the sample, of which `ours` is the input.
///
/// For head `h` with queries `q = W_q x + b_q` and keys `k`, biases being weights of a constant input, the student's are maps of the
/// teacher's to fewer values, such that their products are the best approximation of `q^T k`, by the second moments of `q` and `k` on the
/// student's own inputs; scaled for the division by the square root of the new width. Values and the output are the best factors of
/// `W_o W_v` by the covariance of what the teacher's head gives; its mean goes to the bias. Then the output is mended for `target`.
///
/// Of more heads than the student has, those of most effect are taken. A student with more heads than the teacher keeps its own queries,
/// keys and values in the rest, whose output is what the mending finds for it, and nothing without it.
///
/// A layer without attention gives `ours`: what follows reads the layer's input, and its first map makes up for it as far as that tells.
pub(super) fn begin(
    student: Option<&mut Attention>,
    work: &Work<'_>,
    (index, source): (usize, usize),
    (teacher, target): (&Half<'_>, &Target<'_>),
    ours: &Matrix,
) -> Result<Matrix> {
    let (start, sample) = (work.start, work.start.sample);
    let (spec, theirs) = (&work.spec.layers[index].attention, &work.teacher_spec.layers[source].attention);
    let (Some(student), Some(spec), Some(theirs)) = (student, spec, theirs) else { return Ok(ours.clone()) };
    let norm = spec.norm.as_ref().expect(NORM);
    let inputs = work.reconstruction(ours, &teacher.before)?;
    let key = teacher.layer.key.as_ref().unwrap_or(&teacher.layer.query);
    let weights = start.settings.does(Part::Covariance).then_some(ours);
    let widths = [theirs.width() / theirs.heads, spec.width() / spec.heads];
    let heads = Heads {
        query: read(&teacher.layer.query).after(&inputs),
        key: read(key).after(&inputs),
        value: read(&teacher.layer.value).after(&inputs),
        output: read(&teacher.layer.output).rows(&work.channels),
        context: &teacher.context,
        ours: weights,
        widths,
    };
    let mut query = read(&student.query);
    let mut made_key = student.key.as_ref().map_or_else(|| Affine::zero(spec.query.inputs(), spec.width()), read);
    // What heads do not fill counts nothing.
    let filled = spec.heads.min(theirs.heads) * widths[1];
    made_key.weight.rows_mut(0, filled).fill(0.0);
    made_key.bias.rows_mut(0, filled).fill(0.0);
    let (mut value, mut output) = (read(&student.value), Affine::zero(spec.width(), work.channels.len()));
    output.bias.copy_from(&heads.output.bias);
    for (place, head) in heads.chosen(theirs.heads, spec.heads).into_iter().enumerate() {
        heads.scores(head, place, &mut query, &mut made_key);
        heads.values(head, place, &mut value, &mut output);
    }
    write(&mut student.query, &query);
    if let Some(key) = &mut student.key {
        write(key, &made_key);
    }
    write(&mut student.value, &value);

    let counts = sample.counts(start.settings.first_token);
    let context = sample.through(sample.scatter(ours), |x, mask| contexts(student, x, mask, spec.heads));
    let context = sample.gather(&context);
    if start.settings.does(Part::Mending) {
        let (_, deviations) = normalized(target.sums, norm.kind);
        let wanted = work.kept(target.sums) - ours;
        output = work.near(&output, &context, &wanted, Some(&token_weights(&deviations, &counts)))?;
    }
    write(&mut student.output, &output);
    let sums = output.apply(&context) + ours;
    let (scale, shift) = target.norm;
    let own = student.norm.as_mut().expect(NORM);
    Ok(fit_norm(own, norm, &sums, &work.kept(target.after), (&counts, (scale, shift))))
}

/// The teacher's heads as maps of the student's hidden states.
struct Heads<'a> {
    query: Affine,
    key: Affine,
    value: Affine,
    /// To the kept channels.
    output: Affine,
    context: &'a Matrix,
    /// The student's input, where factors go by it.
    ours: Option<&'a Matrix>,
    /// Width of a head, the teacher's and the student's.
    widths: [usize; 2],
}

impl Heads<'_> {
    /// The rows of a head.
    fn rows(&self, head: usize) -> Vec<usize> {
        (head * self.widths[0]..(head + 1) * self.widths[0]).collect()
    }

    /// The `count` heads of most effect on the output, in the teacher's order: heads are compared one by one.
    fn chosen(&self, all: usize, count: usize) -> Vec<usize> {
        let effect = |head: usize| {
            let (_, given) = self.given(head);
            (self.output.weight.select_columns(&self.rows(head)) * given).norm_squared()
        };
        let effects: Vec<f64> = (0..all).map(effect).collect();
        let mut order: Vec<usize> = (0..all).collect();
        order.sort_by(|&a, &b| effects[b].total_cmp(&effects[a]).then(a.cmp(&b)));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    /// Mean of what a head gives, and the rest.
    fn given(&self, head: usize) -> (Vector, Matrix) {
        let mut given = self.context.select_rows(&self.rows(head));
        let mean = given.column_mean();
        given.column_iter_mut().for_each(|mut column| column -= &mean);
        (mean, given)
    }

    /// Second moments of what a map makes of the student's inputs, or of inputs that are all alike.
    fn moments(&self, map: &Affine) -> Matrix {
        floored(match self.ours {
            Some(ours) => moments(&map.apply(ours)),
            None => &map.weight * map.weight.transpose() + &map.bias * map.bias.transpose(),
        })
    }

    fn scores(&self, head: usize, place: usize, query: &mut Affine, key: &mut Affine) {
        let [theirs, ours] = self.widths;
        let (q, k) = (self.query.rows(&self.rows(head)), self.key.rows(&self.rows(head)));
        let (a, b) = low_rank::bilinear(&self.moments(&q), &self.moments(&k), ours);
        // Scores are divided by the square root of the width.
        let scale = (ours as f64 / theirs as f64).powf(0.25);
        let kept = ours.min(theirs);
        // Rows of a wider head: the queries' stay as they are, the keys' are 0, so that they count nothing and can learn.
        put_rows(query, place * ours, &linear(a * scale).after(&q), kept);
        put_rows(key, place * ours, &linear(b * scale).after(&k), kept);
    }

    fn values(&self, head: usize, place: usize, value: &mut Affine, output: &mut Affine) {
        let [theirs, ours] = self.widths;
        let rows = self.rows(head);
        let v = self.value.rows(&rows);
        let out = self.output.weight.select_columns(&rows);
        let (mean, moment) = match self.ours {
            Some(_) => {
                let (mean, given) = self.given(head);
                (mean, moments(&given))
            }
            None => (Vector::zeros(theirs), &v.weight * v.weight.transpose()),
        };
        let (down, up) = low_rank::product(&floored(moment), &out, ours);
        let kept = ours.min(theirs);
        let centered = Affine { weight: v.weight, bias: v.bias - &mean };
        put_rows(value, place * ours, &linear(down).after(&centered), kept);
        output.bias += out * mean;
        output.weight.columns_mut(place * ours, kept).copy_from(&up.columns(0, kept));
    }
}

fn moments(x: &Matrix) -> Matrix {
    products::moments(x, None) / x.ncols() as f64
}

/// Moments with a little of every direction: what a sample does not show is not lost where there is room for it.
fn floored(mut moments: Matrix) -> Matrix {
    let size = moments.nrows();
    let floor = 1e-4 * moments.trace() / size as f64;
    for i in 0..size {
        moments[(i, i)] += floor;
    }
    moments
}

fn linear(weight: Matrix) -> Affine {
    Affine { bias: Vector::zeros(weight.nrows()), weight }
}

/// Puts the first `count` rows of a map at `place`.
fn put_rows(map: &mut Affine, place: usize, rows: &Affine, count: usize) {
    map.weight.rows_mut(place, count).copy_from(&rows.weight.rows(0, count));
    map.bias.rows_mut(place, count).copy_from(&rows.bias.rows(0, count));
}
