//! Steps, places and weights while a model is compiled.

use std::collections::HashMap;

use cpu_kernels::elementwise::Activation;
use cpu_kernels::matmul::{MatRef, Precision, ScaledColumns, Weights};

use encoder_spec::{MappedTensor, Normalization, Rotary, Transform};
use mlp_space::Binary;

use super::{Norm, Packed, PackedWeights, Packing, Slot};
use crate::Error;
use crate::program::{Domain, Memory, Product, RowOp, Step, Sync, View, Work};

/// A linear map with its weights.
pub(crate) type Linear = encoder_spec::Linear<MappedTensor>;
/// A norm with its weights.
pub(crate) type SpecNorm = encoder_spec::Norm<MappedTensor>;

/// A linear map whose weights and bias are multiplied by a number.
#[derive(Clone, Debug)]
pub(crate) struct Scaled {
    pub linear: Linear,
    pub scale: f32,
}

impl From<Linear> for Scaled {
    fn from(linear: Linear) -> Self {
        Self { linear, scale: 1.0 }
    }
}

impl Scaled {
    /// The weights from the first `inputs` to at most the first `outputs` channels.
    fn part(&self, inputs: usize, outputs: usize) -> ScaledColumns<'_> {
        let (rows, columns) = (self.linear.inputs(), self.linear.outputs());
        let values = MatRef::new(&self.linear.weight.data, inputs, outputs.min(columns), 1, rows);
        ScaledColumns { values, scale: self.scale }
    }
}

/// Maps of the same input, side by side, that have yet to be packed.
#[derive(Debug)]
pub(crate) struct Unpacked {
    maps: Vec<Scaled>,
    /// The channels that are used; `outputs` is less than there are only where there is one map.
    inputs: usize,
    outputs: usize,
    precision: Precision,
}

impl Unpacked {
    /// Packs the weights, ahead or at use.
    ///
    /// # Errors
    /// A weight is not finite.
    pub fn pack(self, packing: Packing) -> Result<Packed, Error> {
        // Just before they are packed, which then finds them in the processor's cache.
        if !self.maps.iter().all(|m| m.linear.weight.data.are_finite()) {
            return Err(Error::NotFinite { what: "weights of a product".into() });
        }
        let mut bias = Vec::new();
        for Scaled { linear, scale } in &self.maps {
            match &linear.bias {
                Some(own) => bias.extend(own.data.iter().map(|b| b * scale)),
                None => bias.resize(bias.len() + linear.outputs(), 0.0),
            }
        }
        bias.truncate(self.outputs);
        let weights = match packing {
            Packing::Ahead => PackedWeights::Ready(Weights::pack_parts(&self.parts(), self.precision)),
            Packing::AtUse => PackedWeights::AtUse(self),
        };
        Ok(Packed { weights, bias })
    }

    /// The weights where they lie.
    pub fn parts(&self) -> Vec<ScaledColumns<'_>> {
        self.maps.iter().map(|m| m.part(self.inputs, self.outputs)).collect()
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        self.maps.iter().map(|m| m.linear.weight.data.len() * 4).sum()
    }
}

/// Where a weight lies in memory, which tells it from others while a model is compiled.
fn place_of(weight: &MappedTensor) -> usize {
    weight.data.as_ptr().addr()
}

/// What has been compiled so far.
pub(crate) struct Builder {
    precision: Precision,
    /// Where the weights lie of maps that are computed in another format, and that format.
    others: HashMap<usize, Precision>,
    pub linears: Vec<Unpacked>,
    pub norms: Vec<Norm>,
    pub places: Vec<usize>,
    free_places: Vec<usize>,
    pub slots: Vec<Slot>,
    free_slots: Vec<usize>,
    steps: Vec<Step>,
    /// Turns of positions, each with the width of heads.
    pub turns: Vec<(Rotary, usize)>,
}

impl Builder {
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            others: HashMap::new(),
            linears: Vec::new(),
            norms: Vec::new(),
            places: Vec::new(),
            free_places: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            steps: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Computes the map of these weights in `precision`, whatever the model's is.
    pub fn except(&mut self, weight: &MappedTensor, precision: Precision) {
        self.others.insert(place_of(weight), precision);
    }

