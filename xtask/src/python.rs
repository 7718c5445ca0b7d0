//! The Python package: its wheel is built, installed in a clean virtual environment, and compared with the program there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::MetadataCommand;

use crate::command::{announce, cannot_start, cargo, done, exit_code};

const FOLDER: &str = "crates/python";
/// What builds the wheel. The version is fixed: a new one is no reason for a build to fail.
const MATURIN: &str = "maturin==1.16.0";
/// The program that has the numbers to compare with.
const PROGRAM: &str = "efficientbert-predict";

/// Builds the wheel with the versions of its lock file, which are those of the workspace's where both have a package, installs it with nothing but NumPy, and runs the tests of `crates/python`.
///
/// # Errors
/// There is no Python 3 with `venv`, the lock files disagree, or a build fails.
pub fn run() -> Result<ExitCode, String> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|e| format!("cargo metadata failed: {e}"))?;
    let (root, target) = (metadata.workspace_root.as_std_path(), metadata.target_directory.as_std_path());
    let (folder, work) = (root.join(FOLDER), target.join("python"));
    let lock = |folder: &Path| {
        let path = folder.join("Cargo.lock");
        std::fs::read_to_string(&path).map_err(|e| format!("{}: cannot be read: {e}", path.display()))
    };
    same_versions(&lock(root)?, &lock(&folder)?)?;

    // Of the whole workspace, as every other build: fewer packages would turn on fewer features of the dependencies.
    done(cargo().args(["build", "--workspace", "--bin", PROGRAM]).current_dir(root))?;
    done(cargo().args(["fmt", "--check"]).current_dir(&folder))?;
    let mut lints = cargo();
    done(lints.args(["clippy", "--", "-D", "warnings"]).current_dir(&folder).env("CARGO_TARGET_DIR", target))?;

    let tools = environment(&work.join("tools"), false)?;
    done(pip(&tools).arg(MATURIN))?;
    let wheels = work.join("wheels");
    emptied(&wheels)?;
    let mut build = Command::new(tools.with_file_name("maturin"));
    build.args(["build", "--quiet", "--profile", "dev", "--interpreter"]).arg(&tools).arg("--out").arg(&wheels);
    done(build.current_dir(&folder).env("CARGO_TARGET_DIR", target))?;

    let clean = environment(&work.join("clean"), true)?;
    done(pip(&clean).arg(only_wheel(&wheels)?))?;
    let mut test = Command::new(&clean);
    // From a folder of its own: the one of the sources must not be what is imported.
    test.arg(folder.join("tests").join("test_predictor.py")).current_dir(&work);
    test.env("EFFICIENTBERT_PREDICT", target.join("debug").join(PROGRAM)).env_remove("PYTHONPATH");
    announce(&clean.display().to_string(), &test.get_args().collect::<Vec<_>>());
    Ok(exit_code(test.status().map_err(|e| cannot_start("python", &e))?))
}

/// The Python of a virtual environment in `folder`, made anew where it is not there or `is_clean` asks for it.
fn environment(folder: &Path, is_clean: bool) -> Result<PathBuf, String> {
    let python = folder.join("bin").join("python");
    let works = || Command::new(&python).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if is_clean || !works() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(folder);
        done(&mut make)
            .map_err(|e| format!("{e}; Python 3 with its module `venv` is needed (Debian: python3-venv)"))?;
    }
    Ok(python)
}

/// Whether every package that both lock files have is in a version of the workspace's in both, so that the wheel computes as the program.
fn same_versions(workspace: &str, python: &str) -> Result<(), String> {
    let theirs = versions(workspace);
    let others = versions(python).into_iter().filter_map(|(name, found)| Some((name, found, theirs.get(name)?)));
    let update = |(name, found, theirs): (&str, BTreeSet<&str>, &BTreeSet<&str>)| {
        let version = *theirs.last()?;
        let other = found.iter().find(|version| !theirs.contains(**version))?;
        Some(format!("cargo update --manifest-path {FOLDER}/Cargo.toml {name}@{other} --precise {version}"))
    };
    let updates: Vec<String> = others.filter_map(update).collect();
    match &updates[..] {
        [] => Ok(()),
        _ => Err(format!("{FOLDER}/Cargo.lock has other versions than Cargo.lock; run:\n{}", updates.join("\n"))),
    }
}

/// The packages of a lock file with their versions.
fn versions(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(found) = quoted(line, "name = ") {
            name = Some(found);
        } else if let (Some(name), Some(version)) = (name, quoted(line, "version = ")) {
            versions.entry(name).or_default().insert(version);
        }
    }
    versions
}

/// The text in quotes after `key`, with which `line` begins.
fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

fn pip(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip
}

/// A folder without files.
fn emptied(folder: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(fail)?;
    }
    std::fs::create_dir_all(folder).map_err(fail)
}

fn only_wheel(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut wheels = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    wheels.find(is_wheel).ok_or_else(|| format!("{}: maturin has built no wheel", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_has_the_versions_of_the_workspace() {
        same_versions(include_str!("../../Cargo.lock"), include_str!("../../crates/python/Cargo.lock")).unwrap();
    }

    #[test]
    fn another_version_is_refused_with_the_command_that_changes_it() {
        let lock = |packages: &[(&str, &str)]| -> String {
            let package = |(name, version): &(&str, &str)| {
                format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"name\",\n]\n\n")
            };
            format!("version = 4\n\n{}", packages.iter().map(package).collect::<String>())
        };
        let workspace = lock(&[("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0"), ("c", "3.0.0")]);
        same_versions(&workspace, &lock(&[("a", "1.0.0"), ("b", "1.0.0"), ("pyo3", "0.30.1")])).unwrap();
        let message = same_versions(&workspace, &lock(&[("a", "1.0.1"), ("b", "2.0.0")])).unwrap_err();
        assert!(message.contains("a@1.0.1 --precise 1.0.0") && !message.contains("b@"), "{message}");
    }

    #[test]
    fn a_folder_without_a_wheel_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wheels = folder.path().join("wheels");
        emptied(&wheels).unwrap();
        std::fs::write(wheels.join("a.txt"), "").unwrap();
        assert!(only_wheel(&wheels).unwrap_err().contains("no wheel"));
        std::fs::write(wheels.join("a-1.whl"), "").unwrap();
        assert!(only_wheel(&wheels).unwrap().ends_with("a-1.whl"));
        emptied(&wheels).unwrap();
        assert!(only_wheel(&wheels).is_err());
    }
}
