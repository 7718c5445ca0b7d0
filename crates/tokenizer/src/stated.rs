//! What the files beside a vocabulary say about it.
//!
//! | file | says |
//! |---|---|
//! | `tokenizer_config.json` | casing, names of special tokens, added tokens by id, the class that reads it |
//! | `special_tokens_map.json` | names of special tokens; they go before those of the configuration, unless that lists added tokens |
//! | `added_tokens.json` | added tokens with their ids, where the configuration lists none |
//! | `config.json` | rows of the table, the type of the model, and the class where the configuration names none |
//!
//! Which file goes before which is as in `transformers` 5.24 (`PreTrainedTokenizerBase._from_pretrained`).

mod renumbered;

use std::path::Path;

use run_store::shown::excerpt;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::agree::Casing;
use crate::error::Result;
use crate::load::{broken, read_bounded};

pub(crate) type Object = Map<String, Value>;

pub(crate) const CONFIG: &str = "tokenizer_config.json";
pub(crate) const MAP: &str = "special_tokens_map.json";
pub(crate) const ADDED: &str = "added_tokens.json";
pub(crate) const DECODER: &str = "added_tokens_decoder";

/// Keys of BERT's special tokens, and what they name where nothing is said.
pub(crate) const NAMED: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
/// The same tokens of RoBERTa and its relatives, in the order of [`NAMED`].
const ROBERTA_NAMES: [&str; 5] = ["<unk>", "</s>", "<pad>", "<s>", "<mask>"];
/// Where lists of further special tokens stand, by the names of `transformers` 4 and 5.
pub(crate) const ADDITIONAL: &str = "additional_special_tokens";
pub(crate) const EXTRA: &str = "extra_special_tokens";

/// Classes that build BERT's tokenizer of a vocabulary and the configuration, regardless of `tokenizer.json`.
const BERT_CLASSES: &str = "BertTokenizer DistilBertTokenizer DPRContextEncoderTokenizer DPRQuestionEncoderTokenizer \
    DPRReaderTokenizer ElectraTokenizer LayoutLMTokenizer LxmertTokenizer MobileBertTokenizer RealmTokenizer \
    RetriBertTokenizer SqueezeBertTokenizer";
/// Classes that read `tokenizer.json` as it is, and a `vocab.txt` as BERT's.
const OTHER_CLASSES: &str = "BertTokenizerLegacy ConvBertTokenizer PreTrainedTokenizer PythonBackend TokenizersBackend";
/// The class that reads `vocab.json` and `merges.txt`.
const BYTE_LEVEL_CLASSES: &str = "RobertaTokenizer";
/// Types of models whose tokenizers are BERT's with BERT's defaults.
const BERT_TYPES: [&str; 4] = ["bert", "mobilebert", "distilbert", "electra"];

/// One of the files, where it is there.
#[derive(Debug, Clone)]
pub(crate) struct JsonFile {
    pub object: Object,
    pub bytes: Vec<u8>,
}

impl JsonFile {
    fn read(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = read_bounded(path)?;
        let object = serde_json::from_slice(&bytes)
            .map_err(|e| broken(path, &format!("not a tokenizer configuration, which is one JSON object: {e}")))?;
        Ok(Some(Self { object, bytes }))
    }
}

/// What the files beside a vocabulary say about it.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    pub config: Option<JsonFile>,
    pub map: Option<JsonFile>,
    pub added: Option<JsonFile>,
    class: Option<String>,
    model_type: Option<String>,
    rows: Option<usize>,
    lower: Option<bool>,
    accents: Option<Option<bool>>,
    chinese: Option<bool>,
    /// Of a byte-level tokenizer: whether a text begins as if a space stood before it, and whether that space is part of an offset.
    pub add_prefix_space: bool,
    pub trim_offsets: bool,
    /// Whether tokens that nothing names have RoBERTa's names ([`Stated::settle`]).
    has_roberta_names: bool,
    /// In the order of [`NAMED`].
    named: [Option<AddedToken>; 5],
    /// With the ids that the file gives them, by id.
    listed: Vec<(u32, AddedToken)>,
    further: Vec<AddedToken>,
    /// Whether there is a list of further special tokens.
    has_list: bool,
}

impl Default for Stated {
    /// Nothing is said.
    fn default() -> Self {
        Self {
            config: None,
            map: None,
            added: None,
            class: None,
            model_type: None,
            rows: None,
            lower: None,
            accents: None,
            chinese: None,
            add_prefix_space: false,
            trim_offsets: true,
            has_roberta_names: false,
            named: Default::default(),
            listed: Vec::new(),
            further: Vec::new(),
            has_list: false,
        }
    }
}

