//! Holds the inference path to what it promises: models are read, checked and run without the code that trains them.

use crate::command::cargo;

/// The crates of the inference path.
const CRATES: [&str; 5] = ["encoder-spec", "tokenizer", "model-dir", "cpu-runtime", "predict"];

/// What is wrong, one message each: a crate of the path whose own dependencies, tests and build scripts left out, bring in burn.
///
/// # Errors
/// Cargo cannot tell the dependencies.
pub fn check() -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for name in CRATES {
        let args = ["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let output = cargo().args(args).output().map_err(|e| format!("cargo tree did not start: {e}"))?;
        if !output.status.success() {
            return Err(format!("cargo tree of {name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let found = trainers(&String::from_utf8_lossy(&output.stdout));
        if !found.is_empty() {
            let found = found.join(", ");
            wrong.push(format!(
                "{name}: has {found} among its dependencies; `cargo tree -p {name} -e normal` shows how"
            ));
        }
    }
    Ok(wrong)
}

/// Names of packages in the output of `cargo tree` that are burn's.
fn trainers(tree: &str) -> Vec<&str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name == "burn" || name.starts_with("burn-") || name.starts_with("cubecl"))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::trainers;

    #[test]
    fn burn_and_its_parts_are_found_once_each_and_names_that_only_contain_it_are_not() {
        let tree = "predict v0.1.0\nburn v0.22.1\nserde v1.0.0\nburn-core v0.22.1\nburn v0.22.1 (*)\nsunburn v1.0.0\n";
        assert_eq!(trainers(tree), ["burn", "burn-core"]);
        assert!(trainers("cpu-runtime v0.1.0\nrayon v1.10.0\n").is_empty());
    }
}
