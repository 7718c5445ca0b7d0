//! Habits of this workspace that a compiler does not check.

use std::path::Path;

use crate::workspace::{Package, Workspace};

/// Larger files belong in a data set that is fetched.
const LARGEST_FILE: u64 = 1 << 20;

/// What the README promises to a newcomer.
const PROMISED: [&str; 2] = ["cargo xtask search", "cargo xtask test"];

// Written in two parts, so that this file does not trip over itself.
const UNFINISHED: [&str; 3] = [concat!("to", "do!("), concat!("db", "g!("), concat!("unimpl", "emented!(")];
const PRINTING: [&str; 4] = ["println!(", "print!(", "eprintln!(", "eprint!("];
const ENVIRONMENT: [&str; 5] = ["std::env", "env::var", "env::args", "env::current_dir", "env::home_dir"];
const MACHINE_PATHS: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/tm", "p/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("C:\\Us", "ers"),
];

/// Folder of generated sentences, which may say anything.
const DATA: &str = "datasets";

/// What is untidy, one message each with file and line.
pub fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for path in workspace.files()? {
        let full = workspace.root.join(&path);
        let cannot_read = |e| format!("{}: cannot be read: {e}", path.display());
        let size = full.metadata().map_err(cannot_read)?.len();
        if size > LARGEST_FILE {
            wrong.push(format!("{}: {size} bytes are more than {LARGEST_FILE}; fetch it instead", path.display()));
            continue;
        }
        let bytes = std::fs::read(&full).map_err(cannot_read)?;
        // What is not text has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            wrong.extend(check_text(&path, &text, &workspace.packages));
        }
    }
    for package in &workspace.packages {
        let path = Path::new(&package.folder).join("Cargo.toml");
        let text = std::fs::read_to_string(workspace.root.join(&path))
            .map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
        if !inherits_lints(&text) {
            wrong
                .push(format!("{}: does not inherit the lints; add `[lints]` with `workspace = true`", path.display()));
        }
    }
    wrong.extend(check_readme(&std::fs::read_to_string(workspace.root.join("README.md")).unwrap_or_default()));
    Ok(wrong)
}

fn check_readme(text: &str) -> Vec<String> {
    let missing = PROMISED.into_iter().filter(|p| !text.contains(p));
    missing.map(|p| format!("README.md: does not name `{p}`; a newcomer looks for it there")).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let after = manifest.lines().map(str::trim).skip_while(|l| *l != "[lints]").skip(1);
    after.take_while(|l| !l.starts_with('[')).any(|l| l.replace(' ', "") == "workspace=true")
}

fn check_text(path: &Path, text: &str, packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |line: usize, message: String| wrong.push(format!("{}:{line}: {message}", path.display()));
    if !path.starts_with(DATA) && path != Path::new("Cargo.lock") {
        for (i, line) in text.lines().enumerate() {
            for found in MACHINE_PATHS.into_iter().filter(|p| names_path(line, p)) {
                say(i + 1, format!("`{found}` is a path of one machine; make it relative or an option"));
            }
        }
    }
    if path.extension().is_none_or(|e| e != "rs") {
        return wrong;
    }
    let library = is_library_source(path, packages);
    let tests_from = tests_begin(text);
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
        for found in UNFINISHED.into_iter().filter(|m| calls(line, m)) {
            say(i + 1, format!("`{found}...)` is unfinished work"));
        }
        if library && i < tests_from {
            for found in PRINTING.into_iter().filter(|m| calls(line, m)) {
                say(i + 1, format!("`{found}...)` in a library; return what there is to say"));
            }
            if let Some(found) = ENVIRONMENT.into_iter().find(|m| calls(line, m)) {
                say(i + 1, format!("`{found}` in a library; let the caller pass it in"));
            }
        }
    }
    wrong
}

fn is_library_source(path: &Path, packages: &[Package]) -> bool {
    let test_file =
        path.file_name().is_some_and(|n| n == "tests.rs") || path.components().any(|c| c.as_os_str() == "tests");
    !test_file && packages.iter().any(|p| p.library && path.starts_with(Path::new(&p.folder).join("src")))
}

