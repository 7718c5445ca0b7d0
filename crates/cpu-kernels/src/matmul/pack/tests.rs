//! Packed operands of every instruction set against the portable ones, which are the specification.

use proptest::prelude::*;

use super::*;
use crate::matmul::buffer::Buffer;

/// `lanes` lanes of `k` values lie in `data` with these strides, and nothing behind them.
#[derive(Clone, Debug)]
struct Case {
    data: Vec<f32>,
    lanes: usize,
    k: usize,
    lane_stride: usize,
    k_stride: usize,
}

impl Case {
    fn source(&self) -> Source {
        Source { start: self.data.as_ptr(), lane_stride: self.lane_stride, k_stride: self.k_stride }
    }
}

/// Sizes around a vector, a tile, a group and a step.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1..=9usize, 15..=17usize, 31..=33usize, Just(45), 63..=65usize, Just(135)]
}

fn case(special: bool) -> impl Strategy<Value = Case> {
    (size(), size(), 0..3usize, 0..4usize, any::<u32>()).prop_map(move |(lanes, k, order, more, seed)| {
        let (lane_stride, k_stride) = match order {
            0 => (k + more, 1),
            1 => (1, lanes + more),
            _ => (2 * k + more, 2),
        };
        let n = (lanes - 1) * lane_stride + (k - 1) * k_stride + 1;
        let mut state = seed | 1;
        let data = (0..n).map(|_| {
            (state, _) = state.overflowing_mul(0x915f_77f5);
            state ^= state >> 15;
            // All bits, or values of ordinary size with all bits in their significands.
            if special { f32::from_bits(state) } else { f32::from_bits(state & 0x807f_ffff | 0x3f00_0000) }
        });
        Case { data: data.collect(), lanes, k, lane_stride, k_stride }
    })
}

/// What `pack` leaves of a buffer of `bytes` ones.
fn packed(bytes: usize, pack: impl FnOnce(*mut u8)) -> Vec<u8> {
    let buffer = Buffer::new(bytes);
    // SAFETY: the buffer has so many bytes, which `pack` changes in between.
    unsafe {
        buffer.start().write_bytes(1, bytes);
        pack(buffer.start());
        std::slice::from_raw_parts(buffer.start(), bytes).to_vec()
    }
}

/// Instruction sets beside the portable one; that of all bits only where infinities and NaN are kept as there.
fn sets(special: bool) -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(move |isa| *isa <= Isa::best() && (!special || [Isa::Avx2, Isa::Neon].contains(isa)))
}

fn pairs_agree(case: &Case, special: bool) -> Result<(), TestCaseError> {
    for (side, planes) in [(Side::Left, 1), (Side::Right, 1), (Side::Left, 3), (Side::Right, 3)] {
        let pairs = Pairs::new(case.lanes, case.k, planes, side);
        let format = Format::Pairs { planes };
        let bytes = case.lanes.div_ceil(GROUP) * format.group_bytes(case.k, side);
        // SAFETY: the case has these lanes, the buffer room for them; the machine has the set.
        let of = |isa| packed(bytes, |to| unsafe { pack_pairs(case.source(), pairs, to, isa) });
        let expected = of(Isa::Portable);
        for isa in sets(special) {
            prop_assert!(of(isa) == expected, "{isa} {side:?} {planes} planes");
        }
    }
    Ok(())
}

