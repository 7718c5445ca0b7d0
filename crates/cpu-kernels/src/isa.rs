//! Which instructions to use, decided once at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets, from the specification to the fastest. Each includes those before it.
///
/// On other processors than x86-64 everything runs in [`Isa::Portable`], which the compiler vectorizes for the target's
/// baseline (NEON on aarch64).
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
}

/// 0: not decided yet.
static CURRENT: AtomicU8 = AtomicU8::new(0);

impl Isa {
    /// All, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];

    /// What the kernels use: the machine's best, or less after [`Isa::limit`].
    pub fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Amx,
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

    /// Uses at most `isa` from now on, in the whole process; returns what is used. Meant for the start of a program,
    /// and for tests: operands packed before ([`crate::matmul::Weights`]) keep their layout.
    pub fn limit(isa: Self) -> Self {
        let used = isa.min(Self::best());
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
        Self::ALL
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

#[cfg(not(target_arch = "x86_64"))]
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
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert!("mmx".parse::<Isa>().unwrap_err().contains("portable"));
    }

    #[test]
    fn a_limit_never_exceeds_the_machine() {
        assert!(Isa::Amx.min(Isa::best()) <= Isa::best());
        assert!(Isa::current() <= Isa::best());
    }
}
