//! Values that are read where they lie.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

/// Values that one thread looks at before it is worth asking another.
const BLOCK: usize = 1 << 16;

/// `f32` values, their own or a part of memory that others share, such as a mapped weight file.
#[derive(Clone)]
pub struct Floats {
    values: Values,
    /// Whether all are finite, once that has been asked.
    finite: OnceLock<bool>,
}

#[derive(Clone)]
enum Values {
    /// Clones share them, so that a weight is told from others by where it lies.
    Owned(Arc<Vec<f32>>),
    Shared(Arc<dyn AsRef<[f32]> + Send + Sync>),
}

impl Floats {
    /// Values that `memory` holds; it must give the same slice whenever it is asked. Clones share it.
    pub fn shared(memory: Arc<dyn AsRef<[f32]> + Send + Sync>) -> Self {
        Self { values: Values::Shared(memory), finite: OnceLock::new() }
    }

    /// Some of the values, in the same memory where it is shared.
    ///
    /// # Panics
    /// There are not that many.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        match &self.values {
            Values::Owned(values) => values[range].to_vec().into(),
            Values::Shared(memory) => {
                let memory = Arc::clone(memory);
                assert!(range.end <= (*memory).as_ref().len() && range.start <= range.end, "a part of {range:?}");
                Self::shared(Arc::new(Part { memory, range }))
            }
        }
    }

    /// Whether the values lie in memory that is not their own.
    pub fn are_shared(&self) -> bool {
        matches!(self.values, Values::Shared(_))
    }

    /// Whether no value is infinite or NaN. Looks at every value once, with the feature `threads` by all threads of the current rayon
    /// pool: later calls, also on clones, know the answer.
    pub fn are_finite(&self) -> bool {
        *self.finite.get_or_init(|| all_finite(self))
    }
}

/// A part of memory that others share.
struct Part {
    memory: Arc<dyn AsRef<[f32]> + Send + Sync>,
    range: Range<usize>,
}

impl AsRef<[f32]> for Part {
    fn as_ref(&self) -> &[f32] {
        &(*self.memory).as_ref()[self.range.clone()]
    }
}

/// Whether no value is infinite or NaN.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    // Without an early exit inside a block: a plain reduction is what the compiler makes vectors of.
    let finite = |block: &[f32]| block.iter().fold(true, |all, v| all & v.is_finite());
    #[cfg(feature = "threads")]
    if values.len() > BLOCK {
        use rayon::prelude::*;
        return values.par_chunks(BLOCK).all(finite);
    }
    values.chunks(BLOCK).all(finite)
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.values {
            Values::Owned(values) => values,
            Values::Shared(memory) => (**memory).as_ref(),
        }
    }
}

impl From<Vec<f32>> for Floats {
    fn from(values: Vec<f32>) -> Self {
        Self { values: Values::Owned(Arc::new(values)), finite: OnceLock::new() }
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_are_found_wherever_they_stand() {
        for len in [1, 7, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            assert!(Floats::from(vec![1.5; len]).are_finite());
            for at in [0, len / 2, len - 1] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut values = vec![-2.0; len];
                    values[at] = bad;
                    assert!(!Floats::from(values).are_finite(), "{bad} at {at} of {len}");
                }
            }
        }
        assert!(Floats::from(Vec::new()).are_finite());
    }

    #[test]
    fn shared_values_stay_where_they_are() {
        let memory = Arc::new(vec![1.0, 2.0]);
        let shared = Floats::shared(memory.clone());
        assert_eq!(shared.as_ptr(), memory.as_ptr());
        assert!(shared.are_finite() && shared.clone().are_finite());
        let part = shared.part(1..2);
        assert!(part.are_shared() && part.as_ptr() == memory[1..].as_ptr() && part[..] == [2.0]);
        assert_eq!(Floats::from(vec![1.0, 2.0, 3.0]).part(1..3)[..], [2.0, 3.0]);
    }
}
