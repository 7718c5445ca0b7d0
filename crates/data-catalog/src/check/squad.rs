//! SQuAD files, through the reader of a training: every answer where it says it is, and none where there should be none.

use std::path::Path;

use glue_squad::squad::{Answer, Dataset};
use run_store::shown::excerpt;

use super::{Content, Finding};

/// Occurrences of one kind of thing: how many, and the first.
struct Cases {
    what: &'static str,
    is_problem: bool,
    count: u64,
    first: String,
}

impl Cases {
    fn new(is_problem: bool, what: &'static str) -> Self {
        Self { what, is_problem, count: 0, first: String::new() }
    }

    fn add(&mut self, first: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = first();
        }
        self.count += 1;
    }

    fn finding(&self) -> Finding {
        let text = format!("{} {}, the first: {}", self.count, self.what, self.first);
        if self.is_problem { Finding::problem(text) } else { Finding::note(text) }
    }
}

/// Reads a file; `v2` allows questions without an answer. The classes of the report are answerable and impossible questions.
pub(super) fn check(path: &Path, v2: bool) -> Result<Content, glue_squad::Error> {
    let dataset = Dataset::read(path)?;
    let mut content = Content::default();
    let mut lost = Cases::new(true, "answers are not in the text from the place on that they give");
    let mut shifted = Cases::new(false, "answers do not stand exactly where they say, and are found from that word on");
    let mut unanswered = Cases::new(true, "questions have no answer");
    let mut answered = Cases::new(true, "impossible questions have an answer");
    let mut empty = Cases::new(true, "questions or contexts are empty");
    let mut impossible = 0;
    for (number, question) in dataset.questions.iter().enumerate() {
        let context = dataset.context(number);
        impossible += u64::from(question.is_impossible);
        if question.question.trim().is_empty() || context.trim().is_empty() {
            empty.add(|| question.id.clone());
        }
        match (question.is_impossible, question.answers.is_empty()) {
            (false, true) => unanswered.add(|| question.id.clone()),
            (true, false) => answered.add(|| question.id.clone()),
            _ => {}
        }
        for answer in question.answers.iter().filter(|answer| !stands_at(context, answer)) {
            let cases = if answer.locate(context).is_some() { &mut shifted } else { &mut lost };
            cases.add(|| format!("{} `{}`", question.id, excerpt(&answer.text)));
        }
        content.texts.add(&question.id, &question.question, Some(context));
    }
    let rows = dataset.questions.len() as u64;
    content.rows = Some(rows);
    content.classes = if v2 { vec![rows - impossible, impossible] } else { Vec::new() };
    let cases = [lost, unanswered, answered, empty, shifted];
    content.findings.extend(cases.iter().filter(|cases| cases.count > 0).map(Cases::finding));
    if !v2 && impossible > 0 {
        content.findings.push(Finding::problem(format!("{impossible} questions are impossible; is this version 2?")));
    }
    Ok(content)
}

/// Offsets count characters, not bytes.
fn stands_at(context: &str, answer: &Answer) -> bool {
    let at = context.char_indices().map(|(at, _)| at).chain([context.len()]).nth(answer.start);
    at.is_some_and(|at| context[at..].starts_with(&answer.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_characters() {
        let answer = |text: &str, start| Answer { text: text.to_owned(), start };
        assert!(stands_at("Jörg ging", &answer("ging", 5)));
        assert!(!stands_at("Jörg ging", &answer("ging", 6)));
        assert!(stands_at("ab", &answer("", 2)) && !stands_at("ab", &answer("", 3)));
    }
}
