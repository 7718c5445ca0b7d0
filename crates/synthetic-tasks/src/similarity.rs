//! Graded sentence similarity in the STS-B layout.
//!
//! A scene has four slots: agent, action, object, place. The score is the sum over slots of
//! weight x agreement, where agreement is 1 for one concept (synonyms included), 1/2 for close
//! concepts and 0 otherwise. The voice of the sentence (active or passive) does not count, but who
//! does what to whom does.

use crate::draw::{Draw, Split, fill_split};
use crate::lexicon::{AGENTS, Concept, HANDLING, MEETING, OBJECTS, PLACES};

/// Two sentences and how alike they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimilarityExample {
    /// First sentence.
    pub first: String,
    /// Second sentence.
    pub second: String,
    /// Similarity in thousandths: 0 (unrelated) to 5000 (same meaning).
    pub milli_score: u32,
}

/// Slot weights in thousandths; they add up to 5000.
const AGENT: u32 = 1500;
const ACTION: u32 = 1500;
const OBJECT: u32 = 1250;
const PLACE: u32 = 750;
const _: () = assert!(AGENT + ACTION + OBJECT + PLACE == 5000);

type Actions = &'static [&'static [&'static [(&'static str, &'static str)]]];

/// A concept in a two-level table: row (close concepts) and column.
type Slot = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scene {
    /// Both participants are persons or animals.
    meeting: bool,
    agent: Slot,
    action: Slot,
    object: Slot,
    place: Slot,
}

/// Draws the task; its labels are scores, spread over the whole range.
pub(crate) fn task(seed: u64, train: usize, dev: usize) -> Split<SimilarityExample> {
    let mut draw = Draw::new(seed, "pocket/similarity", &[]);
    fill_split(&mut draw, train, dev, |draw, _| pair(draw), |example| format!("{}\t{}", example.first, example.second))
}

/// Draws one pair: a scene, and the scene with 0 to 4 slots changed or its roles exchanged.
pub(crate) fn pair(draw: &mut Draw) -> SimilarityExample {
    let first = scene(draw);
    let second = vary(draw, first);
    SimilarityExample { first: say(draw, first), second: say(draw, second), milli_score: score(first, second) }
}

/// Draws several tellings of one scene.
pub(crate) fn tellings(draw: &mut Draw, count: usize) -> Vec<String> {
    let scene = scene(draw);
    (0..count).map(|_| say(draw, scene)).collect()
}

fn scene(draw: &mut Draw) -> Scene {
    let meeting = draw.chance(30);
    let agent = slot(draw, AGENTS);
    let mut object = if meeting { slot(draw, AGENTS) } else { slot(draw, OBJECTS) };
    while meeting && object == agent {
        object = slot(draw, AGENTS);
    }
    let action = slot(draw, actions(meeting));
    Scene { meeting, agent, action, object, place: slot(draw, PLACES) }
}

fn vary(draw: &mut Draw, first: Scene) -> Scene {
    let mut second = first;
    if draw.chance(6) {
        return scene(draw);
    }
    if first.meeting && draw.chance(30) {
        std::mem::swap(&mut second.agent, &mut second.object);
    }
    let mut slots = [0, 1, 2, 3];
    draw.shuffle(&mut slots);
    for &which in &slots[..draw.weighted(&[20, 25, 25, 18, 12])] {
        match which {
            0 => second.agent = other(draw, AGENTS, second.agent),
            1 => second.action = other(draw, actions(first.meeting), second.action),
            2 => {
                let table = if first.meeting { AGENTS } else { OBJECTS };
                second.object = other(draw, table, second.object);
            }
            _ => second.place = other(draw, PLACES, second.place),
        }
    }
    // Nobody chases themselves.
    while second.meeting && second.object == second.agent {
        second.object = slot(draw, AGENTS);
    }
    second
}

fn score(first: Scene, second: Scene) -> u32 {
    // Tables differ between meetings and handling, so their actions and objects never agree.
    let comparable = first.meeting == second.meeting;
    let agree = |a: Slot, b: Slot, weight: u32| match (a == b, a.0 == b.0) {
        (true, _) => weight,
        (false, true) => weight / 2,
        (false, false) => 0,
    };
    agree(first.agent, second.agent, AGENT)
        + agree(first.place, second.place, PLACE)
        + if comparable {
            agree(first.action, second.action, ACTION) + agree(first.object, second.object, OBJECT)
        } else {
            0
        }
}

fn say(draw: &mut Draw, scene: Scene) -> String {
    let agent = word(draw, AGENTS, scene.agent);
    let object = word(draw, if scene.meeting { AGENTS } else { OBJECTS }, scene.object);
    let place = word(draw, PLACES, scene.place);
    let synonyms = actions(scene.meeting)[scene.action.0][scene.action.1];
    let (progressive, participle) = draw.pick(synonyms);
    if draw.chance(20) {
        format!("the {object} is being {participle} by the {agent} in the {place}")
    } else {
        format!("the {agent} is {progressive} the {object} in the {place}")
    }
}

fn actions(meeting: bool) -> Actions {
    if meeting { MEETING } else { HANDLING }
}

/// A concept; the first row and the first concept of a row are the usual ones. (With uniform
/// choices no single word would say anything about the score, and learning could not start.)
fn slot<T>(draw: &mut Draw, table: &[&[T]]) -> Slot {
    let mut usual = |count: usize| if draw.chance(60) { 0 } else { draw.below(count) };
    let row = usual(table.len());
    (row, usual(table[row].len()))
}

/// A different concept: a close one in 4 of 10 cases.
fn other<T>(draw: &mut Draw, table: &[&[T]], current: Slot) -> Slot {
    let close = draw.chance(40);
    loop {
        let new = slot(draw, table);
        if new != current && (new.0 == current.0) == close {
            return new;
        }
    }
}

fn word(draw: &mut Draw, table: &[&[Concept]], slot: Slot) -> &'static str {
    draw.pick(table[slot.0][slot.1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tellings_of_one_scene_score_five_and_exchanged_roles_score_less() {
        let scene = Scene { meeting: true, agent: (0, 0), action: (0, 0), object: (2, 0), place: (1, 0) };
        assert_eq!(score(scene, scene), 5000);
        let exchanged = Scene { agent: scene.object, object: scene.agent, ..scene };
        assert_eq!(score(scene, exchanged), ACTION + PLACE);
        let close = Scene { agent: (0, 1), ..scene };
        assert_eq!(score(scene, close), 5000 - AGENT / 2);
    }

    #[test]
    fn scores_are_spread_over_the_whole_range() {
        let task = task(1, 3000, 10);
        let mut bins = [0usize; 5];
        for example in &task.train {
            bins[(example.milli_score as usize / 1000).min(4)] += 1;
        }
        assert!(bins.iter().all(|&n| n > 200), "scores are bunched: {bins:?}");
    }
}
