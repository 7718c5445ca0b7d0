//! What the tests of elementwise operations share.

#![allow(dead_code, reason = "every test file uses a part")]

use std::sync::Mutex;

use cpu_kernels::Isa;

/// Lengths around the blocks, and the widths of searched networks.
pub const SIZES: [usize; 15] = [0, 1, 2, 15, 16, 17, 31, 45, 64, 80, 135, 180, 270, 540, 541];

/// The limit is the process's, so checks take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `check` with every instruction set of this machine.
pub fn on_every_isa(check: impl Fn(Isa)) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for isa in Isa::ALL {
        if Isa::limit(isa) == isa {
            check(isa);
        }
    }
    Isa::limit(Isa::best());
}

/// `n` values between -`size` and `size`, a function of `seed`.
pub fn values(n: usize, size: f32, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size
    };
    (0..n).map(next).collect()
}

/// Fails unless every value is within `tolerance`, absolutely or relatively, of the wanted one.
#[track_caller]
pub fn assert_near(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= tolerance * want.abs().max(1.0), "{what}: {got} at {i} instead of {want}");
    }
}

/// In `f64`.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}
