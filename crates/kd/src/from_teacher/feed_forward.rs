//! The student's feed-forwards: neurons by importance, spread over stacks.

use bert_core::{EncoderLayer, FeedForward};
use burn::tensor::Tensor;
use fused_ops::{dense, dense_activated};
use linear_fit::greedy::{Target, choose};
use linear_fit::products::product_transposed;
use linear_fit::{Affine, Matrix, Vector, low_rank};
use mlp_space::LinearId;

use super::Work;
use super::modules::{read, write};
use super::norm::{fit as fit_norm, normalized, prior, token_weights};
use super::program::{Expression, second_moments};
use super::second_map::Fit;
use super::settings::Part;
use crate::Result;

/// Tokens by which neurons are chosen.
const TOKENS: usize = 4096;

/// Directions of the output by which they are chosen.
const DIRECTIONS: usize = 64;

/// The teacher's feed-forward on the sample.
pub(super) struct Half {
    first: Affine,
    second: Affine,
    /// Its input, `[width, tokens]`.
    before: Matrix,
    /// Its sum before the norm, `[width, tokens]`.
    pub(super) sums: Matrix,
    /// Scale and shift of its norm on the kept channels.
    pub(super) norm: (Vector, Vector),
    /// Its output, as the next layer takes it.
    pub(super) output: Vec<Tensor<3>>,
    /// The same as columns.
    pub(super) after: Matrix,
}

impl Half {
    /// Computes the half of a teacher's layer; `before` are the columns of `states`.
    pub(super) fn of(work: &Work<'_>, layer: &EncoderLayer, states: Vec<Tensor<3>>, before: Matrix) -> Self {
        let sample = work.start.sample;
        let block = &layer.feed_forward.blocks[0];
        let (first, second) = (read(&block.dense1), read(&block.dense2));
        let function = work.start.config.hidden_act.into();
        let given =
            sample.through(states.clone(), |x, _| dense(&block.dense2, dense_activated(&block.dense1, x, function)));
        let sums = sample.gather(&given) + &before;
        let norm = prior(&block.norm, &work.channels);
        let output = sample.through(states, |x, _| layer.feed_forward.forward(x));
        let after = sample.gather(&output);
        Self { first, second, before, sums, norm, output, after }
    }
}

