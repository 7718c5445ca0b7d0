//! Writes the page of a made-up run to standard output, or its table with `--text`, to look at the layout:
//! `cargo run -p efficientbert-report --example sample > sample.html`. A JSON `RunReport` on standard input is shown instead with `--json`.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a program")]

#[path = "../tests/sample/mod.rs"]
mod sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let option = std::env::args().nth(1);
    let run = match option.as_deref() {
        Some("--json") => serde_json::from_reader(std::io::stdin())?,
        _ => sample::made_up_run(120, 400),
    };
    match option.as_deref() {
        Some("--text") => print!("{}", report::comparison_table_text(&run.comparison)),
        _ => print!("{}", report::render_html(&run)),
    }
    Ok(())
}
