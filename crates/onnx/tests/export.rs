//! Exported files compute what the models do.

mod random_models;

use onnx::{Check, Error, Exported, Format, Int8, Output, Weights, check};
use random_models::{Case, cases};

/// Measured: 4e-6.
const F32: f64 = 2e-5;
const F16: f64 = 3e-2;

fn written(case: &Case, format: &Format, allowed: f64, weights: Weights) -> (f64, usize) {
    let exported = Exported::new(&case.config, &case.encoder, &case.outputs, format).unwrap();
    let names = exported.names.clone();
    let file = exported.file("model.onnx", weights, &[("task", "text".into())]);
    assert_eq!(file.data.is_some(), weights == Weights::Beside);
    let asked = Check { outputs: &case.outputs, names: &names, heads: &case.config.task_heads, allowed };
    let difference =
        check(&file, case.encoder.clone(), &asked).unwrap_or_else(|e| panic!("{}, {format}: {e}", case.name));
    (difference, file.bytes())
}

#[test]
fn every_family_and_head_computes_the_same_as_a_file() {
    let mut most: f64 = 0.0;
    for case in cases() {
        most = most.max(written(&case, &Format::F32, F32, Weights::AsFits).0);
    }
    eprintln!("largest difference: {most:.1e}");
}

#[test]
fn half_precision_is_close_and_half_as_large() {
    for case in cases().into_iter().step_by(5) {
        let (_, whole) = written(&case, &Format::F32, F32, Weights::AsFits);
        let (difference, half) = written(&case, &Format::F16, F16, Weights::AsFits);
        assert!(difference > 0.0 && (half as f64) < 0.7 * whole as f64, "{}: {half} of {whole} bytes", case.name);
    }
}

#[test]
fn dynamic_integers_are_close_and_a_quarter_as_large() {
    let format = Format::Int8(Int8::default());
    let case = cases().into_iter().find(|case| case.name == "bert-base").unwrap();
    let (_, whole) = written(&case, &Format::F32, F32, Weights::AsFits);
    let (difference, small) = written(&case, &format, 0.2, Weights::AsFits);
    assert!(difference > 1e-5, "{difference}: nothing was rounded");
    assert!((small as f64) < 0.27 * whole as f64, "{small} of {whole} bytes");
}

#[test]
fn products_that_are_kept_are_exact() {
    let case = cases().into_iter().find(|case| case.name == "minilm-l6").unwrap();
    let products = Exported::new(&case.config, &case.encoder, &case.outputs, &Format::F32).unwrap().products;
    let all = products.iter().map(|product| product.name.clone()).collect();
    let (kept, _) = written(&case, &Format::Int8(Int8 { keep: all, ranges: None }), 0.2, Weights::AsFits);
    let (none, _) = written(&case, &Format::Int8(Int8::default()), 0.2, Weights::AsFits);
    // The word table is rounded in both.
    assert!(kept < 0.7 * none, "{kept} with all products kept, {none} with none");
    let keep = ["encoder.layers.9.attention.query".to_owned()].into();
    let error = Exported::new(&case.config, &case.encoder, &case.outputs, &Format::Int8(Int8 { keep, ranges: None }))
        .err()
        .unwrap();
    assert!(matches!(&error, Error::NoProduct { .. }), "{error}");
    assert!(error.to_string().contains("encoder.layers.0.attention.query"), "{error}");
}

#[test]
fn weights_in_a_file_of_their_own_are_the_same() {
    let case = cases().into_iter().find(|case| case.name == "efficientbert-tiny").unwrap();
    let (inside, _) = written(&case, &Format::F32, F32, Weights::AsFits);
    let (beside, _) = written(&case, &Format::F32, F32, Weights::Beside);
    assert_eq!(inside, beside);
}

#[test]
fn an_output_that_is_not_there_is_refused_with_those_that_are() {
    let case = cases().into_iter().find(|case| !case.config.task_heads.is_empty()).unwrap();
    for output in [Output::Head(7), Output::Words] {
        let error = Exported::new(&case.config, &case.encoder, &[output], &Format::F32).err().unwrap();
        assert!(error.to_string().contains("its outputs can be: text, hidden"), "{error}");
    }
}

#[test]
fn a_file_that_computes_something_else_is_found_out() {
    let case = cases().into_iter().find(|case| case.name == "minilm-l6").unwrap();
    let exported = Exported::new(&case.config, &case.encoder, &case.outputs, &Format::F32).unwrap();
    let names = exported.names.clone();
    let file = exported.file("model.onnx", Weights::AsFits, &[]);
    let other = case.encoder.map(|weight_path, weight| {
        let mut other = weight.clone();
        if weight_path == "encoder.layers.1.attention.query.bias" {
            other.data = weight.data.iter().map(|v| v + 0.5).collect::<Vec<_>>().into();
        }
        other
    });
    let asked = Check { outputs: &case.outputs, names: &names, heads: &case.config.task_heads, allowed: 1e-4 };
    let error = check(&file, other, &asked).unwrap_err();
    assert!(matches!(error, Error::Differs { .. }), "{error}");
}
