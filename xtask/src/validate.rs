//! Every check that needs no run of the code, cheapest first.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::command::{cargo, run_cargo};
use crate::workspace::{Workspace, crate_name};
use crate::{architecture, tidy};

type Check = fn() -> Result<(), String>;

const CHECKS: [(&str, Check); 9] = [
    ("format", format),
    ("architecture", architecture),
    ("inference", inference),
    ("tidiness", tidiness),
    ("dependencies", dependencies),
    ("light features", light_features),
    ("packages", packages),
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
    needs("fmt", "rustfmt", RUSTUP)?;
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

/// Licenses and sources of the dependencies, by `deny.toml`. Advisories are left out: their database is on the network, and a new entry is
/// no fault of a change.
fn dependencies() -> Result<(), String> {
    needs("deny", "cargo-deny", "cargo install --locked")?;
    must(
        &["deny", "--log-level", "error", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
        &[],
        "a dependency is not what `deny.toml` allows; see above",
    )
}

/// Crates that are asked for without their default features, and what they then do without.
const LIGHT: [(&str, &[&str]); 2] = [
    ("glue-squad", &["tokenizer", "tokenizers", "parquet-rows", "zip", "flate2", "ruzstd", "snap", "rayon"]),
    // The whole of the inference path, which it stands on.
    ("predict", &["burn", "bert-core", "train", "parquet-rows", "table-rows", "zip", "csv", "toml"]),
];

fn light_features() -> Result<(), String> {
    without(&LIGHT, &["--no-default-features"], "without its default features")
}

/// Crates that read, check and run models, and what they do without: the code that trains them.
const INFERENCE: [(&str, &[&str]); 9] = [
    ("encoder-spec", TRAINING),
    ("tokenizer", TRAINING),
    ("model-dir", TRAINING),
    ("cpu-runtime", TRAINING),
    ("predict", TRAINING),
    ("runtime", TRAINING),
    ("capi", TRAINING),
    ("wasm", TRAINING),
    ("serve", TRAINING),
];
const TRAINING: &[&str] =
    &["burn", "burn-backend", "burn-core", "burn-store", "burn-tensor", "fused-ops", "bert-core", "train"];

fn inference() -> Result<(), String> {
    without(&INFERENCE, &[], "on the inference path")
}

/// Whether each package does without the names beside it, dependencies of tests and build scripts left out.
fn without(packages: &[(&str, &[&str])], options: &[&str], how: &str) -> Result<(), String> {
    let root = Workspace::load()?.root;
    let mut wrong = Vec::new();
    for (package, names) in packages {
        let manifest = root.join("crates").join(package).join("Cargo.toml");
        let args = ["tree", "-e", "normal", "--prefix", "none", "--manifest-path"];
        let output = cargo().args(args).arg(manifest).args(options).output().map_err(|e| format!("cargo tree: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let tree = String::from_utf8_lossy(&output.stdout);
        wrong.extend(among(&tree, names).map(|name| format!("{package} {how} needs {name}")));
    }
    nothing(wrong)
}

/// Those of `names` that a list of packages, one a line, has.
fn among<'a>(tree: &'a str, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let has = |name: &str| tree.lines().any(|line| line.split(' ').next().map(crate_name) == Some(name));
    names.iter().copied().filter(move |name| has(name))
}

/// That every crate can be packaged for the registry: its manifest is complete, and what it includes lies in it. Nothing is compiled.
fn packages() -> Result<(), String> {
    must(
        &["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"],
        &[],
        "a crate cannot be packaged; see above",
    )
}

fn lints() -> Result<(), String> {
    needs("clippy", "clippy", RUSTUP)?;
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

/// What installs a part of the toolchain.
const RUSTUP: &str = "rustup component add";

/// A missing program is a failure with its cure, never a check that was silently left out.
fn needs(subcommand: &str, program: &str, installer: &str) -> Result<(), String> {
    let found = cargo().args([subcommand, "--version"]).output().is_ok_and(|o| o.status.success());
    if found { Ok(()) } else { Err(format!("{program} is not installed; `{installer} {program}` adds it")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_by_their_whole_name() {
        let tree = "glue-squad v0.1.0 (/x)\nserde v1.0.0\nzip-tools v1.0.0\nserde v1.0.0 (*)\n";
        assert_eq!(among(tree, &["zip", "serde", "tokenizers"]).collect::<Vec<_>>(), ["serde"]);
    }
}
