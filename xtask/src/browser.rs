//! The browser page: a folder that any static server serves, and its test in a headless browser.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::MetadataCommand;

use crate::command::{announce, cannot_start, cargo, done, exit_code};

const TARGET: &str = "wasm32-unknown-unknown";
const MODULE: &str = "efficientbert_wasm.wasm";
/// The program that packs models, and whose answers those of the page are compared with.
const PROGRAM: &str = "efficientbert-predict";
/// What the page consists of besides the module and the model, in `crates/wasm/web`.
const STATIC: [&str; 5] = ["index.html", "app.js", "worker.js", "efficientbert.js", SERVICE_WORKER];
/// Its two placeholders are filled in.
const SERVICE_WORKER: &str = "service-worker.js";

/// What to build.
#[derive(clap::Args)]
pub struct Options {
    /// The model directory that the page has; without it the page is tested with a small random model.
    #[arg(long, value_name = "DIR", requires = "out")]
    model: Option<PathBuf>,
    /// The new folder for the page.
    #[arg(long, value_name = "DIR", requires = "model")]
    out: Option<PathBuf>,
}

/// Where things are.
struct Places {
    root: PathBuf,
    target: PathBuf,
    program: PathBuf,
}

/// Builds the page of a model, or builds one and tests it in headless Chromium, with and without a server.
///
/// # Errors
/// The target is not installed, a build fails, or for the test Node or Chromium is missing.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|e| format!("cargo metadata failed: {e}"))?;
    let target = metadata.target_directory.as_std_path().to_owned();
    let program = target.join("debug").join(PROGRAM);
    let places = Places { root: metadata.workspace_root.as_std_path().to_owned(), target, program };
    has_target()?;
    done(cargo().args(["build", "--workspace", "--bin", PROGRAM]).current_dir(&places.root))?;
    let package = ["--target", TARGET, "--package", "efficientbert-wasm"];
    let mut module = cargo();
    // Flags of the environment would take the place of those in .cargo/config.toml.
    module.args(["build", "--profile", "small"]).args(package).current_dir(&places.root).env_remove("RUSTFLAGS");
    done(&mut module)?;
    if let (Some(model), Some(out)) = (&options.model, &options.out) {
        page(&places, model, out)?;
        let port = 8000;
        eprintln!("{}: serve it with any static server, such as: python3 -m http.server {port}", out.display());
        return Ok(ExitCode::SUCCESS);
    }
    let work = places.target.join("browser");
    if work.exists() {
        std::fs::remove_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    }
    let test = places.root.join("crates").join("wasm").join("tests").join("page.mjs");
    let (model, out) = (work.join("model"), work.join("page"));
    done(Command::new("node").arg(&test).arg("write-model").arg(&model))?;
    page(&places, &model, &out)?;
    let mut node = Command::new("node");
    node.arg(&test).arg("test").arg(&out).arg(&places.program);
    announce("node", &node.get_args().collect::<Vec<_>>());
    Ok(exit_code(node.status().map_err(|e| cannot_start("node", &e))?))
}

/// Whether the toolchain has the standard library of the target.
fn has_target() -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
    let folder = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    match folder.is_some_and(|folder| Path::new(folder.trim()).is_dir()) {
        true => Ok(()),
        false => Err(format!("the toolchain cannot compile for {TARGET}; install it: rustup target add {TARGET}")),
    }
}

/// Puts a page together.
fn page(places: &Places, model: &Path, out: &Path) -> Result<(), String> {
    if out.exists() {
        return Err(format!("{} exists already; name a new folder", out.display()));
    }
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    done(Command::new(&places.program).arg("--model").arg(model).arg("--pack").arg(out.join("model")))?;
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, out.join(name)).map(drop).map_err(|e| format!("{}: {e}", from.display()))
    };
    let web = places.root.join("crates").join("wasm").join("web");
    STATIC.iter().try_for_each(|name| copy(&web.join(name), name))?;
    copy(&places.target.join(TARGET).join("small").join(MODULE), MODULE)?;
    let model = ["config.json", "model.safetensors", "tokenizer.json"].map(|name| format!("model/{name}"));
    let files: Vec<String> = STATIC
        .iter()
        .filter(|name| **name != SERVICE_WORKER)
        .map(ToString::to_string)
        .chain([MODULE.to_owned()])
        .chain(model)
        .collect();
    let worker = out.join(SERVICE_WORKER);
    let text = std::fs::read_to_string(&worker).map_err(|e| format!("{}: {e}", worker.display()))?;
    let text = text.replace("@VERSION@", &version(out, &files)?).replace("@FILES@", &format!("./ {}", files.join(" ")));
    std::fs::write(&worker, text).map_err(|e| format!("{}: {e}", worker.display()))
}

/// A name that changes whenever one of the files does.
fn version(folder: &Path, files: &[String]) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    for name in files {
        let path = folder.join(name);
        name.hash(&mut hasher);
        std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a".to_owned(), "b".to_owned()];
        std::fs::write(folder.path().join("a"), "1").unwrap();
        std::fs::write(folder.path().join("b"), "2").unwrap();
        let first = version(folder.path(), &files).unwrap();
        assert_eq!(version(folder.path(), &files).unwrap(), first);
        std::fs::write(folder.path().join("b"), "3").unwrap();
        assert_ne!(version(folder.path(), &files).unwrap(), first);
        std::fs::remove_file(folder.path().join("a")).unwrap();
        assert!(version(folder.path(), &files).unwrap_err().contains('a'));
    }
}
