//! Every kernel against the portable one, which is the specification, whatever instruction set is in use.

use proptest::prelude::*;

use super::*;
use crate::matmul::buffer::Buffer;
use crate::matmul::pack::{Pairs, Panels, Side, Source, pack_pairs, pack_panels};

/// Inner sizes of the models, and those around a step and around nothing.
const INNER: [usize; 15] = [1, 2, 3, 31, 32, 33, 45, 63, 64, 65, 135, 180, 270, 540, 541];

type Kernel = unsafe fn(Job, &mut Block);

/// The kernels of `format` that the machine has.
fn kernels(format: Format) -> Vec<(&'static str, Kernel)> {
    let mut all: Vec<(&'static str, Kernel)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if Isa::best() >= Isa::Avx2 {
            match format {
                Format::Panel => all.push(("avx2", avx2::panel)),
                Format::Halves => all.push(("avx2", avx2::halves)),
                Format::Quads => {
                    all.push(("avx2", avx2::quads_in_words));
                    if crate::isa::has_avx_vnni() {
                        all.push(("avx-vnni", avx2::quads_in_bytes));
                    }
                }
                Format::Pairs { .. } => {}
            }
        }
        if Isa::best() >= Isa::Avx512 {
            all.push(match format {
                Format::Panel => ("avx512", avx512::panel),
                Format::Halves => ("avx512", avx512::halves),
                Format::Quads => ("avx512", avx512::quads),
                Format::Pairs { .. } => ("avx512", avx512::pairs),
            });
        }
    }
    #[cfg(target_arch = "aarch64")]
    match format {
        Format::Panel => all.push(("neon", neon::panel)),
        Format::Halves => all.push(("neon", neon::halves)),
        Format::Fours if Isa::best() >= Isa::I8mm => all.push(("bf16", matrix::fours)),
        Format::Signed { together: 8 } if Isa::best() >= Isa::I8mm => all.push(("i8mm", matrix::octs)),
        Format::Signed { together: 4 } => {
            all.push(("neon", neon::quads_in_words));
            if Isa::best() >= Isa::Dotprod {
                all.push(("dotprod", neon::quads));
            }
        }
        _ => {}
    }
    all
}

/// Both operands of a block, packed.
struct Operands {
    format: Format,
    k: usize,
    left: Buffer,
    right: Buffer,
}

impl Operands {
    /// `left` and `right` have 32 lanes of `k` values.
    fn new(format: Format, k: usize, left: &[f32], right: &[f32]) -> Self {
        let room = |side| Buffer::new(format.group_bytes(k, side));
        let operands = Self { format, k, left: room(Side::Left), right: room(Side::Right) };
        for (values, to, side) in [(left, &operands.left, Side::Left), (right, &operands.right, Side::Right)] {
            let source = Source { start: values.as_ptr(), lane_stride: k, k_stride: 1 };
            let in_panels = format == Format::Panel || format == Format::Halves && side == Side::Left;
            // SAFETY: 32 lanes of `k` values and room for a group.
            unsafe {
                #[cfg(target_arch = "aarch64")]
                if format == Format::Fours {
                    crate::matmul::pack::pack_fours(source, GROUP, k, format.steps(k), to.start());
                    continue;
                }
                if in_panels {
                    pack_panels(source, Panels::new(GROUP, k, format), to.start().cast(), Isa::Portable);
                } else {
                    pack_pairs(source, Pairs::new(GROUP, k, 1, side), to.start(), Isa::Portable);
                }
            }
        }
        operands
    }

    /// Bytes in every place: products of any of them are defined.
    fn of_bytes(k: usize, byte: impl Fn(Side, usize) -> u8) -> Self {
        let format = Format::Quads;
        let room = |side| Buffer::new(format.group_bytes(k, side));
        let operands = Self { format, k, left: room(Side::Left), right: room(Side::Right) };
        for (to, side) in [(&operands.left, Side::Left), (&operands.right, Side::Right)] {
            // SAFETY: all bytes of the buffer.
            let to = unsafe { std::slice::from_raw_parts_mut(to.start(), to.bytes()) };
            for (at, to) in to.iter_mut().enumerate() {
                let inner = match side {
                    Side::Left => at / 2048 * 64 + at % 64,
                    Side::Right => at / 2048 * 64 + at % 1024 / 64 * 4 + at % 4,
                };
                // Weights behind the last inner index are zero, activations may be anything.
                *to = if side == Side::Right && inner >= k { 0 } else { byte(side, at) };
            }
        }
        operands
    }

