//! The real binary, run in temporary folders: one file per command.

mod arch;
mod bench;
mod data;
mod encode;
mod general;
mod import;
mod support;
