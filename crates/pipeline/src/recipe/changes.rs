//! What a run has otherwise than its recipe.

use report::ChangedSetting;
use toml::{Table, Value};

use super::Recipe;
use super::load::{Override, source};
use super::resumed_settings::{leaves, table};
use crate::{Error, Result};

/// The keys that `overrides` have changed in the recipe `name`, which became `recipe`; a key that was set to what it was anyway is
/// left out. In the order of the overrides; values are TOML, and the recipe's is the default where it leaves one.
///
/// # Errors
/// As [`load`](super::load) of the recipe without overrides, as far as reading goes.
pub fn changes(name: &str, recipe: &Recipe, overrides: &[Override]) -> Result<Vec<ChangedSetting>> {
    let (origin, text) = source(name)?;
    let wrong = |e: toml::de::Error| Error::Recipe { origin: origin.clone(), message: e.to_string() };
    let raw: Table = text.parse().map_err(wrong)?;
    // A recipe may need the overrides to be complete; then what stands in it is all that is known.
    let before = match Value::Table(raw.clone()).try_into::<Recipe>() {
        Ok(recipe) => leaves(&table(&recipe.with_defaults_of_phases())?),
        Err(_) => leaves(&raw),
    };
    let after = leaves(&table(recipe)?);
    let mut all: Vec<ChangedSetting> = Vec::new();
    for Override { key, value } in overrides {
        // The key itself, or everything in it where it is a section.
        let meant = |leaf: &&(String, String)| {
            leaf.0.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut set: Vec<(String, String)> = after.iter().filter(meant).cloned().collect();
        if set.is_empty() {
            // Written in another form than it is kept in.
            set.push((key.clone(), value.clone()));
        }
        for (key, value) in set {
            let recipe = before.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone());
            if recipe.as_ref() != Some(&value) && all.iter().all(|known| known.key != key) {
                all.push(ChangedSetting { key, value, recipe });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::load;

    fn changed(name: &str, settings: &[&str]) -> Vec<(String, String, Option<String>)> {
        let overrides: Vec<Override> = settings.iter().map(|text| text.parse().unwrap()).collect();
        let recipe = load(name, &overrides).unwrap();
        changes(name, &recipe, &overrides).unwrap().into_iter().map(|c| (c.key, c.value, c.recipe)).collect()
    }

    #[test]
    fn changed_keys_are_listed_with_both_values_and_what_is_as_before_is_not() {
        let found = changed(
            "pocket",
            &["seed=7", "tasks=[\"rte\"]", "search.stage1.trials=12", "budget.max_macs=900", "precision=f32"],
        );
        let row = |key: &str, value: &str, recipe: Option<&str>| (key.into(), value.into(), recipe.map(String::from));
        assert_eq!(
            found,
            [
                row("seed", "7", Some("42")),
                row("tasks", "[\"rte\"]", Some("[\"sst-2\", \"rte\", \"sts-b\"]")),
                row("budget.max_macs", "900", None),
            ]
        );
    }

    #[test]
    fn a_default_that_the_recipe_leaves_is_its_value_and_the_last_of_two_settings_counts() {
        let found = changed("pocket", &["latency.precision=bf16", "teacher.per_task=true", "seed=1", "seed=2"]);
        assert_eq!(found[0], ("latency.precision".into(), "\"bf16\"".into(), Some("\"f32\"".into())));
        assert_eq!(found[1], ("teacher.per_task".into(), "true".into(), Some("false".into())));
        assert_eq!(found[2], ("seed".into(), "2".into(), Some("42".into())));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_whole_section_is_listed_key_by_key() {
        let found = changed("pocket", &["teacher.scratch={hidden=64, layers=4, heads=4, intermediate=512}"]);
        assert_eq!(found, [("teacher.scratch.hidden".into(), "64".into(), Some("128".into()))]);
    }

    #[test]
    fn a_recipe_that_needs_its_options_is_compared_as_it_stands() {
        let inputs = ["teacher.model=\"/models/x\"", "data.glue=\"/glue\"", "data.corpus=[\"/text\"]"];
        let found = changed("minilm-quick", &inputs);
        assert!(found.iter().any(|(key, value, recipe)| {
            key == "teacher.model" && value == "\"/models/x\"" && recipe.as_deref() != Some("\"/models/x\"")
        }));
    }
}
