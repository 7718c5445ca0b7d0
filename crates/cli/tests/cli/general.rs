//! What holds for every command.

use std::io::Read;
use std::process::Stdio;

use crate::support::{command, folder, run};

const COMMANDS: [&str; 18] = [
    "search",
    "report",
    "runs",
    "study",
    "score",
    "submit",
    "completions",
    "man",
    "eval",
    "predict",
    "teacher",
    "distill",
    "objective",
    "arch",
    "import",
    "encode",
    "bench",
    "data",
];

#[test]
fn help_mentions_every_command_and_goes_to_standard_output() {
    let dir = folder();
    let help = run(dir.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    assert_eq!(help.stderr, "");
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is not in {}", help.stdout);
        assert_eq!(run(dir.path(), &[command, "--help"]).code, Some(0), "{command}");
    }
    for (option, values) in [("--progress", "auto"), ("--threads", "<N>"), ("--device", "wgpu")] {
        assert!(help.stdout.contains(option) && help.stdout.contains(values), "{option}");
    }
    let version = run(dir.path(), &["--version"]).stdout;
    assert!(
        version.starts_with("efficientbert ") && version.contains("commit ") && version.contains("; cpu"),
        "{version}"
    );
}

#[test]
fn every_shell_gets_a_script_that_knows_every_command() {
    let dir = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(dir.path(), &["completions", shell]);
        assert_eq!((script.code, &*script.stderr), (Some(0), ""), "{shell}");
        for command in COMMANDS {
            assert!(script.stdout.contains(command), "{shell}: {command}");
        }
        assert!(script.stdout.contains("max-params"), "{shell}");
    }
    run(dir.path(), &["completions", "tcsh"]).fails_with(2, &["bash", "zsh"]);
    // What a person does with it.
    let script = run(dir.path(), &["completions", "bash"]).stdout;
    std::fs::write(dir.path().join("script"), script + "\nCOMP_WORDS=(efficientbert sea) COMP_CWORD=1\n_efficientbert efficientbert sea efficientbert\necho ${COMPREPLY[@]}\n").unwrap();
    let Ok(bash) = std::process::Command::new("bash").arg(dir.path().join("script")).output() else {
        test_support::skipped("no bash");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "search", "{}", String::from_utf8_lossy(&bash.stderr));
}

#[test]
fn manual_pages_have_every_command_and_its_options() {
    let dir = folder();
    let written = run(dir.path(), &["man", "pages"]);
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let page = |name: &str| std::fs::read_to_string(dir.path().join("pages").join(name)).unwrap();
    for command in COMMANDS {
        assert!(page("efficientbert.1").contains(&format!("efficientbert\\-{command}(1)")), "{command}");
        assert!(page(&format!("efficientbert-{command}.1")).contains(".TH"), "{command}");
    }
    assert!(page("efficientbert-data-pack.1").contains("efficientbert data pack"));
    assert!(page("efficientbert-search.1").contains("max\\-params"));
    let files = std::fs::read_dir(dir.path().join("pages")).unwrap().count();
    assert_eq!(written.stdout.lines().count(), files);
    std::fs::write(dir.path().join("file"), "").unwrap();
    run(dir.path(), &["man", "file"]).fails_with(1, &["file", "manual pages"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let dir = folder();
    for args in [
        &["frobnicate"][..],
        &[],
        &["arch", "show"],
        &["arch", "show", "bert-base", "--sequence", "3"],
        &["--threads", "0", "arch", "show", "bert-base"],
        &["--threads", "100000", "arch", "show", "bert-base"],
        &["--progress", "loud", "arch", "show", "bert-base"],
    ] {
        let outcome = run(dir.path(), args);
        outcome.fails_with(2, &[]);
        assert!(!outcome.stderr.is_empty(), "{args:?}");
    }
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
#[test]
fn a_device_that_was_not_built_in_says_how_to_build_it() {
    let dir = folder();
    for device in ["cuda", "wgpu"] {
        let outcome = run(dir.path(), &["--device", device, "arch", "show", "bert-base"]);
        outcome.fails_with(
            2,
            &[
                &format!("built without {device}"),
                "hint: build it with `cargo build",
                &format!("--features efficientbert/{device}"),
            ],
        );
    }
}

#[test]
fn the_number_of_threads_does_not_change_results() {
    let dir = folder();
    let show = |threads: &str| run(dir.path(), &["arch", "show", "bert-base", "--json", "--threads", threads]).json();
    assert_eq!(show("1"), show("3"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = folder();
    // Far more than a pipe holds, so that the program is still writing when its reader leaves.
    let args = ["arch", "sample", "--n", "2000", "--layers", "12"];
    let mut child = command(dir.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

#[test]
fn every_test_file_is_listed() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let main = std::fs::read_to_string(dir.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".rs");
        assert!(stem == "main" || main.contains(&format!("mod {stem};")), "{name} is not run");
    }
}
