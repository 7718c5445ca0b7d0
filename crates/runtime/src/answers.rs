//! What heads of every kind answer to texts.

use encoder_spec::{TaskHeadConfig, TaskHeadKind};
use glue_squad::squad::{DecodeConfig, WindowConfig};
use predict::span::{SpanAnswer, SpanSettings, WindowChoice, squad_version};
use predict::{HeadAnswer, TagAnswer, TaggedText, Text};
use serde::Serialize;

use crate::arrays::Matrix;
use crate::runtime::with_threads;
use crate::{Error, Result, Runtime};

/// Texts in one pass of the model: enough to use every thread, and few enough to bound the memory of a call.
pub(crate) const PASS: usize = 64;

/// A text, or a pair of texts: for a head of spans a question and the text that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The text, or the first of two.
    pub text: &'a str,
    /// The second of two.
    pub pair: Option<&'a str>,
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, pair: None }
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((text, pair): (&'a str, &'a str)) -> Self {
        Self { text, pair: Some(pair) }
    }
}

/// What a head of any kind answers to an input. As JSON it is what `efficientbert predict --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// A label, labels or a number.
    Label(HeadAnswer),
    /// Entities.
    Tags(TagAnswer),
    /// A piece of a text.
    Span(SpanAnswer),
    /// The vector of a text.
    Vector {
        /// Task of the head.
        task: String,
        /// The vector.
        vector: Vec<f32>,
    },
    /// How alike two texts are by their vectors.
    Similarity {
        /// Task of the head.
        task: String,
        /// The cosine of the two vectors.
        similarity: f64,
    },
}

/// How questions about long texts are answered; the defaults are BERT's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuestionSettings {
    /// Tokens of a window, at most; a longer text is read in several. `None`: 384, or what the model takes.
    pub max_len: Option<usize>,
    /// By how many tokens a window starts after the one before.
    pub doc_stride: usize,
    /// Tokens of a question, at most. `None`: 64, or half of the room in a window.
    pub max_query_length: Option<usize>,
    /// Tokens of an answer, at most.
    pub max_answer_length: usize,
    /// How many answers are kept, the best first.
    pub n_best: usize,
    /// SQuAD v2.0: no answer where the null score is more than this above the best answer's.
    pub null_threshold: f64,
}

impl Default for QuestionSettings {
    fn default() -> Self {
        let (windows, decoding) = (WindowConfig::bert(), DecodeConfig::default());
        Self {
            max_len: None,
            doc_stride: windows.stride,
            max_query_length: None,
            max_answer_length: decoding.max_answer_length,
            n_best: decoding.n_best,
            null_threshold: 0.0,
        }
    }
}

