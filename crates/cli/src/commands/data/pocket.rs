//! `data make-pocket`, `data make-reviews`: generated data.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use synthetic_tasks::GeneratedFile;

use crate::context::Context;
use crate::error::CliError;
use crate::output::print_json;

#[derive(Args, Debug)]
pub struct MakePocketArgs {
    /// Where to write.
    #[arg(long, value_name = "DIR", default_value = "datasets/pocket")]
    out: PathBuf,
    /// Seed of the sentences.
    #[arg(long, value_name = "N", default_value_t = synthetic_tasks::DEFAULT_SEED)]
    seed: u64,
    /// Replace files that differ from the generated ones.
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct MakeReviewsArgs {
    /// Where to write.
    #[arg(long, value_name = "DIR", default_value = "reviews")]
    out: PathBuf,
    /// Seed of the sentences.
    #[arg(long, value_name = "N", default_value_t = synthetic_tasks::DEFAULT_SEED)]
    seed: u64,
    /// Replace files that differ from the generated ones.
    #[arg(long)]
    force: bool,
}

pub fn run(args: &MakePocketArgs, context: &Context) -> Result<(), CliError> {
    let files = synthetic_tasks::generate(args.seed);
    write("make-pocket", &args.out, (args.seed, &files), args.force, context)
}

/// `data make-reviews`.
pub fn reviews(args: &MakeReviewsArgs, context: &Context) -> Result<(), CliError> {
    let file = |(name, text): (&str, String)| GeneratedFile { relative_path: name.into(), bytes: text.into_bytes() };
    let files = synthetic_tasks::reviews(args.seed).map(file);
    write("make-reviews", &args.out, (args.seed, &files), args.force, context)
}

/// Writes the files that are not there yet, and with `force` those that differ.
fn write(
    command: &str,
    out: &Path,
    (seed, files): (u64, &[GeneratedFile]),
    force: bool,
    context: &Context,
) -> Result<(), CliError> {
    let mut to_write = Vec::new();
    let mut differing = Vec::new();
    for file in files {
        match compare(out, file)? {
            Comparison::Same => {}
            Comparison::Absent => to_write.push(file),
            Comparison::Different => {
                differing.push(file.relative_path.as_str());
                to_write.push(file);
            }
        }
    }
    if !differing.is_empty() && !force {
        let message = format!("{}: other contents stand in {}", out.display(), differing.join(", "));
        return Err(CliError::failed(message).with_hint("nothing was written; --force replaces them"));
    }
    context.progress.start(command, to_write.len() as u64, "files");
    for (i, file) in to_write.iter().enumerate() {
        let path = out.join(&file.relative_path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|e| CliError::failed(format!("cannot create {}: {e}", parent.display())))?;
        }
        run_store::atomic::write_file(&path, &file.bytes)?;
        context.progress.step(i as u64 + 1, &[]);
    }
    context.progress.finish();
    print_json(&json!({
        "out": out,
        "seed": seed,
        "files": files.len(),
        "written": to_write.len(),
        "bytes": files.iter().map(|f| f.bytes.len()).sum::<usize>(),
    }))
}

enum Comparison {
    Absent,
    Same,
    Different,
}

fn compare(out: &Path, file: &GeneratedFile) -> Result<Comparison, CliError> {
    let path = out.join(&file.relative_path);
    match std::fs::read(&path) {
        Ok(bytes) if bytes == file.bytes => Ok(Comparison::Same),
        Ok(_) => Ok(Comparison::Different),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Comparison::Absent),
        Err(e) => Err(CliError::failed(format!("cannot read {}: {e}", path.display()))),
    }
}
