//! The tests that compare with Python's libraries, and a Python for them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::command::{announce, cannot_start, cargo, done, exit_code};

/// The variable by which the tests find Python. A test that needs it says `skipped: ...` on standard error where it is not set.
const VARIABLE: &str = "EFFICIENTBERT_PYTHON";
/// Test binaries with such tests.
const TESTS: [&str; 9] = [
    "transformers",
    "sentence_transformers",
    "optuna",
    "scikit_learn",
    "peers",
    "remote_code",
    "serve_clients",
    "pretrain_reference",
    "learned_tokenizers",
];
/// What they import.
const PACKAGES: [&str; 17] = [
    "torch",
    "transformers",
    "accelerate",
    "safetensors",
    "numpy",
    "optuna",
    "optuna_dashboard",
    "scipy",
    "sklearn",
    "seqeval",
    "sentence_transformers",
    "onnx",
    "onnxruntime",
    "openvino",
    "huggingface_hub",
    "openai",
    "tritonclient.http",
];
/// What is installed for that. The versions are fixed: a new one of another program is no reason for a test to fail.
const REQUIREMENTS: [&str; 17] = [
    "torch==2.15.0",
    "transformers==5.24.0",
    "accelerate==1.15.0",
    "safetensors",
    "numpy",
    "optuna==5.0.0",
    "optuna-dashboard==0.21.0",
    "scipy",
    "scikit-learn",
    "seqeval==1.2.2",
    "sentence-transformers==6.2.0",
    "onnx==1.23.2",
    "onnxruntime==1.32.0",
    "openvino==2026.4.1",
    "huggingface_hub==2.4.0",
    "openai==3.57.0",
    "tritonclient[http]==2.73.0",
];
/// The variable by which the tests find a Python with optimum's export to ONNX.
const OPTIMUM_VARIABLE: &str = "EFFICIENTBERT_OPTIMUM_PYTHON";
/// What is installed for that. It needs an older version of transformers; everything else it finds in the first Python.
const OPTIMUM_REQUIREMENTS: [&str; 5] =
    ["optimum-onnx==0.1.0", "optimum==2.1.0", "transformers==4.57.6", "huggingface-hub==0.36.2", "tokenizers==0.22.2"];
/// What a skipped test's line begins with.
const SKIPPED: &str = "skipped:";

/// Runs the tests with the Python that `EFFICIENTBERT_PYTHON` names, or else with one in the user's cache folder, which is made where
/// it is not there or lacks a package: a download of some gigabytes, most of them libraries for graphics cards that PyTorch's wheel
/// cannot be imported without.
///
/// # Errors
/// No such Python and none that can be made, or a test that was skipped.
pub fn run() -> Result<ExitCode, String> {
    let python = match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => named(PathBuf::from(path))?,
        None => cached()?,
    };
    let optimum = match std::env::var_os(OPTIMUM_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => with_optimum(&python)?,
    };
    let mut args = vec!["test", "--workspace"];
    args.extend(TESTS.iter().flat_map(|name| ["--test", name]));
    args.extend(["--", "--nocapture"]);
    announce("cargo", &args);
    let mut command = cargo();
    command.args(&args).env(VARIABLE, &python).env(OPTIMUM_VARIABLE, &optimum).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| cannot_start("cargo", &e))?;
    let mut skipped = Vec::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.map_err(|e| format!("cannot read what cargo says: {e}"))?;
        eprintln!("{line}");
        skipped.extend(line.contains(SKIPPED).then_some(line));
    }
    let status = child.wait().map_err(|e| format!("cargo cannot be waited for: {e}"))?;
    match skipped.first() {
        Some(line) => Err(format!("a test did not run: {line}")),
        None => Ok(exit_code(status)),
    }
}

/// # Errors
/// The Python that the person named does not run, or lacks a package.
fn named(python: PathBuf) -> Result<PathBuf, String> {
    match has_packages(&python) {
        true => Ok(python),
        false => Err(format!(
            "{VARIABLE} {}: cannot import {}; install them there, or unset the variable to get a Python with them",
            python.display(),
            PACKAGES.join(", ")
        )),
    }
}

