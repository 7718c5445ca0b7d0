//! Published recipes, recipe files, and overrides from the command line.

use std::path::Path;

use glue_squad::squad::SquadVersion;
use toml::Value;

use super::Recipe;
use crate::{Error, Result};
use run_store::similar::{closest, suggestion, with_suggestion};

/// Recipes that the program carries, by name.
pub const PUBLISHED: [(&str, &str); 7] = [
    ("pocket", include_str!("../../recipes/pocket.toml")),
    ("smoke", include_str!("../../recipes/smoke.toml")),
    ("minilm-quick", include_str!("../../recipes/minilm-quick.toml")),
    ("minilm", include_str!("../../recipes/minilm.toml")),
    ("tinybert-quick", include_str!("../../recipes/tinybert-quick.toml")),
    ("from-text", include_str!("../../recipes/from-text.toml")),
    ("paper", include_str!("../../recipes/paper.toml")),
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

/// [`load`] for those who ask for the student's sizes and how it is timed alone: nothing has to be said of data, and of the teacher
/// only as far as the recipe does.
///
/// # Errors
/// As [`load`].
pub fn load_frame(name: &str, overrides: &[Override]) -> Result<Recipe> {
    let (origin, recipe) = read_changed(name, overrides, |_| {})?;
    recipe.check_sizes().map_err(|message| Error::Recipe { origin, message })?;
    Ok(recipe.with_defaults_of_phases())
}

/// [`load`] of the recipe [without its trainings on text](Recipe::without_text), which needs no `data.corpus`.
///
/// # Errors
/// As [`load`].
pub fn load_without_text(name: &str, overrides: &[Override]) -> Result<Recipe> {
    let (origin, recipe) = read_changed(name, overrides, |_| {})?;
    let recipe = recipe.without_text();
    recipe.check().map_err(|message| Error::Recipe { origin, message })?;
    Ok(recipe.with_defaults_of_phases())
}

/// [`load`], with `change` made after the overrides.
pub(super) fn load_changed(
    name: &str,
    overrides: &[Override],
    change: impl FnOnce(&mut toml::Table),
) -> Result<Recipe> {
    let (origin, recipe) = read_changed(name, overrides, change)?;
    recipe.check().map_err(|message| Error::Recipe { origin, message })?;
    Ok(recipe.with_defaults_of_phases())
}

/// A recipe with overrides and what it is called in messages, not checked yet.
fn read_changed(name: &str, overrides: &[Override], change: impl FnOnce(&mut toml::Table)) -> Result<(String, Recipe)> {
    let (origin, text) = source(name)?;
    let fail = |message: String| Error::Recipe { origin: origin.clone(), message };
    let base: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
    let mut table = base.clone();
    for Override { key, value } in overrides {
        set(&mut table, key, value).map_err(&fail)?;
    }
    change(&mut table);
    refuse_squad(&table).map_err(&fail)?;
    let recipe = read_table(table).map_err(|message| match blamed(base, overrides) {
        Some((culprit, message)) => fail(explained(culprit, &message)),
        None => fail(with_suggestion(message)),
    })?;
    Ok((origin, recipe))
}

/// What a recipe is called in messages, and its text.
pub(super) fn source(name: &str) -> Result<(String, String)> {
    Ok(match PUBLISHED.iter().find(|(n, _)| *n == name) {
        Some((name, text)) => (format!("recipe `{name}`"), (*text).to_string()),
        None => (name.to_string(), read(name)?),
    })
}

fn read_table(table: toml::Table) -> Result<Recipe, String> {
    Value::Table(table).try_into().map_err(|e: toml::de::Error| e.to_string().trim().to_string())
}

/// The first override that makes `base` unreadable, and what is wrong then; `None` where that is not to be read anyway.
fn blamed(mut base: toml::Table, overrides: &[Override]) -> Option<(&Override, String)> {
    read_table(base.clone()).ok()?;
    overrides.iter().find_map(|culprit| {
        set(&mut base, &culprit.key, &culprit.value).ok()?;
        read_table(base.clone()).err().map(|message| (culprit, message))
    })
}

/// What is wrong with an override, and how it was meant.
fn explained(Override { key, value }: &Override, message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let meant = |value: String| format!("; did you mean --set '{key}={value}'?");
    let list = || {
        let items = value.trim_matches(['[', ']']).split(',').map(|item| item.trim().trim_matches(['"', '\'']));
        format!("[{}]", items.map(|item| Value::String(item.into()).to_string()).collect::<Vec<_>>().join(", "))
    };
    let hint = if let Some(name) = suggestion(message) {
        // The unknown word may be a part of the key, or the value.
        let part = message.split('`').nth(1).unwrap_or_default();
        match key.split('.').any(|name| name == part) {
            true => {
                let parts: Vec<&str> = key.split('.').map(|old| if old == part { name } else { old }).collect();
                format!("; did you mean --set {}={value}?", parts.join("."))
            }
            false => format!("; did you mean `{name}`?"),
        }
    } else if first.ends_with("expected a sequence") {
        meant(list())
    } else if first.ends_with("expected a string") || first.ends_with("expected path string") {
        meant(Value::String(value.clone()).to_string())
    } else {
        String::new()
    };
    format!("`{key}` cannot be set to {value}: {}{hint}", in_words(first))
}

/// What serde says of types, in words.
fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 8] = [
        ("expected u64", "a whole number is expected"),
        ("expected u32", "a whole number is expected"),
        ("expected usize", "a whole number is expected"),
        ("expected i64", "a whole number is expected"),
        ("expected f64", "a number is expected"),
        ("expected a boolean", "true or false is expected"),
        ("expected a sequence", "a list is expected"),
        ("expected a string", "a text is expected"),
    ];
    let Some((before, expected)) = message.rsplit_once(", ").filter(|(_, last)| last.starts_with("expected ")) else {
        return message.to_owned();
    };
    let found = WORDS.iter().find(|(said, _)| *said == expected).map(|(_, words)| *words);
    match found.or_else(|| expected.starts_with("expected struct").then_some("a section with keys is expected")) {
        Some(words) => format!("{before}, {words}"),
        None => message.to_owned(),
    }
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(name);
    std::fs::read_to_string(path).map_err(|source| {
        let looks_like_name = !name.contains(['/', '\\', '.']);
        if looks_like_name && source.kind() == std::io::ErrorKind::NotFound {
            let known: Vec<&str> = PUBLISHED.iter().map(|(n, _)| *n).collect();
            let near = closest(name, known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Error::Recipe {
                origin: name.into(),
                message: format!("no such recipe; known: {}, or the path of a TOML file{near}", known.join(", ")),
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
            "`tasks`: {version} cannot be searched on; search on GLUE tasks, then train the found student on it \
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
    /// The recipe with what phases take from it written into them.
    pub(super) fn with_defaults_of_phases(mut self) -> Self {
        let (precision, length_window) = (self.precision, self.length_window);
        for phase in self.phases_mut() {
            phase.precision.get_or_insert(precision);
            phase.length_window.get_or_insert(length_window);
        }
        self
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// Never for a recipe that was loaded.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::Recipe { origin: self.name.clone(), message: e.to_string() })
    }
}