/// Index of the line from which on a file is its test module, which by custom stands last.
fn tests_begin(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |i: usize| {
        lines[i] == "#[cfg(test)]"
            && lines[i + 1..]
                .iter()
                .find(|l| !l.starts_with("#["))
                .is_some_and(|l| l.contains("mod ") && l.ends_with('{'))
    };
    (0..lines.len()).find(|i| begins(*i)).unwrap_or(lines.len())
}

/// True where a name occurs and is not the tail of a longer one.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// True where a path begins and is not the tail of a longer path or address.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(i, _)| {
        !line[..i]
            .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '}' | '~' | '*' | ')'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let library = Package { name: "lib".into(), folder: "crates/lib".into(), library: true, imports: vec![] };
        let program = Package { name: "cli".into(), folder: "crates/cli".into(), library: false, imports: vec![] };
        check_text(Path::new(path), text, &[library, program])
    }

    #[test]
    fn a_library_that_prints_is_found_with_its_line() {
        let wrong = found("crates/lib/src/a.rs", "fn f() {\n    println!(\"x\");\n}\n");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("crates/lib/src/a.rs:2: "), "{wrong:?}");
        assert_eq!(found("crates/lib/src/a.rs", "let home = std::env::var(\"HOME\");").len(), 1);
    }

    #[test]
    fn programs_tests_and_comments_may_print() {
        for (path, text) in [
            ("crates/cli/src/main.rs", "println!(\"x\");"),
            ("crates/lib/tests/a.rs", "println!(\"x\");"),
            ("crates/lib/src/tests.rs", "println!(\"x\");"),
            ("crates/lib/src/a.rs", "/// println!(\"x\");"),
            ("crates/lib/src/a.rs", "#[cfg(test)]\nmod tests {\n println!(\"x\");\n}"),
            ("crates/lib/src/a.rs", "let version = env!(\"CARGO_PKG_VERSION\");"),
        ] {
            assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_test_module_in_another_file_does_not_excuse_what_follows() {
        assert_eq!(found("crates/lib/src/a.rs", "#[cfg(test)]\nmod tests;\nprintln!(\"x\");").len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_everywhere() {
        for macro_name in UNFINISHED {
            assert_eq!(found("crates/cli/tests/a.rs", &format!("    {macro_name})")).len(), 1);
        }
        assert!(found("crates/cli/src/a.rs", "mastodon_to").is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found_and_addresses_are_not() {
        for path in MACHINE_PATHS {
            assert_eq!(found("docs/a.md", &format!("see `{path}x`")).len(), 1, "{path}");
            assert!(found("docs/a.md", &format!("https://example.org{path}x")).is_empty(), "{path}");
        }
        assert!(found("datasets/a.tsv", &format!("see {}x", MACHINE_PATHS[0])).is_empty());
    }

    #[test]
    fn a_manifest_without_the_shared_lints_is_found() {
        assert!(inherits_lints("[package]\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n[dependencies]\nworkspace = true\n"));
    }

    #[test]
    fn a_readme_without_the_two_commands_is_found() {
        assert_eq!(check_readme("cargo xtask test").len(), 1);
        assert!(check_readme("`cargo xtask search` and `cargo xtask test`").is_empty());
    }

    #[test]
    fn a_large_file_is_found_and_ignored_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
        assert!(git.is_ok_and(|s| s.success()), "git is needed by this check itself");
        let large = vec![0xff_u8; LARGEST_FILE as usize + 1];
        std::fs::write(folder.path().join("large.bin"), &large).unwrap();
        std::fs::write(folder.path().join("ignored.bin"), &large).unwrap();
        std::fs::write(folder.path().join(".gitignore"), "ignored.bin\n").unwrap();
        std::fs::write(folder.path().join("README.md"), PROMISED.join("\n")).unwrap();
        let wrong = check(&Workspace { root: folder.path().into(), packages: vec![] }).unwrap();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("large.bin: "), "{wrong:?}");
    }
}
