//! The real binary, run in temporary folders: one file per command.

mod arch;
mod augment;
mod bad_input;
mod bench;
mod data;
mod devices;
mod distill;
mod encode;
mod encoders;
mod eval;
#[path = "../../../report/tests/reader/mod.rs"]
mod event_reader;
#[path = "../../../hub/tests/common/mod.rs"]
mod fake_hub;
mod family;
mod fidelity;
mod foreign;
mod general;
mod hub;
mod import;
mod inputs;
mod instructions;
mod labels;
mod latency;
mod majority;
mod objective;
mod outputs;
mod own_data;
mod own_tags;
mod plan;
mod predict;
mod runs;
mod score;
mod search;
mod segments;
mod shards;
mod squad;
mod stopping;
mod study;
mod support;
mod task_teachers;
mod teacher;
mod teacher_checks;
mod tokenizer;
mod watch;
mod words;
