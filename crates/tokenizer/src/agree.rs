//! One tokenizer out of `tokenizer.json` and what the files beside it say.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::AddedToken;

use crate::frame::PairFrame;
use crate::plain::PlainBert;
use crate::stated::{CONFIG, FOLLOWED, Stated};

/// How BERT's normalizer treats letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Casing {
    pub lower: bool,
    /// `None`: as `lower` has it.
    pub accents: Option<bool>,
    pub chinese: bool,
}

impl Casing {
    /// BERT uncased, which is what `transformers` assumes.
    pub const DEFAULT: Self = Self { lower: true, accents: None, chinese: true };

    fn strips(self) -> bool {
        self.accents.unwrap_or(self.lower)
    }

    /// The keys in which two differ in effect, with the value of each.
    pub fn differences(self, other: Self) -> Vec<(&'static str, Value, Value)> {
        let mut found = Vec::new();
        let mut compare = |differs: bool, key, one: Value, two: Value| {
            if differs {
                found.push((key, one, two));
            }
        };
        compare(self.lower != other.lower, "do_lower_case", self.lower.into(), other.lower.into());
        let accents = self.accents != other.accents && self.strips() != other.strips();
        compare(accents, "strip_accents", self.accents.into(), other.accents.into());
        compare(self.chinese != other.chinese, "tokenize_chinese_chars", self.chinese.into(), other.chinese.into());
        found
    }
}

/// What a `tokenizer.json` says that other files may say too.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Of a BERT normalizer.
    pub casing: Option<Casing>,
    pub unknown: Option<String>,
    /// By the ids that the file gives them.
    pub added: Vec<(u32, AddedToken)>,
}

/// The bytes of the `tokenizer.json` with which all files agree; `None` where that is the file as it is, or one that the library
/// will refuse. What was decided is added to `notes`.
pub(crate) fn agreed(
    json: &[u8],
    plain: Option<&PlainBert>,
    stated: &Stated,
    notes: &mut Vec<String>,
) -> Option<Vec<u8>> {
    let parsed = || serde_json::from_slice::<Value>(json).ok().filter(|file| file["model"].is_object());
    let file = if plain.is_some() { None } else { Some(parsed()?) };
    let header = match (plain, &file) {
        (Some(plain), _) => plain.header().clone(),
        (None, Some(file)) => Header::of(file)?,
        (None, None) => return None,
    };
    // Of RoBERTa's kind, which the settings of BERT's tokenizer say nothing about.
    let is_roberta = file.as_ref().is_some_and(|file| PairFrame::of(&file["post_processor"]) == PairFrame::Roberta);
    if is_roberta && stated.has_no_class() {
        return None;
    }
    let casing = header.casing.map(|own| stated.casing(own));
    if !stated.goes_first() {
        for (key, one, two) in header.casing.zip(casing).iter().flat_map(|(own, other)| own.differences(*other)) {
            notes.push(format!(
                "tokenizer.json and {CONFIG} disagree on `{key}` ({one}, {two}); tokenizer.json is followed, as by the class that \
                 the configuration names"
            ));
        }
        return None;
    }
    let casing = header.casing.zip(casing);
    match (casing, stated.casing_key()) {
        (Some((own, casing)), _) => {
            for (key, one, two) in own.differences(casing) {
                notes.push(format!("tokenizer.json and {CONFIG} disagree on `{key}` ({one}, {two}); {FOLLOWED}"));
            }
            let assumed = stated.casing(Casing::DEFAULT);
            for (key, one, two) in casing.differences(assumed).into_iter().filter(|_| stated.assumes_defaults()) {
                notes.push(format!(
                    "tokenizer.json has {one} for `{key}` and {CONFIG} says nothing, where transformers assumes {two}; \
                     tokenizer.json is followed: write the key into {CONFIG}"
                ));
            }
        }
        (None, Some(key)) => notes.push(format!(
            "`{key}` of {CONFIG} is not applied: the normalizer of tokenizer.json is not BERT's, and is used as it is"
        )),
        (None, None) => {}
    }
    // What `transformers` uses instead.
    let ours = [("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")];
    for (part, kind) in ours.into_iter().filter(|_| stated.assumes_defaults()) {
        let other = file.as_ref().map(|file| &file[part]["type"]).filter(|found| *found != kind);
        if other.is_some() && (part != "normalizer" || stated.casing_key().is_none()) {
            notes.push(format!(
                "the `{part}` of tokenizer.json is not BERT's, and is used as it is, where transformers takes a {kind}"
            ));
        }
    }
    let unknown = stated.named("unk_token").map(|token| &token.content);
    let unknown = unknown.filter(|name| header.unknown.as_ref().is_some_and(|own| own != *name));
    if let (Some(name), Some(own)) = (unknown, &header.unknown) {
        notes.push(format!("tokenizer.json and {CONFIG} disagree on `unk_token` ({own}, {name}); {FOLLOWED}"));
    }
    let tokens = match (plain, &file) {
        (Some(plain), _) => stated.tokens(&header.added, |token| plain.id(token), plain.size(), notes),
        (None, file) => {
            let vocabulary = vocabulary(file.as_ref().map_or(&Value::Null, |file| &file["model"]["vocab"]));
            stated.tokens(&header.added, |token| vocabulary.get(token).copied(), vocabulary.len(), notes)
        }
    };
    let same_casing = casing.is_none_or(|(own, casing)| own.differences(casing).is_empty());
    let same_tokens = tokens.iter().map(|(_, token)| token).eq(header.added.iter().map(|(_, token)| token));
    if same_casing && same_tokens && unknown.is_none() {
        return None;
    }

    let mut file = file.or_else(parsed)?;
    if let Some((_, casing)) = casing {
        let normalizer = &mut file["normalizer"];
        normalizer["lowercase"] = casing.lower.into();
        normalizer["strip_accents"] = casing.accents.into();
        normalizer["handle_chinese_chars"] = casing.chinese.into();
    }
    if let Some(name) = unknown {
        file["model"]["unk_token"] = name.as_str().into();
    }
    let id = |name: &str| tokens.iter().find(|(_, token)| token.content == name).map(|(id, _)| *id);
    let frame = ["cls_token", "sep_token"].map(|key| stated.name(key));
    if let [Some(cls), Some(sep)] = frame.map(id)
        && ["cls_token", "sep_token"].iter().any(|key| stated.named(key).is_some())
    {
        file["post_processor"] = json!({ "type": "BertProcessing", "sep": [frame[1], sep], "cls": [frame[0], cls] });
    }
    file["added_tokens"] = tokens.iter().map(|(id, token)| written(*id, token)).collect();
    serde_json::to_vec(&file).ok()
}

