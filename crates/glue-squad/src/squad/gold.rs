//! What predictions are compared with.

use std::path::{Path, PathBuf};

use super::dataset::{Dataset, QuestionPosition, RawFile};
use super::json;
use crate::error::{Error, Result};

/// The annotated answers of every question, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gold {
    /// The file.
    pub path: PathBuf,
    /// Id and answers' texts; no answers where the question is unanswerable. An id can appear twice, as in the official scripts.
    pub questions: Vec<(String, Vec<String>)>,
}

impl Gold {
    /// Reads what scoring needs of a SQuAD file: ids and answers. Contexts and positions may be missing or wrong.
    ///
    /// # Errors
    /// The file cannot be read or is larger than [`super::MAX_JSON_BYTES`], it is not SQuAD's layout, a question has no key
    /// `answers` (a test set without labels), or there is no question.
    pub fn read(path: &Path) -> Result<Self> {
        let raw: RawFile = json::read(path)?;
        let wrong =
            |inside, reason: &str| Error::WrongEntry { path: path.to_owned(), inside, reason: reason.to_owned() };
        let mut questions = Vec::new();
        for (a, article) in raw.data.into_iter().enumerate() {
            for (p, paragraph) in article.paragraphs.into_iter().enumerate() {
                for (q, qa) in paragraph.qas.into_iter().enumerate() {
                    let Some(answers) = qa.answers else {
                        let inside = QuestionPosition(a, p, q).to_string();
                        return Err(wrong(
                            inside,
                            "missing field `answers`; a file without answers cannot be scored against",
                        ));
                    };
                    questions.push((qa.id, answers.into_iter().map(|answer| answer.text).collect()));
                }
            }
        }
        if questions.is_empty() {
            return Err(wrong("data".to_owned(), "holds no question"));
        }
        Ok(Self { path: path.to_owned(), questions })
    }
}

impl From<&Dataset> for Gold {
    fn from(dataset: &Dataset) -> Self {
        let texts = |q: &super::Question| q.answers.iter().map(|answer| answer.text.clone()).collect();
        Self {
            path: dataset.path.clone(),
            questions: dataset.questions.iter().map(|q| (q.id.clone(), texts(q))).collect(),
        }
    }
}