/// Makes the feed-forward of a layer; its output on the sample, of which `ours` is the input.
///
/// The first map of each stack are rows of the teacher's, chosen greedily by what their neurons explain of the teacher's output, the most
/// important in the first stack and there in the first rows; they read the teacher's input as far as the student's hidden states tell it.
/// The second map is found by least squares: of the first stack for the teacher's sum before its norm, of each later one for what is left
/// of the teacher's output. Norms are fitted to it; those between the stacks hand on its normalized values, which the next norm changes
/// least. Where slices will be models, every stack is made to be the last one.
///
/// An expression with more than activations between its maps takes the neurons that are best with the teacher's own activation.
///
/// A layer without blocks gives `ours`.
pub(super) fn begin(
    student: &mut FeedForward,
    work: &Work<'_>,
    (index, _): (usize, usize),
    teacher: &Half,
    ours: &Matrix,
) -> Result<Matrix> {
    let start = work.start;
    let spec = &work.spec.layers[index].feed_forward;
    let stacks = &spec.blocks;
    if stacks.is_empty() {
        return Ok(ours.clone());
    }
    // A supernet's weights are larger than what is active in them.
    let inner = stacks[0].dense1.outputs();
    let expression = Expression::new(&spec.program, work.channels.len(), inner, start.sample.device());
    let counts = start.sample.counts(start.settings.first_token);
    let kept_after = work.kept(&teacher.after);
    let kept_sums = work.kept(&teacher.sums);
    let whole = work.reconstruction(ours, &teacher.before)?;
    let wanted = &kept_sums - ours;
    let order = neurons(work, &expression, teacher, (ours, &wanted, &whole), inner * stacks.len())?;
    let (normal, deviations) = normalized(&teacher.sums, stacks[0].norm.kind);
    // What a stack hands to the next one. A norm leaves normalized values as they are, which those with the teacher's scales are not; but
    // where a slice may end with the stack, these are what the next layer needs.
    let level = teacher.norm.0.iter().map(|scale| scale.abs()).sum::<f64>() / teacher.norm.0.len() as f64;
    let between = if start.slices { kept_after.clone() } else { work.kept(&normal) * level };
    let flat = (Vector::from_element(work.channels.len(), level), Vector::zeros(work.channels.len()));
    let mut x = ours.clone();
    for (stack, (block, spec)) in student.blocks.iter_mut().zip(stacks).enumerate() {
        let seen = expression.first_input(&x);
        let inputs = match stack == 0 && seen == x {
            true => whole.clone(),
            // Not the teacher's input, but something that tells it.
            false => {
                work.near(&Affine::scatter(&work.channels, teacher.before.nrows()), &seen, &teacher.before, None)?
            }
        };
        let mut first = read(&block.dense1);
        let mut prior = Affine::zero(inner, work.channels.len());
        let chosen: Vec<usize> = order.iter().copied().skip(stack * inner).take(inner).collect();
        let rows = teacher.first.rows(&chosen).after(&inputs);
        first.weight.rows_mut(0, chosen.len()).copy_from(&rows.weight);
        first.bias.rows_mut(0, chosen.len()).copy_from(&rows.bias);
        let columns = teacher.second.rows(&work.channels).columns(&chosen);
        prior.weight.columns_mut(0, chosen.len()).copy_from(&columns.weight);
        if stack == 0 {
            prior.bias.copy_from(&columns.bias);
        }
        let features = expression.second_input(&x, &first);
        let second = match start.settings.does(Part::Mending) {
            false => prior,
            true => {
                let outer = |z: &Matrix| expression.result(&x, &first, z);
                let (target, weights) = match stack {
                    0 => (&kept_sums - &x, token_weights(&deviations, &counts)),
                    _ => {
                        let (_, deviations) = normalized(&between, spec.norm.kind);
                        (&between - &x, token_weights(&deviations, &counts))
                    }
                };
                let fit = Fit {
                    features: &features,
                    target: &target,
                    weights: &weights,
                    outer: (!expression.ends_linear()).then_some(&outer),
                    ridge: start.settings.ridge,
                };
                let found = match (start.slices, stack) {
                    (true, _) => fit.nested(&widths(inner), work.channels.len()),
                    // What follows the map, or another input, has no use for the teacher's.
                    (false, 0) if expression.ends_linear() => fit.near(&prior),
                    (false, _) => fit.near(&Affine::zero(inner, work.channels.len())),
                };
                found.ok_or_else(super::not_finite)?
            }
        };
        write(&mut block.dense1, &first);
        write(&mut block.dense2, &second);
        let sums = match expression.ends_linear() {
            true => &x + second.apply(&features),
            false => &x + expression.result(&x, &first, &second.apply(&features)),
        };
        let ends = start.slices || stack + 1 == stacks.len();
        let (target, norm) = if ends { (&kept_after, &teacher.norm) } else { (&between, &flat) };
        x = fit_norm(&mut block.norm, &spec.norm, &sums, target, (&counts, (&norm.0, &norm.1)));
    }
    Ok(x)
}

/// Inner widths that slices of a supernet have, rising.
fn widths(inner: usize) -> Vec<usize> {
    let ratios = (1..=4).filter_map(|ratio| LinearId::new(1, ratio));
    let mut widths: Vec<usize> = ratios.map(|id| id.inner_size(inner)).collect();
    widths.sort_unstable();
    widths.dedup();
    widths
}

/// At most `count` of the teacher's neurons, the most important first.
fn neurons(
    work: &Work<'_>,
    expression: &Expression<'_>,
    teacher: &Half,
    (ours, target, inputs): (&Matrix, &Matrix, &Affine),
    count: usize,
) -> Result<Vec<usize>> {
    let all = teacher.first.outputs();
    let count = count.min(all);
    let start = work.start;
    if !start.settings.does(Part::Neurons) {
        return Ok((0..count).collect());
    }
    let some = start.sample.some(TOKENS);
    let neuron = expression.neuron().unwrap_or_else(|| vec![start.config.hidden_act]);
    let x = ours.select_columns(&some);
    let (features, values) = second_moments(&x, &teacher.first.after(inputs), neuron, start.sample.device());
    if !features.iter().all(|v| v.is_finite()) {
        return Err(super::not_finite());
    }
    let mut wanted = target.select_columns(&some);
    let mean = wanted.column_mean();
    wanted.column_iter_mut().for_each(|mut column| column -= &mean);
    let with_target = low_rank::compressed(&product_transposed(&wanted, &values), DIRECTIONS);
    Ok(choose(vec![Target { features, with_target, weight: 1.0 }], count, 1e-4))
}
