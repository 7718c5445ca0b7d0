//! Where windows lie on a context, and which of them sees a token best. Follows BERT's `run_squad`.

/// A run of context tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextSpan {
    /// The first token, counted from the beginning of the context.
    pub start: usize,
    /// How many tokens.
    pub len: usize,
}

impl ContextSpan {
    /// One past the last token.
    pub fn end(&self) -> usize {
        self.start + self.len
    }
}

/// The windows over a context of `tokens` tokens, `room` of them at a time, each `stride` after the one before; the last one ends
/// with the context. None for an empty context. `room` and `stride` are at least 1.
pub fn sliding_windows(tokens: usize, room: usize, stride: usize) -> Vec<ContextSpan> {
    let mut spans = Vec::new();
    let mut start = 0;
    while start < tokens {
        let len = room.min(tokens - start);
        spans.push(ContextSpan { start, len });
        if start + len == tokens {
            break;
        }
        start += len.min(stride);
    }
    spans
}

/// The window that sees token `position` with the most context: the one with the largest
/// `min(tokens to its left, tokens to its right) + 0.01 * length`, the first of equals. Overlapping windows score a token several
/// times; only this window's score counts when answers are ranked.
pub fn max_context_window(spans: &[ContextSpan], position: usize) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, span) in spans.iter().enumerate() {
        if position < span.start || position >= span.end() {
            continue;
        }
        let around = (position - span.start).min(span.end() - 1 - position);
        let score = around as f64 + 0.01 * span.len as f64;
        if best.is_none_or(|(_, held)| score > held) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(tokens: usize, room: usize, stride: usize) -> Vec<(usize, usize)> {
        sliding_windows(tokens, room, stride).iter().map(|s| (s.start, s.len)).collect()
    }

    #[test]
    fn windows_advance_by_the_stride_and_the_last_one_ends_with_the_context() {
        assert_eq!(pairs(10, 5, 3), [(0, 5), (3, 5), (6, 4)]);
        assert_eq!(pairs(5, 5, 3), [(0, 5)]);
        assert_eq!(pairs(6, 5, 3), [(0, 5), (3, 3)]);
        assert_eq!(pairs(7, 2, 100), [(0, 2), (2, 2), (4, 2), (6, 1)], "no token is lost to a long stride");
        assert_eq!(pairs(0, 5, 3), []);
    }

    #[test]
    fn the_word_bought_belongs_to_the_window_in_its_middle() {
        // The example in run_squad's comment: "the man went to the store and bought a gallon of milk" in windows of 5.
        let spans = [(0, 5), (3, 5), (6, 5)].map(|(start, len)| ContextSpan { start, len });
        assert_eq!(max_context_window(&spans, 7), Some(2));
        assert_eq!(max_context_window(&spans, 0), Some(0));
        assert_eq!(max_context_window(&spans, 11), None);
        let equal = [(0, 4), (1, 4)].map(|(start, len)| ContextSpan { start, len });
        assert_eq!(max_context_window(&equal, 2), Some(0), "the first of equals");
    }
}
