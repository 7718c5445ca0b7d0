//! Holds the workspace to the crate table of `docs/architecture.md`: every crate is listed, and no import leaves the table.

use std::collections::BTreeMap;

use crate::workspace::{FOR_TESTS, Import, Package};

/// Where the table is, relative to the root of the workspace.
pub const DOCUMENT: &str = "docs/architecture.md";

const HEADER: [&str; 4] = ["floor", "crate", "purpose", "may import"];

/// One row of the table.
#[derive(Debug)]
struct Row {
    line: usize,
    floor: u32,
    imports: Imports,
}

#[derive(Debug)]
enum Imports {
    /// Everything on lower floors.
    All,
    Listed(Vec<String>),
}

/// What is wrong, one message each; empty when the workspace keeps to its table.
pub fn check(document: &str, packages: &[Package]) -> Vec<String> {
    let (table, mut wrong) = read_table(document);
    for (name, row) in &table {
        let at = format!("{DOCUMENT}:{}", row.line);
        if !packages.iter().any(|p| p.name == *name) {
            wrong.push(format!("{at}: `{name}` is no package of the workspace; remove the row or correct the name"));
        }
        if let Imports::Listed(imports) = &row.imports {
            for import in imports {
                match table.get(import) {
                    None => wrong.push(format!("{at}: `{name}` may import `{import}`, which has no row")),
                    Some(other) if other.floor > row.floor => wrong.push(format!(
                        "{at}: `{name}` on floor {} may not import `{import}` on floor {}: arrows never point up",
                        row.floor, other.floor
                    )),
                    Some(_) => {}
                }
            }
        }
    }
    for package in packages {
        match table.get(&package.name) {
            None => wrong.push(format!(
                "{DOCUMENT}: `{}` ({}) is missing from the crate table; add its floor, purpose and imports",
                package.name, package.folder
            )),
            Some(row) => wrong.extend(check_imports(package, row, &table)),
        }
    }
    wrong
}

fn check_imports(package: &Package, row: &Row, table: &BTreeMap<String, Row>) -> Vec<String> {
    let mut wrong = Vec::new();
    let for_tests = |import: &Import| import.name == FOR_TESTS && import.kind == "dev-dependency";
    for import in package.imports.iter().filter(|import| !for_tests(import)) {
        let allowed = match &row.imports {
            Imports::Listed(names) => names.contains(&import.name),
            // One without a row is reported as missing.
            Imports::All => table.get(&import.name).is_none_or(|other| other.floor < row.floor),
        };
        if !allowed {
            wrong.push(format!(
                "{}/Cargo.toml: `{}` has the {} `{}`, which {DOCUMENT}:{} does not allow; drop it or reconsider the table",
                package.folder, package.name, import.kind, import.name, row.line
            ));
        }
    }
    wrong
}

/// Rows by crate name, and what is wrong with the table itself.
fn read_table(document: &str) -> (BTreeMap<String, Row>, Vec<String>) {
    let (mut rows, mut wrong) = (BTreeMap::new(), Vec::new());
    let mut lines = document.lines().enumerate().map(|(i, l)| (i + 1, l));
    if !lines.any(|(_, l)| cells(l).is_some_and(|c| c == HEADER)) {
        wrong.push(format!("{DOCUMENT}: there is no table with the columns {}", HEADER.join(", ")));
    }
    for (line, text) in lines {
        let Some(cells) = cells(text) else { break };
        if cells.iter().all(|c| c.chars().all(|c| matches!(c, '-' | ':'))) {
            continue;
        }
        match read_row(line, &cells) {
            Ok((name, row)) => {
                if let Some(earlier) = rows.insert(name.clone(), row) {
                    wrong.push(format!("{DOCUMENT}:{line}: `{name}` has a row already, on line {}", earlier.line));
                }
            }
            Err(message) => wrong.push(format!("{DOCUMENT}:{line}: {message}")),
        }
    }
    (rows, wrong)
}

