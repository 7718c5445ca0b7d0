//! All windows of a data set. Contexts and questions are tokenized once; a window's ids are put together when a batch needs them.

use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use tokenizer::{PairFrame, TextEncoder, WithOffsets};

use super::config::{AnswerlessWindows, WindowConfig};
use super::geometry::{ContextSpan, sliding_windows};
use crate::error::{Error, Result, excerpt};
use crate::features::Features;
use crate::squad::{Dataset, SquadVersion};

/// A part of a question's context, as a model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Position of the question in [`Dataset::questions`].
    pub question: usize,
    /// Which tokens of the context it shows.
    pub context: ContextSpan,
    /// The first and the last token of the answer, as positions in the window; `(0, 0)`, the `[CLS]`, where the window does not hold it.
    /// `None` in windows made for prediction.
    pub target: Option<(usize, usize)>,
}

/// Why a training question teaches less than it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The answer's text is empty: the question is left out.
    EmptyAnswer,
    /// The answer's text is not at its place in the context: the question is left out, as `run_squad` does.
    AnswerNotFound,
    /// No token stands for the answer's text: the question is left out.
    NoToken,
    /// The answer has more tokens than a window can show with it: all windows are windows without the answer.
    LongerThanWindows,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyAnswer => "the answer is empty",
            Self::AnswerNotFound => "the answer is not where it should be in the context",
            Self::NoToken => "no token stands for the answer",
            Self::LongerThanWindows => "no window holds the whole answer",
        })
    }
}

/// A training question with a [`Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingIssue {
    /// Position of the question in [`Dataset::questions`].
    pub question: usize,
    /// What is the matter.
    pub trouble: Trouble,
}

#[derive(Debug, Clone)]
struct EncodedQuestion {
    query: Vec<u32>,
    paragraph: usize,
    windows: Range<usize>,
}

/// The windows of a data set, in the order of its questions.
#[derive(Debug, Clone)]
pub struct WindowSet {
    config: WindowConfig,
    version: SquadVersion,
    special: [u32; 2],
    frame: PairFrame,
    contexts: Vec<WithOffsets>,
    questions: Vec<EncodedQuestion>,
    windows: Vec<Window>,
    issues: Vec<TrainingIssue>,
}

impl WindowSet {
    /// The windows to train on. The first answer of a question is its target; of an unanswerable question it is the `[CLS]`.
    ///
    /// # Errors
    /// A configuration that makes no sense; a question with neither answer nor `is_impossible`; an unanswerable question in
    /// SQuAD v1.1; the tokenizer's errors; no windows at all.
    pub fn for_training(
        dataset: &Dataset,
        encoder: &TextEncoder,
        config: WindowConfig,
        version: SquadVersion,
    ) -> Result<Self> {
        let mut set = Self::for_prediction(dataset, encoder, config, version)?;
        let targeted: Vec<_> = (0..dataset.questions.len())
            .into_par_iter()
            .map(|q| set.target_windows(dataset, q))
            .collect::<Result<_>>()?;
        let mut windows = Vec::with_capacity(set.windows.len());
        for (question, (kept, trouble)) in targeted.into_iter().enumerate() {
            set.issues.extend(trouble.map(|trouble| TrainingIssue { question, trouble }));
            let first = windows.len();
            windows.extend(kept);
            set.questions[question].windows = first..windows.len();
        }
        set.windows = windows;
        if set.windows.is_empty() {
            let questions = dataset.questions.len();
            let reason = format!("none of the {questions} questions gives a window to train on");
            return Err(Error::WrongEntry { path: dataset.path.clone(), inside: "data".to_owned(), reason });
        }
        Ok(set)
    }

    /// The windows to predict on; answers are not looked at.
    ///
    /// # Errors
    /// A configuration that makes no sense, or the tokenizer's errors.
    pub fn for_prediction(
        dataset: &Dataset,
        encoder: &TextEncoder,
        config: WindowConfig,
        version: SquadVersion,
    ) -> Result<Self> {
        let frame = encoder.frame();
        config.check_in(frame)?;
        let contexts: Vec<WithOffsets> =
            dataset.paragraphs.par_iter().map(|p| encoder.encode_with_offsets(&p.context)).collect::<Result<_, _>>()?;
        let encode_query = |question: &crate::squad::Question| {
            let mut query = encoder.encode_plain(&question.question)?;
            query.truncate(config.max_query);
            Ok(query)
        };
        let queries: Vec<Vec<u32>> = dataset.questions.par_iter().map(encode_query).collect::<Result<_>>()?;
        let mut windows = Vec::with_capacity(queries.len());
        let mut questions = Vec::with_capacity(queries.len());
        for (number, (query, question)) in queries.into_iter().zip(&dataset.questions).enumerate() {
            let context: &WithOffsets = contexts.get(question.paragraph).ok_or_else(|| {
                let given = format!("question {number} is about paragraph {}", question.paragraph);
                Error::Invalid(format!("{given}, but there are {}", dataset.paragraphs.len()))
            })?;
            let room = config.max_len - frame.special() - query.len();
            let first = windows.len();
            windows.extend(sliding_windows(context.ids.len(), room, config.stride).into_iter().map(|context| Window {
                question: number,
                context,
                target: None,
            }));
            questions.push(EncodedQuestion { query, paragraph: question.paragraph, windows: first..windows.len() });
        }
        let special = [encoder.cls_id(), encoder.sep_id()];
        Ok(Self { config, version, special, frame, contexts, questions, windows, issues: Vec::new() })
    }

