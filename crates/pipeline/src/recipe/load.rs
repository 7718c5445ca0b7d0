//! Published recipes, recipe files, and overrides from the command line.

use std::path::Path;

use glue_squad::squad::SquadVersion;
use toml::Value;

use super::Recipe;
use crate::{Error, Result};

/// Recipes that the program carries, by name.
pub const PUBLISHED: [(&str, &str); 5] = [
    ("pocket", include_str!("../../../../recipes/pocket.toml")),
    ("smoke", include_str!("../../../../recipes/smoke.toml")),
    ("minilm-quick", include_str!("../../../../recipes/minilm-quick.toml")),
    ("tinybert-quick", include_str!("../../../../recipes/tinybert-quick.toml")),
    ("paper", include_str!("../../../../recipes/paper.toml")),
];

/// One `key=value`, the key dotted (`search.stage1.trials=8`).
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Dotted key.
    pub key: String,
    /// Value as TOML text; what is no TOML value is taken as a string.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().into(), value: value.trim().into() })
            }
            _ => Err(format!("`{text}` is not of the form key=value")),
        }
    }
}

/// Loads a recipe by its published name or from a file, applies the overrides and checks it.
///
/// Paths in a recipe file are relative to the folder the program was started in.
///
/// # Errors
/// No such recipe, a file that cannot be read, a line that is not TOML, an unknown or missing key,
/// a value out of range; the message names the file and the key.
pub fn load(name: &str, overrides: &[Override]) -> Result<Recipe> {
    load_changed(name, overrides, |_| {})
}

/// [`load`], with `change` made after the overrides.
pub(super) fn load_changed(
    name: &str,
    overrides: &[Override],
    change: impl FnOnce(&mut toml::Table),
) -> Result<Recipe> {
    let (origin, text) = match PUBLISHED.iter().find(|(n, _)| *n == name) {
        Some((name, text)) => (format!("recipe `{name}`"), (*text).to_string()),
        None => (name.to_string(), read(name)?),
    };
    let fail = |message: String| Error::Recipe { origin: origin.clone(), message };
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
    for Override { key, value } in overrides {
        set(&mut table, key, value).map_err(&fail)?;
    }
    change(&mut table);
    refuse_squad(&table).map_err(&fail)?;
    let mut recipe: Recipe =
        Value::Table(table).try_into().map_err(|e: toml::de::Error| fail(e.to_string().trim().to_string()))?;
    recipe.check().map_err(fail)?;
    let (precision, length_window) = (recipe.precision, recipe.length_window);
    for phase in recipe.phases_mut() {
        phase.precision.get_or_insert(precision);
        phase.length_window.get_or_insert(length_window);
    }
    Ok(recipe)
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(name);
    std::fs::read_to_string(path).map_err(|source| {
        let looks_like_name = !name.contains(['/', '\\', '.']);
        if looks_like_name && source.kind() == std::io::ErrorKind::NotFound {
            let known: Vec<&str> = PUBLISHED.iter().map(|(n, _)| *n).collect();
            return Error::Recipe {
                origin: name.into(),
                message: format!("no such recipe; known: {}, or the path of a TOML file", known.join(", ")),
            };
        }
        Error::Io { action: "read", path: path.to_path_buf(), source }
    })
}

/// SQuAD is a task of other commands, so it is not said to be unknown.
fn refuse_squad(table: &toml::Table) -> Result<(), String> {
    let tasks = table.get("tasks").and_then(Value::as_array).into_iter().flatten();
    match tasks.filter_map(Value::as_str).find_map(|name| name.parse::<SquadVersion>().ok()) {
        Some(version) => Err(format!(
            "`tasks`: a search cannot be made on {version}; search on GLUE tasks, then train the found student on it \
             with `efficientbert distill --task {version}`"
        )),
        None => Ok(()),
    }
}

fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_string()));
    let mut here = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            here.insert(part.to_string(), value);
            return Ok(());
        }
        let next = here.entry(part.to_string()).or_insert_with(|| Value::Table(toml::Table::new()));
        here = match next {
            Value::Table(table) => table,
            _ => return Err(format!("key `{key}`: `{part}` is a value, not a section")),
        };
    }
    Ok(())
}

impl Recipe {
    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// Never for a recipe that was loaded.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::Recipe { origin: self.name.clone(), message: e.to_string() })
    }
}
