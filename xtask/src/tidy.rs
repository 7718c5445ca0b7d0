//! Habits of this workspace that neither compiler nor clippy checks.

use std::path::Path;

use crate::workspace::Workspace;

/// Larger files belong in a data set that is fetched.
const LARGEST_FILE: u64 = 1 << 20;

/// What the README promises to a newcomer.
const PROMISED: [&str; 2] = ["cargo xtask search", "cargo xtask test"];

// Written in two parts, so that this file does not trip over itself.
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
            wrong.extend(check_text(&path, &text));
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

fn check_text(path: &Path, text: &str) -> Vec<String> {
    if path.starts_with(DATA) || path == Path::new("Cargo.lock") {
        return Vec::new();
    }
    let found = text.lines().enumerate().flat_map(|(i, line)| {
        MACHINE_PATHS.into_iter().filter(move |p| names_path(line, p)).map(move |found| (i + 1, found))
    });
    found
        .map(|(line, found)| {
            format!("{}:{line}: `{found}` is a path of one machine; make it relative or an option", path.display())
        })
        .collect()
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
        check_text(Path::new(path), text)
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
