//! Memory of a session: aligned, reused, written by several workers at once.

use std::marker::PhantomData;

/// One cache line, so that rows of different workers share none.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Values in a cache line.
pub(crate) const LINE: usize = 16;

/// Values that start at a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// Makes room for `len` values. What was there stays; growing loses nothing.
    pub fn reserve(&mut self, len: usize) {
        let lines = len.div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0.0; LINE]));
        }
    }

    /// First value; the plan decides which thread writes through it.
    pub fn pointer(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    /// The first `len` values.
    pub fn values(&self, len: usize) -> &[f32] {
        assert!(len <= self.lines.len() * LINE, "{len} values of {}", self.lines.len() * LINE);
        // SAFETY: a line is `LINE` floats without padding, the buffer holds at least `len` of them, all initialized.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), len) }
    }
}

/// A slice whose elements different workers take.
///
/// This is `&mut [T]` with the promise of disjointness moved from the compiler to the caller.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: elements reach another thread as if the `&mut` they come from had been split, so `T: Send` is what it takes.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// One element.
    ///
    /// # Safety
    /// No other thread holds element `index` while the result lives.
    ///
    /// # Panics
    /// There is no such element.
    #[allow(clippy::mut_from_ref)] // the contract above is what makes it exclusive
    pub unsafe fn get(&self, index: usize) -> &mut T {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: in bounds, alive for 'a, and exclusive by the caller's promise.
        unsafe { &mut *self.start.add(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_at_a_cache_line_and_keeps_its_values_when_it_grows() {
        let mut buffer = Buffer::default();
        buffer.reserve(3);
        assert_eq!(buffer.pointer().align_offset(64), 0);
        // SAFETY: three values were reserved.
        unsafe { buffer.pointer().add(2).write(7.0) };
        buffer.reserve(1000);
        assert_eq!(buffer.values(3), [0.0, 0.0, 7.0]);
        assert_eq!(buffer.values(1000)[999], 0.0);
    }
}