/// The Python in the cache folder, with every package.
fn cached() -> Result<PathBuf, String> {
    let folder = in_cache("python")?;
    let python = folder.join("bin").join("python");
    if python.is_file() && has_versions(&python) {
        return Ok(python);
    }
    let hint =
        "Python 3 with its module `venv` is needed (Debian: python3-venv), or name a Python that has the packages by";
    let hint = format!("{hint} {VARIABLE}");
    // What an interrupted call left there is not worth keeping; pip has its downloads elsewhere.
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    done(&mut make).map_err(|e| format!("{e}; {hint}"))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(REQUIREMENTS);
    done(&mut install)?;
    match has_versions(&python) {
        true => Ok(python),
        false => Err(format!("{}: cannot import {} after their installation", python.display(), PACKAGES.join(", "))),
    }
}

/// A Python in the cache folder with optimum's export, and with the packages of the first one behind its own: about 160 MB more.
fn with_optimum(base: &Path) -> Result<PathBuf, String> {
    let folder = in_cache("python-optimum")?;
    let python = folder.join("bin").join("python");
    let site = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    let behind = output(base, site)?;
    let link = |python: &Path| Ok::<_, String>(PathBuf::from(output(python, site)?).join("base.pth"));
    let checks = pinned(&OPTIMUM_REQUIREMENTS);
    let is_whole = |python: &Path| runs(python, &format!("import optimum.exporters.onnx{checks}"));
    let is_linked = |path: PathBuf| std::fs::read_to_string(path).is_ok_and(|found| found.trim_end() == behind);
    if python.is_file() && link(&python).is_ok_and(is_linked) && is_whole(&python) {
        return Ok(python);
    }
    done(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let path = link(&python)?;
    std::fs::write(&path, format!("{behind}\n")).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    done(install.args(OPTIMUM_REQUIREMENTS))?;
    match is_whole(&python) {
        true => Ok(python),
        false => Err(format!("{}: cannot import optimum.exporters.onnx after its installation", python.display())),
    }
}

/// What Python prints, without the line's end.
fn output(python: &Path, code: &str) -> Result<String, String> {
    let found = Command::new(python).arg("-c").arg(code).output().map_err(|e| cannot_start("python", &e))?;
    match found.status.success() {
        true => Ok(String::from_utf8_lossy(&found.stdout).trim_end().to_owned()),
        false => Err(format!("{} failed: {}", python.display(), String::from_utf8_lossy(&found.stderr).trim_end())),
    }
}

fn in_cache(name: &str) -> Result<PathBuf, String> {
    Ok(cache_folder(std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from), std::env::home_dir())?.join(name))
}

/// The folder for what this makes: below the person's cache folder, where the first is set and absolute, else below the home folder.
fn cache_folder(cache: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, String> {
    let cache = cache.filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".cache")));
    let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set: there is no folder for a Python")?;
    Ok(cache.join("efficientbert"))
}

fn has_packages(python: &Path) -> bool {
    runs(python, &format!("import {}", PACKAGES.join(", ")))
}

/// Whether every package is there in the version that [`REQUIREMENTS`] names.
fn has_versions(python: &Path) -> bool {
    has_packages(python) && runs(python, &format!("pass{}", pinned(&REQUIREMENTS)))
}

/// Python that fails where a package is not there in the version that its requirement names, to stand behind other statements.
fn pinned(requirements: &[&str]) -> String {
    let pinned = requirements.iter().filter_map(|requirement| requirement.split_once("=="));
    let checks: String = pinned
        .map(|(name, version)| {
            // Without what is asked for beside it, as in `name[part]`.
            let name = name.split('[').next().unwrap_or(name);
            format!("; assert version('{name}') == '{version}'")
        })
        .collect();
    format!("; from importlib.metadata import version{checks}")
}

fn runs(python: &Path, code: &str) -> bool {
    let mut command = Command::new(python);
    command.arg("-c").arg(code).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_is_kept_in_the_persons_cache_folder() {
        let folder = |cache: Option<&str>, home: Option<&str>| {
            cache_folder(cache.map(PathBuf::from), home.map(PathBuf::from)).map(|path| path.display().to_string())
        };
        assert_eq!(folder(Some("/cache"), Some("/people/a")).unwrap(), "/cache/efficientbert");
        for cache in [None, Some(""), Some("relative")] {
            assert_eq!(folder(cache, Some("/people/a")).unwrap(), "/people/a/.cache/efficientbert");
        }
        assert!(folder(None, None).unwrap_err().contains("HOME"));
    }

    #[test]
    fn a_python_that_lacks_packages_is_named_with_what_it_lacks() {
        let message = named(PathBuf::from("/no/such/python")).unwrap_err();
        assert!(
            message.contains("EFFICIENTBERT_PYTHON /no/such/python") && message.contains("transformers"),
            "{message}"
        );
    }
}
