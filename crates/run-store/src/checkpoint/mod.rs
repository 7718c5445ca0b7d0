//! Checkpoints: folders whose manifest has the size and the checksum of every file.
//!
//! A store is a folder of checkpoints, one folder per step:
//!
//! ```text
//! teacher/
//!   step-000100/
//!     model.safetensors
//!     optim/adam.bin
//!     manifest.json        written last: format, step, config hash, sizes and SHA-256, state
//!   step-000200/...
//!   .step-000300.tmp-4711/ a save in progress, or what a killed process left
//! ```
//!
//! A save stages everything in the hidden folder, forces each file to the disk, writes the manifest
//! and renames the folder into place. Readers verify every size and hash, and the manifest carries
//! a checksum of itself, so a cut-off file or a flipped bit anywhere is noticed and the checkpoint
//! before it is used.
//!
//! | failure during a save | what [`CheckpointStore::latest`] finds |
//! |---|---|
//! | error, panic | the checkpoint before; the staging folder is removed |
//! | process killed | the checkpoint before, or the new one whole; perhaps a stray staging folder |
//! | power loss | the same, on file systems and disks that honor fsync |
//!
//! Saving a step again with other content keeps the old folder as `step-NNNNNN.old` until the new
//! one is in place; readers fall back to it, so there is no moment without a valid checkpoint.
//!
//! One process writes to a store at a time (hold the [run lock](crate::lock)); any number may read.

mod manifest;
mod retain;
mod store;

pub use manifest::{Checkpoint, FileEntry, MANIFEST};
pub use store::{CheckpointStore, FileContent, Latest, Skipped};
