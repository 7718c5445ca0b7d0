//! Scores, vectors and hidden states as arrays of numbers.

use cpu_runtime::{Outputs, Ragged};
use encoder_spec::TaskHeadKind;
use glue_squad::features::Features;
use predict::head_values;
use tokenizer::Padding;

use crate::answers::PASS;
use crate::{Error, Input, Result, Runtime};

/// Numbers in rows of equal width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// All numbers, row after row.
    pub values: Vec<f32>,
}

impl Matrix {
    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.rows).map(|row| &self.values[row * self.columns..(row + 1) * self.columns])
    }
}

/// Rows of token ids, padded to equal width.
#[derive(Clone, Copy, Debug)]
pub struct TokenRows<'a> {
    /// Tokens in a row.
    pub columns: usize,
    /// Token ids, `[rows, columns]`.
    pub ids: &'a [u32],
    /// Segments, `[rows, columns]`; empty: all 0.
    pub segments: &'a [u32],
    /// 1 for a token and 0 for padding, `[rows, columns]`; empty: all tokens.
    pub mask: &'a [u8],
}

/// What a model computes of rows of token ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forward {
    /// Last hidden states, `[rows, columns, hidden]`; 0 for padding at the end of a row.
    pub hidden: Vec<f32>,
    /// Outputs of each head, before any softmax: `[rows, outputs]`, or `[rows, columns, outputs]` for heads of spans and tags.
    pub heads: Vec<Vec<f32>>,
}