    /// These bytes in a format in which both are signed: those of rows less 128.
    #[cfg(target_arch = "aarch64")]
    fn signed(&self, together: usize) -> Self {
        let format = Format::Signed { together };
        let room = |side| Buffer::new(format.group_bytes(self.k, side));
        let signed = Self { format, k: self.k, left: room(Side::Left), right: room(Side::Right) };
        for (lane, inner) in
            (0..GROUP).flat_map(|lane| (0..self.k.next_multiple_of(64)).map(move |inner| (lane, inner)))
        {
            let (tile, row, step) = (lane / 16 * 1024, lane % 16, inner / 64 * 2048);
            let to = (inner / together * GROUP + lane) * together + inner % together;
            // SAFETY: a byte of each of the buffers, which have as many in both formats.
            unsafe {
                let left = *self.left.start().add(step + tile + row * 64 + inner % 64);
                *signed.left.start().add(to) = left.wrapping_sub(128);
                let right = *self.right.start().add(step + tile + inner % 64 / 4 * 64 + row * 4 + inner % 4);
                *signed.right.start().add(to) = right;
            }
        }
        signed
    }

    /// Sums of the bytes of each column.
    #[cfg(target_arch = "aarch64")]
    fn column_sums(&self) -> [i32; GROUP] {
        std::array::from_fn(|lane| {
            let at =
                |inner: usize| inner / 64 * 2048 + lane / 16 * 1024 + inner % 64 / 4 * 64 + lane % 16 * 4 + inner % 4;
            // SAFETY: bytes of the right operand.
            (0..self.k).map(|inner| i32::from(unsafe { *self.right.start().add(at(inner)) } as i8)).sum()
        })
    }

    /// The wanted sums of `kernel` as bits, from steps `..split` and then the others.
    fn sums(&self, kernel: Kernel, rows: usize, cols: usize, split: usize) -> Vec<u32> {
        let mut block = Block([f32::NAN; GROUP * GROUP]);
        let steps = self.format.steps(self.k);
        for (first, last) in [(0, split), (split, steps)].into_iter().filter(|(first, last)| first < last) {
            let job = Job {
                left: self.left.start().wrapping_add(first * self.format.step_bytes(Side::Left)),
                right: self.right.start().wrapping_add(first * self.format.step_bytes(Side::Right)),
                steps: last - first,
                k: self.k.min(last * self.format.step()) - first * self.format.step(),
                rows,
                cols,
                next: std::ptr::null(),
                ahead: 64 * 8,
                more: first > 0,
            };
            // SAFETY: both groups hold these steps; the machine has the kernel's instructions.
            unsafe { kernel(job, &mut block) };
        }
        let rows = block.0.chunks(GROUP).take(rows);
        rows.flat_map(|row| row[..cols].iter().map(|sum| sum.to_bits())).collect()
    }
}

/// Values in -1..1 without a pattern.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn sizes() -> impl Strategy<Value = (usize, usize, usize, u64)> {
    (prop::sample::select(&INNER[..]), 1..=GROUP, 1..=GROUP, any::<u64>())
}

