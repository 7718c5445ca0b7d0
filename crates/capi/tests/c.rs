//! Programs in C, compiled with the machine's C compiler, against the shared and the static library.

#![allow(clippy::disallowed_methods, reason = "the place of what cargo has built")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use runtime::{Input, Runtime, Settings};

/// A model directory with made-up weights.
fn model(dir: &Path) {
    let head = TaskHeadConfig::new("films", TaskHeadKind::Classification, vec!["bad".into(), "good".into()]);
    let config = BertConfig { task_heads: vec![head], ..BertConfig::bert(8, 16, 2, 2, 32) };
    model_dir::write_untrained(dir, config, &["a", "quiet", "film"], 1).unwrap();
}

/// Where cargo has put the libraries: beside this test.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn successful(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Compiles `source` as strictly as compilers can, and gives the program and what runs it.
fn compiled(source: &str, dir: &Path, how: &[&str]) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = dir.join("program");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-D_POSIX_C_SOURCE=200809L", "-I"]);
    cc.arg(here.join("include")).arg(here.join(source)).arg("-o").arg(&program).arg("-L").arg(libraries());
    successful(cc.args(how));
    let mut run = Command::new(program);
    run.env("LD_LIBRARY_PATH", libraries());
    run
}

const SHARED: &[&str] = &["-lefficientbert_c", "-lpthread"];
const STATIC: &[&str] = &["-l:libefficientbert_c.a", "-lpthread", "-ldl", "-lm"];

#[test]
fn the_example_in_c_prints_what_the_runtime_answers() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    model(&dir);
    let texts = ["a quiet film", "film \u{fc}ber a", ""];
    let output = successful(compiled("examples/answer.c", folder.path(), SHARED).arg(&dir).args(texts));
    let output = String::from_utf8(output.stdout).unwrap();

    let runtime = Runtime::load(&dir, Settings::default()).unwrap();
    let inputs = texts.map(Input::from);
    let mut expected = vec![serde_json::to_string(&runtime.answers(&inputs, None).unwrap()).unwrap()];
    let scores = runtime.scores(&inputs, None).unwrap();
    expected.extend(scores.iter().zip(texts).map(|(row, text)| format!("{:.6} {:.6} {text}", row[0], row[1])));
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn threads_in_c_get_equal_answers_and_every_error_is_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("model");
    model(&dir);
    for library in [SHARED, STATIC] {
        successful(compiled("tests/check.c", folder.path(), library).arg(&dir));
    }
}

#[test]
fn the_header_declares_what_the_libraries_have_and_nothing_else() {
    let declared = functions(efficientbert_c::HEADER, |line| line.ends_with(';') || line.ends_with(','));
    let sources = [include_str!("../src/model.rs"), include_str!("../src/answer.rs")].concat();
    let defined = functions(&sources, |line| line.contains("extern \"C\" fn"));
    assert_eq!(declared, defined);
    // Every one has the parameters of the other, in their order.
    for name in &declared {
        let parameters = |text: &str, before: &str| {
            let list = text.split_once(&format!("{before}{name}(")).unwrap().1.split_once(')').unwrap().0.to_owned();
            list.split(',').filter(|one| !matches!(one.trim(), "" | "void")).count()
        };
        assert_eq!(parameters(efficientbert_c::HEADER, ""), parameters(&sources, "fn "), "{name}");
    }
}

/// Names of the library's functions in lines that declare or define one, sorted.
fn functions(text: &str, is_declaration: impl Fn(&str) -> bool) -> Vec<String> {
    let code = text.lines().filter(|line| !line.starts_with(" *") && !line.starts_with("/*"));
    let names = code.filter(|line| is_declaration(line.trim_end())).filter_map(|line| {
        let start = line.find("efficientbert_")?;
        let name: String = line[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        // The function, and not a type in front of it.
        let rest = &line[start + name.len()..];
        match rest.starts_with('(') {
            true => Some(name),
            false => {
                let start = rest.find("efficientbert_")?;
                let end = rest[start..].find('(')?;
                Some(rest[start..start + end].to_owned())
            }
        }
    });
    let mut names: Vec<String> = names.filter(|name| name != "efficientbert_model").collect();
    names.sort();
    names
}
