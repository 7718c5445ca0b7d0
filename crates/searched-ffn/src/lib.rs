//! The searched feed-forward as a burn module, students built from it, and the inheritance of weights.
//!
//! `mlp-space` says what a feed-forward may look like and needs no tensors; this crate runs it.
//!
//! | file | concern |
//! |---|---|
//! | `module` | [`SearchedFfn`]: the module, at its own size or as a slice of a larger one |
//! | `student` | from a [`BertConfig`](bert_core::BertConfig) to an encoder with searched feed-forwards, and back |
//! | `inherit` | weights of a smaller model cut out of a larger one |
//! | `any` | [`AnyModel`]: a model whose kind of feed-forward is known only from its configuration |
//! | `freeze` | models for inference on processors ([`cpu_runtime::Model`]) |
//! | `word_model` | [`WordModel`]: a model's word table and masked-language-model head |
//! | `model_dir` | [`ModelDir`]: the directory that users carry away, read and written |

mod any;
mod error;
mod freeze;
mod inherit;
mod model_dir;
mod module;
mod program;
mod student;
mod word_model;

pub use ::model_dir::{CONFIG_FILE, Package, TOKENIZER_FILES, WEIGHTS_FILE, usable};
pub use any::AnyModel;
pub use encoder_spec::Parts;
pub use error::ModelError;
pub use freeze::{freeze, network};
pub use inherit::{LayerSource, inherit};
pub use model_dir::ModelDir;
pub use module::{SearchedBlock, SearchedFfn};
pub use student::{
    activate, architecture, layer_specs, searched_model, student_config, student_frame, supernet_architecture,
    transferred_config,
};
pub use word_model::{MlmWeights, WordModel};
