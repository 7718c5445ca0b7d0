//! Reading the manifest, and refusing what it must not say.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{ArchiveKind, Catalog, DataFile, DataSet, Format, Origin, Recipe, Source};
use crate::error::{Error, Result};
use crate::layout;

/// The manifest of this project.
const BUILTIN: &str = include_str!("../../manifest.toml");

/// The newest manifest that is understood.
const VERSION: u32 = 1;

/// What stands for the five-digit number in the names of a source with `parts`.
const PART: &str = "{part}";

/// More parts than any data set has; a larger number is a slip.
const MAX_PARTS: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    version: u32,
    #[serde(rename = "set", default)]
    sets: Vec<RawSet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    id: String,
    group: String,
    title: String,
    folder: String,
    task: Option<String>,
    format: Option<RawFormat>,
    // `licence` in manifests of earlier versions.
    #[serde(alias = "licence")]
    license: String,
    home: String,
    note: Option<String>,
    unavailable: Option<String>,
    #[serde(rename = "source", default)]
    sources: Vec<RawSource>,
    #[serde(rename = "file", default)]
    files: Vec<RawFile>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum RawFormat {
    SquadV1,
    SquadV2,
    Lines,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    name: String,
    archive: Option<ArchiveKind>,
    parts: Option<u32>,
    urls: Vec<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: String,
    source: Option<String>,
    member: Option<String>,
    build: Option<Recipe>,
    parts: Option<u32>,
    split: Option<String>,
    rows: Option<u64>,
    classes: Option<Vec<u64>>,
    shared_with_train: Option<u64>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl Catalog {
    /// The manifest of this project, which is compiled in.
    ///
    /// # Errors
    /// None unless this crate was built with a manifest that its own tests refuse.
    pub fn builtin() -> Result<Self> {
        Self::parse(BUILTIN, Path::new("manifest.toml"))
    }

    /// Reads a manifest from a file: a mirror's, or one of private data sets.
    ///
    /// # Errors
    /// The file cannot be read, or as [`Catalog::parse`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "cannot be read"))?;
        Self::parse(&text, path)
    }

    /// Reads a manifest from its text; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Manifest`], which names the line or the set and what is wrong with it.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let refused = |reason| Error::Manifest { path: path.to_owned(), reason };
        let raw: RawManifest = toml::from_str(text).map_err(|e| refused(e.to_string().trim_end().to_owned()))?;
        if raw.version != VERSION {
            return Err(refused(format!("version {}; this program reads version {VERSION}", raw.version)));
        }
        let mut sets = Vec::with_capacity(raw.sets.len());
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for set in raw.sets {
            let id = set.id.clone();
            let wrong = |reason: String| refused(format!("set `{id}`: {reason}"));
            let set = set.build().map_err(wrong)?;
            if !ids.insert(set.id.clone()) || set.id == "all" {
                return Err(wrong("another set or group has this name".to_owned()));
            }
            for file in &set.files {
                if !places.insert(format!("{}/{}", set.folder, file.path)) {
                    return Err(wrong(format!("`{}/{}` is the place of another file", set.folder, file.path)));
                }
            }
            sets.push(set);
        }
        let catalog = Self { path: path.to_owned(), sets };
        if let Some(set) = catalog.sets.iter().find(|set| catalog.groups().contains(&set.id.as_str())) {
            return Err(refused(format!("set `{}`: a group has this name", set.id)));
        }
        Ok(catalog)
    }
}

impl RawSet {
    fn build(self) -> Result<DataSet, String> {
        let format = match (self.task, self.format) {
            (Some(task), None) => Format::Glue(task),
            (None, Some(RawFormat::SquadV1)) => Format::SquadV1,
            (None, Some(RawFormat::SquadV2)) => Format::SquadV2,
            (None, Some(RawFormat::Lines)) => Format::Lines,
            (None, None) => Format::Opaque,
            (Some(_), Some(_)) => return Err("`task` and `format` exclude each other".to_owned()),
        };
        if !is_word(&self.id) || !is_word(&self.group) {
            return Err("`id` and `group` are made of lower-case letters, digits, `-` and `.`".to_owned());
        }
        check_path("folder", &self.folder)?;
        let mut sources = Vec::new();
        for source in self.sources {
            source.build(&mut sources)?;
        }
        let mut files = Vec::new();
        for file in self.files {
            file.build(&sources, &mut files)?;
        }
        if self.unavailable.is_some() != files.is_empty() {
            return Err("a set has either files or the reason why it is `unavailable`".to_owned());
        }
        for file in &files {
            if let Origin::Built(recipe) = &file.origin {
                let absent = recipe.inputs().iter().find(|input| !files.iter().any(|f| f.path == **input));
                if let Some(input) = absent {
                    return Err(format!("`{}` is built from `{input}`, which is no file of the set", file.path));
                }
            }
        }
        for source in &sources {
            let used = |file: &DataFile| match &file.origin {
                Origin::Source(name) | Origin::Member { source: name, .. } => *name == source.name,
                Origin::Built(_) => false,
            };
            if !files.iter().any(used) {
                return Err(format!("no file comes from the source `{}`", source.name));
            }
        }
        Ok(DataSet {
            id: self.id,
            group: self.group,
            title: self.title,
            folder: self.folder,
            format,
            license: self.license,
            home: self.home,
            note: self.note,
            unavailable: self.unavailable,
            sources,
            files,
        })
    }
}

