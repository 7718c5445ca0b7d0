//! Every check that needs no run of the code, cheapest first.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::command::{cargo, run_cargo};
use crate::workspace::Workspace;
use crate::{architecture, tidy};

type Check = fn() -> Result<(), String>;

const CHECKS: [(&str, Check); 5] = [
    ("format", format),
    ("architecture", architecture),
    ("tidiness", tidiness),
    ("lints", lints),
    ("documentation", documentation),
];

/// Names of the checks, in their order.
pub fn names() -> [&'static str; CHECKS.len()] {
    CHECKS.map(|(name, _)| name)
}

/// Runs the checks that are named (all when none is), stops at the first that fails unless told to keep going, and prints what was found and how long it took.
pub fn run(only: &[String], keep_going: bool) -> Result<ExitCode, String> {
    let mut results: Vec<(&str, Option<(bool, Duration)>)> = Vec::new();
    let mut failed = false;
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name)) {
        if failed && !keep_going {
            results.push((name, None));
            continue;
        }
        eprintln!("== {name}");
        let start = Instant::now();
        let result = check();
        if let Err(message) = &result {
            eprintln!("{message}");
            failed = true;
        }
        results.push((name, Some((result.is_ok(), start.elapsed()))));
    }
    eprintln!("== summary");
    for (name, result) in results {
        match result {
            Some((ok, time)) => {
                eprintln!("{name:<14} {:<7} {:>7.1} s", if ok { "ok" } else { "FAILED" }, time.as_secs_f64());
            }
            None => eprintln!("{name:<14} not run"),
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn format() -> Result<(), String> {
    needs("fmt", "rustfmt")?;
    must(&["fmt", "--all", "--check"], &[], "some files are not formatted; run `cargo fmt --all`")
}

fn architecture() -> Result<(), String> {
    let workspace = Workspace::load()?;
    let document = std::fs::read_to_string(workspace.root.join(architecture::DOCUMENT))
        .map_err(|e| format!("{}: cannot be read: {e}", architecture::DOCUMENT))?;
    nothing(architecture::check(&document, &workspace.packages))
}

fn tidiness() -> Result<(), String> {
    nothing(tidy::check(&Workspace::load()?)?)
}

fn lints() -> Result<(), String> {
    needs("clippy", "clippy")?;
    must(
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &[],
        "the lints found something; see above",
    )
}

fn documentation() -> Result<(), String> {
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    must(&["doc", "--workspace", "--no-deps"], &strict, "the documentation has mistakes; see above")
}

fn nothing(wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn must(args: &[&str], environment: &[(&str, &str)], otherwise: &str) -> Result<(), String> {
    let status = run_cargo(args, environment)?;
    if status.success() { Ok(()) } else { Err(otherwise.into()) }
}

/// A missing part of the toolchain is a failure with its cure, never a check that was silently left out.
fn needs(subcommand: &str, component: &str) -> Result<(), String> {
    let found = cargo().args([subcommand, "--version"]).output().is_ok_and(|o| o.status.success());
    if found {
        Ok(())
    } else {
        Err(format!("{component} is not installed in this toolchain; `rustup component add {component}` adds it"))
    }
}
