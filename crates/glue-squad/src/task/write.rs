//! Training files in GLUE's own layout, written.

use std::io::{self, Write};

use super::{Example, Label, TaskKind};

/// A column of a training file.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// The row's number.
    Index(&'static str),
    TextA(&'static str),
    TextB(&'static str),
    Label(&'static str),
    /// What no reader of the task looks at; left empty.
    Other(&'static str),
}

use Column::{Index, Label as Gold, Other, TextA, TextB};

/// Writes rows of a task in the columns of its official `train.tsv`, in their order, so that programs that count columns find theirs.
/// Columns that the task is not about (genres, parse trees, ids of other data sets) are empty, rows are numbered anew.
#[derive(Debug)]
pub struct TrainWriter<W> {
    out: W,
    task: TaskKind,
    rows: u64,
}

impl<W: Write> TrainWriter<W> {
    /// Writes the header, where the task has one.
    ///
    /// # Errors
    /// As `out`.
    pub fn new(mut out: W, task: TaskKind) -> io::Result<Self> {
        if !task.entry().headerless.as_ref().is_some_and(|file| file.usual) {
            let names: Vec<&str> = task.entry().train_columns.iter().map(|column| column.name()).collect();
            writeln!(out, "{}", names.join("\t"))?;
        }
        Ok(Self { out, task, rows: 0 })
    }

    /// Writes a row, except for the number of `example`. Tabs and line breaks in texts become spaces: the layout has no quotes.
    ///
    /// # Errors
    /// As the output.
    ///
    /// # Panics
    /// The example has no label, or a class that the task does not have.
    pub fn write(&mut self, example: &Example) -> io::Result<()> {
        let label = example.label.as_ref().expect("a training example has a label");
        for (at, column) in self.task.entry().train_columns.iter().enumerate() {
            if at > 0 {
                self.out.write_all(b"\t")?;
            }
            match (column, label) {
                (Index(_), _) => write!(self.out, "{}", self.rows)?,
                (TextA(_), _) => self.text(&example.text_a)?,
                (TextB(_), _) => self.text(example.text_b.as_deref().unwrap_or_default())?,
                (Gold(_), Label::Class(class)) => self.out.write_all(self.task.entry().classes[*class].0.as_bytes())?,
                (Gold(_), Label::Score(score)) => write!(self.out, "{score}")?,
                // No task of GLUE has sets of labels.
                (Gold(_), Label::Set(_) | Label::Tags(_) | Label::Match(_)) | (Other(_), _) => {}
            }
        }
        self.rows += 1;
        self.out.write_all(b"\n")
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        for (at, part) in text.split(['\t', '\n', '\r']).enumerate() {
            if at > 0 {
                self.out.write_all(b" ")?;
            }
            self.out.write_all(part.as_bytes())?;
        }
        Ok(())
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Index(name) | TextA(name) | TextB(name) | Gold(name) | Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Head, Split};

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(
            texts in proptest::collection::vec(("[a-z\"' é]{0,12}", "[a-z\\\\# ]{0,9}", 0_u32..=500), 1..12),
        ) {
            for task in TaskKind::ALL.into_iter().filter(|task| task.entry().trained_as.is_none()) {
                let examples: Vec<Example> = texts
                    .iter()
                    .enumerate()
                    .map(|(id, (a, b, number))| Example {
                        id,
                        text_a: a.clone(),
                        text_b: task.task().is_pair().then(|| b.clone()),
                        label: Some(match task.task().head() {
                            Head::Regression => Label::Score(f64::from(*number) / 100.0),
                            head => Label::Class(*number as usize % head.outputs()),
                        }),
                    })
                    .collect();
                let mut writer = TrainWriter::new(Vec::new(), task).unwrap();
                examples.iter().for_each(|example| writer.write(example).unwrap());
                proptest::prop_assert_eq!(writer.rows(), examples.len() as u64);
                let read: Result<Vec<Example>, _> = task.parse(&writer.out[..], "train.tsv", Split::Train).collect();
                proptest::prop_assert_eq!(read.unwrap(), examples, "{}", task);
            }
        }
    }

    #[test]
    fn breaks_in_a_text_become_spaces() {
        let mut writer = TrainWriter::new(Vec::new(), TaskKind::Sst2).unwrap();
        let text_a = "a\tb\r\nc".to_owned();
        writer.write(&Example { id: 0, text_a, text_b: None, label: Some(Label::Class(1)) }).unwrap();
        assert_eq!(String::from_utf8(writer.out).unwrap(), "sentence\tlabel\na b  c\t1\n");
    }
}
