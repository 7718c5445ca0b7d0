//! The official SQuAD JSON: articles, paragraphs, questions, answers.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::json;
use super::locate::locate;
use crate::error::{Error, Result, excerpt};

/// The layout of the file. Keys that are not named here are allowed and ignored, as the official scripts do.
#[derive(Deserialize)]
pub(super) struct RawFile {
    pub data: Vec<RawArticle>,
}

#[derive(Deserialize)]
pub(super) struct RawArticle {
    pub title: Option<String>,
    pub paragraphs: Vec<RawParagraph>,
}

#[derive(Deserialize)]
pub(super) struct RawParagraph {
    pub context: Option<String>,
    pub qas: Vec<RawQuestion>,
}

#[derive(Deserialize)]
pub(super) struct RawQuestion {
    pub id: String,
    pub question: Option<String>,
    pub answers: Option<Vec<RawAnswer>>,
    pub is_impossible: Option<bool>,
    pub plausible_answers: Option<Vec<RawAnswer>>,
}

#[derive(Deserialize)]
pub(super) struct RawAnswer {
    pub text: String,
    pub answer_start: Option<i64>,
}

/// Where a question stands in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuestionPosition(pub usize, pub usize, pub usize);

impl fmt::Display for QuestionPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data[{}].paragraphs[{}].qas[{}]", self.0, self.1, self.2)
    }
}

/// An answer as annotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer's text.
    pub text: String,
    /// `answer_start`: the position of its first character in the context, counted in characters (Unicode code points) from 0.
    pub start: usize,
}

impl Answer {
    /// The bytes of `context` that are this answer. A text that does not stand exactly at [`Answer::start`] is looked for,
    /// whatever its white space, in the words from there on, as BERT's `run_squad` does; `None` where it is not there either.
    pub fn locate(&self, context: &str) -> Option<Range<usize>> {
        locate(context, self.start, &self.text)
    }
}

/// A paragraph that questions are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph {
    /// The title of its article; empty where the file has none.
    pub title: String,
    /// The text.
    pub context: String,
}

/// A question about a paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The key of predictions, unique in a [`Dataset`].
    pub id: String,
    /// The text.
    pub question: String,
    /// Position of its paragraph in [`Dataset::paragraphs`].
    pub paragraph: usize,
    /// The annotated answers: one in training sets, up to six in dev sets, none where the question is unanswerable or the file has no labels.
    pub answers: Vec<Answer>,
    /// Whether the paragraph does not hold the answer: v2.0's `is_impossible`, `false` where the file has no such key.
    pub is_impossible: bool,
    /// What could be mistaken for the answer of an unanswerable question (v2.0); for analysis, never trained on.
    pub plausible_answers: Vec<Answer>,
}

/// A SQuAD file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Paragraphs in the order of the file.
    pub paragraphs: Vec<Paragraph>,
    /// Questions in the order of the file.
    pub questions: Vec<Question>,
}

impl Dataset {
    /// Reads a file in the layout of SQuAD v1.1 or v2.0.
    ///
    /// # Errors
    /// The file cannot be read or is larger than [`super::MAX_JSON_BYTES`]; it is not this layout (the message names line, column
    /// and place, such as `data[0].paragraphs[2]`); an id appears twice; an answer starts outside its context; there is no question.
    pub fn read(path: &Path) -> Result<Self> {
        Self::build(json::read(path)?, path)
    }

    /// Parses the bytes of a file; `path` stands for it in errors.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::build(json::parse(bytes, path)?, path)
    }

    /// A dataset without labels from (question, context) pairs, to predict on; the ids are `0`, `1`, ... Equal contexts that
    /// follow each other are one paragraph.
    pub fn from_texts<Q: Into<String>, C: Into<String>>(texts: impl IntoIterator<Item = (Q, C)>) -> Self {
        let mut dataset = Self { path: PathBuf::new(), paragraphs: Vec::new(), questions: Vec::new() };
        for (number, (question, context)) in texts.into_iter().enumerate() {
            let context = context.into();
            if dataset.paragraphs.last().is_none_or(|last| last.context != context) {
                dataset.paragraphs.push(Paragraph { title: String::new(), context });
            }
            dataset.questions.push(Question {
                id: number.to_string(),
                question: question.into(),
                paragraph: dataset.paragraphs.len() - 1,
                answers: Vec::new(),
                is_impossible: false,
                plausible_answers: Vec::new(),
            });
        }
        dataset
    }

    /// Keeps the first `questions` questions, and the paragraphs that they need.
    pub fn truncate(&mut self, questions: usize) {
        self.questions.truncate(questions);
        self.paragraphs.truncate(self.questions.iter().map(|q| q.paragraph + 1).max().unwrap_or(0));
    }

    /// The context of a question.
    ///
    /// # Panics
    /// Where `question` is not one of this dataset.
    pub fn context(&self, question: usize) -> &str {
        &self.paragraphs[self.questions[question].paragraph].context
    }

    fn build(raw: RawFile, path: &Path) -> Result<Self> {
        let mut dataset = Self { path: path.to_owned(), paragraphs: Vec::new(), questions: Vec::new() };
        let mut places: HashMap<String, QuestionPosition> = HashMap::new();
        let wrong = |inside: String, reason: String| Error::WrongEntry { path: path.to_owned(), inside, reason };
        for (a, article) in raw.data.into_iter().enumerate() {
            let title = article.title.unwrap_or_default();
            for (p, paragraph) in article.paragraphs.into_iter().enumerate() {
                let Some(context) = paragraph.context else {
                    return Err(wrong(format!("data[{a}].paragraphs[{p}]"), "missing field `context`".to_owned()));
                };
                let characters = context.chars().count();
                let number = dataset.paragraphs.len();
                for (q, qa) in paragraph.qas.into_iter().enumerate() {
                    let place = QuestionPosition(a, p, q);
                    let Some(question) = qa.question else {
                        return Err(wrong(place.to_string(), "missing field `question`".to_owned()));
                    };
                    if let Some(first) = places.insert(qa.id.clone(), place) {
                        let reason =
                            format!("the id `{}` is that of {first} already; ids must differ", excerpt(&qa.id));
                        return Err(wrong(format!("{place}.id"), reason));
                    }
                    let check = |answers: Option<Vec<RawAnswer>>, key: &str| -> Result<Vec<Answer>> {
                        let each = |(at, answer): (usize, RawAnswer)| {
                            let inside = || format!("{place}.{key}[{at}].answer_start");
                            let Some(start) = answer.answer_start else {
                                return Err(wrong(
                                    inside(),
                                    "is missing; the answer's first character is needed".to_owned(),
                                ));
                            };
                            match usize::try_from(start).ok().filter(|start| *start < characters.max(1)) {
                                Some(start) => Ok(Answer { text: answer.text, start }),
                                None => Err(wrong(
                                    inside(),
                                    format!("is {start}, but the context has {characters} characters"),
                                )),
                            }
                        };
                        answers.unwrap_or_default().into_iter().enumerate().map(each).collect()
                    };
                    let answers = check(qa.answers, "answers")?;
                    let plausible_answers = check(qa.plausible_answers, "plausible_answers")?;
                    dataset.questions.push(Question {
                        id: qa.id,
                        question,
                        paragraph: number,
                        answers,
                        is_impossible: qa.is_impossible.unwrap_or(false),
                        plausible_answers,
                    });
                }
                dataset.paragraphs.push(Paragraph { title: title.clone(), context });
            }
        }
        if dataset.questions.is_empty() {
            return Err(wrong("data".to_owned(), "holds no question".to_owned()));
        }
        Ok(dataset)
    }
}
