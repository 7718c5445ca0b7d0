//! The real binary, run in temporary folders: one file per command.

mod arch;
mod augment;
mod bad_input;
mod bench;
mod data;
mod devices;
mod distill;
mod encode;
mod eval;
#[path = "../../../report/tests/reader/mod.rs"]
mod event_reader;
mod family;
mod general;
mod import;
mod inputs;
mod instructions;
mod labels;
mod latency;
mod majority;
mod objective;
mod outputs;
mod predict;
mod runs;
mod score;
mod search;
mod segments;
mod shards;
mod squad;
mod stopping;
mod support;
mod task_teachers;
mod teacher;
mod tokenizer;
mod watch;
mod words;
