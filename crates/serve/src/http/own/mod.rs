//! Routes for what text-embeddings-inference does not do: entities of texts, and answers to questions. Requests and answers have the forms
//! of Hugging Face's pipelines, so their clients understand them.

pub(crate) mod answers;
pub(crate) mod tokens;