impl Runtime {
    /// What the heads answer to each input: that of `task`, or without one all of them. As `efficientbert predict` does.
    ///
    /// # Errors
    /// There is no such head, the model does not take an input, or answers with NaN or infinity.
    pub fn answers(&self, inputs: &[Input<'_>], task: Option<&str>) -> Result<Vec<Vec<Answer>>> {
        let heads = self.reader().heads(task)?;
        let alone = |answer| vec![answer];
        match (&heads[..], self.heads()[heads[0]].kind) {
            ([head], TaskHeadKind::Tags) => {
                let texts = self.single(inputs, *head)?;
                Ok(self.tags_of(&texts, *head)?.into_iter().map(Answer::Tags).map(alone).collect())
            }
            ([head], TaskHeadKind::Span) => {
                let pairs = self.questions_of(inputs, *head)?;
                let answers = self.spans_of(&pairs, *head, &QuestionSettings::default())?;
                Ok(answers.into_iter().map(Answer::Span).map(alone).collect())
            }
            ([head], TaskHeadKind::Embedding) => Ok(self.alike(inputs, *head)?.into_iter().map(alone).collect()),
            _ => {
                let answers = self.labels_of(inputs, &heads)?.into_iter();
                Ok(answers.map(|all| all.into_iter().map(Answer::Label).collect()).collect())
            }
        }
    }

    /// What a head of classes, labels or a number answers.
    ///
    /// # Errors
    /// As [`Runtime::answers`], or the head is of another kind.
    pub fn labels(&self, inputs: &[Input<'_>], task: Option<&str>) -> Result<Vec<HeadAnswer>> {
        let head = self.head_where(task, TaskHeadKind::is_on_pooled, "labels")?;
        Ok(self.labels_of(inputs, &[head])?.into_iter().flatten().collect())
    }

    /// The entities that a head of tags finds in each text.
    ///
    /// # Errors
    /// As [`Runtime::answers`], or the head is of another kind.
    pub fn entities(&self, texts: &[&str], task: Option<&str>) -> Result<Vec<TagAnswer>> {
        let head = self.head_where(task, |kind| kind == TaskHeadKind::Tags, "entities")?;
        self.tags_of(texts, head)
    }

    /// The pieces of texts that answer questions; `pairs` are questions and texts.
    ///
    /// # Errors
    /// As [`Runtime::answers`], the head is of another kind, the settings leave no room for a text, or the null threshold is NaN.
    pub fn questions(
        &self,
        pairs: &[(&str, &str)],
        task: Option<&str>,
        settings: &QuestionSettings,
    ) -> Result<Vec<SpanAnswer>> {
        let head = self.head_where(task, |kind| kind == TaskHeadKind::Span, "answers to questions")?;
        self.spans_of(pairs, head, settings)
    }

    /// The vector of each text, `[texts, width]`.
    ///
    /// # Errors
    /// As [`Runtime::answers`], or the head is of another kind.
    pub fn vectors(&self, texts: &[&str], task: Option<&str>) -> Result<Matrix> {
        let head = self.head_where(task, |kind| kind == TaskHeadKind::Embedding, "vectors")?;
        self.vectors_of(texts, head)
    }

    /// The head of `task`, of a kind that answers what is `wanted`.
    pub(crate) fn head_where(
        &self,
        task: Option<&str>,
        is_wanted: impl Fn(TaskHeadKind) -> bool,
        wanted: &'static str,
    ) -> Result<usize> {
        let head = self.head(task)?;
        let TaskHeadConfig { kind, task, .. } = &self.heads()[head];
        if !is_wanted(*kind) {
            return Err(Error::Kind { task: task.clone(), kind: kind.name(), wanted });
        }
        Ok(head)
    }

    fn labels_of(&self, inputs: &[Input<'_>], heads: &[usize]) -> Result<Vec<Vec<HeadAnswer>>> {
        let mut answers = Vec::with_capacity(inputs.len());
        for (pass, inputs) in inputs.chunks(PASS).enumerate() {
            let texts: Vec<Text> = inputs.iter().map(|i| self.encode(i.text, i.pair)).collect::<Result<_>>()?;
            answers.extend(self.session().answer(&texts, heads).map_err(|error| later(error, pass))?);
        }
        Ok(answers)
    }

    fn tags_of(&self, texts: &[&str], head: usize) -> Result<Vec<TagAnswer>> {
        let mut answers = Vec::with_capacity(texts.len());
        for (pass, texts) in texts.chunks(PASS).enumerate() {
            let words: Vec<TaggedText> =
                texts.iter().map(|text| Ok(self.reader().words(text)?)).collect::<Result<_>>()?;
            let pairs: Vec<(&str, &TaggedText)> = texts.iter().copied().zip(&words).collect();
            answers.extend(self.session().tag(&pairs, head).map_err(|error| later(error, pass))?);
        }
        Ok(answers)
    }

    fn vectors_of(&self, texts: &[&str], head: usize) -> Result<Matrix> {
        let mut values = Vec::new();
        for (pass, texts) in texts.chunks(PASS).enumerate() {
            let encoded: Vec<Text> =
                texts.iter().map(|text| Ok(self.reader().encode(text, None)?)).collect::<Result<_>>()?;
            let vectors = self.session().vectors(&encoded, head).map_err(|error| later(error, pass))?;
            values.extend(vectors.into_iter().flatten());
        }
        let width = self.heads()[head].outputs(self.config().hidden_size);
        Ok(Matrix { rows: texts.len(), columns: width, values })
    }

    fn alike(&self, inputs: &[Input<'_>], head: usize) -> Result<Vec<Answer>> {
        let texts: Vec<&str> = inputs.iter().flat_map(|input| std::iter::once(input.text).chain(input.pair)).collect();
        let vectors = self.vectors_of(&texts, head)?;
        let mut vectors = vectors.iter();
        let mut next = || vectors.next().unwrap_or_default();
        let task = self.heads()[head].task.clone();
        let answer = |input: &Input<'_>| {
            let (task, first) = (task.clone(), next());
            match input.pair {
                None => Answer::Vector { task, vector: first.to_vec() },
                Some(_) => {
                    let both = [first, next()].concat();
                    Answer::Similarity { task, similarity: glue_squad::task::cosines(&[both])[0] }
                }
            }
        };
        Ok(inputs.iter().map(answer).collect())
    }

    fn spans_of(&self, pairs: &[(&str, &str)], head: usize, given: &QuestionSettings) -> Result<Vec<SpanAnswer>> {
        if given.null_threshold.is_nan() {
            return Err(Error::Threshold);
        }
        let version = squad_version(&self.heads()[head])?;
        let reader = self.reader();
        predict::check_segments(&reader.config, &reader.tokenizer, Some(version))?;
        let choice =
            WindowChoice { max_len: given.max_len, stride: Some(given.doc_stride), max_query: given.max_query_length };
        let windows = choice.windows(reader.config.max_position_embeddings, reader.tokenizer.frame())?;
        let settings = SpanSettings {
            windows,
            decoding: DecodeConfig { n_best: given.n_best, max_answer_length: given.max_answer_length },
            threshold: given.null_threshold,
            batch_size: PASS,
        };
        let mut answers = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(PASS) {
            let mut session = self.session();
            let answer = || session.answer_questions((head, version), pairs, &settings);
            answers.extend(with_threads(self.settings().threads, answer)??);
        }
        Ok(answers)
    }

    /// Inputs that are one text each.
    fn single<'a>(&self, inputs: &[Input<'a>], head: usize) -> Result<Vec<&'a str>> {
        let one = |(text, input): (usize, &Input<'a>)| match input.pair {
            None => Ok(input.text),
            Some(_) => Err(Error::Pair { text, task: self.heads()[head].task.clone() }),
        };
        inputs.iter().enumerate().map(one).collect()
    }

    /// Inputs that are questions and texts.
    fn questions_of<'a>(&self, inputs: &[Input<'a>], head: usize) -> Result<Vec<(&'a str, &'a str)>> {
        let both = |(text, input): (usize, &Input<'a>)| match input.pair {
            Some(pair) => Ok((input.text, pair)),
            None => Err(Error::NoContext { text, task: self.heads()[head].task.clone() }),
        };
        inputs.iter().enumerate().map(both).collect()
    }
}

/// An error of a later pass: it names the text by its position in the call.
fn later(error: predict::Error, pass: usize) -> predict::Error {
    match error {
        predict::Error::NotFinite { text, task } => predict::Error::NotFinite { text: pass * PASS + text, task },
        other => other,
    }
}
