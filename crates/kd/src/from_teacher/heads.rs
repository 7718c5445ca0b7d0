//! What stands on the encoder: pooler, task heads, and the projection that distillation compares.

use bert_core::{TaskHead, TaskModel};
use encoder_spec::{Pooling, TaskHeadKind};
use linear_fit::{Affine, LeastSquares, Matrix, fit_near};

use super::modules::{read, write};
use super::settings::Part;
use super::{Work, not_finite};
use crate::Result;

/// The map from the student's hidden states to the teacher's, one for all places at which they are compared.
pub(super) struct Projection {
    placed: Affine,
    fit: LeastSquares,
    ridge: f64,
}

impl Projection {
    pub(super) fn new(work: &Work<'_>) -> Self {
        let theirs = work.teacher_spec.hidden();
        Self {
            placed: Affine::scatter(&work.channels, theirs),
            fit: LeastSquares::new(work.channels.len(), theirs),
            ridge: work.start.settings.ridge,
        }
    }

    /// Adds hidden states that are compared.
    pub(super) fn compare(&mut self, ours: &Matrix, theirs: &Matrix) {
        self.fit.add(ours, &(theirs - self.placed.apply(ours)), None);
    }

    /// The map of least squares.
    pub(super) fn solve(&self) -> Result<Affine> {
        let found = self.fit.solve(self.ridge).ok_or_else(not_finite)?;
        Ok(Affine { weight: &self.placed.weight + found.weight, bias: &self.placed.bias + found.bias })
    }
}

/// Makes pooler and task heads, of the last hidden states of both.
///
/// The pooler keeps the outputs that the heads use most, by the variance of what they add to the heads' scores. Pooler and heads are then
/// fitted to the teacher's values on each text's first token; heads of every token on all of them.
pub(super) fn begin(student: &mut TaskModel, work: &Work<'_>, (ours, theirs): (&Matrix, &Matrix)) -> Result<()> {
    let start = work.start;
    let (teacher, sample, settings) = (start.teacher, start.sample, start.settings);
    let inputs = work.reconstruction(ours, theirs)?;
    let [our_first, their_first] = [ours, theirs].map(|states| states.select_columns(sample.first()));
    let near = |prior: &Affine, x: &Matrix, y: &Matrix| match settings.does(Part::Mending) {
        true => fit_near(prior, x, y, None, settings.ridge_of_first).ok_or_else(not_finite),
        false => Ok(prior.clone()),
    };
    let pooled = match (&mut student.pooler, &teacher.pooler) {
        (Some(pooler), Some(source)) => {
            let source = read(source);
            let sums = source.apply(&their_first);
            let pooled = sums.map(f64::tanh);
            let kept = used_most(work, &pooled);
            let map = near(&source.rows(&kept).after(&inputs), &our_first, &sums.select_rows(&kept))?;
            write(pooler, &map);
            Some((map.apply(&our_first).map(f64::tanh), pooled, Affine::scatter(&kept, source.outputs())))
        }
        (None, None) => Some((our_first.clone(), their_first.clone(), inputs.clone())),
        // One reads a pooled vector and the other does not: the heads have nothing in common.
        _ => None,
    };
    for (index, (head, source)) in student.heads.iter_mut().zip(start.heads).enumerate() {
        let (Some(source), kind) = (source, head.kind()) else { continue };
        let Some(dense) = &mut head.dense else { continue };
        let map = map_of(&teacher.heads[source.index], work);
        if map.outputs() != dense.weight.dims()[1] {
            // Vectors of another width: fresh weights keep angles nearly, as a random projection does.
            continue;
        }
        let map = if kind == TaskHeadKind::Classification { map.rows(source.order.outputs()) } else { map };
        let vector = work.spec.heads.get(index).and_then(|head| head.vector);
        let found = match (kind, &pooled) {
            (kind, _) if kind.is_on_tokens() => near(&map.after(&inputs), ours, &map.apply(theirs))?,
            // The mean of what is right on each token is right too.
            (TaskHeadKind::Embedding, _) if vector.is_none_or(|v| v.pooling == Pooling::Mean) => {
                near(&map.after(&inputs), ours, &map.apply(theirs))?
            }
            (TaskHeadKind::Embedding, _) => near(&map.after(&inputs), &our_first, &map.apply(&their_first))?,
            (_, Some((our_pooled, their_pooled, placed))) => {
                near(&map.after(placed), our_pooled, &map.apply(their_pooled))?
            }
            (_, None) => continue,
        };
        write(dense, &found);
    }
    Ok(())
}

/// The teacher's head as a map of its hidden states, which are themselves the vectors of a head without a dense layer.
fn map_of(head: &TaskHead, work: &Work<'_>) -> Affine {
    let hidden = work.teacher_spec.hidden();
    head.dense.as_ref().map_or_else(|| Affine::scatter(&(0..hidden).collect::<Vec<_>>(), hidden), read)
}

/// The outputs of the teacher's pooler that its heads use most; all of them in their order where the student has as many and keeps the
/// teacher's order.
fn used_most(work: &Work<'_>, pooled: &Matrix) -> Vec<usize> {
    let count = work.channels.len();
    if work.keeps_order {
        return (0..count).collect();
    }
    let mut use_of = vec![0.0; pooled.nrows()];
    let heads = || work.start.heads.iter().flatten().map(|source| &work.start.teacher.heads[source.index]);
    for head in heads().filter(|head| head.kind() != TaskHeadKind::Embedding) {
        let head = map_of(head, work);
        let scores = head.apply(pooled).column_variance().sum().max(f64::MIN_POSITIVE);
        for (output, row) in pooled.row_iter().enumerate() {
            use_of[output] += head.weight.column(output).norm_squared() * row.variance() / scores;
        }
    }
    if heads().next().is_none() {
        for (output, row) in pooled.row_iter().enumerate() {
            use_of[output] = row.variance();
        }
    }
    let mut order: Vec<usize> = (0..pooled.nrows()).collect();
    order.sort_by(|&a, &b| use_of[b].total_cmp(&use_of[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}
