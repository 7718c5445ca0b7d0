//! How texts stand between special tokens.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the second text of a pair follows the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairFrame {
    /// `[CLS] a [SEP] b [SEP]`, the second text in segment 1.
    #[default]
    Bert,
    /// `<s> a </s></s> b </s>`, all of it in segment 0 (RoBERTa, XLM-RoBERTa, CamemBERT).
    Roberta,
}

impl PairFrame {
    /// Separators between the two texts.
    pub fn separators(self) -> usize {
        match self {
            Self::Bert => 1,
            Self::Roberta => 2,
        }
    }

    /// Special tokens of a pair. A single text has 2 in either frame.
    pub fn special(self) -> usize {
        2 + self.separators()
    }

    /// Segment of the second text, with the separator behind it.
    pub fn second_segment(self) -> u8 {
        match self {
            Self::Bert => 1,
            Self::Roberta => 0,
        }
    }

    /// Segments that a model needs for pairs.
    pub fn segments(self) -> usize {
        usize::from(self.second_segment()) + 1
    }

    /// The frame that the `post_processor` of a `tokenizer.json` writes. Only two separators between the texts make it RoBERTa's:
    /// a file cannot take the second segment away from BERT's frame.
    pub(crate) fn of(post_processor: &Value) -> Self {
        let is_roberta = match post_processor["type"].as_str() {
            Some("RobertaProcessing") => true,
            Some("TemplateProcessing") => doubles_separator(&post_processor["pair"]),
            Some("Sequence") => {
                let parts = post_processor["processors"].as_array();
                parts.is_some_and(|parts| parts.iter().any(|part| Self::of(part) == Self::Roberta))
            }
            _ => false,
        };
        if is_roberta { Self::Roberta } else { Self::Bert }
    }
}

/// Whether a template for pairs is `<s> A </s> </s> B </s>` in one segment.
fn doubles_separator(pair: &Value) -> bool {
    let special = |piece: &Value| piece["SpecialToken"]["id"].as_str().map(str::to_owned);
    let is_text = |piece: &Value, name: &str| piece["Sequence"]["id"] == name && piece["Sequence"]["type_id"] == 0;
    match pair.as_array().map(Vec::as_slice) {
        Some([cls, a, one, two, b, end]) => {
            let ends = [one, two, end].map(special);
            let is_one_token = ends[0].is_some() && ends.iter().all(|found| *found == ends[0]);
            special(cls).is_some() && is_text(a, "A") && is_text(b, "B") && is_one_token
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(pair: &[(&str, u32)]) -> Value {
        let piece = |(name, segment): &(&str, u32)| match *name {
            "A" | "B" => json!({ "Sequence": { "id": name, "type_id": segment } }),
            _ => json!({ "SpecialToken": { "id": name, "type_id": segment } }),
        };
        let pair: Vec<Value> = pair.iter().map(piece).collect();
        json!({ "type": "TemplateProcessing", "single": [], "pair": pair, "special_tokens": {} })
    }

    #[test]
    fn two_separators_between_texts_of_one_segment_are_roberta_and_all_else_is_bert() {
        let roberta = [("<s>", 0), ("A", 0), ("</s>", 0), ("</s>", 0), ("B", 0), ("</s>", 0)];
        let with = |at: usize, piece| {
            let mut pieces = roberta;
            pieces[at] = piece;
            template(&pieces)
        };
        assert_eq!(PairFrame::of(&template(&roberta)), PairFrame::Roberta);
        assert_eq!(PairFrame::of(&json!({ "type": "RobertaProcessing" })), PairFrame::Roberta);
        let nested = json!({ "type": "Sequence", "processors": [{ "type": "ByteLevel" }, template(&roberta)] });
        assert_eq!(PairFrame::of(&nested), PairFrame::Roberta);
        let bert = [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)];
        for other in [
            template(&bert),
            with(4, ("B", 1)),
            with(3, ("<mask>", 0)),
            with(2, ("A", 0)),
            json!({ "type": "BertProcessing" }),
            json!({ "type": "Sequence", "processors": [] }),
            json!({ "type": "TemplateProcessing", "pair": "x" }),
            Value::Null,
        ] {
            assert_eq!(PairFrame::of(&other), PairFrame::Bert, "{other}");
        }
    }

    #[test]
    fn frames_count_their_tokens_and_segments() {
        let counts = |frame: PairFrame| (frame.separators(), frame.special(), frame.second_segment(), frame.segments());
        assert_eq!(counts(PairFrame::Bert), (1, 3, 1, 2));
        assert_eq!(counts(PairFrame::Roberta), (2, 4, 0, 1));
        assert_eq!(serde_json::to_string(&PairFrame::Roberta).unwrap(), "\"roberta\"");
    }
}
