//! Which small layer each large one comes from, and what makes a new layer pass its input on.

use encoder_spec::{Layer, Shape};

use crate::programs::vanishes;
use crate::{Depth, Error, NewLayers, Result};

/// Where a layer of the large model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The small layer, from 0.
    pub source: usize,
    /// Whether an earlier layer comes from it too.
    pub is_new: bool,
}

/// Of each layer of the large model, the first ones of each small layer being in the order of the small model.
pub(crate) fn origins(depth: Depth, small: usize, large: usize) -> Vec<Origin> {
    let source = |i: usize| match depth {
        Depth::Stack => i % small,
        Depth::Interleave => i * small / large,
        Depth::CopyLast => i.min(small - 1),
    };
    let mut seen = vec![false; small];
    let of = |i| Origin { source: source(i), is_new: std::mem::replace(&mut seen[source(i)], true) };
    (0..large).map(of).collect()
}

/// What a weight of a layer is where new layers pass their input on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passing {
    /// That of the layer's source.
    Source,
    /// A constant.
    Constant(f32),
    /// That of the norm at the end of the last old layer below.
    NormOfOld,
}

/// Paths of norms inside a layer, without the layer's own, in the order of the computation. The last one gives the layer's output, where norms
/// come last.
fn norms(layer: &Layer<Shape>) -> Vec<String> {
    if layer.bottleneck.is_some() {
        return vec![LAST_OF_BOTTLENECK.into()];
    }
    let attention = layer.attention.iter().map(|_| "attention.norm".to_owned());
    attention.chain((0..layer.feed_forward.blocks.len()).map(|i| format!("feed_forward.blocks.{i}.norm"))).collect()
}

const LAST_OF_BOTTLENECK: &str = "bottleneck.output_norm";

/// Path of the norm that gives the layer's output.
pub(crate) fn last_norm(layer: &Layer<Shape>) -> String {
    norms(layer).pop().unwrap_or_default()
}

/// What the weights of the layers are where new layers are [`NewLayers::Identity`].
pub(crate) struct Passers<'a> {
    layers: &'a [Layer<Shape>],
    origins: &'a [Origin],
    is_identity: bool,
}

impl<'a> Passers<'a> {
    /// # Errors
    /// [`Error::NoOperator`] for a feed-forward that gives more than 0 whatever its second map is.
    pub fn new(layers: &'a [Layer<Shape>], origins: &'a [Origin], new_layers: NewLayers) -> Result<Self> {
        let is_identity = new_layers == NewLayers::Identity;
        for (i, (layer, _)) in layers.iter().zip(origins).enumerate().filter(|(_, (_, o))| is_identity && o.is_new) {
            let f = &layer.feed_forward;
            if layer.bottleneck.is_none() && !f.blocks.is_empty() && !vanishes(&f.program) {
                let message = "its feed-forward gives more than 0 where its second map is 0, so that it cannot pass on what it gets; take \
                               `new_layers = \"copied\"`";
                return Err(Error::NoOperator { part: format!("layer {}", i + 1), message: message.into() });
            }
        }
        Ok(Self { layers, origins, is_identity })
    }

    /// Whether layer `i` passes on what it gets.
    pub fn passes(&self, i: usize) -> bool {
        self.is_identity && self.origins[i].is_new
    }

    /// What the weight at `rest`, the path inside layer `i`, is. `leaf` is its last part.
    ///
    /// A layer with norms after its residuals normalizes what it passes on. So the layers below hand over normalized values: the scale and shift
    /// of the old layer's last norm stand in the last norm of the last new layer on it, and are 1 and 0 in between.
    pub fn at(&self, i: usize, rest: &str) -> Passing {
        let layer = &self.layers[i];
        let (part, leaf) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let passes = self.passes(i);
        let is_last_map = match &layer.bottleneck {
            Some(_) => part == "bottleneck.output",
            None => part == "attention.output" || part.starts_with("feed_forward.") && part.ends_with(".dense2"),
        };
        if passes && is_last_map {
            return Passing::Constant(0.0);
        }
        let is_last_norm = !layer.norm_first && part == last_norm(layer);
        let below_new = i + 1 < self.layers.len() && self.passes(i + 1);
        let is_inner_norm =
            passes && !layer.norm_first && norms(layer).iter().any(|norm| norm == part) && !is_last_norm;
        if is_inner_norm || is_last_norm && below_new {
            return Passing::Constant(if leaf == "weight" { 1.0 } else { 0.0 });
        }
        if is_last_norm && passes { Passing::NormOfOld } else { Passing::Source }
    }

    /// The last old layer at or below layer `i`.
    pub fn old_below(&self, i: usize) -> usize {
        (0..=i).rev().find(|&j| !self.origins[j].is_new).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_from_where_the_definition_says() {
        let of = |depth, small, large| {
            let origins = origins(depth, small, large);
            let sources: Vec<usize> = origins.iter().map(|o| o.source).collect();
            let old: Vec<usize> = (0..large).filter(|&i| !origins[i].is_new).collect();
            (sources, old)
        };
        assert_eq!(of(Depth::Stack, 3, 7), (vec![0, 1, 2, 0, 1, 2, 0], vec![0, 1, 2]));
        assert_eq!(of(Depth::Interleave, 3, 7), (vec![0, 0, 0, 1, 1, 2, 2], vec![0, 3, 5]));
        assert_eq!(of(Depth::CopyLast, 3, 5), (vec![0, 1, 2, 2, 2], vec![0, 1, 2]));
        for depth in [Depth::Stack, Depth::Interleave, Depth::CopyLast] {
            for (small, large) in [(1, 1), (1, 5), (4, 4), (5, 12), (7, 9)] {
                let (sources, old) = of(depth, small, large);
                assert_eq!(old.iter().map(|&i| sources[i]).collect::<Vec<_>>(), (0..small).collect::<Vec<_>>());
            }
        }
    }
}
