//! Hands what `--version` says to the program: the version, the commit of the sources where it is known, and what is compiled in.

#![allow(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = of_package().or_else(of_repository).unwrap_or_else(|| "unknown".into());
    let optional = ["cuda", "wgpu", "autotune"].into_iter().filter(|feature| {
        let variable = format!("CARGO_FEATURE_{}", feature.to_uppercase());
        std::env::var_os(variable).is_some()
    });
    let features = ["cpu"].into_iter().chain(optional).collect::<Vec<_>>().join(", ");
    println!("cargo:rustc-env=EFFICIENTBERT_VERSION={version} (commit {commit}; {features})");
}

/// What `cargo package` wrote into the package.
fn of_package() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let hash = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
    Some(hash.get(..9)?.to_owned())
}

/// The last commit of the repository that tracks this file.
fn of_repository() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // The last is written with each commit and each change of the branch.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=9", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