impl Stated {
    /// Reads what is there.
    ///
    /// # Errors
    /// A file is damaged, or a key has no value of its kind.
    pub fn read(dir: &Path) -> Result<Self> {
        let part = |name: &str| JsonFile::read(&dir.join(name));
        let (config, map, added) = (part(CONFIG)?, part(MAP)?, part(ADDED)?);
        // Reading the model reports what is wrong with its configuration.
        let model = part("config.json").ok().flatten().map_or_else(Object::new, |part| part.object);
        let text = |object: &Object, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut stated = Self {
            class: config.as_ref().and_then(|c| text(&c.object, "tokenizer_class")).or(text(&model, "tokenizer_class")),
            model_type: text(&model, "model_type"),
            rows: model.get("vocab_size").and_then(Value::as_u64).and_then(|rows| usize::try_from(rows).ok()),
            ..Self::default()
        };
        if let Some(config) = &config {
            stated.read_config(&config.object, &dir.join(CONFIG))?;
        }
        // A configuration that lists the added tokens is the whole of it.
        if !config.as_ref().is_some_and(|config| config.object.contains_key(DECODER)) {
            if let Some(map) = &map {
                stated.read_special(&map.object);
            }
            if let Some(added) = &added {
                let special = special_names(config.as_ref(), map.as_ref());
                stated.read_added(&added.object, &special, &dir.join(ADDED))?;
            }
        }
        stated.listed.sort_by_key(|(id, _)| *id);
        Ok(Self { config, map, added, ..stated })
    }

