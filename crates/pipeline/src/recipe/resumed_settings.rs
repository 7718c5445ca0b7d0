//! Settings of a command line that differ from those of the run that it resumes.

use std::path::PathBuf;

use toml::{Table, Value};

use super::load::load_changed;
use super::{Override, Recipe};
use crate::Result;

/// A key that a command line sets to another value than a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The dotted key.
    pub key: String,
    /// Its value in the run, as TOML; `None` where it is not set.
    pub run: Option<String>,
    /// The value that was given.
    pub given: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
        write!(f, "`{}` is {} in the run and {} here", self.key, said(&self.run), said(&self.given))
    }
}

/// [`load`](super::load) for a command line that goes on with a run of recipe `run`: where the recipe `name` names no teacher, data,
/// corpus, latency table or measured scores, as the published ones do not, those of the run are meant.
///
/// # Errors
/// As [`load`](super::load).
pub fn load_beside(name: &str, overrides: &[Override], run: &Recipe) -> Result<Recipe> {
    let text = |path: &PathBuf| Value::String(path.to_string_lossy().into_owned());
    load_changed(name, overrides, |table| {
        let mut fill = |section: &str, key: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(section) = section else { return };
            if section.get(key).is_none_or(|given| given.as_array().is_some_and(Vec::is_empty)) {
                section.insert(key.into(), value);
            }
        };
        fill("search", "latency_table", run.search.latency_table.as_ref().map(text));
        fill("search", "fidelities", run.search.fidelities.as_ref().map(text));
        fill("teacher", "model", run.teacher.model.as_ref().map(text));
        fill("data", "glue", run.data.glue.as_ref().map(text));
        let corpus: Vec<Value> = run.data.corpus.iter().map(text).collect();
        fill("data", "corpus", Some(Value::Array(corpus)).filter(|_| !run.data.corpus.is_empty()));
    })
}

/// Keys that decide nothing of the result: what a run says, and what it keeps of its teacher's answers. Their defaults may have been
/// others when it was started.
const WITHOUT_EFFECT: [&str; 2] = ["log_every", "teacher.cache.max_bytes"];

/// The keys with an effect in which two recipes differ, those of `run` first.
///
/// # Errors
/// Never for recipes that were loaded.
pub fn differences(run: &Recipe, given: &Recipe) -> Result<Vec<Difference>> {
    let mut found = compared(&table(run)?, &table(given)?);
    found.retain(|difference| !WITHOUT_EFFECT.contains(&difference.key.as_str()));
    Ok(found)
}

/// The keys in which two TOML texts differ, those of `run` first; `None` where one of them is not TOML.
pub fn differing_keys(run: &str, given: &str) -> Option<Vec<Difference>> {
    Some(compared(&run.parse().ok()?, &given.parse().ok()?))
}

fn compared(run: &Table, given: &Table) -> Vec<Difference> {
    let (ours, theirs) = (leaves(run), leaves(given));
    let value = |list: &[(String, String)], key: &str| {
        let found = list.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    };
    let keys = ours.iter().chain(theirs.iter().filter(|(key, _)| value(&ours, key).is_none())).map(|(key, _)| key);
    let all = keys.map(|key| Difference { key: key.clone(), run: value(&ours, key), given: value(&theirs, key) });
    all.filter(|d| d.run != d.given).collect()
}

/// A recipe as it is written, with every default.
pub(super) fn table(recipe: &Recipe) -> Result<Table> {
    let wrong = |e: toml::de::Error| crate::Error::Recipe { origin: recipe.name.clone(), message: e.to_string() };
    recipe.to_toml()?.parse().map_err(wrong)
}

/// Dotted keys with their values as TOML.
pub(super) fn leaves(table: &Table) -> Vec<(String, String)> {
    fn walk(prefix: &str, table: &Table, into: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value {
                Value::Table(inner) => walk(&format!("{key}."), inner, into),
                other => into.push((key, other.to_string())),
            }
        }
    }
    let mut all = Vec::new();
    walk("", table, &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::load;

    fn set(settings: &[&str]) -> Vec<Override> {
        settings.iter().map(|s| s.parse().unwrap()).collect()
    }

    fn keys(found: &[Difference]) -> Vec<&str> {
        found.iter().map(|d| d.key.as_str()).collect()
    }

    #[test]
    fn the_same_settings_agree_however_they_are_said_and_others_are_named_with_both_values() {
        let run = load("smoke", &set(&["seed=9", "budget.max_params=30_000", "tasks=[\"sst-2\"]"])).unwrap();
        let again = load_beside("smoke", &set(&["tasks=[ 'sst2' ]", "budget.max_params=30000", "seed = 9"]), &run);
        assert_eq!(differences(&run, &again.unwrap()).unwrap(), []);
        let said = [
            "seed=9",
            "budget.max_params=30000",
            "tasks=[\"sst-2\"]",
            "log_every=3",
            "teacher.cache.max_bytes=\"1 GiB\"",
        ];
        assert_eq!(differences(&run, &load_beside("smoke", &set(&said), &run).unwrap()).unwrap(), []);
        let other = load_beside("smoke", &set(&["seed=9", "budget.min_params=1"]), &run).unwrap();
        let found = differences(&run, &other).unwrap();
        assert_eq!(keys(&found), ["budget.max_params", "tasks", "budget.min_params"]);
        assert_eq!(found[0].to_string(), "`budget.max_params` is 30000 in the run and 40000 here");
        assert_eq!(found[2].to_string(), "`budget.min_params` is not set in the run and 1 here");
    }

    #[test]
    fn a_recipe_without_inputs_means_those_of_the_run_and_one_with_others_does_not_agree() {
        let inputs = ["teacher.model=\"/t\"", "data.glue=\"/g\"", "data.corpus=[\"/a\", \"/b\"]"];
        let run = load("minilm-quick", &set(&inputs)).unwrap();
        let again = load_beside("minilm-quick", &[], &run).unwrap();
        assert_eq!(again, run);
        let other = load_beside("minilm-quick", &set(&["data.corpus=[\"/a\"]"]), &run).unwrap();
        assert_eq!(keys(&differences(&run, &other).unwrap()), ["data.corpus"]);
    }
}
