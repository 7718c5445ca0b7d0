//! BERT-family encoders as ONNX files, made from the one description of an encoder ([`encoder_spec::Encoder`]).
//!
//! | file | concern |
//! |---|---|
//! | `export` | [`Exported`]: an encoder as a graph, and as a file |
//! | `encoder`, `feed_forward`, `outputs` | the parts of an encoder |
//! | `parts` | linear maps, norms, activations, tables, masks |
//! | `format` | [`Format`]: f32, f16, dynamic and static int8 |
//! | `int8` | weights and ranges as 8-bit integers |
//! | `calibrate` | ranges of products' inputs on given texts |
//! | `model` | a model, its parts, and what each of them costs in integers |
//! | `engine` | [`Engine`]: runs a file |
//! | `check` | whether a file computes what its model does |
//! | `folder` | [`export`]: a model directory to a folder with the file and the tokenizer |
//! | `graph`, `proto` | an ONNX graph, and the messages of a file |
//!
//! Nothing here prints.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod calibrate;
mod check;
mod encoder;
mod engine;
mod error;
mod export;
mod feed_forward;
mod folder;
mod format;
mod graph;
mod int8;
mod model;
mod outputs;
mod parts;
mod proto;

pub use calibrate::{Method, ranges};
pub use check::{Check, check};
pub use engine::{Engine, Padded};
pub use error::{Error, Result};
pub use export::{Exported, OnnxFile, Weights};
pub use folder::{Report, Request, chosen_outputs, export};
pub use format::{Format, Int8, Product};
pub use model::{Cost, Model, Part};
pub use outputs::{Output, usual_outputs};
