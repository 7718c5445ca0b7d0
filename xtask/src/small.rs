//! The small program: one static file.

use std::path::Path;
use std::process::{Command, ExitCode};

use cargo_metadata::MetadataCommand;

use crate::command::{announce, cannot_start, cargo, exit_code};

const PROGRAM: &str = "efficientbert-predict";
/// The largest size of the program, in bytes.
const MOST: u64 = 15 << 20;
/// Type of the program header that names the loader of shared libraries (System V ABI, `PT_INTERP`).
const PT_INTERP: u32 = 3;

/// Builds the program and checks that it is one file that needs no other, and small.
///
/// # Errors
/// The build fails, or the program is larger than promised or needs shared libraries.
pub fn run() -> Result<ExitCode, String> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|e| format!("cargo metadata failed: {e}"))?;
    let target = host()?;
    let args = ["build", "--profile", "small", "--package", "efficientbert-runtime", "--target", &target];
    announce("RUSTFLAGS=\"-C target-feature=+crt-static\" cargo", &args);
    let mut build = cargo();
    build.args(args).env("RUSTFLAGS", "-C target-feature=+crt-static").current_dir(&metadata.workspace_root);
    let status = build.status().map_err(|e| cannot_start("cargo", &e))?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    let program = metadata.target_directory.as_std_path().join(&target).join("small").join(PROGRAM);
    let bytes = std::fs::read(&program).map_err(|e| format!("{}: {e}", program.display()))?;
    check(&bytes).map_err(|wrong| format!("{}: {wrong}", program.display()))?;
    eprintln!("{}: {:.1} MB, static", program.display(), bytes.len() as f64 / 1e6);
    version(&program)
}

/// It starts.
fn version(program: &Path) -> Result<ExitCode, String> {
    let status = Command::new(program).arg("--version").status();
    Ok(exit_code(status.map_err(|e| cannot_start(&program.display().to_string(), &e))?))
}

/// The target that this machine's compiler has without being asked.
fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|e| cannot_start("rustc", &e))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc does not say what it runs on: {text}"))
}

/// What is promised of the program.
fn check(program: &[u8]) -> Result<(), String> {
    if program.len() as u64 > MOST {
        return Err(format!("{} bytes, more than {MOST}", program.len()));
    }
    match needs_loader(program) {
        Some(false) => Ok(()),
        Some(true) => Err("needs shared libraries".into()),
        // Elsewhere than on Linux nothing is promised.
        None if cfg!(not(target_os = "linux")) => Ok(()),
        None => Err("is no ELF program of 64 bits".into()),
    }
}

/// Whether an ELF program of 64 bits names a loader of shared libraries; `None` for other files.
fn needs_loader(program: &[u8]) -> Option<bool> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, len: usize| {
        let bytes = program.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte)))
    };
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let types: Option<Vec<usize>> = (0..count).map(|i| number(start + i * size, 4)).collect();
    Some(types?.contains(&(PT_INTERP as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with program headers of these types.
    fn elf(types: &[u32]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = types.len() as u8;
        for kind in types {
            file.extend(kind.to_le_bytes());
            file.extend([0; 52]);
        }
        file
    }

    #[test]
    fn a_program_that_names_a_loader_or_is_too_large_is_found() {
        assert_eq!(check(&elf(&[1, 2, 6])), Ok(()));
        assert!(check(&elf(&[1, PT_INTERP])).unwrap_err().contains("shared libraries"));
        assert_eq!(needs_loader(b"#!/bin/sh"), None);
        assert_eq!(needs_loader(&elf(&[1, 2])[..70]), None);
        let mut large = elf(&[1]);
        large.resize(MOST as usize + 1, 0);
        assert!(check(&large).unwrap_err().contains("more than"));
    }
}