    /// The format that maps of one input are computed in: the most exact one of any of them.
    pub fn format<'l>(&self, linears: impl IntoIterator<Item = &'l Linear>) -> Precision {
        let other = |linear: &Linear| self.others.get(&place_of(&linear.weight)).copied();
        linears.into_iter().find_map(other).unwrap_or(self.precision)
    }

    /// Turns the heads that stand in `x`, each `width` wide, by their positions.
    pub fn turn(&mut self, x: View, rotary: Rotary, (heads, width): (usize, usize)) {
        let known = self.turns.iter().position(|turns| *turns == (rotary, width));
        let turns = known.unwrap_or_else(|| {
            self.turns.push((rotary, width));
            self.turns.len() - 1
        });
        self.row(Domain::Tokens, RowOp::Turn { x, heads, width, turns });
    }

    /// The steps since the last call.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// A scratch place for rows of `width`: a free one that wastes least, or the widest free one made wider.
    pub fn place(&mut self, width: usize) -> Memory {
        let waste = |&i: &usize| match self.places[i] {
            has if has >= width => (0, has),
            has => (1, usize::MAX - has),
        };
        let best = (0..self.free_places.len()).min_by_key(|&at| waste(&self.free_places[at]));
        let index = match best {
            Some(at) => self.free_places.swap_remove(at),
            None => {
                self.places.push(0);
                self.places.len() - 1
            }
        };
        self.places[index] = self.places[index].max(width);
        Memory::Scratch(index)
    }

    /// The value there is not needed by any later step.
    pub fn release(&mut self, place: Memory) {
        if let Memory::Scratch(index) = place {
            debug_assert!(!self.free_places.contains(&index), "place {index} released twice");
            self.free_places.push(index);
        }
    }

    /// Adds an operation on rows: to the last step if that is one of rows too.
    pub fn row(&mut self, domain: Domain, op: RowOp) {
        if let Some(Step { domain: last, work: Work::Rows(ops), .. }) = self.steps.last_mut()
            && *last == domain
        {
            ops.push(op);
            return;
        }
        self.step(domain, Work::Rows(vec![op]));
    }

    pub fn step(&mut self, domain: Domain, work: Work) {
        let is_attention = |work: &Work| matches!(work, Work::Attention(_));
        let sync = match self.steps.last().map(|s| &s.work) {
            // A product reads what was packed before the product that precedes it, so the two need not wait.
            Some(Work::Product(_)) if matches!(work, Work::Product(_)) => Sync::None,
            // Attention reads all tokens, and what it reads may be overwritten after it.
            Some(last) if domain == Domain::Tokens && !is_attention(last) && !is_attention(&work) => Sync::Part,
            _ => Sync::Lane,
        };
        self.steps.push(Step { domain, sync, work });
    }

    /// Packs `x` as the operand of this map.
    pub fn pack(&mut self, domain: Domain, x: View, width: usize, of: &Linear) -> usize {
        let precision = self.format([of]);
        self.pack_in(domain, x, Slot { width, precision })
    }

    /// Packs `x` as the operand of these maps.
    pub fn pack_for(&mut self, domain: Domain, x: View, width: usize, maps: &[Scaled]) -> usize {
        let precision = self.format(maps.iter().map(|map| &map.linear));
        self.pack_in(domain, x, Slot { width, precision })
    }

    pub fn pack_in(&mut self, domain: Domain, x: View, slot: Slot) -> usize {
        let free = self.free_slots.iter().position(|&i| self.slots[i] == slot);
        let index = match free {
            Some(at) => self.free_slots.swap_remove(at),
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.row(domain, RowOp::Pack { x, slot: index });
        index
    }

    /// What is packed there is not needed by any later step.
    pub fn release_slot(&mut self, slot: usize) {
        self.free_slots.push(slot);
    }

    pub fn product(&mut self, domain: Domain, slot: usize, linear: usize, activation: Option<Activation>, out: Memory) {
        self.step(domain, Work::Product(Product { slot, linear, activation, out }));
    }

    /// A linear map in its format.
    pub fn linear(&mut self, linear: Linear) -> usize {
        let precision = self.format([&linear]);
        self.linear_in(linear, precision)
    }

    pub fn linear_in(&mut self, linear: Linear, precision: Precision) -> usize {
        let (inputs, outputs) = (linear.inputs(), linear.outputs());
        self.unpacked(Unpacked { maps: vec![linear.into()], inputs, outputs, precision })
    }

    /// The map from the first `inputs` to the first `outputs` channels.
    pub fn narrow(&mut self, linear: Linear, inputs: usize, outputs: usize, precision: Precision) -> usize {
        self.unpacked(Unpacked { maps: vec![linear.into()], inputs, outputs, precision })
    }

    /// One map that gives the outputs of all, side by side. They must take the same input.
    pub fn fuse(&mut self, maps: Vec<Scaled>) -> usize {
        let (inputs, precision) = (maps[0].linear.inputs(), self.format(maps.iter().map(|map| &map.linear)));
        debug_assert!(maps.iter().all(|m| m.linear.inputs() == inputs));
        let outputs = maps.iter().map(|m| m.linear.outputs()).sum();
        self.unpacked(Unpacked { maps, inputs, outputs, precision })
    }

    fn unpacked(&mut self, linear: Unpacked) -> usize {
        self.linears.push(linear);
        self.linears.len() - 1
    }

    fn norm(&mut self, norm: SpecNorm) -> usize {
        let eps = match norm.kind {
            Normalization::LayerNorm { eps } => Some(eps as f32),
            Normalization::NoNorm => None,
        };
        let weight = norm.weight.data.to_vec();
        let bias = norm.bias.map_or_else(|| vec![0.0; weight.len()], |bias| bias.data.to_vec());
        self.norms.push(Norm { eps, weight, bias });
        self.norms.len() - 1
    }

    /// `x + y` in `target`, or in the place of `x`. Releases `y`, and `x` where it is not the place of the sum.
    pub fn sum(&mut self, x: Memory, y: Memory, width: usize, target: Option<Memory>) -> Memory {
        let out = target.unwrap_or(x);
        let (a, b) = (x.whole(), y.whole());
        self.row(Domain::Tokens, RowOp::Binary { op: Binary::Add, a, b, out: out.whole(), width });
        self.release(y);
        if out != x {
            self.release(x);
        }
        out
    }

    /// `Norm(act(x W + b))` in `out`; `x` stays.
    pub fn transform(&mut self, domain: Domain, x: View, transform: Transform<MappedTensor>, out: Memory) {
        let Transform { dense, activation, norm } = transform;
        let (inputs, outputs) = (dense.inputs(), dense.outputs());
        let slot = self.pack(domain, x, inputs, &dense);
        let y = self.place(outputs);
        let linear = self.linear(dense);
        self.product(domain, slot, linear, Some(activation.into()), y);
        self.release_slot(slot);
        let norm = self.norm(norm);
        self.row(domain, RowOp::Norm { x: y.whole(), residual: None, norm, out: out.whole() });
        self.release(y);
    }

    /// `Norm(x)` in a new place.
    pub fn norm_from(&mut self, x: View, norm: SpecNorm, width: usize) -> Memory {
        let out = self.place(width);
        let norm = self.norm(norm);
        self.row(Domain::Tokens, RowOp::Norm { x, residual: None, norm, out: out.whole() });
        out
    }

    /// `Norm(x + residual)` in a new place, or in `target`. Releases `x`, but not the residual.
    pub fn normed(
        &mut self,
        x: Memory,
        residual: Option<View>,
        norm: SpecNorm,
        width: usize,
        target: Option<Memory>,
    ) -> Memory {
        let out = target.unwrap_or_else(|| self.place(width));
        let norm = self.norm(norm);
        self.row(Domain::Tokens, RowOp::Norm { x: x.whole(), residual, norm, out: out.whole() });
        self.release(x);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_wasted_least() {
        let mut b = Builder::new(Precision::F32);
        let (wide, narrow) = (b.place(30), b.place(10));
        b.release(wide);
        b.release(narrow);
        assert_eq!(b.place(8), narrow);
        assert_eq!(b.place(8), wide);
        b.release(narrow);
        b.release(wide);
        assert_eq!(b.place(40), wide);
        assert_eq!(b.places, [40, 10]);
    }
}
