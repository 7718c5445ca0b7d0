//! Which files of a model are needed: never code, never other formats of the same weights.

use std::path::Path;

use model_dir::{CONFIG_FILE, FOREIGN_WEIGHTS, TOKENIZER_FILES, is_shard_index, shard_files};

use crate::error::{Error, Result};
use crate::id::RepoId;
use crate::remote::Listing;

/// The small files of a listed model, and its weights: one file, or the index of several.
pub(crate) fn needed(listing: &Listing, repo: &RepoId) -> Result<(Vec<&'static str>, &'static str)> {
    let has = |name: &str| listing.files.iter().any(|file| file == name);
    let no_model = |reason: String| {
        let (name, revision) = (repo.name().to_owned(), repo.revision().to_owned());
        Error::NoModel { name, revision, reason }
    };
    if !has(CONFIG_FILE) {
        return Err(no_model(format!("it has no {CONFIG_FILE}, so it is no model that could be read")));
    }
    let Some(weights) = FOREIGN_WEIGHTS.into_iter().find(|name| has(name)) else {
        let known = FOREIGN_WEIGHTS.join(", ");
        return Err(no_model(format!("it has no weights that could be read; looked for {known}")));
    };
    let small = [CONFIG_FILE].into_iter().chain(TOKENIZER_FILES).filter(|name| has(name));
    Ok((small.collect(), weights))
}

/// The files that the index `path` names.
pub(crate) fn shards(path: &Path) -> Result<Vec<String>> {
    let names = shard_files(path)?.into_iter().filter_map(|shard| Some(shard.file_name()?.to_str()?.to_owned()));
    Ok(names.collect())
}

/// Whether a folder holds a model with all its weights. Whether a tokenizer belongs to it cannot be told from the folder.
pub(crate) fn is_complete(folder: &Path) -> bool {
    let is_there = |name: &str| folder.join(name).is_file();
    let Some(weights) = FOREIGN_WEIGHTS.into_iter().find(|name| is_there(name)) else { return false };
    let path = folder.join(weights);
    let has_all =
        !is_shard_index(&path) || shard_files(&path).is_ok_and(|shards| shards.iter().all(|shard| shard.is_file()));
    is_there(CONFIG_FILE) && has_all
}