    fn read_config(&mut self, config: &Object, path: &Path) -> Result<()> {
        let wrong = |key: &str, given: &Value| {
            broken(path, &format!("`{key}` is {}; allowed: true, false", excerpt(&given.to_string())))
        };
        let flag = |key: &str| match config.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong(key, other)),
        };
        self.lower = flag("do_lower_case")?;
        self.chinese = flag("tokenize_chinese_chars")?;
        let set = |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
        self.add_prefix_space = set("add_prefix_space", false);
        self.trim_offsets = set("trim_offsets", true);
        self.accents = match config.get("strip_accents") {
            Some(Value::Null) => Some(None),
            _ => flag("strip_accents")?.map(Some),
        };
        self.read_special(config);
        for (id, given) in config.get(DECODER).and_then(Value::as_object).into_iter().flatten() {
            let (Ok(id), Some(token)) = (id.parse(), given.as_object().and(token(given, false))) else {
                let given = excerpt(&given.to_string());
                return Err(broken(path, &format!("`{DECODER}` has {given} under `{}`", excerpt(id))));
            };
            self.listed.push((id, token));
        }
        Ok(())
    }

    /// Special tokens by name and in lists. As in `transformers` 5, the older list counts only where there is no other.
    fn read_special(&mut self, object: &Object) {
        let skip = is_filled(object, EXTRA) || self.has_list;
        self.has_list |= is_filled(object, EXTRA) || is_filled(object, ADDITIONAL);
        for (slot, (key, _)) in self.named.iter_mut().zip(NAMED) {
            if let Some(found) = object.get(key).and_then(|value| token(value, true)) {
                *slot = Some(found);
            }
        }
        for (key, value) in object {
            let is_list = key == EXTRA || key == ADDITIONAL && !skip;
            let values: Vec<&Value> = match value {
                Value::Array(values) if is_list => values.iter().collect(),
                Value::Object(values) if is_list => values.values().collect(),
                _ if key.ends_with("_token") && NAMED.iter().all(|(named, _)| named != key) => vec![value],
                _ => Vec::new(),
            };
            for found in values.into_iter().filter_map(|value| token(value, true)) {
                if self.further.iter().all(|known| known.content != found.content) {
                    self.further.push(found);
                }
            }
        }
    }

    fn read_added(&mut self, added: &Object, special: &[String], path: &Path) -> Result<()> {
        for (content, id) in added {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                let reason =
                    format!("`{}` has the id {}; a whole number is needed", excerpt(content), excerpt(&id.to_string()));
                return Err(broken(path, &reason));
            };
            self.listed.push((id, AddedToken::from(content.as_str(), special.contains(content))));
        }
        Ok(())
    }

    /// Whether the configuration goes before what `tokenizer.json` says.
    pub fn goes_first(&self) -> bool {
        self.class.as_deref().is_none_or(|class| is_listed(class, BERT_CLASSES))
    }

    /// Whether `transformers` assumes BERT's own settings where the configuration is silent.
    pub fn assumes_defaults(&self) -> bool {
        match (&self.class, &self.model_type) {
            (Some(_), _) => self.goes_first(),
            (None, Some(kind)) => BERT_TYPES.contains(&kind.as_str()),
            (None, None) => false,
        }
    }

    /// The class, where it does not read a `vocab.txt` as BERT's.
    pub fn foreign_class(&self) -> Option<&str> {
        let class = self.class.as_deref()?;
        (!is_listed(class, BERT_CLASSES) && !is_listed(class, OTHER_CLASSES)).then_some(class)
    }

    /// The class, where it does not read `vocab.json` and `merges.txt` as RoBERTa's.
    pub fn class_of_other_bpe(&self) -> Option<&str> {
        self.class.as_deref().filter(|class| !is_listed(class, BYTE_LEVEL_CLASSES))
    }

    /// Whether no class is named, so that the tokenizer itself says of which kind it is.
    pub fn has_no_class(&self) -> bool {
        self.class.is_none()
    }

    /// Decides how special tokens are called that nothing names: as BERT's, or as RoBERTa's in a vocabulary that has those alone.
    pub fn settle(&mut self, is_token: impl Fn(&str) -> bool) {
        self.has_roberta_names = !is_token("[CLS]") && is_token("<s>");
    }

    /// The casing of a tokenizer that has `own` where nothing is said.
    pub fn casing(&self, own: Casing) -> Casing {
        Casing {
            lower: self.lower.unwrap_or(own.lower),
            accents: self.accents.unwrap_or(own.accents),
            chinese: self.chinese.unwrap_or(own.chinese),
        }
    }

    /// The first key of casing that is stated.
    pub fn casing_key(&self) -> Option<&'static str> {
        let keys = [
            ("do_lower_case", self.lower.is_some()),
            ("strip_accents", self.accents.is_some()),
            ("tokenize_chinese_chars", self.chinese.is_some()),
        ];
        keys.into_iter().find(|(_, stated)| *stated).map(|(key, _)| key)
    }

    /// The special token under a key of [`NAMED`], where one is stated.
    pub fn named(&self, key: &str) -> Option<&AddedToken> {
        NAMED.iter().zip(&self.named).find(|((named, _), _)| *named == key)?.1.as_ref()
    }

    /// What the special token under a key of [`NAMED`] is called.
    pub fn name(&self, key: &str) -> &str {
        let default = || self.defaults().find(|(named, _)| *named == key).map_or("", |(_, name)| name);
        self.named(key).map_or_else(default, |token| token.content.as_str())
    }

    /// Keys of [`NAMED`], and what they name where nothing is said.
    fn defaults(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let has_roberta_names = self.has_roberta_names;
        let name = move |((key, bert), roberta)| (key, if has_roberta_names { roberta } else { bert });
        NAMED.into_iter().zip(ROBERTA_NAMES).map(name)
    }

    /// Options that are not applied, here as in `transformers`.
    pub fn unused(&self) -> Option<String> {
        let config = &self.config.as_ref()?.object;
        let split = config.get("never_split").and_then(Value::as_array).is_some_and(|words| !words.is_empty());
        let basic = config.get("do_basic_tokenize") == Some(&Value::Bool(false));
        let keys: Vec<&str> =
            [("do_basic_tokenize", basic), ("never_split", split)].iter().filter(|k| k.1).map(|k| k.0).collect();
        (!keys.is_empty()).then(|| format!("{CONFIG}: `{}` is not applied, as by transformers 5", keys.join("` and `")))
    }

    /// The tokens that are never split and their ids, in the order in which a vocabulary gets them. `own` are those of
    /// `tokenizer.json`; the vocabulary's model has `size` entries, and `id` looks one of them up.
    ///
    /// Ids are the library's: the vocabulary's own, else the next ones behind it. What was expected to be otherwise is noted.
    pub fn tokens(
        &self,
        own: &[(u32, AddedToken)],
        id: impl Fn(&str) -> Option<u32>,
        size: usize,
        notes: &mut Vec<String>,
    ) -> Vec<(u32, AddedToken)> {
        let decoder = self.config.as_ref().is_some_and(|config| config.object.contains_key(DECODER));
        let origin = if decoder { CONFIG } else { ADDED };
        let mut wanted: Vec<(Option<u32>, &AddedToken, &str)> = Vec::new();
        for (id, token) in own {
            let listed = self.listed.iter().find(|(_, listed)| decoder && listed.content == token.content);
            if let Some((_, listed)) = listed.filter(|(_, listed)| listed != token) {
                let name = excerpt(&token.content);
                notes.push(format!("tokenizer.json and {CONFIG} disagree on how `{name}` is found; {FOLLOWED}"));
                wanted.push((Some(*id), listed, "tokenizer.json"));
                continue;
            }
            let listed = self.listed.iter().map(|(_, listed)| listed.content.as_str());
            let known = listed.chain(NAMED.iter().map(|(key, _)| self.name(key)));
            let mut known = known.chain(self.further.iter().map(|token| token.content.as_str()));
            if decoder && !known.any(|known| known == token.content) {
                let name = excerpt(&token.content);
                notes.push(format!("`{DECODER}` of {CONFIG} lacks `{name}`, which tokenizer.json adds; it is kept"));
            }
            wanted.push((Some(*id), token, "tokenizer.json"));
        }
        let defaults: Vec<Option<AddedToken>> = self
            .defaults()
            .zip(&self.named)
            .map(|((_, name), stated)| match stated {
                None => id(name).map(|_| AddedToken::from(name, true)),
                Some(_) => None,
            })
            .collect();
        let named =
            self.named.iter().zip(&defaults).filter_map(|(stated, default)| stated.as_ref().or(default.as_ref()));
        let more = self.listed.iter().map(|(id, token)| (Some(*id), token, origin));
        let more = more.chain(named.chain(&self.further).map(|token| (None, token, CONFIG)));
        for (id, token, origin) in more {
            if wanted.iter().all(|(_, known, _)| known.content != token.content) {
                wanted.push((id, token, origin));
            }
        }
        let mut next = size;
        let mut tokens = Vec::new();
        for (expected, token, origin) in wanted {
            let name = excerpt(&token.content);
            let given = match id(&token.content) {
                Some(id) => id,
                None if expected.is_none() && self.rows.is_some_and(|rows| next >= rows) => {
                    notes.push(format!(
                        "the special token `{name}` is neither in the vocabulary nor has the model a row for it; texts that hold it are split"
                    ));
                    continue;
                }
                None => {
                    next += 1;
                    u32::try_from(next - 1).unwrap_or(u32::MAX)
                }
            };
            if let Some(expected) = expected.filter(|expected| *expected != given) {
                notes.push(format!(
                    "{origin} gives `{name}` the id {expected}, the vocabulary {given}, which is used, as by transformers"
                ));
            }
            tokens.push((given, token.clone()));
        }
        tokens
    }
}

