//! The routes of text-embeddings-inference, with its forms of requests and answers.
//!
//! | file | concern |
//! |---|---|
//! | `types` | what requests may hold |
//! | `predict` | labels, and the order of texts for a query |
//! | `embed` | vectors and hidden states |
//! | `tokenize` | tokens, and text from them |
//! | `info` | the model and the limits |

pub(crate) mod embed;
pub(crate) mod info;
pub(crate) mod predict;
pub(crate) mod tokenize;
pub(crate) mod types;
