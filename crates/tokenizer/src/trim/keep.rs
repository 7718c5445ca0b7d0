//! Which pieces stay, by the kind of tokenizer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// What Unigram puts for a space.
const SPACE: char = '▁';

/// The pieces of a tokenizer's model by id, and what more its kind asks for.
pub(super) struct Vocabulary {
    pieces: BTreeMap<u32, String>,
    kind: Kind,
}

enum Kind {
    WordPiece { prefix: String, unknown: String },
    ByteLevel { merges: Vec<[String; 2]> },
    Unigram { scores: HashMap<u32, Value>, unknown: Option<u32>, bytes: bool },
}

impl Vocabulary {
    /// That of a `tokenizer.json` as the library writes it.
    ///
    /// # Errors
    /// Why a tokenizer of this kind cannot be trimmed.
    pub fn of(json: &Value) -> Result<Self, String> {
        let model = &json["model"];
        let text = |key: &str| model[key].as_str().unwrap_or_default().to_owned();
        match model["type"].as_str() {
            Some("WordPiece") => {
                let kind = Kind::WordPiece { prefix: text("continuing_subword_prefix"), unknown: text("unk_token") };
                Ok(Self { pieces: by_id(&model["vocab"])?, kind })
            }
            Some("BPE") => {
                if !is_byte_level(&json["pre_tokenizer"]) {
                    return Err(
                        "its BPE is not byte-level, so that texts could not be written with fewer pieces".into()
                    );
                }
                if ["continuing_subword_prefix", "end_of_word_suffix"].iter().any(|key| !text(key).is_empty()) {
                    return Err("its BPE marks the parts of words".into());
                }
                Ok(Self { pieces: by_id(&model["vocab"])?, kind: Kind::ByteLevel { merges: merges(model)? } })
            }
            Some("Unigram") => {
                let damaged = || "its pieces have no scores".to_owned();
                let (mut pieces, mut scores) = (BTreeMap::new(), HashMap::new());
                for (id, entry) in (0..).zip(model["vocab"].as_array().ok_or_else(damaged)?) {
                    pieces.insert(id, entry[0].as_str().ok_or_else(damaged)?.to_owned());
                    scores.insert(id, entry[1].clone());
                }
                let unknown = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
                let bytes = model["byte_fallback"] == true;
                Ok(Self { pieces, kind: Kind::Unigram { scores, unknown, bytes } })
            }
            other => Err(format!(
                "its model is {}; WordPiece, byte-level BPE and Unigram can be trimmed",
                run_store::shown::excerpt(other.unwrap_or("of no known kind"))
            )),
        }
    }

    /// Whether the model has a piece of this id.
    pub fn has(&self, id: u32) -> bool {
        self.pieces.contains_key(&id)
    }

    /// The pieces that stay, without special tokens.
    pub fn kept(&self, counts: &[u64], least: u64) -> BTreeSet<u32> {
        let count = |id: u32| counts.get(id as usize).copied().unwrap_or(0);
        let mut kept: BTreeSet<u32> = self.pieces.keys().copied().filter(|id| count(*id) >= least.max(1)).collect();
        match &self.kind {
            Kind::WordPiece { prefix, unknown } => {
                kept.extend(self.single_characters(prefix, |id| count(id) > 0));
                kept.extend(self.pieces.iter().filter(|(_, piece)| *piece == unknown).map(|(id, _)| *id));
            }
            Kind::ByteLevel { merges } => self.add_parts(&mut kept, merges),
            Kind::Unigram { scores, unknown, bytes } => {
                kept.extend(self.single_characters("", |id| count(id) > 0));
                kept.extend(unknown);
                // What an unknown character costs follows from the lowest score.
                let score = |id: &u32| scores[id].as_f64().unwrap_or(f64::INFINITY);
                kept.extend(self.pieces.keys().copied().min_by(|a, b| score(a).total_cmp(&score(b))));
                let is_byte = |piece: &str| piece.len() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
                kept.extend(self.pieces.iter().filter(|(_, piece)| *bytes && is_byte(piece)).map(|(id, _)| *id));
            }
        }
        kept
    }

