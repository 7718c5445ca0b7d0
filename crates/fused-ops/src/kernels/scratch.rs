//! What a task needs beside its part of the results.

use std::cell::RefCell;

use cpu_kernels::matmul::Input;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Memory that only one task uses.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The packed left operand of a product.
    pub input: Input,
    /// Values that are not kept, or gradients.
    values: Vec<f32>,
}

impl Scratch {
    /// The packed operand, and slices of these lengths whose content is whatever was there.
    pub fn parts(&mut self, lengths: impl Iterator<Item = usize> + Clone) -> (&mut Input, Vec<&mut [f32]>) {
        let n = lengths.clone().sum::<usize>();
        self.values.resize(self.values.len().max(n), 0.0);
        let mut rest = self.values.as_mut_slice();
        let cut = lengths.map(|n| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(n);
            rest = others;
            part
        });
        (&mut self.input, cut.collect())
    }
}

/// Runs a task with this thread's memory. The task must not wait for others.
pub(crate) fn with_scratch<R>(task: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(task)
}
