//! Which files of a model are needed: never code, never other formats of the same weights.

use std::path::Path;

use model_dir::{
    CONFIG_FILE, FOREIGN_WEIGHTS, MODULES_FILE, SentenceModel, TOKENIZER_FILES, is_shard_index, shard_files,
};

use crate::error::{Error, Result};
use crate::id::RepoId;
use crate::remote::Listing;

/// The small files of a listed model, and its weights: one file, or the index of several.
pub(crate) fn needed(listing: &Listing, repo: &RepoId) -> Result<(Vec<String>, &'static str)> {
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
    let small = [CONFIG_FILE].into_iter().chain(TOKENIZER_FILES).filter(|name| has(name)).map(str::to_owned);
    let of_sentences = listing.files.iter().filter(|_| has(MODULES_FILE)).filter(|file| is_of_sentences(file));
    Ok((small.chain(of_sentences.cloned()).collect(), weights))
}

/// Whether a file says how a model of `sentence-transformers` makes vectors: `modules.json`, what stands beside it, and the modules behind the encoder, each in
/// a folder whose name begins with its number, such as `1_Pooling`.
fn is_of_sentences(file: &str) -> bool {
    match file.split_once('/') {
        None => [MODULES_FILE, "sentence_bert_config.json", "config_sentence_transformers.json"].contains(&file),
        Some((folder, name)) => {
            let is_module = folder.split_once('_').is_some_and(|(number, _)| number.parse::<u8>().is_ok());
            is_module && [CONFIG_FILE, FOREIGN_WEIGHTS[0], FOREIGN_WEIGHTS[2]].contains(&name)
        }
    }
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
    // Modules that are listed and not there; whether they are supported is said where they are used.
    let lacks_module = matches!(SentenceModel::read(folder), Err(model_dir::Error::Io { .. }));
    is_there(CONFIG_FILE) && has_all && !lacks_module
}
