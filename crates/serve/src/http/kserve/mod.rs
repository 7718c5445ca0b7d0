//! KServe v2, the Open Inference Protocol, over REST, with the extension for binary tensors that Triton's clients use.
//!
//! | file | concern |
//! |---|---|
//! | `routes` | the routes |
//! | `metadata` | tensors of a model |
//! | `message` | requests and answers as JSON, with binary tensors behind it |
//! | `tensor` | tensors and their elements |
//! | `infer` | from input tensors to output tensors |

mod infer;
mod message;
mod metadata;
pub(crate) mod routes;
mod tensor;

pub(crate) use routes::routes;

/// The one version of every model.
pub(crate) const VERSION: &str = "1";