fn read_row(line: usize, cells: &[&str]) -> Result<(String, Row), String> {
    let [floor, name, purpose, imports] = cells else {
        return Err(format!("a row of the crate table has {} columns, not {}", cells.len(), HEADER.len()));
    };
    let name = code(name).ok_or_else(|| format!("the crate `{name}` is to be written in backticks"))?;
    let floor = floor.parse().map_err(|_| format!("the floor of `{name}` is `{floor}`, not a number"))?;
    if purpose.is_empty() {
        return Err(format!("`{name}` has no purpose; say in a few words what it is for"));
    }
    let imports = match *imports {
        "all" => Imports::All,
        "nothing" => Imports::Listed(Vec::new()),
        list => Imports::Listed(
            list.split(',')
                .map(|item| {
                    code(item.trim()).map(str::to_owned).ok_or_else(|| {
                        format!("`{name}` may import \"{list}\": write `all`, `nothing`, or names in backticks")
                    })
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok((name.to_owned(), Row { line, floor, imports }))
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|name| !name.is_empty() && !name.contains('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Title

| floor | crate | purpose | may import |
|---|---|---|---|
| 0 | `base` | files | nothing |
| 1 | `middle` | models | `base` |
| 1 | `beside` | data | `base` |
| 2 | `top` | the program | all |

| 9 | `other` | a later table is not read | nothing |
";

    fn package(name: &str, imports: &[&str]) -> Package {
        let imports = imports.iter().map(|i| Import { name: (*i).into(), kind: "dependency" }).collect();
        Package { name: name.into(), folder: format!("crates/{name}"), imports }
    }

    fn workspace() -> Vec<Package> {
        vec![
            package("base", &[]),
            package("middle", &["base"]),
            package("beside", &[]),
            package("top", &["base", "middle", "beside"]),
        ]
    }

    fn only(document: &str, packages: &[Package]) -> String {
        let wrong = check(document, packages);
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        wrong[0].clone()
    }

    #[test]
    fn a_workspace_that_keeps_to_its_table_passes() {
        assert_eq!(check(TABLE, &workspace()), Vec::<String>::new());
    }

    #[test]
    fn an_import_that_the_table_does_not_list_names_the_crate_and_the_line() {
        let mut packages = workspace();
        packages[1] = package("middle", &["base", "beside"]);
        let message = only(TABLE, &packages);
        assert!(message.contains("crates/middle/Cargo.toml") && message.contains("`beside`"), "{message}");
        assert!(message.contains("docs/architecture.md:6"), "{message}");
    }

    #[test]
    fn an_import_that_points_up_is_refused_even_if_the_table_lists_it() {
        let document = TABLE.replace("| files | nothing |", "| files | `middle` |");
        let mut packages = workspace();
        packages[0] = package("base", &["middle"]);
        let message = only(&document, &packages);
        assert!(message.contains("docs/architecture.md:5") && message.contains("never point up"), "{message}");
    }

    #[test]
    fn all_means_the_floors_below() {
        let document = TABLE.replace("| data | `base` |", "| data | all |");
        let mut packages = workspace();
        packages[2] = package("beside", &["base", "top"]);
        assert!(only(&document, &packages).contains("`top`"));
    }

    #[test]
    fn what_tests_share_is_imported_by_tests_only() {
        let document = TABLE.replace("| 1 | `middle`", "| 0 | `test-support` | x | nothing |\n| 1 | `middle`");
        let mut packages = workspace();
        packages.push(package(FOR_TESTS, &[]));
        packages[0].imports.push(Import { name: FOR_TESTS.into(), kind: "dev-dependency" });
        assert_eq!(check(&document, &packages), Vec::<String>::new());
        packages[0].imports[0].kind = "dependency";
        assert!(only(&document, &packages).contains("the dependency `test-support`"));
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_both_named() {
        let mut packages = workspace();
        packages.push(package("forgotten", &[]));
        assert!(only(TABLE, &packages).contains("`forgotten` (crates/forgotten)"));
        let message = only(&TABLE.replace("| 2 | `top`", "| 2 | `gone` | x | nothing |\n| 2 | `top`"), &workspace());
        assert!(message.contains("docs/architecture.md:8") && message.contains("`gone`"), "{message}");
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_by_its_line() {
        for (from, to) in [
            ("| 1 | `middle` | models |", "| 1 | `middle` |  |"),
            ("| 1 | `middle` |", "| one | `middle` |"),
            ("| models | `base` |", "| models | base and more |"),
            ("| models | `base` |", "| models |"),
        ] {
            let wrong = check(&TABLE.replace(from, to), &workspace());
            assert!(wrong.iter().any(|m| m.starts_with("docs/architecture.md:6")), "{to}: {wrong:#?}");
        }
        assert!(check("no table", &[])[0].contains("no table"));
    }
}
