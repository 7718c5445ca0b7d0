//! Real text: the fast tokenizer agrees with the library, and a real corpus is packed.

mod common;

use std::ops::ControlFlow;

use common::shared;
use corpus::{Input, PackSettings, Packing, Shards, build};
use tokenizer::{TextEncoder, WordCache, WordEncoder};

#[test]
fn common_words_are_tokenized_as_by_the_library() {
    let Some(model) = shared("models/minilm-l6-h384-uncased") else { return };
    let encoder = TextEncoder::from_dir(&model).unwrap();
    let words = WordEncoder::new(&encoder).unwrap();
    assert!(words.is_fast());
    let mut cache = WordCache::default();
    for name in ["eb1911-articles.txt", "wikitext-2/wiki.test.tokens", "us-presidential-addresses.txt"] {
        let Some(path) = shared(&format!("data/corpus/{name}")) else { return };
        let text = std::fs::read_to_string(path).unwrap();
        let mut ids = Vec::new();
        for line in text.lines().filter(|l| !l.trim().is_empty()).step_by(4) {
            ids.clear();
            words.encode(line, &mut cache, &mut ids).unwrap();
            assert_eq!(ids, encoder.encode_plain(line).unwrap(), "{name}: {line}");
        }
    }
}

#[test]
fn a_real_corpus_becomes_well_filled_sequences() {
    let (Some(model), Some(text)) =
        (shared("models/minilm-l6-h384-uncased"), shared("data/corpus/us-presidential-addresses.txt"))
    else {
        return;
    };
    let encoder = TextEncoder::from_dir(&model).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let input = Input::detect(&text, "text").unwrap();
    for (packing, least) in [(Packing::BERT, 0.85), (Packing::Full { cross_documents: true }, 0.99)] {
        let out = dir.path().join(format!("{least}"));
        let settings = PackSettings { packing, ..PackSettings::default() };
        let progress = |_| ControlFlow::Continue(());
        let manifest = build(std::slice::from_ref(&input), &encoder, &settings, &out, 2, &progress).unwrap();
        let fill = manifest.tokens as f64 / (manifest.sequences as f64 * 128.0);
        assert!(fill > least, "{fill}");
        assert_eq!(manifest.documents, 124);
        let shards = Shards::open(&out).unwrap();
        let middle = shards.get(shards.len() / 2).unwrap();
        assert!(middle.ids.iter().filter(|id| Some(**id) == encoder.unk_id()).count() < 5);
    }
}