    /// Single characters, and such that continue a word: those of pieces that `occurs` has, and of ASCII.
    fn single_characters(&self, prefix: &str, occurs: impl Fn(u32) -> bool) -> Vec<u32> {
        let seen = self.pieces.iter().filter(|(id, _)| occurs(**id));
        let mut alphabet: BTreeSet<char> = seen.flat_map(|(_, piece)| bare(piece, prefix).chars()).collect();
        alphabet.extend(('!'..='~').chain([SPACE]));
        let is_single = |text: &str| is_one_of(text, |c| alphabet.contains(&c));
        let stays = |piece: &str| is_single(piece) || is_single(bare(piece, prefix));
        self.pieces.iter().filter(|(_, piece)| stays(piece)).map(|(id, _)| *id).collect()
    }

    /// All bytes, and the pieces of which kept ones are made.
    fn add_parts(&self, kept: &mut BTreeSet<u32>, merges: &[[String; 2]]) {
        let ids: HashMap<&str, u32> = self.pieces.iter().map(|(id, piece)| (piece.as_str(), *id)).collect();
        let bytes = ByteLevel::alphabet();
        let is_byte = |piece: &str| is_one_of(piece, |c| bytes.contains(&c));
        kept.extend(self.pieces.iter().filter(|(_, piece)| is_byte(piece)).map(|(id, _)| *id));
        let mut parts: HashMap<u32, Vec<u32>> = HashMap::new();
        for [left, right] in merges {
            let joined = ids.get(format!("{left}{right}").as_str());
            if let (Some(joined), Some(left), Some(right)) = (joined, ids.get(left.as_str()), ids.get(right.as_str())) {
                parts.entry(*joined).or_default().extend([*left, *right]);
            }
        }
        let mut open: Vec<u32> = kept.iter().copied().collect();
        while let Some(piece) = open.pop() {
            open.extend(parts.get(&piece).into_iter().flatten().copied().filter(|part| kept.insert(*part)));
        }
    }

    /// Puts the pieces that `new` has an id for into the `model` of a `tokenizer.json`.
    pub fn write(&self, model: &mut Value, new: &HashMap<u32, u32>) {
        let mut kept: Vec<(u32, u32, &String)> =
            self.pieces.iter().filter_map(|(old, piece)| Some((*new.get(old)?, *old, piece))).collect();
        kept.sort_unstable();
        model["vocab"] = match &self.kind {
            Kind::Unigram { scores, .. } => kept.iter().map(|(_, old, piece)| json!([piece, scores[old]])).collect(),
            _ => Value::Object(kept.iter().map(|(new, _, piece)| ((*piece).clone(), json!(new))).collect()),
        };
        match &self.kind {
            Kind::WordPiece { .. } => {}
            Kind::ByteLevel { merges } => {
                let there: BTreeSet<&str> = kept.iter().map(|(_, _, piece)| piece.as_str()).collect();
                let stays = |[left, right]: &&[String; 2]| {
                    let joined = format!("{left}{right}");
                    [left, right, &joined].iter().all(|piece| there.contains(piece.as_str()))
                };
                model["merges"] = merges.iter().filter(stays).map(|pair| json!(pair)).collect();
            }
            Kind::Unigram { unknown, .. } => {
                model["unk_id"] = unknown.and_then(|old| new.get(&old)).map_or(Value::Null, |id| json!(id));
            }
        }
    }
}

/// A piece without what marks that it continues a word.
fn bare<'a>(piece: &'a str, prefix: &str) -> &'a str {
    piece.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(piece)
}

/// Whether a text is a single character, which `has` knows.
fn is_one_of(text: &str, has: impl Fn(char) -> bool) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(has) && characters.next().is_none()
}

fn by_id(vocab: &Value) -> Result<BTreeMap<u32, String>, String> {
    let read = |(piece, id): (&String, &Value)| Some((u32::try_from(id.as_u64()?).ok()?, piece.clone()));
    let all = vocab.as_object().and_then(|vocab| vocab.iter().map(read).collect());
    all.ok_or_else(|| "its pieces have no ids".to_owned())
}

fn merges(model: &Value) -> Result<Vec<[String; 2]>, String> {
    serde_json::from_value(model["merges"].clone()).map_err(|e| format!("its merges are not pairs of pieces: {e}"))
}

/// Whether every byte of a text becomes a character of its own before it is divided into pieces.
fn is_byte_level(pre_tokenizer: &Value) -> bool {
    let parts = pre_tokenizer["pretokenizers"].as_array();
    pre_tokenizer["type"] == "ByteLevel" || parts.is_some_and(|parts| parts.iter().any(is_byte_level))
}
