//! Slices that an operation writes.

use std::mem::MaybeUninit;

/// A slice to write, whose values need not hold anything before.
///
/// It comes from values (`&mut [T]`) or from fresh memory (`&mut [MaybeUninit<T>]`). An operation that takes one writes all of it and
/// gives it back as the values that it then holds. Only values can be written through it, so none is ever taken away.
#[derive(Debug)]
pub struct OutSlice<'a, T = f32> {
    values: &'a mut [MaybeUninit<T>],
    /// Whether they hold values already.
    initialized: bool,
}

/// Fresh memory for the bodies of operations.
pub(crate) type Uninit = [MaybeUninit<f32>];

impl<'a, T: Copy> From<&'a mut [T]> for OutSlice<'a, T> {
    fn from(values: &'a mut [T]) -> Self {
        // SAFETY: `MaybeUninit<T>` has the layout of `T`. Nothing that is not a value is written through the result: safe
        // methods write values only, and the callers of unsafe ones promise it. So the borrowed slice holds values throughout.
        let values = unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<T>]) };
        Self { values, initialized: true }
    }
}

impl<'a, T: Copy> From<&'a mut Vec<T>> for OutSlice<'a, T> {
    fn from(values: &'a mut Vec<T>) -> Self {
        values.as_mut_slice().into()
    }
}

impl<'a, T: Copy, const N: usize> From<&'a mut [T; N]> for OutSlice<'a, T> {
    fn from(values: &'a mut [T; N]) -> Self {
        values.as_mut_slice().into()
    }
}

impl<'a, T: Copy> From<&'a mut [MaybeUninit<T>]> for OutSlice<'a, T> {
    fn from(values: &'a mut [MaybeUninit<T>]) -> Self {
        Self { values, initialized: false }
    }
}

impl<'a, T: Copy> OutSlice<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether it holds values already.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// The same slice, for a shorter time.
    pub fn reborrow(&mut self) -> OutSlice<'_, T> {
        OutSlice { values: self.values, initialized: self.initialized }
    }

    /// The first `mid` values and the others.
    ///
    /// # Panics
    /// There are fewer.
    pub fn split_at(self, mid: usize) -> (Self, Self) {
        let (first, rest) = self.values.split_at_mut(mid);
        let part = |values| Self { values, initialized: self.initialized };
        (part(first), part(rest))
    }

    /// Takes the first `n` values out; the others stay.
    ///
    /// # Panics
    /// There are fewer.
    pub fn take_first(&mut self, n: usize) -> Self {
        let (first, rest) = std::mem::take(&mut self.values).split_at_mut(n);
        self.values = rest;
        Self { values: first, initialized: self.initialized }
    }

    /// Parts of `size` values, but for the last.
    ///
    /// # Panics
    /// `size` is 0.
    pub fn chunks(self, size: usize) -> impl Iterator<Item = Self> {
        self.values.chunks_mut(size).map(move |values| Self { values, initialized: self.initialized })
    }

    /// Copies `x`.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn copy_from(self, x: &[T]) -> &'a mut [T] {
        self.values.write_copy_of_slice(x)
    }

    /// Writes `value` everywhere.
    pub fn fill(self, value: T) -> &'a mut [T] {
        self.values.fill(MaybeUninit::new(value));
        // SAFETY: every value has just been written.
        unsafe { self.assume_init() }
    }

    /// The first value, to be written through.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.values.as_mut_ptr().cast()
    }

    /// The values that have been written.
    ///
    /// # Safety
    /// All have been written, unless the slice [held values](Self::is_initialized) from the beginning.
    pub unsafe fn assume_init(self) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.values.assume_init_mut() }
    }

    /// The values that `write` writes.
    ///
    /// # Safety
    /// `write` writes every element, and nothing but values.
    pub(crate) unsafe fn write_with(self, write: impl FnOnce(&mut [MaybeUninit<T>])) -> &'a mut [T] {
        write(self.values);
        // SAFETY: the caller's promise.
        unsafe { self.assume_init() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_parts_is_read_as_a_whole() {
        let mut memory = [const { MaybeUninit::<f32>::uninit() }; 7];
        let mut out = OutSlice::from(memory.as_mut_slice());
        assert!(!out.is_initialized() && out.len() == 7 && !out.is_empty());
        let (first, rest) = out.reborrow().split_at(3);
        assert_eq!(first.copy_from(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
        let sizes: Vec<usize> = rest.chunks(3).map(|part| part.fill(4.0).len()).collect();
        assert_eq!(sizes, [3, 1]);
        // SAFETY: both parts have been written.
        assert_eq!(unsafe { out.assume_init() }, [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]);
    }

    #[test]
    fn values_stay_where_nothing_is_written() {
        let mut values = vec![1.0, 2.0];
        let (first, rest) = OutSlice::from(&mut values).split_at(1);
        assert!(first.is_initialized());
        rest.fill(3.0);
        assert_eq!(values, [1.0, 3.0]);
    }

    #[test]
    #[should_panic(expected = "copy_from_slice")]
    fn lengths_that_differ_are_noticed() {
        OutSlice::from(&mut [0.0; 2]).copy_from(&[1.0]);
    }
}
