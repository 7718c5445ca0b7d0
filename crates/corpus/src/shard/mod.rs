//! Token shards: their bytes, their manifest, and sequences read by number.

mod format;
mod manifest;
mod read;
mod resident;
mod write;

pub use format::Next;
pub use manifest::{InputInfo, MANIFEST, Manifest, ShardInfo, is_packed};
pub use read::{Sequence, Shards, Verify};

pub(crate) use format::Header;
pub(crate) use manifest::{SHARDS, is_shard_file, shard_file, shard_path};
pub(crate) use read::proven;
pub(crate) use write::ShardBuffer;
