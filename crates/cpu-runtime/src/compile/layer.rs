//! Layers.

use cpu_kernels::matmul::Precision;
use encoder_spec::{Attention, AttentionSource, Bottleneck, FeedForward, Layer, MappedTensor};

use super::block::Graph;
use super::builder::{Builder, Linear, Scaled, SpecNorm};
use crate::program::{AttentionStep, Domain, Memory, View, Work};

const TOKENS: Domain = Domain::Tokens;
/// Why a norm is there.
const NORM: &str = "a checked encoder: where norms come after, every attention has one";

impl Builder {
    /// One layer of `hidden` states at `x`, which is released; the result goes to `target` or a new place.
    pub fn layer(&mut self, layer: Layer<MappedTensor>, x: Memory, hidden: usize, target: Option<Memory>) -> Memory {
        let Layer { attention, feed_forward, bottleneck, norm_first } = layer;
        match bottleneck {
            None if norm_first => self.layer_of_norms(attention, feed_forward, x, hidden, target),
            None => self.plain_layer(attention, feed_forward, x, hidden, target),
            Some(bottleneck) => self.bottleneck_layer(attention, feed_forward, bottleneck, x, hidden, target),
        }
    }

    fn plain_layer(
        &mut self,
        attention: Option<Attention<MappedTensor>>,
        feed_forward: FeedForward<MappedTensor>,
        x: Memory,
        hidden: usize,
        target: Option<Memory>,
    ) -> Memory {
        let Some(attention) = attention else { return self.feed_forward(feed_forward, x, hidden, target) };
        let no_feed_forward = feed_forward.blocks.is_empty();
        let (context, output, norm) = self.attention(attention, x, hidden);
        let after = if no_feed_forward { target } else { None };
        let y = self.residual_norm(context, output, x.whole(), norm.expect(NORM), after);
        self.release(x);
        self.feed_forward(feed_forward, y, hidden, target)
    }

    /// `softmax(Q K^T) V` of all heads of what stands at `x`, which stays; with the output map and the norm, which are yet to come.
    fn attention(
        &mut self,
        attention: Attention<MappedTensor>,
        x: Memory,
        hidden: usize,
    ) -> (Memory, Linear, Option<SpecNorm>) {
        let Attention { heads, query, key, value, output, norm, rotary, reach } = attention;
        let inside = query.outputs();
        let precision = self.format([&query, &value].into_iter().chain(&key));
        let (maps, scale) = projections(heads, query, key);
        let (q, k, v) = columns(0, &maps);
        let qkv = self.fused(x.whole(), hidden, with(maps, value));
        if let Some(rotary) = rotary {
            // Queries and keys stand side by side; where they are one they are turned once.
            let turned = if q == k { heads } else { 2 * heads };
            self.turn(qkv.from(q), rotary, (turned, inside / heads));
        }
        let see = See { heads, width: inside / heads, scale, reach, precision };
        let context = self.attend(see, qkv.from(q), qkv.from(k), qkv.from(v));
        self.release(qkv);
        (context, output, norm)
    }

    /// `x + attention(Norm(x))`, then `x + f(Norm(x))`.
    fn layer_of_norms(
        &mut self,
        attention: Option<Attention<MappedTensor>>,
        feed_forward: FeedForward<MappedTensor>,
        x: Memory,
        hidden: usize,
        target: Option<Memory>,
    ) -> Memory {
        let FeedForward { program, inner, blocks } = feed_forward;
        let (graph, count) = (Graph::new(&program, hidden, inner), blocks.len());
        let x = match attention {
            None => x,
            Some(mut attention) => {
                let normed = attention.norm.take().map(|norm| self.norm_from(x.whole(), norm, hidden));
                let (context, output, _) = self.attention(attention, normed.unwrap_or(x), hidden);
                normed.into_iter().for_each(|normed| self.release(normed));
                let y = self.mapped(context, output);
                self.sum(x, y, hidden, target.filter(|_| count == 0))
            }
        };
        let blocks = blocks.into_iter().enumerate();
        blocks.fold(x, |x, (i, block)| self.block_of_norm(&graph, block, x, target.filter(|_| i + 1 == count)))
    }

