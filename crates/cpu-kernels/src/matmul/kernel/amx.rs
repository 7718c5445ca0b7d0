//! Blocks with AMX tiles (Intel SDM volume 1, chapter 18).
//!
//! Four tile registers hold the sums of a 32 x 32 block, two the rows' tiles and two the columns'. Each product instruction adds
//! 16 x 16 sums over 32 pairs' values of `bf16` or 64 bytes. Stable Rust has no intrinsics for tiles, and the compiler never uses
//! tile registers by itself, so they keep their contents between two `asm!` blocks of this module.

use std::arch::asm;

use super::{Block, Job};

/// Operand of `ldtilecfg`: 8 tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static CONFIGURATION: Configuration = Configuration({
    let mut bytes = [0; 64];
    bytes[0] = 1; // palette 1
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64; // bytes of a row
        bytes[48 + tile] = 16; // rows
        tile += 1;
    }
    bytes
});

/// Loads the shapes of the tile registers.
///
/// # Safety
/// The machine has AMX and the system lets this process use it.
pub(super) unsafe fn configure() {
    // SAFETY: reads 64 bytes of a valid configuration.
    unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIGURATION.0.as_ptr(), options(nostack, readonly)) };
}

/// Gives the tile registers back.
///
/// # Safety
/// As [`configure`].
pub(super) unsafe fn release() {
    // SAFETY: clears the tile registers, which nothing else uses.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Loads the plane at byte `$first` of one or both row tiles; the second tile lies at `$second`.
macro_rules! rows {
    (1, $first:literal, $second:literal) => {
        concat!("tileloadd tmm4, [{left} + {line} + ", $first, "]\n")
    };
    (2, $first:literal, $second:literal) => {
        concat!("tileloadd tmm4, [{left} + {line} + ", $first, "]\ntileloadd tmm5, [{left} + {line} + ", $second, "]\n")
    };
}

/// As [`rows`] for the columns.
macro_rules! cols {
    (1, $first:literal, $second:literal) => {
        concat!("tileloadd tmm6, [{right} + {line} + ", $first, "]\n")
    };
    (2, $first:literal, $second:literal) => {
        concat!(
            "tileloadd tmm6, [{right} + {line} + ",
            $first,
            "]\ntileloadd tmm7, [{right} + {line} + ",
            $second,
            "]\n"
        )
    };
}

/// Adds the products of all loaded tiles.
macro_rules! products {
    ($op:literal, 1, 1) => {
        concat!($op, " tmm0, tmm4, tmm6\n")
    };
    ($op:literal, 1, 2) => {
        concat!($op, " tmm0, tmm4, tmm6\n", $op, " tmm1, tmm4, tmm7\n")
    };
    ($op:literal, 2, 1) => {
        concat!($op, " tmm0, tmm4, tmm6\n", $op, " tmm2, tmm5, tmm6\n")
    };
    ($op:literal, 2, 2) => {
        concat!(
            $op,
            " tmm0, tmm4, tmm6\n",
            $op,
            " tmm1, tmm4, tmm7\n",
            $op,
            " tmm2, tmm5, tmm6\n",
            $op,
            " tmm3, tmm5, tmm7\n"
        )
    };
}

/// Brings lines of the columns that come next closer, while tiles are multiplied.
macro_rules! ahead {
    ($($at:literal)+) => {
        concat!($("prefetcht1 [{next} + ", $at, "]\n"),+)
    };
}

/// The loop over `k`: `$body` works on one step of `$step` bytes and brings `$ahead` bytes of what comes next closer.
macro_rules! sums {
    ($job:ident, $block:ident, $step:literal, $ahead:literal, $($body:expr),+) => {
        asm!(
            "test {more}, {more}",
            "jz 3f",
            "tileloadd tmm0, [{block} + {wide}]",
            "tileloadd tmm1, [{block} + {wide} + 64]",
            "tileloadd tmm2, [{block} + {wide} + 2048]",
            "tileloadd tmm3, [{block} + {wide} + 2112]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            $($body,)+
            concat!("add {left}, ", $step),
            concat!("add {right}, ", $step),
            concat!("add {next}, ", $ahead),
            "dec {steps}",
            "jnz 2b",
            // Rows of the block are 128 bytes apart, its lower half starts at 16 x 128.
            "tilestored [{block} + {wide}], tmm0",
            "tilestored [{block} + {wide} + 64], tmm1",
            "tilestored [{block} + {wide} + 2048], tmm2",
            "tilestored [{block} + {wide} + 2112], tmm3",
            left = inout(reg) $job.left => _,
            right = inout(reg) $job.right => _,
            // Prefetching is no access: it may point anywhere.
            next = inout(reg) $job.next => _,
            steps = inout(reg) $job.steps => _,
            more = in(reg) usize::from($job.more),
            line = in(reg) 64usize,
            wide = in(reg) 128usize,
            block = in(reg) $block.0.as_mut_ptr(),
            options(nostack),
        )
    };
}

/// Chooses the instructions for one or two tiles of rows and columns.
macro_rules! by_tiles {
    ($job:ident, $inner:ident) => {
        match $job.tiles() {
            (1, 1) => $inner!(1, 1),
            (1, _) => $inner!(1, 2),
            (_, 1) => $inner!(2, 1),
            _ => $inner!(2, 2),
        }
    };
}

/// A kernel of single tiles, whose products are those of `$op`.
macro_rules! tiles {
    ($(#[$doc:meta])* $name:ident, $op:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// See [`super::run`]; [`configure`] was called on this thread.
        pub(super) unsafe fn $name(job: Job, block: &mut Block) {
            macro_rules! body {
                ($m:tt, $n:tt) => {
                    sums!(
                        job,
                        block,
                        "2048",
                        "1024",
                        rows!($m, "0", "1024"),
                        ahead!("0" "64" "128" "192" "256" "320" "384" "448"),
                        cols!($n, "0", "1024"),
                        ahead!("512" "576" "640" "704" "768" "832" "896" "960"),
                        products!($op, $m, $n)
                    )
                };
            }
            // SAFETY: reads `steps` steps of two tiles, writes the block; the loop runs at least once, as `run` sees to.
            unsafe { by_tiles!(job, body) };
        }
    };
}

tiles!(
    /// Computes a block of `bf16` products, in pairs.
    pairs, "tdpbf16ps"
);
tiles!(
    /// Computes a block of 8-bit products, in fours.
    quads, "tdpbusd"
);

/// The six products of three planes whose factors are above `2^-24`, smallest first.
///
/// # Safety
/// As [`pairs`].
pub(super) unsafe fn split_pairs(job: Job, block: &mut Block) {
    macro_rules! body {
        ($m:tt, $n:tt) => {
            sums!(
                job,
                block,
                "6144",
                "1536",
                rows!($m, "2048", "5120"), // low
                cols!($n, "0", "3072"),    // high
                products!("tdpbf16ps", $m, $n),
                ahead!("0" "64" "128" "192"),
                rows!($m, "0", "3072"),    // high
                cols!($n, "2048", "5120"), // low
                products!("tdpbf16ps", $m, $n),
                ahead!("256" "320" "384" "448"),
                cols!($n, "1024", "4096"), // middle
                products!("tdpbf16ps", $m, $n),
                ahead!("512" "576" "640" "704"),
                rows!($m, "1024", "4096"), // middle
                products!("tdpbf16ps", $m, $n),
                ahead!("768" "832" "896" "960"),
                cols!($n, "0", "3072"), // high
                products!("tdpbf16ps", $m, $n),
                ahead!("1024" "1088" "1152" "1216"),
                rows!($m, "0", "3072"), // high
                products!("tdpbf16ps", $m, $n),
                ahead!("1280" "1344" "1408" "1472")
            )
        };
    }
    // SAFETY: as in `pairs`, with three planes in every tile.
    unsafe { by_tiles!(job, body) };
}
