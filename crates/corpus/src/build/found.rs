//! What earlier runs left in the folder: used where it fits, refused or removed where it does not.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use run_store::lock::{Attempt, FileLock};
use serde::{Deserialize, Serialize};

use super::input_groups::InputGroup;
use crate::error::{Error, Result};
use crate::settings::PackSettings;
use crate::shard::{MANIFEST, Manifest, SHARDS, ShardInfo, is_shard_file, proven, shard_file, shard_path};
use crate::vocabulary::TokenizerInfo;

/// The folder of records of finished parts.
const PARTS: &str = "parts";
const LOCK: &str = ".lock";
/// Far beyond any record, which has about 300 bytes per shard.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// Written when all shards of a part are there: how many they are is known only at the end of its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupRecord {
    key: String,
    shards: Vec<ShardInfo>,
}

/// Makes the folders, takes the lock, removes what killed writers left.
pub(super) fn prepare(out: &Path) -> Result<FileLock> {
    for folder in [out.to_owned(), out.join(SHARDS), out.join(PARTS)] {
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(folder, e))?;
    }
    let path = out.join(LOCK);
    let lock = match FileLock::attempt(&path)? {
        Attempt::Locked(lock) => lock,
        Attempt::Taken(_) => return Err(Error::InUse { path }),
    };
    for folder in [out.to_owned(), out.join(SHARDS), out.join(PARTS)] {
        run_store::atomic::clean_stale_temps(folder)?;
    }
    Ok(lock)
}

/// A folder packed in another way is not overwritten. A manifest that cannot be read is no obstacle: a new one replaces it.
pub(super) fn refuse_others(out: &Path, settings: &PackSettings, tokenizer: &TokenizerInfo) -> Result<()> {
    let Ok(manifest) = Manifest::read(out) else { return Ok(()) };
    let difference = if manifest.tokenizer == *tokenizer {
        settings.difference(&manifest.settings)
    } else {
        Some(format!("the tokenizer was {}, now it is {}", short(&manifest.tokenizer.sha256), short(&tokenizer.sha256)))
    };
    match difference {
        Some(difference) => Err(Error::OtherSettings { path: out.join(MANIFEST), difference }),
        None => Ok(()),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// What is there of a part.
pub(super) enum Found {
    /// All of it.
    All(Vec<ShardInfo>),
    /// Some shards, by number.
    Some(BTreeMap<u64, ShardInfo>),
}

fn record_path(out: &Path, key: &str) -> PathBuf {
    out.join(PARTS).join(format!("{key}.json"))
}

/// Looks for shards of a part and checks each.
pub(super) fn look(out: &Path, part: &InputGroup, blocks_per_shard: u64) -> Result<Found> {
    let mut there = BTreeMap::new();
    let record = read_record(out, part);
    let shards = out.join(SHARDS);
    for entry in std::fs::read_dir(&shards).map_err(|e| Error::io(&shards, e))? {
        let name = format!("{SHARDS}/{}", entry.map_err(|e| Error::io(&shards, e))?.file_name().to_string_lossy());
        let number = name.strip_prefix(&format!("{SHARDS}/{}-", part.key)).and_then(|n| n.strip_suffix(".tokens"));
        let Some(number) = number.and_then(|n| n.parse::<u64>().ok()).filter(|n| shard_file(&part.key, *n) == name)
        else {
            continue;
        };
        if let Some((header, info)) = proven(&shard_path(out, &name), name)?
            && header.key == part.key_bytes
            // A full shard, or the last one of a finished part, which has fewer blocks.
            && (header.blocks == blocks_per_shard || record.as_ref().is_some_and(|r| r.shards.contains(&info)))
        {
            there.insert(number, info);
        }
    }
    if let Some(record) = record {
        let found: Vec<ShardInfo> = there.values().cloned().collect();
        if found == record.shards {
            return Ok(Found::All(found));
        }
    }
    Ok(Found::Some(there))
}

fn read_record(out: &Path, part: &InputGroup) -> Option<GroupRecord> {
    let path = record_path(out, &part.key);
    let size = std::fs::metadata(&path).ok()?.len();
    let bytes = (size <= MAX_RECORD_BYTES).then(|| std::fs::read(&path).ok())??;
    serde_json::from_slice::<GroupRecord>(&bytes).ok().filter(|record| record.key == part.key)
}

/// Remembers that a part is finished.
pub(super) fn record(out: &Path, part: &InputGroup, shards: &[ShardInfo]) -> Result<()> {
    let record = GroupRecord { key: part.key.clone(), shards: shards.to_vec() };
    Ok(run_store::atomic::write_json(record_path(out, &part.key), &record)?)
}

/// Removes shards and records that the new manifest does not know. Only names that this crate gives are touched.
pub(super) fn remove_others(out: &Path, manifest: &Manifest, parts: &[InputGroup]) -> Result<()> {
    let mut keep: HashSet<PathBuf> = manifest.shards.iter().map(|s| shard_path(out, &s.file)).collect();
    keep.extend(parts.iter().map(|part| record_path(out, &part.key)));
    for folder in [SHARDS, PARTS] {
        let path = out.join(folder);
        for entry in std::fs::read_dir(&path).map_err(|e| Error::io(&path, e))? {
            let entry = entry.map_err(|e| Error::io(&path, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let key = name.strip_suffix(".json").unwrap_or_default();
            let ours = match folder {
                SHARDS => is_shard_file(&format!("{SHARDS}/{name}")),
                _ => is_shard_file(&shard_file(key, 0)),
            };
            let file = path.join(&name);
            if ours && !keep.contains(&file) {
                std::fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
            }
        }
    }
    Ok(())
}
