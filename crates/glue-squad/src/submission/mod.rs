//! The official GLUE prediction files and the archive that the GLUE site takes.
//!
//! A file has the header `index<TAB>prediction` and one row per example of the test set, indices from 0 in the order of the set.
//! The archive holds one such file for each of the nine tasks, MNLI's two test sets and AX, without folders.

#[cfg(feature = "archive")]
mod archive;
mod file;

#[cfg(feature = "archive")]
pub use archive::{Archive, zip, zip_folder};
pub use file::{file_name, read, read_official, render, render_rows};
