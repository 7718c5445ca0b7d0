//! Steps, places and weights while a model is compiled.

use cpu_kernels::elementwise::Activation;
use cpu_kernels::matmul::{MatRef, Precision, Weights};

use super::{Packed, Slot};
use crate::program::{Domain, Place, Product, RowOp, Step, Sync, View, Work};
use crate::spec::{Layout, Linear, Norm};

/// What has been compiled so far.
pub(super) struct Builder {
    precision: Precision,
    pub linears: Vec<Packed>,
    pub norms: Vec<Norm>,
    pub places: Vec<usize>,
    free_places: Vec<usize>,
    pub slots: Vec<Slot>,
    free_slots: Vec<usize>,
    steps: Vec<Step>,
}

impl Builder {
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            linears: Vec::new(),
            norms: Vec::new(),
            places: Vec::new(),
            free_places: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The steps since the last call.
    pub fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// A scratch place for rows of `width`: a free one that wastes least, or the widest free one made wider.
    pub fn place(&mut self, width: usize) -> Place {
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
        Place::Scratch(index)
    }

    /// The value there is not needed by any later step.
    pub fn release(&mut self, place: Place) {
        if let Place::Scratch(index) = place {
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

    /// Packs `x` in the model's precision.
    pub fn pack(&mut self, domain: Domain, x: View, width: usize) -> usize {
        let precision = self.precision;
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

    pub fn product(&mut self, domain: Domain, slot: usize, linear: usize, activation: Option<Activation>, out: Place) {
        self.step(domain, Work::Product(Product { slot, linear, activation, out }));
    }

    /// Packs a linear map in the model's precision.
    pub fn linear(&mut self, linear: Linear) -> usize {
        self.linear_in(linear, self.precision)
    }

    pub fn linear_in(&mut self, linear: Linear, precision: Precision) -> usize {
        let (inputs, outputs) = (linear.inputs, linear.outputs);
        self.narrowed(linear, inputs, outputs, precision)
    }

    /// Packs the map from the first `inputs` to the first `outputs` channels.
    pub fn narrow(&mut self, linear: Linear, inputs: usize, outputs: usize) -> usize {
        self.narrowed(linear, inputs, outputs, self.precision)
    }

    fn narrowed(&mut self, linear: Linear, inputs: usize, outputs: usize, precision: Precision) -> usize {
        let view = match linear.layout {
            Layout::InOut => MatRef::new(&linear.weight, inputs, outputs, linear.outputs, 1),
            Layout::OutIn => MatRef::new(&linear.weight, inputs, outputs, 1, linear.inputs),
        };
        let weights = Weights::pack(view, precision);
        let mut bias = linear.bias;
        bias.truncate(outputs);
        self.linears.push(Packed { weights, bias });
        self.linears.len() - 1
    }

    /// `Norm(x)` in a new place.
    pub fn norm_from(&mut self, x: View, norm: Norm, width: usize) -> Place {
        let out = self.place(width);
        self.norms.push(norm);
        let norm = self.norms.len() - 1;
        self.row(Domain::Tokens, RowOp::Norm { x, residual: None, norm, out: out.whole() });
        out
    }

    /// `Norm(x + residual)` in a new place, or in `target`. Releases `x`, but not the residual.
    pub fn normed(
        &mut self,
        x: Place,
        residual: Option<View>,
        norm: Norm,
        width: usize,
        target: Option<Place>,
    ) -> Place {
        let out = target.unwrap_or_else(|| self.place(width));
        self.norms.push(norm);
        let norm = self.norms.len() - 1;
        self.row(Domain::Tokens, RowOp::Norm { x: x.whole(), residual, norm, out: out.whole() });
        self.release(x);
        out
    }
}

/// One map that gives the outputs of all, side by side. They must take the same input.
pub(super) fn fuse(parts: Vec<Linear>) -> Linear {
    let inputs = parts[0].inputs;
    debug_assert!(parts.iter().all(|p| p.inputs == inputs));
    if parts.len() == 1 {
        return parts.into_iter().next().expect("one part");
    }
    let outputs = parts.iter().map(|p| p.outputs).sum();
    let bias = parts.iter().flat_map(|p| p.bias.iter().copied()).collect();
    let mut weight = Vec::with_capacity(inputs * outputs);
    let layout = if parts.iter().all(|p| p.layout == Layout::OutIn) {
        parts.iter().for_each(|p| weight.extend_from_slice(&p.weight));
        Layout::OutIn
    } else {
        for input in 0..inputs {
            for p in &parts {
                match p.layout {
                    Layout::InOut => weight.extend_from_slice(&p.weight[input * p.outputs..][..p.outputs]),
                    Layout::OutIn => weight.extend((0..p.outputs).map(|o| p.weight[o * inputs + input])),
                }
            }
        }
        Layout::InOut
    };
    Linear { inputs, outputs, layout, weight, bias }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(layout: Layout, inputs: usize, outputs: usize) -> Linear {
        // Entry (input, output) is 10 input + output in both layouts.
        let at = |i: usize, o: usize| (10 * i + o) as f32;
        let weight = match layout {
            Layout::InOut => (0..inputs).flat_map(|i| (0..outputs).map(move |o| at(i, o))).collect(),
            Layout::OutIn => (0..outputs).flat_map(|o| (0..inputs).map(move |i| at(i, o))).collect(),
        };
        Linear { inputs, outputs, layout, weight, bias: (0..outputs).map(|o| o as f32).collect() }
    }

    #[test]
    fn fused_maps_stand_side_by_side_in_either_layout() {
        let by_output = fuse(vec![linear(Layout::OutIn, 2, 1), linear(Layout::OutIn, 2, 3)]);
        assert_eq!((by_output.layout, by_output.outputs), (Layout::OutIn, 4));
        assert_eq!(by_output.weight, [0., 10., 0., 10., 1., 11., 2., 12.]);
        let mixed = fuse(vec![linear(Layout::InOut, 2, 1), linear(Layout::OutIn, 2, 3)]);
        assert_eq!((mixed.layout, mixed.outputs), (Layout::InOut, 4));
        assert_eq!(mixed.weight, [0., 0., 1., 2., 10., 10., 11., 12.]);
        assert_eq!(mixed.bias, [0., 0., 1., 2.]);
    }

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