impl Runtime {
    /// What the only head, or that of `task`, says of each input: probabilities of its classes, of each of its labels for itself, or its
    /// number in the units of its task.
    ///
    /// # Shapes
    /// `[inputs, labels]`, or `[inputs, 1]` for a number
    ///
    /// # Errors
    /// As [`Runtime::labels`].
    pub fn scores(&self, inputs: &[Input<'_>], task: Option<&str>) -> Result<Matrix> {
        let index = self.head_where(task, TaskHeadKind::is_on_pooled, "scores")?;
        let head = &self.heads()[index];
        let columns = head.outputs(self.config().hidden_size);
        let logits = self.logits_of(inputs, index)?;
        let mut values = Vec::with_capacity(logits.len());
        for (text, row) in logits.chunks(columns.max(1)).enumerate() {
            values.extend(head_values(head, row));
            if values[text * columns..].iter().any(|value| !value.is_finite()) {
                return Err(predict::Error::NotFinite { text, task: head.task.clone() }.into());
            }
        }
        Ok(Matrix { rows: inputs.len(), columns, values })
    }

    /// The outputs of the only head, or of that of `task`, before any softmax.
    ///
    /// # Shapes
    /// `[inputs, outputs]`
    ///
    /// # Errors
    /// As [`Runtime::labels`]; outputs that are not finite are handed over.
    pub fn logits(&self, inputs: &[Input<'_>], task: Option<&str>) -> Result<Matrix> {
        let head = self.head_where(task, TaskHeadKind::is_on_pooled, "outputs for each text")?;
        let columns = self.heads()[head].outputs(self.config().hidden_size);
        Ok(Matrix { rows: inputs.len(), columns, values: self.logits_of(inputs, head)? })
    }

    fn logits_of(&self, inputs: &[Input<'_>], head: usize) -> Result<Vec<f32>> {
        let padding =
            Padding { pad_id: self.tokenizer().pad_id(), multiple: 1, max_len: self.config().max_position_embeddings };
        let mut values = Vec::new();
        for inputs in inputs.chunks(PASS) {
            let read = |input: &Input<'_>| Ok(self.encode(input.text, input.pair)?.features);
            let texts: Vec<Features> = inputs.iter().map(read).collect::<Result<_>>()?;
            values.extend(self.session().model.answer(&texts, padding, &[head])?.remove(0));
        }
        Ok(values)
    }

    /// Hidden states and outputs of all heads for rows of token ids. Padding at the end of rows is not computed.
    ///
    /// # Errors
    /// [`Error::Arrays`]: arrays of different sizes; or an id that the model has no row for, or rows longer than it takes.
    pub fn forward(&self, rows: &TokenRows<'_>) -> Result<Forward> {
        let TokenRows { columns, ids, segments, mask } = *rows;
        check(rows)?;
        let (hidden, heads) = (self.config().hidden_size, self.heads());
        let mut forward = Forward { hidden: Vec::new(), heads: vec![Vec::new(); heads.len()] };
        let wanted: Vec<usize> = (0..heads.len()).collect();
        let widths: Vec<usize> = heads.iter().map(|head| head.outputs(hidden)).collect();
        let (zeros, ones) = (vec![0; columns], vec![1; columns]);
        let mut ragged = Ragged::new();
        for first in (0..ids.len()).step_by(PASS * columns.max(1)) {
            ragged.clear();
            let end = ids.len().min(first + PASS * columns);
            for row in (first..end).step_by(columns) {
                let row = row..row + columns;
                let segments = if segments.is_empty() { &zeros[..] } else { &segments[row.clone()] };
                let mask = if mask.is_empty() { &ones[..] } else { &mask[row.clone()] };
                ragged.push_row(&ids[row], segments, mask);
            }
            let batch = ragged.as_batch();
            let mut session = self.session();
            let (model, session) = session.model.as_compiled().expect("a runtime has compiled models");
            let output = session.run(model, &batch, Outputs { pooled: false, heads: &wanted });
            let output = output.map_err(predict::Error::from)?;
            padded(output.hidden, hidden, columns, batch.offsets, &mut forward.hidden);
            for (index, values) in output.heads().enumerate() {
                let into = &mut forward.heads[index];
                match heads[index].kind.is_on_tokens() {
                    true => padded(values, widths[index], columns, batch.offsets, into),
                    false => into.extend_from_slice(values),
                }
            }
        }
        Ok(forward)
    }
}

/// Puts the rows of `values`, one after the other without padding, into rows of `columns` tokens.
fn padded(values: &[f32], width: usize, columns: usize, offsets: &[usize], into: &mut Vec<f32>) {
    for row in offsets.windows(2) {
        let start = into.len();
        into.extend_from_slice(&values[row[0] * width..row[1] * width]);
        into.resize(start + columns * width, 0.0);
    }
}

fn check(rows: &TokenRows<'_>) -> Result<()> {
    let TokenRows { columns, ids, segments, mask } = *rows;
    if columns == 0 && !ids.is_empty() || columns > 0 && !ids.len().is_multiple_of(columns) {
        return Err(Error::Arrays(format!("{} token ids are no rows of {columns} tokens", ids.len())));
    }
    for (what, count) in [("segments", segments.len()), ("mask values", mask.len())] {
        if count != 0 && count != ids.len() {
            return Err(Error::Arrays(format!("{count} {what} for {} token ids", ids.len())));
        }
    }
    match mask.iter().find(|value| **value > 1) {
        Some(value) => Err(Error::Arrays(format!("the mask holds {value}; allowed are 0 and 1"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_padding_are_put_into_rows_of_equal_width() {
        let mut into = Vec::new();
        padded(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 2, &[0, 1, 3], &mut into);
        assert_eq!(into, [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn arrays_of_different_sizes_are_refused_with_both() {
        let rows = TokenRows { columns: 2, ids: &[1, 2, 3, 4], segments: &[], mask: &[] };
        assert!(check(&rows).is_ok());
        for (wrong, said) in [
            (TokenRows { columns: 3, ..rows }, "4 token ids are no rows of 3"),
            (TokenRows { columns: 0, ..rows }, "rows of 0"),
            (TokenRows { segments: &[0], ..rows }, "1 segments for 4"),
            (TokenRows { mask: &[1, 1, 2, 0], ..rows }, "holds 2"),
        ] {
            assert!(check(&wrong).unwrap_err().to_string().contains(said), "{said}");
        }
    }
}
