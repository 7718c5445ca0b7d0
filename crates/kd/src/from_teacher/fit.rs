//! Whether a student can begin as its teacher.

use encoder_spec::{Encoder, ModelType, Normalization, Shape};

use predict::heads::AnsweringHead;

use crate::{Error, Result};

/// Checks that a student of one description can begin as a teacher of another, with the teacher's `layers` ([`super::layer_map`]).
///
/// # Errors
/// [`Error::FromTeacher`] with the first thing that does not fit.
pub fn check(student: &Encoder<Shape>, teacher: &Encoder<Shape>, layers: &[usize]) -> Result<()> {
    let fail = |message: String| Err(Error::FromTeacher(message));
    for (who, spec) in [("the teacher", teacher), ("it", student)] {
        if let Some(what) = unlike_bert(spec) {
            return fail(format!("{who} {what}; only plain BERT and EfficientBERT begin so"));
        }
    }
    if teacher.family != ModelType::Bert {
        return fail(format!("the teacher is of the family {}, not a BERT", teacher.family.name()));
    }
    if teacher.embedding.projection.is_some() {
        return fail("the teacher's word table is factorized already".into());
    }
    if teacher.layers.iter().any(|layer| layer.attention.is_none()) {
        return fail("the teacher has layers without attention".into());
    }
    if teacher.layers.iter().any(|layer| layer.feed_forward.blocks.len() != 1) {
        return fail("the teacher has several feed-forwards in a layer".into());
    }
    let rows = |table: &Option<Shape>| table.as_ref().map_or(0, |table| table[0]);
    let sizes = [
        ("hidden width", student.hidden(), teacher.hidden()),
        ("positions", rows(&student.embedding.positions), rows(&teacher.embedding.positions)),
        ("segments", rows(&student.embedding.segments), rows(&teacher.embedding.segments)),
    ];
    if let Some((what, ours, theirs)) = sizes.into_iter().find(|(_, ours, theirs)| ours > theirs) {
        return fail(format!("{what}: {ours}, more than the teacher's {theirs}"));
    }
    let words = |spec: &Encoder<Shape>| spec.embedding.words[0];
    if words(student) != words(teacher) {
        return fail(format!("its vocabulary has {} word pieces, the teacher's {}", words(student), words(teacher)));
    }
    if layers.len() != student.layers.len() || layers.last().is_some_and(|&l| l > teacher.layers.len()) {
        let (ours, theirs) = (student.layers.len(), teacher.layers.len());
        return fail(format!("the map {layers:?} is not one of {ours} layers to the teacher's {theirs}"));
    }
    match &student.fit {
        Some(fit) if fit.outputs() != teacher.hidden() => {
            fail(format!("its projection leads to {}, the teacher's width is {}", fit.outputs(), teacher.hidden()))
        }
        _ => Ok(()),
    }
}

/// Checks that the teacher has the heads that the student's begin as.
///
/// # Errors
/// [`Error::FromTeacher`] naming the student's head.
pub(super) fn check_heads(
    student: &Encoder<Shape>,
    teacher: &Encoder<Shape>,
    heads: &[Option<AnsweringHead>],
) -> Result<()> {
    for (index, (head, source)) in student.heads.iter().zip(heads).enumerate() {
        let Some(source) = source else { continue };
        let found = teacher.heads.get(source.index);
        let outputs = |head: &encoder_spec::Head<Shape>| head.dense.as_ref().map_or(0, encoder_spec::Linear::outputs);
        // Vectors of another width begin anew, or are the hidden states themselves.
        let fits = |found: &encoder_spec::Head<Shape>| {
            found.kind == head.kind && (head.vector.is_some() || outputs(found) == outputs(head))
        };
        if !found.is_some_and(fits) {
            return Err(Error::FromTeacher(format!("its head {} is none of the teacher's", index + 1)));
        }
    }
    Ok(())
}

/// What of a model this method does not know.
fn unlike_bert(spec: &Encoder<Shape>) -> Option<&'static str> {
    let other_norm = |norm: &encoder_spec::Norm<Shape>| !matches!(norm.kind, Normalization::LayerNorm { .. });
    if spec.family == ModelType::ModernBert {
        return Some("turns queries and keys by their positions, has gates and norms that come first, as ModernBERT");
    }
    let attention = || spec.layers.iter().filter_map(|layer| layer.attention.as_ref());
    if spec.layers.iter().any(|layer| layer.bottleneck.is_some()) {
        Some("has bottlenecks, as MobileBERT")
    } else if other_norm(&spec.embedding.norm)
        || attention().any(|attention| attention.norm.as_ref().is_none_or(other_norm))
    {
        Some("has norms without statistics, as MobileBERT")
    } else if attention().any(|attention| attention.key.is_none()) {
        Some("has keys that are its queries")
    } else {
        None
    }
}
