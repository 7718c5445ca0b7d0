//! BERT's packing of one document into sequence pairs.

use rand::RngCore;

use crate::rng::{below, unit};

/// Token ids of the sentences of a document; none is empty.
pub(super) type Document = Vec<Vec<u32>>;

/// What the packing needs to know.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Tokens of a sequence with its special tokens.
    pub max_len: usize,
    /// Chance that a document is packed to a random shorter length.
    pub short: f64,
    /// Chance that segment B comes from another document.
    pub random_next: f64,
}

/// One sequence before its special tokens; `b` is empty where a document has a single segment.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub a: Vec<u32>,
    pub b: Vec<u32>,
}

/// Packs `documents[at]` as `create_instances_from_document` of google-research/bert: consecutive sentences fill a target length,
/// are split at a random sentence into A and B, B may be replaced by a run of another document (the sentences it displaced are
/// packed again), and what is too long loses tokens at random ends of the longer segment.
///
/// Differences: with `random_next` 0, or only one document to draw from, a chunk of one sentence becomes a sequence without B.
pub(super) fn pack_document(documents: &[Document], at: usize, rules: Rules, rng: &mut impl RngCore) -> Vec<Pair> {
    let document = &documents[at];
    let max_tokens = rules.max_len - 3;
    let short = unit(rng) < rules.short;
    let target = if short { 2 + below(rng, max_tokens - 1) } else { max_tokens };
    let mut pairs = Vec::new();
    let (mut next, mut chunk, mut length) = (0, 0..0, 0);
    while next < document.len() {
        length += document[next].len();
        next += 1;
        chunk.end = next;
        if next < document.len() && length < target {
            continue;
        }
        let middle = if chunk.len() >= 2 { chunk.start + 1 + below(rng, chunk.len() - 1) } else { chunk.end };
        let mut a = document[chunk.start..middle].concat();
        let can_draw = documents.len() > 1 && rules.random_next > 0.0;
        let mut b;
        if can_draw && (chunk.len() == 1 || unit(rng) < rules.random_next) {
            b = random_run(documents, at, target.saturating_sub(a.len()), rng);
            next = middle;
        } else {
            b = document[middle..chunk.end].concat();
        }
        truncate(&mut a, &mut b, max_tokens, rng);
        pairs.push(Pair { a, b });
        (chunk, length) = (next..next, 0);
    }
    pairs
}

/// Consecutive sentences of another document, from a random one on, until they hold `wanted` tokens.
fn random_run(documents: &[Document], not: usize, wanted: usize, rng: &mut impl RngCore) -> Vec<u32> {
    let drawn = below(rng, documents.len() - 1);
    let other = &documents[if drawn >= not { drawn + 1 } else { drawn }];
    let mut run = Vec::new();
    for sentence in &other[below(rng, other.len())..] {
        run.extend_from_slice(sentence);
        if run.len() >= wanted {
            break;
        }
    }
    run
}

/// Takes tokens from a random end of the longer segment until both together have at most `max_tokens`.
fn truncate(a: &mut Vec<u32>, b: &mut Vec<u32>, max_tokens: usize, rng: &mut impl RngCore) {
    // Ends are counted first and cut once, so that a very long sentence costs no more than its length.
    let mut spans = [(0, a.len()), (0, b.len())];
    while spans.iter().map(|(from, to)| to - from).sum::<usize>() > max_tokens {
        let longer = if spans[0].1 - spans[0].0 > spans[1].1 - spans[1].0 { 0 } else { 1 };
        if unit(rng) < 0.5 {
            spans[longer].0 += 1;
        } else {
            spans[longer].1 -= 1;
        }
    }
    for (segment, (from, to)) in [a, b].into_iter().zip(spans) {
        segment.truncate(to);
        segment.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    /// Document `d` has sentences of the given lengths; its tokens are d * 1000, d * 1000 + 1, ...
    fn document(d: u32, lengths: &[usize]) -> Document {
        let mut token = d * 1000;
        let mut sentence = |n: &usize| {
            (0..*n)
                .map(|_| {
                    token += 1;
                    token - 1
                })
                .collect()
        };
        lengths.iter().map(&mut sentence).collect()
    }

    fn rules(random_next: f64) -> Rules {
        Rules { max_len: 23, short: 0.1, random_next }
    }

    #[test]
    fn without_random_pairs_every_token_is_used_once_and_in_order() {
        let documents = [document(1, &[3, 4, 5, 2, 6, 3, 1, 4]), document(2, &[4])];
        let rules = Rules { short: 0.0, ..rules(0.0) };
        let pairs = pack_document(&documents, 0, rules, &mut keyed(1, "t", &[]));
        let tokens: Vec<u32> = pairs.iter().flat_map(|p| p.a.iter().chain(&p.b).copied()).collect();
        assert_eq!(tokens, documents[0].concat());
        assert_eq!(
            pack_document(&documents, 1, rules, &mut keyed(1, "t", &[])),
            [Pair { a: documents[1].concat(), b: vec![] }]
        );
    }

    #[test]
    fn pairs_fit_and_half_of_the_second_segments_come_from_other_documents() {
        let documents: Vec<Document> = (1..60).map(|d| document(d, &[3, 9, 5, 30, 6, 1, 7, 8, 2])).collect();
        let (mut same, mut other) = (0, 0);
        for at in 0..documents.len() {
            for pair in pack_document(&documents, at, rules(0.5), &mut keyed(7, "t", &[at as u64])) {
                assert!(!pair.a.is_empty() && !pair.b.is_empty() && pair.a.len() + pair.b.len() <= 20);
                let home = |ids: &[u32]| ids[0] / 1000;
                assert_eq!(home(&pair.a), at as u32 + 1);
                if home(&pair.b) == home(&pair.a) { same += 1 } else { other += 1 }
            }
        }
        // Chunks of one sentence always draw, so "other" is the larger half.
        assert!(same > 50 && other > same && other < 4 * same, "{same} {other}");
    }

    #[test]
    fn truncation_keeps_a_run_of_each_segment() {
        let (mut a, mut b): (Vec<u32>, Vec<u32>) = ((0..30).collect(), (100..105).collect());
        truncate(&mut a, &mut b, 20, &mut keyed(3, "t", &[]));
        assert_eq!((a.len(), b.len()), (15, 5));
        assert!(a.windows(2).all(|w| w[1] == w[0] + 1));
    }
}
