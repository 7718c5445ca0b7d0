//! Values that a forward pass leaves for its backward pass.
//!
//! They are written once, by parts that belong to tasks, and read much later, so they go past the cache. Operands of products in
//! `bf16` lose nothing by being kept in that format.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::OutSlice;
use crate::elementwise::{bf16, stream};

/// Bytes below which values may as well stay in the cache.
const SMALL: usize = 1 << 20;

/// The format of kept values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As they are.
    F32,
    /// Rounded to `bf16`.
    Bf16,
}

/// Kept values.
#[derive(Debug)]
pub struct Store {
    values: Values,
    /// Length of a part.
    part: usize,
    /// Number of values that have been written.
    written: AtomicUsize,
}

#[derive(Debug)]
enum Values {
    F32(Box<[MaybeUninit<f32>]>),
    Bf16(Box<[MaybeUninit<u16>]>),
}

impl Store {
    /// Room for `len` values in parts of `part` values but for the last.
    ///
    /// # Panics
    /// Parts of no values.
    pub fn new(len: usize, part: usize, kept: Kept) -> Self {
        assert!(part > 0, "parts of no values");
        let values = match kept {
            Kept::F32 => Values::F32(Box::new_uninit_slice(len)),
            Kept::Bf16 => Values::Bf16(Box::new_uninit_slice(len)),
        };
        Self { values, part, written: AtomicUsize::new(0) }
    }

    /// The parts in order, each to be filled once.
    ///
    /// # Panics
    /// Values have been written before.
    pub fn parts(&mut self) -> Vec<StorePart<'_>> {
        let Self { values, part, written } = self;
        assert_eq!(*written.get_mut(), 0, "parts are filled once");
        let written = &*written;
        match values {
            Values::F32(values) => {
                let stream = size_of_val(&values[..]) > SMALL;
                values.chunks_mut(*part).map(|to| StorePart { to: Free::F32(to.into()), stream, written }).collect()
            }
            Values::Bf16(values) => {
                let stream = size_of_val(&values[..]) > SMALL;
                values.chunks_mut(*part).map(|to| StorePart { to: Free::Bf16(to.into()), stream, written }).collect()
            }
        }
    }

    /// Reads values.
    ///
    /// # Panics
    /// Not all have been written, they are not there, or `out` has another length.
    pub fn read(&self, range: Range<usize>, out: &mut [f32]) {
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&self.complete(values)[range]),
            Values::Bf16(values) => bf16::to_f32(&self.complete(values)[range], out),
        }
    }

    /// The values themselves, where they are kept as they are.
    ///
    /// # Panics
    /// Not all have been written, or they are rounded.
    pub fn floats(&self) -> &[f32] {
        match &self.values {
            Values::F32(values) => self.complete(values),
            Values::Bf16(_) => panic!("these values are rounded"),
        }
    }

    /// The memory as values.
    fn complete<'a, T>(&self, values: &'a [MaybeUninit<T>]) -> &'a [T] {
        assert_eq!(self.written.load(Ordering::Acquire), values.len(), "values that have been written");
        // SAFETY: `parts` has handed out disjoint parts, once. Each counts the values that it has written from its start on, after
        // writing them, so all of them together have written as many values as there are. Acquire makes them visible here.
        unsafe { values.assume_init_ref() }
    }
}

/// A part of a [`Store`], filled from its start.
#[derive(Debug)]
pub struct StorePart<'a> {
    /// What has not been written yet.
    to: Free<'a>,
    stream: bool,
    written: &'a AtomicUsize,
}

#[derive(Debug)]
enum Free<'a> {
    F32(OutSlice<'a>),
    Bf16(OutSlice<'a, u16>),
}

impl StorePart<'_> {
    /// Adds values.
    ///
    /// # Panics
    /// The part has no room for them.
    pub fn put(&mut self, x: &[f32]) {
        match &mut self.to {
            Free::F32(free) => {
                let to = free.take_first(x.len());
                if self.stream {
                    stream::copy(x, to)
                } else {
                    to.copy_from(x)
                };
            }
            Free::Bf16(free) => {
                let to = free.take_first(x.len());
                if self.stream {
                    stream::from_f32(x, to)
                } else {
                    bf16::from_f32(x, to)
                };
            }
        }
        self.written.fetch_add(x.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i * 7919 % 2003) as f32 * 1.7e-3 - 1.0).collect()
    }

    #[test]
    fn what_was_put_is_read() {
        for (n, part) in [(0, 3), (10, 3), (10, 100), (700_000, 33_000)] {
            let x = values(n);
            for kept in [Kept::F32, Kept::Bf16] {
                let mut store = Store::new(n, part, kept);
                for (mut place, x) in store.parts().into_iter().zip(x.chunks(part)) {
                    let (a, b) = x.split_at(x.len() / 3);
                    place.put(a);
                    place.put(b);
                }
                let mut found = vec![0.0; n];
                store.read(0..n, &mut found);
                let expected: Vec<f32> = match kept {
                    Kept::F32 => x.clone(),
                    Kept::Bf16 => x.iter().map(|&v| f32::from_bits(u32::from(bf16::to_bf16(v)) << 16)).collect(),
                };
                assert!(found == expected, "{n} {part} {kept:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "parts are filled once")]
    fn values_are_not_counted_twice() {
        let mut store = Store::new(10, 5, Kept::Bf16);
        store.parts()[0].put(&[1.0; 5]);
        store.parts()[0].put(&[1.0; 5]);
    }

    #[test]
    #[should_panic(expected = "values that have been written")]
    fn values_that_nobody_wrote_are_not_read() {
        let mut store = Store::new(10, 5, Kept::F32);
        store.parts()[0].put(&[1.0; 5]);
        store.read(0..5, &mut [0.0; 5]);
    }
}