    /// The windows of one question with their targets.
    fn target_windows(&self, dataset: &Dataset, number: usize) -> Result<(Vec<Window>, Option<Trouble>)> {
        let question = &dataset.questions[number];
        let windows = &self.windows[self.questions[number].windows.clone()];
        let at_cls = || windows.iter().map(|w| Window { target: Some((0, 0)), ..*w }).collect();
        let wrong = |reason: &str| Error::WrongEntry {
            path: dataset.path.clone(),
            inside: format!("question `{}`", excerpt(&question.id)),
            reason: reason.to_owned(),
        };
        if question.is_impossible {
            return match self.version {
                SquadVersion::V2 => Ok((at_cls(), None)),
                SquadVersion::V1 => Err(wrong("is unanswerable, which squad-v1 does not know; use squad-v2")),
            };
        }
        let Some(answer) = question.answers.first() else {
            return Err(wrong("has no answer to train on; only a question that `is_impossible` may have none"));
        };
        if answer.text.trim().is_empty() {
            return Ok((Vec::new(), Some(Trouble::EmptyAnswer)));
        }
        let Some(bytes) = answer.locate(dataset.context(number)) else {
            return Ok((Vec::new(), Some(Trouble::AnswerNotFound)));
        };
        let Some((first, last)) = self.token_span(number, bytes) else {
            return Ok((Vec::new(), Some(Trouble::NoToken)));
        };
        let offset = self.context_position(number);
        let place = |window: &Window| {
            let inside = first >= window.context.start && last < window.context.end();
            inside.then(|| (first - window.context.start + offset, last - window.context.start + offset))
        };
        let trouble = windows.iter().all(|w| place(w).is_none()).then_some(Trouble::LongerThanWindows);
        let kept = match self.config.answerless {
            AnswerlessWindows::Cls => {
                windows.iter().map(|w| Window { target: Some(place(w).unwrap_or((0, 0))), ..*w }).collect()
            }
            AnswerlessWindows::Drop => {
                windows.iter().filter_map(|w| place(w).map(|target| Window { target: Some(target), ..*w })).collect()
            }
        };
        Ok((kept, trouble))
    }

    /// The first and the last context token, counted from the beginning of the context, that overlap these bytes of it. `None`
    /// where none does.
    pub fn token_span(&self, question: usize, bytes: Range<usize>) -> Option<(usize, usize)> {
        let offsets = &self.contexts[self.questions.get(question)?.paragraph].offsets;
        let first = offsets.iter().position(|(start, end)| *end > bytes.start && *start < bytes.end)?;
        let last = offsets.iter().rposition(|(start, end)| *start < bytes.end && *end > bytes.start)?;
        Some((first, last))
    }

    /// The bytes of the context between the beginning of one of its tokens and the end of another, the first and the last in this
    /// order; accents that the tokenizer stripped from the last letter and characters that it dropped inside included.
    ///
    /// `None` where there are no such tokens.
    pub fn context_bytes(&self, dataset: &Dataset, question: usize, first: usize, last: usize) -> Option<Range<usize>> {
        let paragraph = self.questions.get(question)?.paragraph;
        let offsets = &self.contexts[paragraph].offsets;
        let (start, end) = (offsets.get(first)?.0, offsets.get(last)?.1);
        let context = &dataset.paragraphs.get(paragraph)?.context;
        let next = offsets.get(last + 1).map_or(context.len(), |next| next.0);
        let stripped = context.get(end..next.max(end))?;
        let accents: usize = stripped.chars().take_while(|c| is_mark(*c)).map(char::len_utf8).sum();
        (start <= end).then_some(start..end + accents)
    }

    /// Where in a window of this question the context begins.
    ///
    /// # Panics
    /// There is no such question.
    pub fn context_position(&self, question: usize) -> usize {
        self.questions[question].query.len() + 1 + self.frame.separators()
    }

    /// The positions of a question's windows.
    ///
    /// # Panics
    /// There is no such question.
    pub fn question_windows(&self, question: usize) -> Range<usize> {
        self.questions[question].windows.clone()
    }

    /// All windows.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// How many questions, with windows or without.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// The task.
    pub fn version(&self) -> SquadVersion {
        self.version
    }

    /// Training questions with a trouble, in the order of the questions.
    pub fn issues(&self) -> &[TrainingIssue] {
        &self.issues
    }

    /// The number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Tokens of a window.
    ///
    /// # Panics
    /// There is no such window.
    pub fn length(&self, window: usize) -> usize {
        let window = &self.windows[window];
        self.questions[window.question].query.len() + self.frame.special() + window.context.len
    }

    /// Tokens of every window, for [`crate::batch::BatchPlan`] and [`crate::batch::EvalPlan`].
    pub fn lengths(&self) -> Vec<usize> {
        (0..self.len()).map(|window| self.length(window)).collect()
    }

    /// The ids of a window: question and context as the tokenizer builds pairs, `[CLS] question [SEP]` in segment 0 and
    /// `context [SEP]` in segment 1 for BERT's.
    ///
    /// # Errors
    /// There is no such window.
    pub fn features(&self, window: usize) -> Result<Features> {
        let Some(found) = self.windows.get(window) else {
            return Err(Error::Invalid(format!("window {window} is asked for, but there are {}", self.len())));
        };
        let question = &self.questions[found.question];
        let [cls, sep] = self.special;
        let mut ids = Vec::with_capacity(self.length(window));
        ids.push(cls);
        ids.extend_from_slice(&question.query);
        ids.resize(ids.len() + self.frame.separators(), sep);
        let mut type_ids = vec![0; ids.len()];
        ids.extend_from_slice(&self.contexts[question.paragraph].ids[found.context.start..found.context.end()]);
        ids.push(sep);
        type_ids.resize(ids.len(), self.frame.second_segment());
        Ok(Features { ids, type_ids, label: None, words: None, second: None })
    }
}

/// Combining diacritical marks, which a tokenizer that strips accents drops.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}
