//! The list of data sets and models.
//!
//! A set has sources (what is downloaded) and files (what is here afterwards). A file is a source as it is, a member of an archive,
//! or is built from other files of the set.

mod load;
mod select;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All data sets, in the order of the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    /// The file they come from.
    pub path: PathBuf,
    /// The data sets.
    pub sets: Vec<DataSet>,
}

/// One data set or model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataSet {
    /// The name used in commands.
    pub id: String,
    /// What it belongs to: `glue`, `squad`, `corpus`, `model`, `extra`.
    pub group: String,
    /// What it is, in one line.
    pub title: String,
    /// Its folder below the data folder, with `/` between the parts.
    pub folder: String,
    /// How its files are read.
    pub format: Format,
    /// The license of the data.
    pub license: String,
    /// The page of its makers.
    pub home: String,
    /// What a user should know.
    pub note: Option<String>,
    /// Why it cannot be fetched, and what to use instead.
    pub unavailable: Option<String>,
    /// What is downloaded.
    pub sources: Vec<Source>,
    /// What is here afterwards.
    pub files: Vec<DataFile>,
}

/// How the files of a set are read by a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A task of GLUE in its own layout, by the name of the task.
    Glue(String),
    /// SQuAD v1.1 JSON: every question has an answer.
    SquadV1,
    /// SQuAD v2.0 JSON: some questions have none.
    SquadV2,
    /// UTF-8 text; a row is a line.
    Lines,
    /// Bytes: size and checksum are all that is checked.
    Opaque,
}

/// Something that is downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its file name, unique in the set.
    pub name: String,
    /// Where it is, the best address first.
    pub urls: Vec<String>,
    /// Whether files are taken out of it.
    pub archive: Option<ArchiveKind>,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Its SHA-256, where known.
    pub sha256: Option<String>,
}

/// Archives that are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveKind {
    /// A zip file.
    #[serde(rename = "zip")]
    Zip,
    /// A tar file compressed with gzip.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// A file that is here after a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataFile {
    /// Its path in the set's folder, with `/` between the parts.
    pub path: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Its SHA-256, where known.
    pub sha256: Option<String>,
    /// `train`, `dev`, `test`, or one of these with `-mismatched`.
    pub split: Option<String>,
    /// The official number of rows, questions or lines.
    pub rows: Option<u64>,
    /// The official number of rows of every class; of SQuAD v2.0, of questions with and without an answer.
    pub classes: Option<Vec<u64>>,
    /// How many rows of the official file are in the official training file too.
    pub shared_with_train: Option<u64>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The source of this name, as it is.
    Source(String),
    /// A member of an archive.
    Member {
        /// The name of the source.
        source: String,
        /// The path inside, exactly as the archive has it.
        member: String,
    },
    /// Made from other files of the set.
    Built(Recipe),
}

/// How a file is made from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// MRPC's training rows: those of `msr_paraphrase_train.txt` that `dev_ids.tsv` does not name.
    MrpcTrain,
    /// MRPC's development rows: those of `msr_paraphrase_train.txt` that `dev_ids.tsv` names.
    MrpcDev,
    /// MRPC's test rows without their labels, from `msr_paraphrase_test.txt`.
    MrpcTest,
}

impl Recipe {
    /// The files of the set that it reads.
    pub fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::MrpcTrain | Self::MrpcDev => &["msr_paraphrase_train.txt", "dev_ids.tsv"],
            Self::MrpcTest => &["msr_paraphrase_test.txt"],
        }
    }
}

impl DataSet {
    /// The size of everything that is downloaded; `None` where a part of it is not known.
    pub fn download_bytes(&self) -> Option<u64> {
        self.sources.iter().map(|source| source.bytes).sum()
    }
}
