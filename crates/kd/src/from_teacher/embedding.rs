//! The student's embedding: the word table by truncated SVD, positions and segments by channels.

use bert_core::Embeddings;
use burn::nn::Embedding;
use linear_fit::{Affine, Matrix, Vector, low_rank};

use super::Work;
use super::modules::{read_table, write, write_table};
use super::norm::{fit as fit_norm, normalized, prior, token_weights};
use super::settings::Part;
use crate::Result;

/// Why a table is there: only plain BERTs and EfficientBERTs are checked to begin so.
const TABLE: &str = "a checked model has tables of positions and segments";

/// Makes the embedding; its output on the sample. `after` is the teacher's.
///
/// With a narrower word table the kept channels of the teacher's are factored, `E = 1 m^T + T P`, rows counted by how often the sample has
/// their word: `T` becomes the table, `P` the middle of the projection, whose sides (the next and the previous word) are 0, and `m` its bias.
/// Then the projection is mended, sides included.
pub(super) fn begin(student: &mut Embeddings, work: &Work<'_>, after: &Matrix) -> Result<Matrix> {
    let (start, sample) = (work.start, work.start.sample);
    let theirs = &start.teacher.encoder.embeddings;
    let channels = &work.channels;
    let words = read_table(&theirs.word_embeddings).select_rows(channels);
    let of = |table: &Option<Embedding>| read_table(table.as_ref().expect(TABLE)).select_rows(channels);
    let (positions, segments) = (of(&theirs.position_embeddings), of(&theirs.token_type_embeddings));
    let spec = &work.spec.embedding;
    for (table, shape, rows) in [
        (&mut student.position_embeddings, &spec.positions, &positions),
        (&mut student.token_type_embeddings, &spec.segments, &segments),
    ] {
        let (table, shape) = (table.as_mut().expect(TABLE), shape.as_ref().expect(TABLE));
        write_table(table, &rows.columns(0, shape[0]).into_owned());
    }

    let mut kept = Matrix::zeros(channels.len(), sample.len());
    let mut around = kept.clone();
    for (token, &[id, position, segment]) in sample.places().iter().enumerate() {
        around.set_column(token, &(positions.column(position) + segments.column(segment)));
        kept.set_column(token, &words.column(id));
    }
    let counts = sample.counts(start.settings.first_token);
    let sums = match &mut student.projection {
        None => {
            write_table(&mut student.word_embeddings, &words);
            &kept + &around
        }
        Some(projection) => {
            let width = spec.words[1];
            let (table, mut map) = factored(work, &words, width);
            write_table(&mut student.word_embeddings, &table.transpose());
            let trigram = spec.projection.as_ref().is_some_and(|projection| projection.trigram);
            if trigram {
                let middle = std::mem::replace(&mut map.weight, Matrix::zeros(channels.len(), 3 * width));
                map.weight.columns_mut(width, width).copy_from(&middle);
            }
            let table = student.word_embeddings.weight.val();
            let seen = sample.gather(&sample.of_batches(|batch| {
                let words = fused_ops::embedding(table.clone(), batch.ids.clone());
                if trigram { fused_ops::trigram(words) } else { words }
            }));
            if start.settings.does(Part::Mending) {
                let (_, deviations) = normalized(&(&kept + &around), spec.norm.kind);
                map = work.near(&map, &seen, &kept, Some(&token_weights(&deviations, &counts)))?;
            }
            write(projection, &map);
            map.apply(&seen) + &around
        }
    };
    let (scale, shift) = prior(&theirs.norm, channels);
    Ok(fit_norm(&mut student.norm, &spec.norm, &sums, &work.kept(after), (&counts, (&scale, &shift))))
}

/// Table `[words, width]` and map to the kept channels.
fn factored(work: &Work<'_>, words: &Matrix, width: usize) -> (Matrix, Affine) {
    let settings = work.start.settings;
    let mut weights = vec![settings.unseen_words; words.ncols()];
    if settings.does(Part::Covariance) {
        work.start.sample.places().iter().for_each(|&[id, ..]| weights[id] += 1.0);
    }
    let total: f64 = weights.iter().sum();
    let mean = words * Vector::from_column_slice(&weights) / total;
    let mut table = words.transpose();
    for mut row in table.row_iter_mut() {
        row -= mean.transpose();
    }
    let (left, right) = low_rank::table(&table, Some(&weights), width);
    (left, Affine { weight: right.transpose(), bias: mean })
}
