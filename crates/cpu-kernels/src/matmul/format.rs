//! How packed operands lie in memory.
//!
//! Rows of the left operand and columns of the right one are packed in groups of 32 ("lanes"), so that one block of
//! the product is 32 x 32. Inside a group the inner dimension `k` comes in steps:
//!
//! | format | step of `k` | a step of one group |
//! |---|---|---|
//! | [`Format::Panel`] | 1 | 32 lanes as `f32` |
//! | [`Format::Halves`] | 32 | rows: 32 times 32 lanes as `f32`, of `bf16` values; columns: two tiles as in pairs |
//! | [`Format::Pairs`] | 32 | two tiles of 16 lanes, each with 1 or 3 planes of 1 KiB in `bf16` |
//! | [`Format::Quads`] | 64 | two tiles of 16 lanes of 1 KiB in bytes |
//! | `Format::Fours` | 32 | 8 times 32 lanes with 4 consecutive values in `bf16` each |
//! | `Format::Signed` | 64 | 16 (8) times 32 lanes with 4 (8) consecutive values in bytes each |
//!
//! The last two are those of aarch64, whose instructions take a value of the left operand from any part of a register: both operands have
//! the same layout.
//!
//! A tile of the left operand has its 16 lanes as rows of 64 bytes; a tile of the right one has 16 rows of 64 bytes, each with
//! the 2 (4) consecutive values of `k` for its 16 lanes: the layout of AMX and of the AVX-512 dot-product instructions.
//!
//! Three planes hold `x = high + middle + low` exactly, each a `bf16`: `f32` products on `bf16` hardware from the six
//! products above `2^-24` (Henry, Tang, Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype For
//! Higher-Precision Computations").

use super::Precision;
use super::pack::Side;
use crate::{Isa, isa};

/// Rows in a group of the left operand.
pub const ROW_GROUP: usize = 32;
/// Columns in a group of the right operand.
pub const COL_GROUP: usize = 32;
/// Lanes of a group, rows or columns.
pub(crate) const GROUP: usize = 32;
/// Lanes of a tile.
pub(crate) const TILE: usize = 16;
/// Bytes of a tile of one plane.
pub(crate) const TILE_BYTES: usize = 1024;

/// Layout of a packed operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `f32` lanes.
    Panel,
    /// `bf16` for processors that multiply it as `f32`: rows are widened when they are packed, columns, the weights, stay half as
    /// large and are widened when they are loaded.
    Halves,
    /// `bf16`, pairs along `k`.
    Pairs {
        /// 1, or 3 for the exact split of `f32`.
        planes: usize,
    },
    /// Bytes, four along `k`.
    Quads,
    /// `bf16`, four along `k`, for `BFMMLA`.
    #[cfg(target_arch = "aarch64")]
    Fours,
    /// Signed bytes of both operands, for `SDOT` and `SMMLA`: those of the left one are 128 less than in [`Format::Quads`].
    #[cfg(target_arch = "aarch64")]
    Signed {
        /// How many along `k`: 4 or 8.
        together: usize,
    },
}

impl Format {
    pub(crate) fn new(precision: Precision, isa: Isa) -> Self {
        match precision {
            Precision::F32 if isa == Isa::Amx => Self::Pairs { planes: 3 },
            Precision::F32 => Self::Panel,
            Precision::Bf16 if isa == Isa::Avx2 || isa == Isa::Avx512 && isa::bf16_dots_are_slow() => Self::Halves,
            #[cfg(target_arch = "aarch64")]
            Precision::Bf16 if isa == Isa::I8mm => Self::Fours,
            #[cfg(target_arch = "aarch64")]
            Precision::Bf16 if isa >= Isa::Neon => Self::Halves,
            #[cfg(target_arch = "aarch64")]
            Precision::Int8 if isa >= Isa::Neon => Self::Signed { together: if isa == Isa::I8mm { 8 } else { 4 } },
            Precision::Bf16 => Self::Pairs { planes: 1 },
            Precision::Int8 => Self::Quads,
        }
    }

    /// Whether the values are bytes, with scales.
    pub(crate) fn in_bytes(self) -> bool {
        match self {
            Self::Quads => true,
            #[cfg(target_arch = "aarch64")]
            Self::Signed { .. } => true,
            _ => false,
        }
    }

    /// Values of `k` in a step.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Panel => 1,
            Self::Pairs { .. } | Self::Halves => 32,
            #[cfg(target_arch = "aarch64")]
            Self::Fours => 32,
            Self::Quads => 64,
            #[cfg(target_arch = "aarch64")]
            Self::Signed { .. } => 64,
        }
    }

    /// Steps that cover `k`.
    pub(crate) fn steps(self, k: usize) -> usize {
        k.div_ceil(self.step())
    }

    /// Bytes of one step of one group.
    pub(crate) fn step_bytes(self, side: Side) -> usize {
        match self {
            Self::Panel => GROUP * size_of::<f32>(),
            Self::Halves if side == Side::Left => self.step() * GROUP * size_of::<f32>(),
            Self::Halves => 2 * TILE_BYTES,
            Self::Pairs { planes } => 2 * planes * TILE_BYTES,
            Self::Quads => 2 * TILE_BYTES,
            #[cfg(target_arch = "aarch64")]
            Self::Fours | Self::Signed { .. } => 2 * TILE_BYTES,
        }
    }

    /// Bytes of one group.
    pub(crate) fn group_bytes(self, k: usize, side: Side) -> usize {
        self.steps(k) * self.step_bytes(side)
    }
}
