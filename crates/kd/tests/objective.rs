//! A layer map that does not fit the models is refused before any training.

use kd::objective::{Feature, LayerMap, LayerMatch, MatchLoss, Shape};

const TEACHER: Shape = Shape { layers: 6, width: 32, heads: 4 };
const STUDENT: Shape = Shape { layers: 3, width: 32, heads: 4 };

fn refused(edit: impl Fn(&mut LayerMatch), student: Shape, words: &[&str]) {
    let mut map = LayerMap::efficientbert(STUDENT, TEACHER).unwrap();
    edit(&mut map.0[1]);
    let message = map.validate(student, TEACHER).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn the_default_map_pairs_layers_evenly() {
    let map = LayerMap::efficientbert(STUDENT, TEACHER).unwrap();
    let pairs: Vec<(usize, usize)> =
        map.0.iter().filter(|m| m.feature == Feature::Hidden).map(|m| (m.student, m.teacher)).collect();
    assert_eq!(pairs, [(1, 2), (2, 4), (3, 6)]);
    map.validate(STUDENT, TEACHER).unwrap();
}

#[test]
fn teachers_with_an_odd_number_of_layers_need_a_map() {
    let message = LayerMap::efficientbert(STUDENT, Shape { layers: 7, ..TEACHER }).unwrap_err().to_string();
    assert!(message.contains('7') && message.contains('3'), "{message}");
}

#[test]
fn layers_heads_widths_losses_and_weights_are_checked() {
    refused(|m| m.teacher = 7, STUDENT, &["entry 2", "teacher layer 7", "1..=6"]);
    refused(|m| m.student = 0, STUDENT, &["entry 2", "student layer 0"]);
    refused(|_| {}, Shape { heads: 2, ..STUDENT }, &["equal heads", "2", "4"]);
    refused(|_| {}, Shape { width: 24, ..STUDENT }, &["entry 1", "24", "32", "fit_size"]);
    refused(|m| m.weight = f64::NAN, STUDENT, &["weight"]);
    refused(
        |m| {
            m.feature = Feature::Hidden;
            m.loss = MatchLoss::CrossEntropy;
        },
        STUDENT,
        &["cross_entropy"],
    );
}

#[test]
fn a_map_asks_the_models_only_for_what_it_compares() {
    let map = LayerMap::efficientbert(STUDENT, TEACHER).unwrap();
    let asked = |keep: &dyn Fn(&LayerMatch) -> bool| {
        let options = LayerMap(map.0.iter().copied().filter(|m| keep(m)).collect()).options();
        (options.hidden_states, options.attention_scores)
    };
    assert_eq!(asked(&|_| true), (true, true));
    assert_eq!(asked(&|m| m.feature == Feature::AttentionScores), (false, true));
    assert_eq!(asked(&|m| m.feature == Feature::Hidden), (true, false));
    assert_eq!(asked(&|m| m.feature == Feature::Embedding), (true, false));
}
