//! Which hidden channels a narrower student keeps: one set for all layers, the most important first.

use bert_core::AttentionOptions;
use burn::nn::Linear;
use encoder_spec::{Encoder, Shape};
use linear_fit::greedy::{Target, choose as greedy};
use linear_fit::{Matrix, low_rank, products};
use rand::seq::SliceRandom;

use super::modules::read;
use super::settings::{ChannelChoice, Part};
use super::{Sample, Start};

/// Tokens that statistics are made of.
const TOKENS: usize = 4096;

/// Directions of a target that decide; the others are rounding.
const DIRECTIONS: usize = 128;

/// The first `count` channels.
pub(super) fn choose(start: &Start<'_>, teacher: &Encoder<Shape>, count: usize) -> Vec<usize> {
    if !start.settings.does(Part::Channels) {
        let mut all: Vec<usize> = (0..teacher.hidden()).collect();
        all.shuffle(&mut run_store::rng::keyed(start.settings.seed, "channels", &[]));
        all.truncate(count);
        return all;
    }
    let places = places(start);
    match start.settings.channels {
        ChannelChoice::Explained => greedy(places.into_iter().map(Site::target).collect(), count, 1e-4),
        ChannelChoice::Variance => by_variance(&places, count),
    }
}

/// A place of the encoder between two halves of a layer.
struct Site {
    covariance: Matrix,
    /// What the maps that read it make of an error: `sum_i W_i^T W_i`.
    read_by: Option<Matrix>,
}

impl Site {
    fn of(sample: &Sample, states: &[burn::tensor::Tensor<3>], readers: &[&Linear]) -> Self {
        let mut x = sample.gather(states).select_columns(&sample.some(TOKENS));
        let mean = x.column_mean();
        x.column_iter_mut().for_each(|mut column| column -= &mean);
        let covariance = products::moments(&x, None) / x.ncols() as f64;
        let read_by = readers.iter().map(|reader| read(reader).weight).map(|w| w.transpose() * w);
        Self { covariance, read_by: read_by.reduce(|a, b| a + b) }
    }

    /// All channels of the place, explained by some of them: half of it counts channel by channel, since they are the residual, and half by
    /// what the next maps make of them.
    fn target(self) -> Target {
        let size = self.covariance.nrows();
        let share = |metric: Matrix| {
            let whole = (&metric * &self.covariance).trace();
            if whole > 0.0 { metric / whole } else { metric }
        };
        let metric = match self.read_by {
            Some(read_by) => share(Matrix::identity(size, size)) + share(read_by),
            None => share(Matrix::identity(size, size)),
        };
        let (root, _) = low_rank::root(&metric);
        let with_target = low_rank::compressed(&(root.transpose() * &self.covariance), DIRECTIONS);
        Target { features: self.covariance, with_target, weight: 1.0 }
    }
}

/// Every place of the layers that the student begins as.
fn places(start: &Start<'_>) -> Vec<Site> {
    let (sample, encoder) = (start.sample, &start.teacher.encoder);
    let mut states = sample.embedded(&encoder.embeddings);
    let mut places = Vec::new();
    for (index, layer) in encoder.layers.iter().enumerate() {
        let (attention, first) = (layer.attention.as_ref(), &layer.feed_forward.blocks[0].dense1);
        let attention = attention.expect("a checked teacher has attention in every layer");
        let begun = start.layers.contains(&(index + 1));
        if begun || index == 0 {
            let key = attention.key.as_ref().unwrap_or(&attention.query);
            places.push(Site::of(sample, &states, &[&attention.query, key, &attention.value]));
        }
        states = sample.through(states, |x, mask| attention.forward_self(x, mask, AttentionOptions::default()).hidden);
        if begun {
            places.push(Site::of(sample, &states, &[first]));
        }
        states = sample.through(states, |x, _| layer.feed_forward.forward(x));
    }
    places.push(Site::of(sample, &states, &[]));
    places
}

/// The channels of most variance, relative to that of all channels at a place.
fn by_variance(places: &[Site], count: usize) -> Vec<usize> {
    let size = places.first().map_or(0, |place| place.covariance.nrows());
    let score = |channel: usize| -> f64 {
        let share =
            |place: &Site| place.covariance[(channel, channel)] / place.covariance.trace().max(f64::MIN_POSITIVE);
        places.iter().map(share).sum()
    };
    let scores: Vec<f64> = (0..size).map(score).collect();
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}
