//! Which instructions to use, decided once at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets, from the specification to the fastest. Each includes those before it of the same architecture.
///
/// On other processors than x86-64 and aarch64 everything runs in [`Isa::Portable`], which the compiler vectorizes for the target's
/// baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// Plain Rust.
    Portable = 1,
    /// AVX2 and FMA; AVX-VNNI for bytes where it is there.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ, VL with VNNI and BF16, whose dot product is used where it is fast.
    Avx512 = 3,
    /// AMX tiles with `bf16` and `int8`.
    Amx = 4,
    /// NEON with fused multiply-adds: every processor with aarch64.
    Neon = 5,
    /// NEON with dot products of bytes (`FEAT_DotProd`).
    Dotprod = 6,
    /// Dot products, and matrix products of bytes and of `bf16` (`FEAT_I8MM`, `FEAT_BF16`: Armv8.6).
    I8mm = 7,
}

/// 0: not decided yet.
static CURRENT: AtomicU8 = AtomicU8::new(0);

impl Isa {
    /// All of this processor's architecture, slowest first.
    #[cfg(target_arch = "x86_64")]
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];
    /// All of this processor's architecture, slowest first.
    #[cfg(target_arch = "aarch64")]
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Dotprod, Self::I8mm];
    /// All of this processor's architecture, slowest first.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub const ALL: [Self; 1] = [Self::Portable];

    /// Those of all architectures.
    const KNOWN: [Self; 7] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx, Self::Neon, Self::Dotprod, Self::I8mm];

    /// What the kernels use: the machine's best, or less after [`Isa::limit`].
    pub fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Amx,
            5 => Self::Neon,
            6 => Self::Dotprod,
            7 => Self::I8mm,
            _ => {
                let best = Self::best();
                CURRENT.store(best as u8, Ordering::Relaxed);
                best
            }
        }
    }

    /// The best that this machine and its operating system offer.
    pub fn best() -> Self {
        detect()
    }

    /// Uses at most `isa` from now on, in the whole process; returns what is used, which is [`Isa::Portable`] if `isa` belongs to another
    /// architecture. Meant for the start of a program, and for tests: operands packed before ([`crate::matmul::Weights`]) keep their
    /// layout.
    pub fn limit(isa: Self) -> Self {
        let used = if Self::ALL.contains(&isa) { isa.min(Self::best()) } else { Self::Portable };
        CURRENT.store(used as u8, Ordering::Relaxed);
        used
    }

    /// Name as read by [`FromStr`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::KNOWN
            .into_iter()
            .find(|isa| isa.name() == text)
            .ok_or_else(|| format!("unknown instruction set `{text}`: one of {}", known()))
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    macro_rules! has {
        ($($feature:tt),*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    if !has!("avx2", "fma", "f16c") {
        return Isa::Portable;
    }
    if !has!("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx512bf16") {
        return Isa::Avx2;
    }
    if amx::usable() { Isa::Amx } else { Isa::Avx512 }
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Isa {
    macro_rules! has {
        ($($feature:tt),*) => { $(std::arch::is_aarch64_feature_detected!($feature))&&* };
    }
    // NEON is part of the architecture's baseline for every system that Rust supports.
    if !has!("dotprod") {
        return Isa::Neon;
    }
    if has!("i8mm", "bf16") { Isa::I8mm } else { Isa::Dotprod }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Isa {
    Isa::Portable
}

/// Whether `vdpbf16ps` of AVX-512 takes longer than widening to `f32` and two fused multiply-adds.
///
/// It does on Intel's processors with AMX: two cycles, where a multiply-add takes half a one (measured). They are known by AVX-512 FP16,
/// since a system may hide AMX; earlier ones and AMD's up to Zen 5 have no FP16.
pub(crate) fn bf16_dots_are_slow() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512fp16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether there are byte dot products for vectors of AVX2 (AVX-VNNI).
pub(crate) fn has_avx_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::x86_64::__cpuid_count;

    /// `CPUID.7.0:EDX`, Intel SDM volume 2A.
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;

    pub fn usable() -> bool {
        let features = __cpuid_count(7, 0).edx;
        let needed = AMX_BF16 | AMX_TILE | AMX_INT8;
        features & needed == needed && allowed_by_the_system()
    }

    /// Linux gives a process the tile registers only on request (`arch_prctl(ARCH_REQ_XCOMP_PERM)`), per process:
    /// see the kernel's Documentation/arch/x86/xstate.rst.
    #[cfg(target_os = "linux")]
    fn allowed_by_the_system() -> bool {
        const SYS_ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let result: i64;
        // SAFETY: a system call with two integer arguments; the kernel clobbers rcx and r11 and writes no memory.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn allowed_by_the_system() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::KNOWN {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert!("mmx".parse::<Isa>().unwrap_err().contains("portable"));
    }

    #[test]
    fn a_limit_never_exceeds_the_machine() {
        assert!(Isa::ALL.contains(&Isa::best()) && Isa::ALL.contains(&Isa::current()));
        assert!(Isa::current() <= Isa::best());
    }

    /// Who emulates a processor says what it has: otherwise tests of instructions that are not found would pass.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test")]
    fn the_instructions_that_an_emulator_has_are_found() {
        if let Ok(expected) = std::env::var("EFFICIENTBERT_EXPECTED_ISA") {
            assert_eq!(Isa::best().name(), expected);
        }
    }
}
