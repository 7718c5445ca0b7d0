//! Which layer of the teacher each layer of the student begins as.

use crate::objective::{Feature, Plan};
use crate::{Error, Result};

/// The teacher's layer, from 1, of each of the student's `ours` layers: the one whose hidden states it is compared with in `plan`, or else
/// any that it is compared with, or else layer `i T / L` of `T`.
///
/// # Errors
/// More layers than the teacher has, or a map that does not go up from layer to layer.
pub fn layer_map(plan: Option<&Plan>, ours: usize, theirs: usize) -> Result<Vec<usize>> {
    if ours > theirs {
        return Err(Error::FromTeacher(format!(
            "it has {ours} layers, the teacher {theirs}; each begins as one of these"
        )));
    }
    let matches = plan.map(Plan::layers).unwrap_or_default();
    let compared = |layer: usize, with: &dyn Fn(Feature) -> bool| {
        matches.iter().find(|entry| entry.student == layer && with(entry.feature)).map(|entry| entry.teacher)
    };
    let of = |layer: usize| {
        let hidden = compared(layer, &|feature| feature.is_state());
        hidden.or_else(|| compared(layer, &|_| true)).unwrap_or(layer * theirs / ours)
    };
    let map: Vec<usize> = (1..=ours).map(of).collect();
    let rises = map.is_sorted_by(|a, b| a < b) && map.first().is_none_or(|&first| first >= 1);
    match rises {
        true => Ok(map),
        false => Err(Error::FromTeacher(format!(
            "its layers are compared with the teacher's {map:?}; a student begins as layers that follow each other"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Objective, Preset, Shape, Source};

    fn shape(layers: usize) -> Shape {
        Shape { layers, width: 8, heads: 2, words: None }
    }

    #[test]
    fn layers_follow_the_objective_and_are_evenly_spread_without_one() {
        assert_eq!(layer_map(None, 3, 6).unwrap(), [2, 4, 6]);
        assert_eq!(layer_map(None, 4, 6).unwrap(), [1, 3, 4, 6]);
        let of = |map: Vec<usize>| {
            let objective = Objective { map, ..Preset::default().into() };
            objective.plan(shape(3), shape(6), Source::Text, 1).unwrap()
        };
        assert_eq!(layer_map(Some(&of(vec![])), 3, 6).unwrap(), [2, 4, 6]);
        assert_eq!(layer_map(Some(&of(vec![1, 2, 6])), 3, 6).unwrap(), [1, 2, 6]);
    }

    #[test]
    fn more_layers_and_maps_that_turn_back_are_refused() {
        let message = layer_map(None, 7, 6).unwrap_err().to_string();
        assert!(message.contains("7 layers, the teacher 6"), "{message}");
        let objective = Objective { map: vec![2, 2, 6], ..Preset::default().into() };
        let plan = objective.plan(shape(3), shape(6), Source::Text, 1).unwrap();
        let message = layer_map(Some(&plan), 3, 6).unwrap_err().to_string();
        assert!(message.contains("[2, 2, 6]"), "{message}");
    }
}
