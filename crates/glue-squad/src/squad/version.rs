//! Which of the two SQuAD tasks is meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, folder_listing};

/// SQuAD v1.1 (every question has an answer) or v2.0 (some have none). The layout of the files is nearly the same; how a missing
/// answer is predicted and scored is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SquadVersion {
    /// SQuAD v1.1.
    #[serde(rename = "squad-v1")]
    V1,
    /// SQuAD v2.0.
    #[serde(rename = "squad-v2")]
    V2,
}

impl SquadVersion {
    /// Both, in the order of their publication.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The task's name: `squad-v1`, `squad-v2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "squad-v1",
            Self::V2 => "squad-v2",
        }
    }

    /// Whether questions without an answer belong to the task.
    pub fn has_unanswerable(self) -> bool {
        self == Self::V2
    }

    /// The official file name of a split (`train`, `dev`): `dev-v1.1.json`.
    pub fn file_name(self, split: &str) -> String {
        match self {
            Self::V1 => format!("{split}-v1.1.json"),
            Self::V2 => format!("{split}-v2.0.json"),
        }
    }

    /// The file of a split (`train`, `dev`): `data` itself where it is a file, else the one with the official name in the folder
    /// `data` or in its folder `squad`.
    ///
    /// # Errors
    /// [`Error::FolderMissing`]; [`Error::FileMissing`], which lists what is there.
    pub fn find(self, data: &Path, split: &str) -> Result<PathBuf, Error> {
        if data.is_file() {
            return Ok(data.to_owned());
        }
        let name = self.file_name(split);
        if !data.is_dir() {
            let hint = format!("give the folder that holds {name}, or a file in SQuAD's layout");
            return Err(Error::FolderMissing { path: data.to_owned(), hint });
        }
        let inner = data.join("squad");
        let found = [data, &inner].map(|folder| folder.join(&name)).into_iter().find(|path| path.is_file());
        found.ok_or_else(|| {
            let below = std::fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.path());
            let nearby = below.into_iter().filter(|path| path.join(&name).is_file()).min();
            let nearby = nearby.map_or_else(String::new, |path| format!("; did you mean --data {}?", path.display()));
            let folder = if inner.is_dir() { inner } else { data.to_owned() };
            Error::FileMissing { found: folder_listing(&folder) + &nearby, folder, wanted: name }
        })
    }
}

impl fmt::Display for SquadVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SquadVersion {
    type Err = Error;

    /// Case does not count; `squad1.1`, `squad-v1.1`, `squadv1` and their like are understood.
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain: String = text.to_ascii_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
        match plain.strip_prefix("squad").map(|rest| rest.trim_start_matches('v')) {
            Some("1" | "1.1") => Ok(Self::V1),
            Some("2" | "2.0") => Ok(Self::V2),
            _ => Err(Error::UnknownTask { given: text.to_owned(), known: "squad-v1, squad-v2".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_their_usual_spellings() {
        for version in SquadVersion::ALL {
            assert_eq!(version.name().parse::<SquadVersion>().unwrap(), version);
        }
        for text in ["SQuAD1.1", "squad-v1.1", "squadv1", "squad_v1"] {
            assert_eq!(text.parse::<SquadVersion>().unwrap(), SquadVersion::V1, "{text}");
        }
        assert_eq!("SQuAD 2.0".parse::<SquadVersion>().unwrap(), SquadVersion::V2);
        for text in ["squad", "squad-v3", "", "v1"] {
            assert!(text.parse::<SquadVersion>().unwrap_err().to_string().contains("squad-v1, squad-v2"), "{text}");
        }
        assert_eq!(SquadVersion::V2.file_name("train"), "train-v2.0.json");
    }

    #[test]
    fn a_split_is_found_by_its_official_name_or_is_the_file_itself() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::create_dir(place("squad")).unwrap();
        for name in ["train-v1.1.json", "squad/dev-v1.1.json", "mine.json"] {
            std::fs::write(place(name), "{}").unwrap();
        }
        let find = |data: &Path, split: &str| SquadVersion::V1.find(data, split);
        assert_eq!(find(dir.path(), "train").unwrap(), place("train-v1.1.json"));
        assert_eq!(find(dir.path(), "dev").unwrap(), place("squad/dev-v1.1.json"));
        assert_eq!(find(&place("mine.json"), "dev").unwrap(), place("mine.json"));
        let message = SquadVersion::V2.find(dir.path(), "dev").unwrap_err().to_string();
        assert!(message.contains("dev-v2.0.json is missing") && message.contains("dev-v1.1.json"), "{message}");
        let message = find(&place("none"), "dev").unwrap_err().to_string();
        assert!(message.contains("none") && message.contains("the folder that holds dev-v1.1.json"), "{message}");
    }
}
