//! Vectors of the texts of a table.

use std::path::Path;

use bert_core::TaskHeadKind;
use bert_core::weights::{HostTensor, Tensors};
use cpu_runtime::Packing;
use encoder_spec::Precision;
use predict::Text;
use serde_json::json;

use super::EncodeArgs;
use crate::commands::predict::{BATCH, Query, rows_of};
use crate::context::Context;
use crate::error::CliError;
use crate::output::print_json;
use crate::predictor::load;

/// Writes the vector of each row, in the order of the table.
pub(super) fn run(args: &EncodeArgs, table: &Path, context: &Context) -> Result<(), CliError> {
    let [column] = args.columns.as_slice() else {
        return Err(CliError::usage("--text: one column; each text has a vector by itself"));
    };
    let rows = rows_of(table, &args.layout()?, std::slice::from_ref(column))?;
    let precision = args.precision.unwrap_or(Precision::F32);
    let mut predictor = load("--model", &args.model, precision, Packing::Ahead, context)?;
    let heads = predictor.config.task_heads.iter();
    let found = heads.enumerate().find(|(_, head)| head.kind == TaskHeadKind::Embedding);
    let Some((head, _)) = found else {
        let message = format!("--model {}: has no head that makes vectors", args.model.display());
        return Err(CliError::usage(message)
            .with_hint("`efficientbert import --pooling mean` adds one; models of sentence-transformers bring it"));
    };
    let longest = predictor.longest();
    let (mut data, mut count, mut cut) = (Vec::new(), 0, 0);
    let mut rows = rows.into_iter();
    loop {
        let batch = rows.by_ref().take(BATCH).collect::<Result<Vec<Query>, CliError>>()?;
        if batch.is_empty() {
            break;
        }
        let texts = batch.iter().map(|query| predictor.encode(&query.a, None)).collect::<Result<Vec<Text>, _>>()?;
        let vectors = predictor.vectors(&texts, head).map_err(|error| match error {
            predict::Error::NotFinite { text, .. } => CliError::failed(format!("{}: {error}", batch[text].place)),
            other => other.into(),
        })?;
        count += vectors.len();
        cut += texts.iter().filter(|text| text.is_cut()).count();
        data.extend(vectors.into_iter().flatten());
    }
    if count == 0 {
        return Err(CliError::failed(format!("{}: has no rows", table.display())));
    }
    if cut > 0 {
        context.progress.warn(&format!("{cut} texts were cut to {longest} tokens"));
    }
    let width = data.len() / count;
    let tensor = HostTensor { shape: vec![count, width], data };
    Tensors([("vectors".to_owned(), tensor)].into()).write_safetensors(&args.out)?;
    print_json(
        &json!({ "out": args.out, "texts": count, "dimensions": width, "cut": cut, "precision": precision.name() }),
    )
}
