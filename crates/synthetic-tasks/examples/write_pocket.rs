//! Writes the generated files into the folder given as first argument:
//! `cargo run -p efficientbert-synthetic-tasks --example write_pocket -- datasets/pocket [SEED]`.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: write_pocket FOLDER [SEED]")?);
    let seed = arguments.next().map_or(Ok(synthetic_tasks::DEFAULT_SEED), |seed| seed.parse())?;
    for file in synthetic_tasks::generate(seed) {
        let path = folder.join(&file.relative_path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, file.bytes)?;
    }
    Ok(())
}
