//! Encoded examples kept on the disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use glue_squad::features::Features;
use glue_squad::task::Label;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::shard::hex;

/// The first bytes of a kept file; the digit is the version of the form.
const MAGIC: [u8; 8] = *b"EBCACHE1";
const TRAILER_BYTES: usize = 32;

/// What encoded examples depend on. Any difference is another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    digest: String,
}

impl CacheKey {
    /// A key of the tokeniser's digest ([`crate::TokenizerInfo::sha256`]), the digest of the data, and everything else that counts as
    /// pairs of name and value, such as task, split and maximum length.
    pub fn new(tokenizer: &str, data: &str, settings: &[(&str, &str)]) -> Self {
        let mut sum = Sha256::new();
        let parts = [tokenizer, data].into_iter().chain(settings.iter().flat_map(|(name, value)| [*name, *value]));
        for part in parts {
            // With lengths, two different lists never give the same bytes.
            sum.update((part.len() as u64).to_le_bytes());
            sum.update(part.as_bytes());
        }
        Self { digest: hex(&sum.finalize()) }
    }
}

/// A folder of encoded examples. What is damaged or of another version is made again and replaced: nothing here is the only copy.
#[derive(Debug, Clone)]
pub struct TokenCache {
    dir: PathBuf,
}

impl TokenCache {
    /// Opens a folder, which is made where it does not exist.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The examples kept under a key, else what `make` gives, which is then kept. The flag tells whether they were there.
    ///
    /// # Errors
    /// Those of `make`, or a file that cannot be read or written.
    pub fn features<E: From<Error>>(
        &self,
        key: &CacheKey,
        make: impl FnOnce() -> Result<Vec<Features>, E>,
    ) -> Result<(Vec<Features>, bool), E> {
        if let Some(features) = self.bytes(key)?.as_deref().and_then(decode) {
            return Ok((features, true));
        }
        let features = make()?;
        self.keep(key, &encode(&features))?;
        Ok((features, false))
    }

    /// The file of a key.
    pub fn path(&self, key: &CacheKey) -> PathBuf {
        self.dir.join(format!("{}.features", key.digest))
    }

    /// The content of a kept file, where its checksum is right.
    fn bytes(&self, key: &CacheKey) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let Some((body, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else { return Ok(None) };
        if Sha256::digest(body)[..] != trailer[..] {
            return Ok(None);
        }
        bytes.truncate(bytes.len() - TRAILER_BYTES);
        Ok(Some(bytes))
    }

    fn keep(&self, key: &CacheKey, body: &[u8]) -> Result<()> {
        let trailer = Sha256::digest(body);
        run_store::atomic::write_with(self.path(key), |out| {
            out.write_all(body)?;
            out.write_all(&trailer)
        })?;
        Ok(())
    }
}

fn encode(features: &[Features]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((features.len() as u64).to_le_bytes());
    for row in features {
        let (kind, label) = match row.label {
            None => (0, [0; 8]),
            Some(Label::Class(class)) => (1, (class as u64).to_le_bytes()),
            Some(Label::Score(score)) => (2, score.to_le_bytes()),
        };
        bytes.push(kind);
        bytes.extend(label);
        bytes.extend((row.ids.len() as u32).to_le_bytes());
        bytes.extend((row.type_ids.len() as u32).to_le_bytes());
        bytes.extend(row.ids.iter().flat_map(|id| id.to_le_bytes()));
        bytes.extend(&row.type_ids);
    }
    bytes
}

/// `None` where the bytes are not what [`encode`] writes.
fn decode(bytes: &[u8]) -> Option<Vec<Features>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let count = u64::from_le_bytes(take(&mut rest)?);
    let mut features = Vec::new();
    for _ in 0..count {
        let [kind] = take(&mut rest)?;
        let label = u64::from_le_bytes(take(&mut rest)?);
        let label = match kind {
            0 => None,
            1 => Some(Label::Class(usize::try_from(label).ok()?)),
            2 => Some(Label::Score(f64::from_bits(label))),
            _ => return None,
        };
        let ids = u32::from_le_bytes(take(&mut rest)?) as usize;
        let types = u32::from_le_bytes(take(&mut rest)?) as usize;
        let (words, after) = rest.split_at_checked(ids.checked_mul(4)?)?;
        let (types, after) = after.split_at_checked(types)?;
        rest = after;
        let ids = words.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        features.push(Features { ids, type_ids: types.to_vec(), label });
    }
    rest.is_empty().then_some(features)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (found, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Features> {
        let row = |ids: &[u32], label| Features { ids: ids.to_vec(), type_ids: vec![1; ids.len()], label };
        vec![row(&[1, 70_000, 3], Some(Label::Class(2))), row(&[], None), row(&[5], Some(Label::Score(-0.5)))]
    }

    #[test]
    fn examples_are_made_once_per_key() {
        let dir = tempfile::tempdir().unwrap();
        let cache = TokenCache::open(&dir.path().join("a/b")).unwrap();
        let key = |settings: &[(&str, &str)]| CacheKey::new("t", "d", settings);
        let get = |key: &CacheKey| cache.features::<Error>(key, || Ok(examples())).unwrap();
        assert_eq!(get(&key(&[("max_len", "128")])), (examples(), false));
        assert_eq!(get(&key(&[("max_len", "128")])), (examples(), true));
        assert!(!get(&key(&[("max_len", "64")])).1);
        assert!(!get(&key(&[("max_len1", "28")])).1);
        assert!(!get(&CacheKey::new("u", "d", &[("max_len", "128")])).1);
        let failed = cache.features(&key(&[]), || Err(Error::Settings("no".to_owned())));
        assert!(failed.is_err() && !cache.path(&key(&[])).exists());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_file_is_made_again(at in 0_usize..200, bit in 0_u8..8, cut in proptest::bool::ANY) {
            let dir = tempfile::tempdir().unwrap();
            let cache = TokenCache::open(dir.path()).unwrap();
            let key = CacheKey::new("t", "d", &[]);
            cache.features::<Error>(&key, || Ok(examples())).unwrap();
            let mut bytes = std::fs::read(cache.path(&key)).unwrap();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            std::fs::write(cache.path(&key), bytes).unwrap();
            proptest::prop_assert_eq!(cache.features::<Error>(&key, || Ok(examples())).unwrap(), (examples(), false));
            proptest::prop_assert!(cache.features::<Error>(&key, || Ok(vec![])).unwrap().1);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(body in proptest::collection::vec(0_u8..5, 0..80)) {
            let bytes = [&MAGIC[..], &body].concat();
            if let Some(features) = decode(&bytes) {
                proptest::prop_assert_eq!(encode(&features), bytes);
            }
        }
    }
}