/// Largest distance of the sums relative to the inner size, whose root the sums themselves are near to.
fn distance(a: &[u32], b: &[u32], k: usize) -> f32 {
    let distances = a.iter().zip(b).map(|(a, b)| (f32::from_bits(*a) - f32::from_bits(*b)).abs());
    distances.fold(0.0, f32::max) / k as f32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bf16_sums_of_widened_rows_are_the_specification_bit_for_bit((k, rows, cols, seed) in sizes(), split in 0..18usize) {
        let (left, right) = (values(GROUP * k, seed), values(GROUP * k, !seed));
        let expected = Operands::new(Format::Pairs { planes: 1 }, k, &left, &right).sums(portable::pairs, rows, cols, 0);
        let operands = Operands::new(Format::Halves, k, &left, &right);
        let split = split.min(operands.format.steps(k) - 1);
        for (name, kernel) in kernels(Format::Halves).into_iter().chain([("portable", portable::halves as Kernel)]) {
            prop_assert_eq!(&operands.sums(kernel, rows, cols, split), &expected, "{} {}x{}x{}", name, rows, k, cols);
        }
    }

    #[test]
    fn sums_of_f32_and_of_pairs_are_near_the_specification((k, rows, cols, seed) in sizes(), split in 0..541usize) {
        let (left, right) = (values(GROUP * k, seed), values(GROUP * k, !seed));
        for (format, portable) in [(Format::Panel, portable::panel as Kernel), (Format::Pairs { planes: 1 }, portable::pairs)] {
            let operands = Operands::new(format, k, &left, &right);
            let expected = operands.sums(portable, rows, cols, 0);
            for (name, kernel) in kernels(format) {
                let found = operands.sums(kernel, rows, cols, 0);
                let error = distance(&found, &expected, k);
                prop_assert!(error < 2e-7, "{name} {format:?} {rows}x{k}x{cols}: {error}");
                // In parts: what the first leaves in the block is gone on with, in the same order.
                let split = split.min(format.steps(k) - 1);
                prop_assert_eq!(&operands.sums(kernel, rows, cols, split), &found, "{} {:?} split {}", name, format, split);
            }
        }
    }

    #[test]
    fn sums_of_bytes_are_exact((k, rows, cols, seed) in sizes(), split in 0..9usize, extreme in 0..3usize) {
        let noise = values(1 << 15, seed);
        let operands = Operands::of_bytes(k, |side, at| {
            let value = noise[(at + usize::from(side == Side::Right) * 4099) % noise.len()];
            match (side, extreme) {
                (Side::Left, 0) => (value * 127.0 + 128.0) as u8,
                (Side::Left, 1) => 255,
                // The largest where bytes are signed.
                (Side::Left, _) => 0,
                (Side::Right, 0) => (value * 127.0) as i8 as u8,
                // Long runs of one sign, where 16 bits would overflow.
                (Side::Right, 1) => if value > -0.9 { 127 } else { 0x81 },
                (Side::Right, _) => if value > -0.9 { 0x81 } else { 127 },
            }
        });
        let expected = operands.sums(portable::quads, rows, cols, 0);
        let split = split.min(operands.format.steps(k) - 1);
        for (name, kernel) in kernels(Format::Quads) {
            prop_assert_eq!(&operands.sums(kernel, rows, cols, split), &expected, "{} {}x{}x{}", name, rows, k, cols);
        }
        #[cfg(target_arch = "aarch64")]
        for together in [4, 8] {
            let signed = operands.signed(together);
            let below = operands.column_sums();
            let expected: Vec<u32> =
                expected.iter().enumerate().map(|(i, sum)| (*sum as i32 - 128 * below[i % cols]) as u32).collect();
            for (name, kernel) in kernels(signed.format) {
                prop_assert_eq!(&signed.sums(kernel, rows, cols, split), &expected, "{} {}x{}x{}", name, rows, k, cols);
            }
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn sums_of_bf16_matrices_are_near_the_specification((k, rows, cols, seed) in sizes(), split in 0..18usize) {
        let (left, right) = (values(GROUP * k, seed), values(GROUP * k, !seed));
        let expected = Operands::new(Format::Pairs { planes: 1 }, k, &left, &right).sums(portable::pairs, rows, cols, 0);
        for (name, kernel) in kernels(Format::Fours) {
            let operands = Operands::new(Format::Fours, k, &left, &right);
            let found = operands.sums(kernel, rows, cols, 0);
            let error = distance(&found, &expected, k);
            prop_assert!(error < 2e-7, "{name} {rows}x{k}x{cols}: {error}");
            let split = split.min(operands.format.steps(k) - 1);
            prop_assert_eq!(&operands.sums(kernel, rows, cols, split), &found, "{} split {}", name, split);
        }
    }
}
