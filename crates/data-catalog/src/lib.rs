//! Which data sets there are, how they get here, and whether what is here is what it should be.
//!
//! - [`manifest`]: the list of data sets and models: addresses, licenses, sizes, checksums, files and official row counts.
//! - [`layout`]: where files stand below a data folder, and what is remembered of earlier fetches.
//! - [`net`]: HTTP with proxies, time limits and redirects; everything about the machine is handed in.
//! - [`download`]: one file from its addresses: resumed where it stopped, retried, checked for length and SHA-256.
//! - [`unpack`]: the wanted members out of a zip or tar.gz, and the splits that have to be made.
//! - [`fetch`]: whole data sets; a final name never holds anything but a whole, checked file.
//! - [`list`]: what is here.
//! - [`check`]: what is here against the official numbers: rows, columns, labels, duplicates.
//!
//! Nothing here prints, reads the environment or the clock. Proxies, certificates, a stop flag and whoever watches come from the
//! caller.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod check;
pub mod download;
mod error;
pub mod fetch;
pub mod layout;
pub mod list;
pub mod manifest;
pub mod net;
pub mod unpack;

pub use error::{Error, Result, readable_bytes};
