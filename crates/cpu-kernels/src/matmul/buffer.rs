//! Memory that starts on a cache line.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Tiles are loaded by cache lines.
const ALIGNMENT: usize = 64;

/// Bytes that start on a cache line.
#[derive(Debug)]
pub(crate) struct Buffer {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a `Buffer` owns its memory; sharing it hands out pointers only, whose users promise not to race.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Bytes that begin as zeros.
    pub(crate) fn new(bytes: usize) -> Self {
        Self::allocated(bytes, alloc_zeroed)
    }

    /// Bytes that must not be read before they have been written: clearing large ones costs as much as filling them.
    pub(crate) fn uninitialized(bytes: usize) -> Self {
        let buffer = Self::allocated(bytes, alloc);
        // In this crate's own tests what nobody wrote is NaN instead of whatever was there; Miri sees it by itself.
        #[cfg(all(test, not(miri)))]
        // SAFETY: the buffer's own bytes.
        unsafe {
            buffer.start().write_bytes(0xff, bytes);
        }
        buffer
    }

    fn allocated(bytes: usize, allocate: unsafe fn(Layout) -> *mut u8) -> Self {
        if bytes == 0 {
            return Self { start: NonNull::dangling(), bytes };
        }
        let layout = Self::layout(bytes);
        // SAFETY: the layout has a size above zero.
        let start = unsafe { allocate(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, bytes }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, ALIGNMENT).expect("operands are far smaller than the address space")
    }

    /// At least `bytes`; what was there is lost when it has to grow.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if bytes > self.bytes {
            *self = Self::new(bytes);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first byte. Writing through it is for the owner, or for threads that divided the bytes among themselves.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: allocated in `new` with the same layout.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) };
        }
    }
}
