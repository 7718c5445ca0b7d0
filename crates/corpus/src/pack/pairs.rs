//! BERT's packing of one document into sequence pairs.

use rand::RngCore;
use run_store::rng::{below, unit};

/// Token ids of a document, sentence after sentence. Flat, so that a document of tiny sentences costs little more than its tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenDocument {
    ids: Vec<u32>,
    /// Where every sentence ends in `ids`; strictly increasing.
    ends: Vec<usize>,
}

impl TokenDocument {
    /// Adds a sentence; one without tokens is left out.
    pub fn push_sentence(&mut self, ids: &[u32]) {
        if !ids.is_empty() {
            self.ids.extend_from_slice(ids);
            self.ends.push(self.ids.len());
        }
    }

    /// All tokens.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of sentences.
    pub fn sentences(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The tokens of the sentences `from..to`.
    fn span(&self, from: usize, to: usize) -> &[u32] {
        let start = |sentence: usize| if sentence == 0 { 0 } else { self.ends[sentence - 1] };
        &self.ids[start(from)..start(to)]
    }
}

/// What the packing of pairs needs to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairRules {
    /// Tokens of a sequence with its special tokens.
    pub max_len: usize,
    /// Special tokens of a pair.
    pub special: usize,
    /// Chance that a document is packed to a random shorter length.
    pub short: f64,
    /// Chance that segment B comes from another document.
    pub random_next: f64,
}

/// One sequence before its special tokens; `b` is empty where a document has a single segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    /// Segment A.
    pub a: &'a [u32],
    /// Segment B.
    pub b: &'a [u32],
    /// Segment B was drawn from another document: the label of next-sentence prediction.
    pub random: bool,
}

/// Packs `documents[at]` as `create_instances_from_document` of google-research/bert: consecutive sentences fill a target length,
/// are split at a random sentence into A and B, B may be replaced by a run of another document (the sentences it displaced are
/// packed again), and what is too long loses tokens at random ends of the longer segment. `emit` gets the pairs in order.
///
/// Differences: with `random_next` 0, or only one document to draw from, a chunk of one sentence becomes a sequence without B.
/// No document may be empty; `max_len` has room for the special tokens and at least two others.
pub(crate) fn pack_pairs<'a>(
    documents: &'a [TokenDocument],
    at: usize,
    rules: PairRules,
    rng: &mut impl RngCore,
    mut emit: impl FnMut(Pair<'a>),
) {
    let document = &documents[at];
    let max_tokens = rules.max_len.saturating_sub(rules.special).max(2);
    let short = unit(rng) < rules.short;
    let target = if short { 2 + below(rng, max_tokens - 1) } else { max_tokens };
    let (mut next, mut from) = (0, 0);
    while next < document.sentences() {
        next += 1;
        if next < document.sentences() && document.span(from, next).len() < target {
            continue;
        }
        let to = next;
        let middle = if to - from >= 2 { from + 1 + below(rng, to - from - 1) } else { to };
        let a = document.span(from, middle);
        let can_draw = documents.len() > 1 && rules.random_next > 0.0;
        let random = can_draw && (to - from == 1 || unit(rng) < rules.random_next);
        let b = if random {
            next = middle;
            random_run(documents, at, target.saturating_sub(a.len()), rng)
        } else {
            document.span(middle, to)
        };
        let (a, b) = truncate(a, b, max_tokens, rng);
        emit(Pair { a, b, random });
        from = next;
    }
}

/// Consecutive sentences of another document, from a random one on, until they hold `wanted` tokens.
fn random_run<'a>(documents: &'a [TokenDocument], not: usize, wanted: usize, rng: &mut impl RngCore) -> &'a [u32] {
    let drawn = below(rng, documents.len() - 1);
    let other = &documents[if drawn >= not { drawn + 1 } else { drawn }];
    let from = below(rng, other.sentences());
    let mut to = (from + 1).min(other.sentences());
    while to < other.sentences() && other.span(from, to).len() < wanted {
        to += 1;
    }
    other.span(from, to)
}

/// Takes tokens from a random end of the longer segment until both together have at most `max_tokens`.
fn truncate<'a>(
    mut a: &'a [u32],
    mut b: &'a [u32],
    max_tokens: usize,
    rng: &mut impl RngCore,
) -> (&'a [u32], &'a [u32]) {
    while a.len() + b.len() > max_tokens {
        let longer = if a.len() > b.len() { &mut a } else { &mut b };
        *longer = if unit(rng) < 0.5 { &longer[1..] } else { &longer[..longer.len() - 1] };
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use run_store::rng::keyed;

    /// Document `d` has sentences of the given lengths; its tokens are d * 1000, d * 1000 + 1, ...
    fn document(d: u32, lengths: &[usize]) -> TokenDocument {
        let mut token = d * 1000;
        let mut document = TokenDocument::default();
        for n in lengths {
            document.push_sentence(&(token..token + *n as u32).collect::<Vec<_>>());
            token += *n as u32;
        }
        document
    }

    fn rules(random_next: f64) -> PairRules {
        PairRules { max_len: 23, special: 3, short: 0.1, random_next }
    }

    fn pack(documents: &[TokenDocument], at: usize, rules: PairRules, seed: u64) -> Vec<Pair<'_>> {
        let mut pairs = Vec::new();
        pack_pairs(documents, at, rules, &mut keyed(seed, "t", &[at as u64]), |pair| pairs.push(pair));
        pairs
    }

    #[test]
    fn without_random_pairs_every_token_is_used_once_and_in_order() {
        let documents = [document(1, &[3, 4, 5, 2, 6, 3, 1, 4]), document(2, &[4])];
        let rules = PairRules { short: 0.0, ..rules(0.0) };
        let pairs = pack(&documents, 0, rules, 1);
        let tokens: Vec<u32> = pairs.iter().flat_map(|p| p.a.iter().chain(p.b).copied()).collect();
        assert_eq!(tokens, documents[0].ids());
        assert_eq!(pack(&documents, 1, rules, 1), [Pair { a: documents[1].ids(), b: &[], random: false }]);
    }

    #[test]
    fn pairs_fit_and_half_of_the_second_segments_come_from_other_documents() {
        let documents: Vec<TokenDocument> = (1..60).map(|d| document(d, &[3, 9, 5, 30, 6, 1, 7, 8, 2])).collect();
        let (mut same, mut other) = (0, 0);
        for at in 0..documents.len() {
            for pair in pack(&documents, at, rules(0.5), 7) {
                assert!(!pair.a.is_empty() && !pair.b.is_empty() && pair.a.len() + pair.b.len() <= 20);
                let home = |ids: &[u32]| ids[0] / 1000;
                assert_eq!(home(pair.a), at as u32 + 1);
                assert_eq!(home(pair.b) != home(pair.a), pair.random);
                if pair.random { other += 1 } else { same += 1 }
            }
        }
        // Chunks of one sentence always draw, so "other" is the larger half.
        assert!(same > 50 && other > same && other < 4 * same, "{same} {other}");
    }

    #[test]
    fn truncation_keeps_a_run_of_each_segment() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((0..30).collect(), (100..105).collect());
        let (a, b) = truncate(&a, &b, 20, &mut keyed(3, "t", &[]));
        assert_eq!((a.len(), b.len()), (15, 5));
        assert!(a.windows(2).all(|w| w[1] == w[0] + 1));
    }

    #[test]
    fn sentences_without_tokens_are_left_out() {
        let mut document = document(1, &[2]);
        document.push_sentence(&[]);
        assert_eq!((document.sentences(), document.is_empty()), (1, false));
    }
}
