//! Checks of the devices that are compiled in by a feature.

use std::process::ExitCode;

use crate::command::run_cargo;

/// Devices that can be checked.
pub const NAMES: [&str; 2] = ["cuda", "wgpu"];

/// Tests that compare with PyTorch's numbers on the device that `EFFICIENTBERT_TEST_DEVICE` names, and the binary's on devices.
const TESTS: [&str; 5] = ["golden_encoders", "minilm", "golden_kd", "optimizers", "cli"];

/// Which tests of those binaries.
const FILTERS: [&str; 4] = ["reference", "hugging_face", "pytorch", "device"];

/// Type-checks what needs a CUDA driver to run, and runs the tests against references on wgpu; each is left out unless `only` is
/// empty or names it.
///
/// # Errors
/// Cargo cannot be started, or something failed.
pub fn run(only: &[String]) -> Result<ExitCode, String> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    if wanted("cuda") {
        // A build with it downloads an LLVM; with this variable, which docs.rs sets, the build script leaves that out, and checking
        // types needs no LLVM.
        let without_llvm = [("DOCS_RS", "1")];
        let status = run_cargo(
            &["check", "--workspace", "--features", "efficientbert/cuda,efficientbert/autotune"],
            &without_llvm,
        )?;
        if !status.success() {
            return Err("the build with `cuda` does not type-check".into());
        }
    }
    if wanted("wgpu") {
        let mut args = vec!["test", "--workspace", "--features", "efficientbert/wgpu"];
        args.extend(TESTS.iter().flat_map(|name| ["--test", name]));
        args.push("--");
        args.extend(FILTERS);
        if !run_cargo(&args, &[("EFFICIENTBERT_TEST_DEVICE", "wgpu")])?.success() {
            let hint =
                "without a graphics card, a Vulkan driver in software is needed; Debian has one in mesa-vulkan-drivers";
            return Err(format!("the tests on wgpu failed; {hint}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
