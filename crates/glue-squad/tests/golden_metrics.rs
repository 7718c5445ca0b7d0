//! The metrics equal scikit-learn and SciPy.

use glue_squad::metrics::{accuracy, f1, matthews, pearson, spearman};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key} is a list"))
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}

#[test]
fn metrics_equal_the_reference_values() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("golden/glue-metrics.json")).expect("the golden file is JSON");
    let mut compared = 0;
    for (at, case) in cases.iter().enumerate() {
        let (predictions, labels) = (numbers(case, "preds"), numbers(case, "labels"));
        let class = |v: &[f64]| v.iter().map(|x| *x as usize).collect::<Vec<_>>();
        let (p, l) = (class(&predictions), class(&labels));
        let found = match case["kind"].as_str() {
            Some("binary") => vec![("accuracy", accuracy(&p, &l)), ("f1", f1(&p, &l)), ("mcc", matthews(&p, &l))],
            Some("regression") => {
                vec![("pearson", pearson(&predictions, &labels)), ("spearman", spearman(&predictions, &labels))]
            }
            other => panic!("case {at}: unknown kind {other:?}"),
        };
        for (name, value) in found {
            let (value, wanted) = (value.expect("equal lengths"), case[name].as_f64().expect("a reference value"));
            assert!((value - wanted).abs() <= TOLERANCE, "case {at}: {name} is {value}, the reference {wanted}");
            compared += 1;
        }
    }
    assert_eq!(compared, 18, "every value of the golden file is compared");
}
