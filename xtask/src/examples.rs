//! Builds and tests `examples/`: a workspace of its own, as somebody who uses the crates has one.

use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::{Message, MetadataCommand};

use crate::command::{announce, cannot_start, cargo, exit_code};

const FOLDER: &str = "examples";

/// Every example is formatted, compiles without warnings and passes its tests.
///
/// The versions are those of the workspace's lock file, and the build folder is the workspace's too, so that the dependencies are
/// compiled once.
pub fn run() -> Result<ExitCode, String> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|e| format!("cargo metadata failed: {e}"))?;
    let folder = metadata.workspace_root.as_std_path().join(FOLDER);
    let lock = metadata.workspace_root.join("Cargo.lock");
    std::fs::copy(&lock, folder.join("Cargo.lock")).map_err(|e| format!("{lock}: cannot be copied: {e}"))?;
    let target = metadata.target_directory.as_std_path();
    // A store of one's own needs no SQLite.
    let light: &[&str] = &["check", "--package", "nas", "--lib", "--no-default-features"];
    let steps: [(&Path, &[&str]); 3] = [
        (metadata.workspace_root.as_std_path(), light),
        (&folder, &["fmt", "--check"]),
        (&folder, &["clippy", "--all-targets", "--", "-D", "warnings"]),
    ];
    for (folder, args) in steps {
        let status = in_folder(folder, target, args).status().map_err(|e| cannot_start("cargo", &e))?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    say_what_is_compiled_twice(in_folder(&folder, target, &["test", "--no-run", JSON]))?;
    let status = in_folder(&folder, target, &["test"]).status().map_err(|e| cannot_start("cargo", &e))?;
    Ok(exit_code(status))
}

const JSON: &str = "--message-format=json-render-diagnostics";

fn in_folder(folder: &Path, target: &Path, args: &[&str]) -> Command {
    announce("cargo", args);
    let mut command = cargo();
    command.args(args).current_dir(folder).env("CARGO_TARGET_DIR", target);
    command
}

/// Tensors take minutes to compile.
fn say_what_is_compiled_twice(mut build: Command) -> Result<(), String> {
    let mut child = build.stdout(Stdio::piped()).spawn().map_err(|e| cannot_start("cargo", &e))?;
    let messages = child.stdout.take().map(|output| Message::parse_stream(BufReader::new(output)));
    for message in messages.into_iter().flatten() {
        if let Message::CompilerArtifact(artifact) = message.map_err(|e| format!("cannot read cargo's output: {e}"))?
            && artifact.target.name == "burn"
            && !artifact.fresh
        {
            eprintln!(
                "note: burn was compiled for the examples; after a build of the workspace that means that {FOLDER}/Cargo.toml turns \
                 on other features of the dependencies than the workspace does"
            );
        }
    }
    let status = child.wait().map_err(|e| format!("cargo cannot be waited for: {e}"))?;
    if status.success() { Ok(()) } else { Err("the examples cannot be built".into()) }
}