/// The tokens of `added_tokens.json` that are special, which decides how they are found. As in `transformers` 5, the map's
/// `additional_special_tokens` do not count.
fn special_names(config: Option<&JsonFile>, map: Option<&JsonFile>) -> Vec<String> {
    let keys = NAMED.iter().map(|(key, _)| *key).chain(["bos_token", "eos_token", EXTRA]);
    let keys: Vec<&str> = keys.collect();
    let mut names = Vec::new();
    let older: &[&str] = if config.is_some_and(|part| is_filled(&part.object, EXTRA)) { &[] } else { &[ADDITIONAL] };
    for (part, more) in [(config, older), (map, &[])] {
        let values = keys.iter().chain(more).filter_map(|key| part?.object.get(*key));
        for value in values {
            let values = if let Value::Array(values) = value { values.iter().collect() } else { vec![value] };
            names.extend(values.into_iter().filter_map(|value| token(value, true)).map(|token| token.content));
        }
    }
    names
}

/// Whether a list of special tokens is there and not empty.
fn is_filled(object: &Object, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(list)) => !list.is_empty(),
        _ => false,
    }
}

/// How a disagreement ends.
pub(crate) const FOLLOWED: &str = "tokenizer_config.json is followed, as by transformers";

/// Whether `classes` has a class, with or without the ending for tokenizers of the library.
fn is_listed(class: &str, classes: &str) -> bool {
    let class = class.strip_suffix("Fast").unwrap_or(class);
    classes.split_whitespace().any(|listed| listed == class)
}

/// A token as the files write it: its text, or an object with it and how it is found.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    match value {
        Value::String(content) => Some(AddedToken::from(content.as_str(), special)),
        Value::Object(object) => {
            let content = object.get("content")?.as_str()?;
            let flag = |key: &str, default: bool| object.get(key).and_then(Value::as_bool).unwrap_or(default);
            let special = special || flag("special", false);
            Some(AddedToken {
                single_word: flag("single_word", false),
                lstrip: flag("lstrip", false),
                rstrip: flag("rstrip", false),
                normalized: flag("normalized", !special),
                ..AddedToken::from(content, special)
            })
        }
        _ => None,
    }
    .filter(|token| !token.content.is_empty())
}