    /// MobileBERT's: everything that starts from the wide input is one product.
    fn bottleneck_layer(
        &mut self,
        attention: Option<Attention<MappedTensor>>,
        feed_forward: FeedForward<MappedTensor>,
        bottleneck: Bottleneck<MappedTensor>,
        x: Memory,
        hidden: usize,
        target: Option<Memory>,
    ) -> Memory {
        let Bottleneck { input, input_norm, attention: source, output, output_norm } = bottleneck;
        let attention = attention.expect("a checked encoder: attention stands in every bottleneck");
        let Attention { heads, query, key, value, output: dense, norm, reach, .. } = attention;
        let (width, inside) = (input.outputs(), query.outputs());
        let precision = self.format([&query, &value].into_iter().chain(&key));
        let (maps, scale) = projections(heads, query, key);
        let see = See { heads, width: inside / heads, scale, reach, precision };
        let (narrow, residual, context) = match source {
            AttentionSource::Wide => {
                let (q, k, v) = columns(width, &maps);
                let all = self.fused(x.whole(), hidden, [vec![input.into()], with(maps, value)].concat());
                let residual = self.normed_view(all, 0, input_norm, width);
                let context = self.attend(see, all.from(q), all.from(k), all.from(v));
                (all, residual, context)
            }
            AttentionSource::Bottleneck => {
                let all = self.fused(x.whole(), hidden, vec![input.into()]);
                let residual = self.normed_view(all, 0, input_norm, width);
                let (q, k, v) = columns(0, &maps);
                let qkv = self.fused(residual, width, with(maps, value));
                let context = self.attend(see, qkv.from(q), qkv.from(k), qkv.from(v));
                self.release(qkv);
                (all, residual, context)
            }
            AttentionSource::SharedKeyQuery { dense: shared, norm: shared_norm } => {
                let shared_width = shared.outputs();
                let v = width + shared_width;
                let all = self.fused(x.whole(), hidden, vec![input.into(), shared.into(), value.into()]);
                let residual = self.normed_view(all, 0, input_norm, width);
                let shared = self.normed_view(all, width, shared_norm, shared_width);
                let (q, k, _) = columns(0, &maps);
                let qk = self.fused(shared, shared_width, maps);
                if shared.place != all {
                    self.release(shared.place);
                }
                let context = self.attend(see, qk.from(q), qk.from(k), all.from(v));
                self.release(qk);
                (all, residual, context)
            }
        };
        let y = self.residual_norm(context, dense, residual, norm.expect(NORM), None);
        self.release(narrow);
        if residual.place != narrow {
            self.release(residual.place);
        }
        let y = self.feed_forward(feed_forward, y, width, None);
        let slot = self.pack(TOKENS, y.whole(), width, &output);
        self.release(y);
        let wide = self.place(hidden);
        let output = self.linear(output);
        self.product(TOKENS, slot, output, None, wide);
        self.release_slot(slot);
        let out = self.normed(wide, Some(x.whole()), output_norm, hidden, target);
        self.release(x);
        out
    }

    /// The products of one input, side by side in a new place.
    fn fused(&mut self, x: View, width: usize, maps: Vec<Scaled>) -> Memory {
        let slot = self.pack_for(TOKENS, x, width, &maps);
        let out = self.place(maps.iter().map(|m| m.linear.outputs()).sum());
        let linear = self.fuse(maps);
        self.product(TOKENS, slot, linear, None, out);
        self.release_slot(slot);
        out
    }

    /// The columns from `column` on, normed into a new place where there is a norm.
    fn normed_view(&mut self, place: Memory, column: usize, norm: Option<SpecNorm>, width: usize) -> View {
        match norm {
            None => place.from(column),
            Some(norm) => self.norm_from(place.from(column), norm, width).whole(),
        }
    }

    fn attend(&mut self, see: See, q: View, k: View, v: View) -> Memory {
        let See { heads, width, scale, reach, precision } = see;
        let out = self.place(heads * width);
        self.step(TOKENS, Work::Attention(AttentionStep { q, k, v, out, heads, width, scale, reach, precision }));
        out
    }

    /// `x W + b` in a new place; `x` is released.
    fn mapped(&mut self, x: Memory, dense: Linear) -> Memory {
        let (inputs, outputs) = (dense.inputs(), dense.outputs());
        let slot = self.pack(TOKENS, x.whole(), inputs, &dense);
        self.release(x);
        let y = self.place(outputs);
        let linear = self.linear(dense);
        self.product(TOKENS, slot, linear, None, y);
        self.release_slot(slot);
        y
    }

    /// `Norm(residual + x W + b)`; `x` is released.
    fn residual_norm(
        &mut self,
        x: Memory,
        dense: Linear,
        residual: View,
        norm: SpecNorm,
        target: Option<Memory>,
    ) -> Memory {
        let outputs = dense.outputs();
        let y = self.mapped(x, dense);
        self.normed(y, Some(residual), norm, outputs, target)
    }

    fn feed_forward(
        &mut self,
        feed_forward: FeedForward<MappedTensor>,
        x: Memory,
        width: usize,
        target: Option<Memory>,
    ) -> Memory {
        let FeedForward { program, inner, blocks } = feed_forward;
        let (graph, count) = (Graph::new(&program, width, inner), blocks.len());
        let target = |i: usize| if i + 1 == count { target } else { None };
        let blocks = blocks.into_iter().enumerate();
        blocks.fold(x, |x, (i, block)| self.block(&graph, block, x, target(i)))
    }
}

/// How attention looks at its operands.
#[derive(Clone, Copy)]
struct See {
    heads: usize,
    /// Of one head.
    width: usize,
    scale: f32,
    reach: Option<usize>,
    /// That of the maps before.
    precision: Precision,
}

/// Queries, with the scores' scale in their weights, and keys; or what serves as both, and the scale.
fn projections(heads: usize, query: Linear, key: Option<Linear>) -> (Vec<Scaled>, f32) {
    let scale = 1.0 / ((query.outputs() / heads) as f32).sqrt();
    match key {
        None => (vec![query.into()], scale),
        Some(key) => (vec![Scaled { linear: query, scale }, key.into()], 1.0),
    }
}

/// Where queries, keys and values start when the projections stand from `start` on and the values after them.
fn columns(start: usize, maps: &[Scaled]) -> (usize, usize, usize) {
    let width = maps[0].linear.outputs();
    (start, start + (maps.len() - 1) * width, start + maps.len() * width)
}

fn with(mut maps: Vec<Scaled>, value: Linear) -> Vec<Scaled> {
    maps.push(value.into());
    maps
}
