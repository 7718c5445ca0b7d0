//! Data sets by the names that users give.

use super::{Catalog, DataSet};
use crate::error::{Error, Result};

impl Catalog {
    /// A data set by its name.
    pub fn get(&self, id: &str) -> Option<&DataSet> {
        self.sets.iter().find(|set| set.id == id)
    }

    /// The groups, in the order of the manifest.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for set in &self.sets {
            if !groups.contains(&set.group.as_str()) {
                groups.push(&set.group);
            }
        }
        groups
    }

    /// The data sets that `names` mean: a set, a group, or `all`. No set comes twice; the order is the manifest's. Case does not
    /// matter, and neither do `-` and `_`.
    ///
    /// # Errors
    /// [`Error::UnknownSet`] for a name that is none of these.
    pub fn select<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<&DataSet>> {
        let mut wanted = vec![false; self.sets.len()];
        for name in names {
            let name = plain(name.as_ref());
            let mut known = false;
            for (set, wanted) in self.sets.iter().zip(&mut wanted) {
                if name == "all" || plain(&set.id) == name || plain(&set.group) == name {
                    *wanted = true;
                    known = true;
                }
            }
            if !known {
                return Err(Error::UnknownSet {
                    given: name,
                    sets: self.sets.iter().map(|set| set.id.as_str()).collect::<Vec<_>>().join(", "),
                    groups: self.groups().join(", "),
                });
            }
        }
        Ok(self.sets.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(set, _)| set).collect())
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_lowercase()
}
