//! Inputs that are not where the recipe says any more.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::{Error, Result};

/// Where a run's inputs are now; what is absent is where the recipe says. Whether they hold what the run was started with is found by
/// their names, order and SHA-256, not by their folders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Moved {
    /// The teacher's model directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// The folder of GLUE tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glue: Option<PathBuf>,
    /// All of the corpus, in the recipe's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corpus: Vec<PathBuf>,
}

impl Moved {
    /// Whether everything is where the recipe says.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These places, and those of `earlier` for what these do not say.
    #[must_use]
    pub fn or(&self, earlier: &Self) -> Self {
        Self {
            teacher: self.teacher.clone().or_else(|| earlier.teacher.clone()),
            glue: self.glue.clone().or_else(|| earlier.glue.clone()),
            corpus: if self.corpus.is_empty() { earlier.corpus.clone() } else { self.corpus.clone() },
        }
    }

    /// What of these places is news to a run of `recipe` whose inputs were at `earlier` last: a command line that is given again names
    /// the places that the run has anyway, and those that it was started with, where it has been told of others since.
    #[must_use]
    pub fn news(&self, recipe: &Recipe, earlier: &Self) -> Self {
        let one = |asked: &Option<PathBuf>, started: &Option<PathBuf>, earlier: &Option<PathBuf>| {
            let known = asked == started && earlier.as_ref().is_none_or(|path| path.exists()) || asked == earlier;
            asked.clone().filter(|_| !known)
        };
        let (started, last) = (&recipe.data.corpus, &earlier.corpus);
        let known = self.corpus == *started && last.iter().all(|path| path.exists()) || self.corpus == *last;
        Self {
            teacher: one(&self.teacher, &recipe.teacher.model, &earlier.teacher),
            glue: one(&self.glue, &recipe.data.glue, &earlier.glue),
            corpus: if known { Vec::new() } else { self.corpus.clone() },
        }
    }

    /// These places as keys of a recipe with their values as TOML.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let text = |path: &PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        let one =
            |key: &str, path: &Option<PathBuf>| path.as_ref().map(|path| (key.to_string(), text(path).to_string()));
        let corpus = (!self.corpus.is_empty()).then(|| {
            let all = toml::Value::Array(self.corpus.iter().map(text).collect());
            ("data.corpus".to_string(), all.to_string())
        });
        [one("teacher.model", &self.teacher), one("data.glue", &self.glue), corpus].into_iter().flatten().collect()
    }

    /// What to tell people of these places where the run goes on with those of `now`, since they were no [news](Self::news).
    pub(crate) fn passed_over(&self, now: &Self) -> Vec<String> {
        let story = |option: &str, path: &Path| {
            format!("{option}: the run was given {} after it was started, and continues with that", path.display())
        };
        let one = |option: &str, said: &Option<PathBuf>, now: &Option<PathBuf>| match (said, now) {
            (Some(said), Some(now)) if said != now => Some(story(option, now)),
            _ => None,
        };
        let corpus = now.corpus.first().filter(|_| !self.corpus.is_empty() && self.corpus != now.corpus);
        [
            one("--teacher", &self.teacher, &now.teacher),
            one("--data", &self.glue, &now.glue),
            corpus.map(|first| story("--corpus", first)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// `recipe` with the paths of now.
    ///
    /// # Errors
    /// The run makes this input itself.
    pub fn apply(&self, recipe: &Recipe) -> Result<Recipe> {
        let mut recipe = recipe.clone();
        let fail = |key: &str, message: &str| {
            Err(Error::Recipe { origin: recipe.name.clone(), message: format!("`{key}` {message}") })
        };
        let made = "is made by this run itself, so it cannot have moved";
        if self.teacher.is_some() && recipe.teacher.model.is_none() {
            return fail("teacher.model", made);
        }
        if self.glue.is_some() && recipe.data.glue.is_none() {
            return fail("data.glue", made);
        }
        if !self.corpus.is_empty() {
            if recipe.data.corpus.is_empty() {
                return fail("data.corpus", made);
            }
            recipe.data.corpus.clone_from(&self.corpus);
        }
        recipe.data.glue = self.glue.clone().or(recipe.data.glue);
        recipe.teacher.model = self.teacher.clone().or(recipe.teacher.model);
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::DataSettings;

    fn to(corpus: &[&str]) -> Moved {
        Moved { corpus: corpus.iter().map(PathBuf::from).collect(), ..Moved::default() }
    }

    #[test]
    fn paths_are_replaced_and_what_is_not_said_stays() {
        let mut recipe = crate::recipe::load("pocket", &[]).unwrap();
        recipe.data = DataSettings { glue: Some("glue".into()), corpus: vec!["old".into()], ..recipe.data };
        let moved = to(&["new/a.txt", "new/b.txt"]).apply(&recipe).unwrap();
        assert_eq!(moved.data.corpus, [PathBuf::from("new/a.txt"), PathBuf::from("new/b.txt")]);
        assert_eq!(moved.data.glue, recipe.data.glue);
        assert_eq!(Moved::default().apply(&recipe).unwrap(), recipe);
    }

    #[test]
    fn the_newest_place_counts() {
        let earlier = Moved { glue: Some("a".into()), ..to(&["b"]) };
        let now = Moved { teacher: Some("c".into()), ..to(&["d"]) };
        assert_eq!(now.or(&earlier), Moved { glue: Some("a".into()), ..now.clone() });
        assert_eq!(Moved::default().or(&earlier), earlier);
    }

    #[test]
    fn a_command_line_that_is_given_again_brings_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let there = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let mut recipe = crate::recipe::load("pocket", &[]).unwrap();
        recipe.data = DataSettings { glue: Some("glue".into()), corpus: vec!["old".into()], ..recipe.data };
        let again = Moved { glue: Some("glue".into()), ..to(&["old"]) };
        assert_eq!(again.news(&recipe, &Moved::default()), Moved::default());
        // Told of another corpus since: the first command line does not take it back, and neither does the second.
        let other = Moved { corpus: vec![there("other")], ..Moved::default() };
        assert_eq!(again.news(&recipe, &other), Moved::default());
        let said = again.passed_over(&other);
        assert!(said.len() == 1 && said[0].starts_with("--corpus: the run was given "), "{said:?}");
        assert_eq!(other.passed_over(&other), Vec::<String>::new());
        assert_eq!(other.news(&recipe, &other), Moved::default());
        assert_eq!(to(&["third"]).news(&recipe, &other), to(&["third"]));
        // That one is gone: what is said now counts.
        assert_eq!(again.news(&recipe, &to(&["gone"])).corpus, again.corpus);
    }

    #[test]
    fn what_a_run_makes_itself_has_not_moved() {
        let recipe = crate::recipe::load("pocket", &[]).unwrap();
        let glue = Moved { glue: Some("x".into()), ..Moved::default() };
        let teacher = Moved { teacher: Some("x".into()), ..Moved::default() };
        for (moved, key) in [(glue, "data.glue"), (teacher, "teacher.model"), (to(&["x"]), "data.corpus")] {
            assert!(moved.apply(&recipe).unwrap_err().to_string().contains(key));
        }
    }
}
