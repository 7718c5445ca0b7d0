//! Plain text for general distillation: documents separated by a blank line, one sentence per line.
//!
//! Three kinds of document, in the words of the tasks: reviews that keep one opinion, facts followed
//! by what they imply, and scenes told several times in other words.

use std::collections::BTreeSet;

use crate::draw::Draw;
use crate::{entailment, polarity, similarity};

/// Draws documents until they hold `sentences` sentences.
///
/// No line is in `held_out`, and no two neighboring lines joined by a tab are, so a task's
/// development part stays unseen.
pub(crate) fn text(seed: u64, sentences: usize, held_out: &BTreeSet<String>) -> String {
    let mut documents = Vec::new();
    let mut written = 0;
    for number in 0.. {
        if written >= sentences {
            break;
        }
        let mut draw = Draw::new(seed, "pocket/corpus", &[number]);
        let lines: Vec<String> = document(&mut draw, number % 3);
        let leaks = lines.iter().any(|line| held_out.contains(line))
            || lines.windows(2).any(|two| held_out.contains(&two.join("\t")));
        if leaks {
            continue;
        }
        written += lines.len();
        documents.push(lines.iter().map(|line| format!("{line} .\n")).collect::<String>());
    }
    documents.join("\n")
}

fn document(draw: &mut Draw, kind: u64) -> Vec<String> {
    match kind {
        0 => {
            let positive = draw.coin();
            (0..6 + draw.below(3)).map(|_| polarity::sentence(draw, positive).sentence).collect()
        }
        1 => (0..4)
            .flat_map(|_| {
                let fact = entailment::pair(draw, true);
                [fact.premise, fact.hypothesis]
            })
            .collect(),
        _ => (0..2).flat_map(|_| similarity::tellings(draw, 3)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_separated_by_single_blank_lines_and_end_their_sentences() {
        let text = text(1, 200, &BTreeSet::new());
        assert!(text.ends_with(" .\n"));
        let documents: Vec<_> = text.split("\n\n").collect();
        assert!(documents.len() > 20);
        for line in documents.iter().flat_map(|document| document.lines()) {
            assert!(line.ends_with(" .") && line.len() > 4, "odd line `{line}`");
        }
    }

    #[test]
    fn a_held_out_sentence_drops_its_document() {
        let all = text(1, 200, &BTreeSet::new());
        let first = all.lines().next().unwrap().trim_end_matches(" .").to_owned();
        let without = text(1, 200, &BTreeSet::from([first.clone()]));
        assert!(!without.lines().any(|line| line == format!("{first} .")));
    }
}
