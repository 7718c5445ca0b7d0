//! Names of repositories and of files in them.

use std::fmt;

use crate::error::{Error, Result};

/// What may stand before any name.
const PREFIX: &str = "hf:";
/// What stands before the name of a data set.
const DATA_SETS: &str = "datasets/";
/// Where nobody names a revision.
const MAIN: &str = "main";
/// Longest name that the hub gives.
const LONGEST: usize = 96;

/// Kinds of repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Configuration, weights and tokenizer.
    Model,
    /// Files of data.
    DataSet,
}

impl Kind {
    /// As messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::DataSet => "data set",
        }
    }
}

/// A repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoId {
    kind: Kind,
    name: String,
    revision: String,
}

/// A file in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFile {
    /// The repository.
    pub repo: RepoId,
    /// The path in it, with `/` between the parts.
    pub path: String,
}

impl RepoId {
    /// Reads `ORG/NAME[@REVISION]`, or `hf:` before it; behind `hf:` an old name without `ORG/` will do.
    ///
    /// # Errors
    /// [`Error::Name`]: the hub has no such names.
    pub fn model(given: &str) -> Result<Self> {
        let bad = |reason: String| Error::Name { given: given.to_owned(), reason };
        let (text, is_marked) = match given.strip_prefix(PREFIX) {
            Some(rest) => (rest, true),
            None => (given, false),
        };
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let parts = name.split('/').count();
        if parts != 2 && !(parts == 1 && is_marked) {
            return Err(bad("a model of the hub is named ORG/NAME or ORG/NAME@REVISION".to_owned()));
        }
        Self::new(Kind::Model, name, revision).map_err(bad)
    }

    /// Takes a name and a revision apart from each other.
    pub(crate) fn new(kind: Kind, name: &str, revision: &str) -> Result<Self, String> {
        if let Some(part) = name.split('/').find(|part| !is_name(part)) {
            return Err(format!("`{part}` is no name on the hub: letters, digits, `-`, `_` and `.` inside"));
        }
        if !is_revision(revision) {
            return Err(format!("`{revision}` is no revision: a branch, a tag or a commit"));
        }
        Ok(Self { kind, name: name.to_owned(), revision: revision.to_owned() })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `ORG/NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.kind == Kind::DataSet { DATA_SETS } else { "" };
        let revision = if self.revision == MAIN { String::new() } else { format!("@{}", self.revision) };
        write!(f, "{folder}{}{revision}", self.name)
    }
}

impl RepoFile {
    /// Whether a text is meant as a file of the hub.
    pub fn is_meant(given: &str) -> bool {
        given.strip_prefix(PREFIX).unwrap_or(given).starts_with(DATA_SETS)
    }

    /// Reads `datasets/ORG/NAME[@REVISION]/PATH`, or `hf:` before it. A revision writes its `/` as `%2F`.
    ///
    /// # Errors
    /// [`Error::Name`]: the hub has no such names.
    pub fn parse(given: &str) -> Result<Self> {
        let bad = |reason: String| Error::Name { given: given.to_owned(), reason };
        let text = given.strip_prefix(PREFIX).unwrap_or(given);
        let parts = text.strip_prefix(DATA_SETS).and_then(|rest| {
            let (org, rest) = rest.split_once('/')?;
            let (name, path) = rest.split_once('/')?;
            Some((org, name, path))
        });
        let Some((org, name, path)) = parts else {
            return Err(bad(
                "a file of the hub is named datasets/ORG/NAME/PATH or datasets/ORG/NAME@REVISION/PATH".into()
            ));
        };
        let (name, revision) = name.split_once('@').unwrap_or((name, MAIN));
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        let repo = RepoId::new(Kind::DataSet, &format!("{org}/{name}"), &revision).map_err(bad)?;
        if !is_inside(path) {
            return Err(bad(format!("`{path}` is no path inside a repository")));
        }
        Ok(Self { repo, path: path.to_owned() })
    }
}

/// The rule of the hub.
fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty()
        && part.len() <= LONGEST
        && part.chars().all(plain)
        && !part.starts_with(['-', '.'])
        && !part.ends_with(['-', '.'])
        && !part.contains("--")
        && !part.contains("..")
}

/// Also the name of a file below `refs`.
fn is_revision(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+=/".contains(c);
    is_inside(text) && text.chars().all(plain)
}

/// Whether a path stays in the folder that it is joined to, on every system.
pub(crate) fn is_inside(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(part) && !path.chars().any(|c| c == '\\' || c == ':' || c.is_control())
}

/// Whether it is a whole commit hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_organization_name_and_revision() {
        let read = |text: &str| RepoId::model(text).map(|id| (id.name, id.revision)).ok();
        let pair = |name: &str, revision: &str| Some((name.to_owned(), revision.to_owned()));
        assert_eq!(read("google-bert/bert-base-uncased"), pair("google-bert/bert-base-uncased", "main"));
        assert_eq!(read("a/b@v1.0"), pair("a/b", "v1.0"));
        assert_eq!(read("hf:a/b@refs/pr/1"), pair("a/b", "refs/pr/1"));
        assert_eq!(read("hf:bert-base-uncased"), pair("bert-base-uncased", "main"));
        for bad in
            ["bert", "./bert", "../a/b", "a/b/c", "/a/b", "a/", "a/b@", "a/b@../x", "a/..", "a/b c", "a\\b/c", ""]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_are_named_with_their_repository() {
        let file =
            RepoFile::parse("hf:datasets/org/reviews@refs%2Fconvert%2Fparquet/default/train/0000.parquet").unwrap();
        assert_eq!((file.repo.name(), file.repo.revision()), ("org/reviews", "refs/convert/parquet"));
        assert_eq!((file.path.as_str(), file.repo.kind()), ("default/train/0000.parquet", Kind::DataSet));
        for bad in
            ["datasets/a/b", "datasets/a/b/", "datasets/a/b/../c", "datasets/a/b//c", "datasets/a/b/c\\d", "a/b/c"]
        {
            assert!(RepoFile::parse(bad).is_err(), "{bad}");
        }
    }
}