impl RawSource {
    fn build(self, into: &mut Vec<Source>) -> Result<(), String> {
        check_checksum(&self.name, self.sha256.as_deref())?;
        if self.urls.is_empty() {
            return Err(format!("the source `{}` has no address", self.name));
        }
        for url in &self.urls {
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return Err(format!("`{url}` does not begin with https:// or http://"));
            }
        }
        if self.parts.is_some() && (self.sha256.is_some() || self.bytes.is_some()) {
            return Err(format!("`{}` has `parts`, so one size or checksum cannot be right", self.name));
        }
        for part in part_numbers(self.parts, &self.name)? {
            let name = numbered(&self.name, part);
            if name.contains('/') {
                return Err(format!("the name `{name}` holds a `/`; a source is one file"));
            }
            check_path("name", &name)?;
            if into.iter().any(|other| other.name == name) {
                return Err(format!("two sources are called `{name}`"));
            }
            into.push(Source {
                name,
                urls: self.urls.iter().map(|url| numbered(url, part)).collect(),
                archive: self.archive,
                bytes: self.bytes,
                sha256: self.sha256.clone(),
            });
        }
        Ok(())
    }
}

impl RawFile {
    fn build(self, sources: &[Source], into: &mut Vec<DataFile>) -> Result<(), String> {
        check_checksum(&self.path, self.sha256.as_deref())?;
        for part in part_numbers(self.parts, &self.path)? {
            let path = numbered(&self.path, part);
            check_path("path", &path)?;
            let find = |name: &str| {
                let name = numbered(name, part);
                sources.iter().find(|s| s.name == name).ok_or_else(|| format!("`{path}`: there is no source `{name}`"))
            };
            // What is known of a source as it is, is known of the file.
            let (origin, known) = match (&self.source, &self.member, self.build) {
                (Some(name), None, None) => {
                    let source = find(name)?;
                    if source.archive.is_some() {
                        return Err(format!("`{path}` comes from an archive: name its `member`"));
                    }
                    (Origin::Source(source.name.clone()), Some(source))
                }
                (Some(name), Some(member), None) => {
                    let source = find(name)?;
                    if source.archive.is_none() {
                        return Err(format!("`{path}` has a `member`, but `{}` is no archive", source.name));
                    }
                    (Origin::Member { source: source.name.clone(), member: numbered(member, part) }, None)
                }
                (None, None, Some(recipe)) => (Origin::Built(recipe), None),
                _ => return Err(format!("`{path}` needs either `source` (and `member`) or `build`")),
            };
            into.push(DataFile {
                path,
                origin,
                bytes: self.bytes.or_else(|| known.and_then(|s| s.bytes)),
                sha256: self.sha256.clone().or_else(|| known.and_then(|s| s.sha256.clone())),
                split: self.split.clone(),
                rows: self.rows,
                classes: self.classes.clone(),
                shared_with_train: self.shared_with_train,
            });
        }
        Ok(())
    }
}

/// The numbers of the parts; one `None` for what has no parts.
fn part_numbers(parts: Option<u32>, name: &str) -> Result<Vec<Option<u32>>, String> {
    match parts {
        None if name.contains(PART) => Err(format!("`{name}` holds {PART}, but `parts` is missing")),
        None => Ok(vec![None]),
        Some(count) if !(1..=MAX_PARTS).contains(&count) || !name.contains(PART) => {
            Err(format!("`{name}`: `parts` is 1 to {MAX_PARTS}, and the name holds {PART}"))
        }
        Some(count) => Ok((0..count).map(Some).collect()),
    }
}

fn numbered(text: &str, part: Option<u32>) -> String {
    part.map_or_else(|| text.to_owned(), |number| text.replace(PART, &format!("{number:05}")))
}

fn check_checksum(name: &str, sha256: Option<&str>) -> Result<(), String> {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match sha256 {
        Some(text) if !is_hex(text) => {
            Err(format!("`{name}`: sha256 is 64 lower-case hexadecimal digits, not `{text}`"))
        }
        _ => Ok(()),
    }
}

fn check_path(what: &str, path: &str) -> Result<(), String> {
    layout::fault(path).map_or(Ok(()), |fault| Err(format!("{what} `{path}`: {fault}")))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}