impl Header {
    /// `None` for a file that the library refuses.
    fn of(file: &Value) -> Option<Self> {
        let normalizer = &file["normalizer"];
        let casing = (normalizer["type"] == "BertNormalizer").then(|| {
            let flag = |key: &str| normalizer[key].as_bool();
            Some(Casing {
                lower: flag("lowercase")?,
                accents: flag("strip_accents"),
                chinese: flag("handle_chinese_chars")?,
            })
        });
        let added = match &file["added_tokens"] {
            Value::Null => Vec::new(),
            list => list.as_array()?.iter().map(read).collect::<Option<_>>()?,
        };
        let unknown = file["model"]["unk_token"].as_str().map(str::to_owned);
        Some(Self { casing: casing.flatten(), unknown, added })
    }
}

/// Ids of a model's tokens: an object, or a list in their order.
fn vocabulary(vocab: &Value) -> HashMap<&str, u32> {
    let number = |id: usize| u32::try_from(id).ok();
    match vocab {
        Value::Object(ids) => {
            let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
            ids.iter().filter_map(|(token, value)| Some((token.as_str(), id(value)?))).collect()
        }
        Value::Array(entries) => {
            let named = entries.iter().map(|entry| entry.get(0).unwrap_or(entry).as_str());
            named.enumerate().filter_map(|(id, name)| Some((name?, number(id)?))).collect()
        }
        _ => HashMap::new(),
    }
}

fn read(value: &Value) -> Option<(u32, AddedToken)> {
    let id = u32::try_from(value["id"].as_u64()?).ok()?;
    let token = serde_json::from_value(value.clone()).ok()?;
    Some((id, token))
}

/// An entry of `added_tokens` in `tokenizer.json`.
fn written(id: u32, token: &AddedToken) -> Value {
    let mut entry = described(token);
    entry["id"] = id.into();
    entry
}

/// A token and how it is found, as all files write it.
pub(crate) fn described(token: &AddedToken) -> Value {
    json!({
        "content": token.content, "single_word": token.single_word, "lstrip": token.lstrip, "rstrip": token.rstrip,
        "normalized": token.normalized, "special": token.special,
    })
}
