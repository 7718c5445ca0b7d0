//! What is packed together, and how a rerun knows it again.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use run_store::hash::hex;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::input::Input;
use crate::settings::PackSettings;
use crate::shard::InputInfo;
use crate::vocabulary::TokenizerInfo;

/// Changes whenever the same inputs and settings give other shards.
const PACKING_VERSION: u32 = 1;

/// Neighboring inputs that are read as one text.
#[derive(Debug)]
pub(super) struct InputGroup {
    pub inputs: Vec<Input>,
    pub bytes: u64,
    /// 32 hexadecimal digits, of everything that the shards depend on.
    pub key: String,
    pub key_bytes: [u8; 16],
    /// Names the part among the streams of random numbers; the settings have no say in it.
    pub source: u64,
}

/// Size and SHA-256 of every input, in their order.
pub(super) fn digests(inputs: &[Input], threads: usize, stop: &AtomicBool) -> Result<Vec<InputInfo>> {
    let info = |input: &Input| {
        let (bytes, sha256) = size_and_hash(&input.path, stop)?;
        Ok(InputInfo { name: input.name.clone(), bytes, sha256, format: input.format.clone() })
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Settings(format!("cannot start {threads} threads: {e}")))?;
    // All are looked at before the first error is taken, so that it does not depend on the threads.
    let found: Vec<Result<InputInfo>> = pool.install(|| inputs.par_iter().map(info).collect());
    found.into_iter().collect()
}

fn size_and_hash(path: &Path, stop: &AtomicBool) -> Result<(u64, String)> {
    let failed = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut sum, mut size, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        match file.read(&mut piece) {
            Ok(0) => return Ok((size, hex(&sum.finalize()))),
            Ok(count) => {
                sum.update(&piece[..count]);
                size += count as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// Groups inputs: a large one is a part, small neighbors share one.
pub(super) fn parts(
    inputs: &[Input],
    infos: &[InputInfo],
    settings: &PackSettings,
    tokenizer: &TokenizerInfo,
) -> Vec<InputGroup> {
    let mut groups: Vec<(Vec<usize>, u64)> = Vec::new();
    for (at, info) in infos.iter().enumerate() {
        let small = info.bytes < settings.group_bytes;
        match groups.last_mut() {
            Some((group, bytes)) if small && *bytes < settings.group_bytes => {
                group.push(at);
                *bytes += info.bytes;
            }
            _ => groups.push((vec![at], info.bytes)),
        }
    }
    // The same content twice is packed twice, with other draws.
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut part = |(group, bytes): (Vec<usize>, u64)| {
        let content: Vec<_> = group.iter().map(|at| json!([infos[*at].sha256, infos[*at].format])).collect();
        let content = run_store::hash::bytes(json!(content).to_string());
        let occurrence = seen.entry(content.clone()).or_default();
        let source = Sha256::digest(format!("{content}/{occurrence}"));
        let all = json!({
            "packing": PACKING_VERSION, "tokenizer": tokenizer.sha256, "settings": settings,
            "content": content, "occurrence": *occurrence,
        });
        *occurrence += 1;
        let key_bytes: [u8; 16] = std::array::from_fn(|i| Sha256::digest(all.to_string())[i]);
        InputGroup {
            inputs: group.iter().map(|at| inputs[*at].clone()).collect(),
            bytes,
            key: hex(&key_bytes),
            key_bytes,
            source: u64::from_le_bytes(std::array::from_fn(|i| source[i])),
        }
    };
    groups.into_iter().map(&mut part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Format;

    fn info(bytes: u64, content: &str) -> InputInfo {
        InputInfo { name: "n".to_owned(), bytes, sha256: content.to_owned(), format: Format::Plain }
    }

    fn check(sizes: &[u64], wanted: &[usize]) -> Vec<InputGroup> {
        let pairs = tokenizer::PairFrame::Bert;
        let tokenizer =
            TokenizerInfo { sha256: "t".to_owned(), vocab_size: 9, cls: 1, sep: 2, pad: 0, mask: None, pairs };
        let input = Input { path: "p".into(), name: "n".to_owned(), format: Format::Plain };
        let infos: Vec<_> = sizes.iter().map(|size| info(*size, &size.to_string())).collect();
        let settings = PackSettings { group_bytes: 10, ..PackSettings::default() };
        let parts = parts(&vec![input; sizes.len()], &infos, &settings, &tokenizer);
        assert_eq!(parts.iter().map(|p| p.inputs.len()).collect::<Vec<_>>(), wanted);
        parts
    }

    #[test]
    fn small_neighbors_share_a_part_and_large_inputs_have_their_own() {
        check(&[3, 3, 3, 3, 3, 20, 4, 20], &[4, 1, 1, 1, 1]);
        check(&[9, 9, 9], &[2, 1]);
    }

    #[test]
    fn the_same_content_twice_has_two_keys() {
        let parts = check(&[20, 20], &[1, 1]);
        assert_ne!(parts[0].key, parts[1].key);
        assert_ne!(parts[0].source, parts[1].source);
        assert_eq!(parts[0].key.len(), 32);
    }
}
