//! Model directories: what users carry away, and what every command reads.
//!
//! | file | content |
//! |---|---|
//! | `config.json` | sizes, and per layer the expression, stacks and ratio |
//! | `model.safetensors` | weights under Hugging Face's names, or those of `docs/model-directory.md` |
//! | `tokenizer.json` and its kin | the tokenizer, see [`TOKENIZER_FILES`] |
//! | `README.md` | model card |
//! | [`CLASS_FILES`] | classes for `transformers`, where it has none for the model |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod bytes;
mod card;
mod config;
mod error;
mod files;
mod header;
mod hugging_face;
mod mapped;
mod place;
mod read;
mod remote_code;
mod sentence_transformers;
mod shards;
mod tensors;
mod untrained;
mod vocabulary;

pub use bytes::{in_bytes, is_computed_in_bytes};
pub use card::{CardResult, Origin, card_with, hub_task};
pub use config::read_config;
pub use error::{Error, Result};
pub use files::{CONFIG_FILE, FOREIGN_WEIGHTS, Package, TOKENIZER_FILES, WEIGHTS_FILE, tokenizer_files, write};
pub use header::tensor_names;
pub use hugging_face::usable;
pub use place::{Shapes, named, resolve, resolve_unread};
pub use read::{ModelDir, outline};
pub use remote_code::{CLASS_FILES, class_files};
pub use sentence_transformers::{MODULES_FILE, SentenceModel};
pub use shards::{is_shard_index, read_shards, shard_files};
pub use tensors::{Tensors, to_f32};
pub use untrained::{untrained, write_untrained};
pub use vocabulary::{config_of_rows, with_vocabulary};