fn panels_agree(case: &Case, special: bool) -> Result<(), TestCaseError> {
    for format in [Format::Panel, Format::Halves] {
        let panels = Panels::new(case.lanes, case.k, format);
        let bytes = case.lanes.div_ceil(GROUP) * format.group_bytes(case.k, Side::Left);
        // SAFETY: as above.
        let of = |isa| packed(bytes, |to| unsafe { pack_panels(case.source(), panels, to.cast(), isa) });
        let expected = of(Isa::Portable);
        for isa in sets(special) {
            prop_assert!(of(isa) == expected, "{isa} {format:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn operands_of_ordinary_values_are_packed_alike(case in case(false)) {
        pairs_agree(&case, false)?;
        panels_agree(&case, false)?;
    }

    #[test]
    fn all_bits_are_rounded_alike_by_avx2_and_neon(case in case(true)) {
        pairs_agree(&case, true)?;
        panels_agree(&case, true)?;
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn fours_are_pairs_in_another_order(case in case(true)) {
        let groups = case.lanes.div_ceil(GROUP);
        let format = Format::Fours;
        let (steps, bytes) = (format.steps(case.k), groups * format.group_bytes(case.k, Side::Left));
        // SAFETY: the case has these lanes, the buffers room for them.
        let (fours, pairs) = unsafe {
            let pairs = Pairs::new(case.lanes, case.k, 1, Side::Right);
            (
                packed(bytes, |to| pack_fours(case.source(), case.lanes, case.k, steps, to)),
                packed(bytes, |to| pack_pairs(case.source(), pairs, to, Isa::Portable)),
            )
        };
        for (lane, k) in (0..groups * GROUP).flat_map(|lane| (0..steps * 32).map(move |k| (lane, k))) {
            let (group, lane) = (lane / GROUP * steps * 2048, lane % GROUP);
            let of_pairs = group + k / 32 * 2048 + lane / TILE * 1024 + k % 32 / 2 * 64 + lane % TILE * 4 + k % 2 * 2;
            let of_fours = group + (k / 4 * GROUP + lane) * 8 + k % 4 * 2;
            // A tile without lanes is left alone.
            let absent = group / (steps * 2048) * GROUP + lane / TILE * TILE >= case.lanes;
            let expected = if absent { [0, 0] } else { [pairs[of_pairs], pairs[of_pairs + 1]] };
            prop_assert_eq!([fours[of_fours], fours[of_fours + 1]], expected, "lane {} at {}", lane, k);
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn signed_bytes_are_those_of_quads_in_another_order(case in case(false)) {
        let bytes = Format::Quads.group_bytes(case.k, Side::Left);
        let lanes = case.lanes.min(GROUP);
        let zeroed = || Buffer::new(bytes);
        // SAFETY: all bytes of a buffer.
        let view = |buffer: &Buffer| unsafe { std::slice::from_raw_parts(buffer.start(), bytes).to_vec() };
        for together in [4, 8] {
            let (quads, signed) = (zeroed(), zeroed());
            let (mut scales, mut signed_scales) = (vec![Quantized::default(); lanes], vec![Quantized::default(); lanes]);
            // SAFETY: zeroed groups; the case has these lanes.
            unsafe {
                pack_weight_bytes(case.source(), case.k, quads.start(), &mut scales);
                pack_weights_signed(case.source(), case.k, signed.start(), &mut signed_scales, together);
            }
            prop_assert_eq!(&scales, &signed_scales);
            let (quads, signed) = (view(&quads), view(&signed));
            for (lane, p) in (0..GROUP).flat_map(|lane| (0..case.k.next_multiple_of(64)).map(move |p| (lane, p))) {
                let of_quads = p / 64 * 2048 + lane / 16 * 1024 + p % 64 / 4 * 64 + lane % 16 * 4 + p % 4;
                let of_signed = (p / together * GROUP + lane) * together + p % together;
                prop_assert_eq!(signed[of_signed], quads[of_quads], "column {} at {}", lane, p);
            }
            if case.k_stride != 1 {
                continue;
            }
            for lane in 0..lanes {
                let (quads, signed) = (zeroed(), zeroed());
                let row = case.data[lane * case.lane_stride..].as_ptr();
                // SAFETY: a row of `k` values and room for groups.
                let (q, s) = unsafe {
                    (
                        pack_row_bytes(row, case.k, lane, quads.start(), Isa::Portable),
                        pack_row_signed(row, case.k, lane, signed.start(), together),
                    )
                };
                prop_assert_eq!((q.scale, q.offset - 128), (s.scale, s.offset));
                let (quads, signed) = (view(&quads), view(&signed));
                for p in 0..case.k.next_multiple_of(64) {
                    let unsigned = quads[p / 64 * 2048 + lane / 16 * 1024 + lane % 16 * 64 + p % 64];
                    let signed = signed[(p / together * GROUP + lane) * together + p % together];
                    prop_assert_eq!(signed, unsigned.wrapping_sub(128), "row {} at {}", lane, p);
                }
            }
        }
    }

    #[test]
    fn rows_become_the_same_bytes_with_every_instruction_set(case in prop_oneof![case(false), case(true)]) {
        let row = &case.data[..case.k.min(case.data.len())];
        for isa in Isa::ALL.into_iter().filter(|isa| *isa <= Isa::best()) {
            // SAFETY: a row of values and room for a group; the machine has the set.
            let of = |isa| unsafe {
                let mut found = Quantized::default();
                let lane = case.lanes % GROUP;
                let bytes = packed(Format::Quads.group_bytes(row.len(), Side::Left), |to| {
                    found = pack_row_bytes(row.as_ptr(), row.len(), lane, to, isa);
                });
                (bytes, found.scale.to_bits(), found.offset)
            };
            prop_assert!(of(isa) == of(Isa::Portable), "{isa}");
        }
    }

    #[test]
    fn bytes_stand_for_their_values(case in case(false)) {
        // One row at a time and all columns: half a step from the value, zeros behind the last.
        let room = case.lanes.div_ceil(GROUP) * Format::Quads.group_bytes(case.k, Side::Left);
        let lanes = case.lanes.min(GROUP);
        let value = |lane: usize, p: usize| case.data[lane * case.lane_stride + p * case.k_stride];
        let mut scales = vec![Quantized::default(); lanes];
        let buffer = Buffer::new(room);
        // SAFETY: a zeroed group; the case has these lanes.
        unsafe { pack_weight_bytes(case.source(), case.k, buffer.start(), &mut scales) };
        // SAFETY: all bytes of the buffer.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.start(), room) };
        for (lane, scale) in scales.iter().enumerate() {
            let at = |p: usize| bytes[p / 64 * 2048 + lane / 16 * 1024 + p % 64 / 4 * 64 + lane % 16 * 4 + p % 4] as i8;
            let sum: i32 = (0..case.k.next_multiple_of(64)).map(|p| i32::from(at(p))).sum();
            prop_assert_eq!(sum, scale.offset);
            for p in 0..case.k {
                let error = (f32::from(at(p)) * scale.scale - value(lane, p)).abs();
                prop_assert!(error <= 0.501 * scale.scale, "column {lane} at {p}: {error}");
            }
        }
        if case.k_stride != 1 {
            return Ok(());
        }
        for lane in 0..lanes {
            let row = &case.data[lane * case.lane_stride..][..case.k];
            // SAFETY: a row of `k` values and room for a group.
            let q = unsafe { pack_row_bytes(row.as_ptr(), case.k, lane, buffer.start(), Isa::best()) };
            // SAFETY: all bytes of the buffer.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.start(), room) };
            for p in 0..case.k.next_multiple_of(64) {
                let byte = i32::from(bytes[p / 64 * 2048 + lane * 64 + p % 64]);
                let error = ((byte - q.offset) as f32 * q.scale - row.get(p).copied().unwrap_or(0.0)).abs();
                prop_assert!(error <= 1.001 * q.scale, "row {lane} at {p}: {error}");
            }
        }
    }
}
