//! Tokenizers learned from a corpus: the same on any number of threads and from any form of the same text, for any script.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::{documents, write_plain};
use corpus::{Error, Input, LearnProgress, LearnSettings, LearnedTokenizer, Result, TokenizerKind, learn_tokenizer};
use serde_json::{Value, json};
use tokenizer::{PairFrame, TextEncoder};

const KINDS: [TokenizerKind; 3] = [TokenizerKind::WordPiece, TokenizerKind::Unigram, TokenizerKind::Bpe];

fn settings(kind: TokenizerKind, vocab_size: usize) -> LearnSettings {
    LearnSettings { kind, vocab_size, lowercase: kind == TokenizerKind::WordPiece, ..LearnSettings::default() }
}

fn learn(inputs: &[Input], settings: &LearnSettings, threads: usize) -> Result<LearnedTokenizer> {
    learn_tokenizer(inputs, settings, threads, &|_| ControlFlow::Continue(()))
}

fn input(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> Input {
    std::fs::write(dir.join(name), text).unwrap();
    Input::detect(&dir.join(name), "text").unwrap()
}

/// The folder of a tokenizer, read again.
fn reloaded(learned: &LearnedTokenizer) -> TextEncoder {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in learned.encoder.files(512).unwrap() {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    TextEncoder::from_dir(dir.path()).unwrap()
}

#[test]
fn the_same_bytes_come_out_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    // Several rounds of blocks, more than 16 MiB, of a few thousand different words.
    let text = documents(0, 400).join("\n\n");
    let large = format!("{text}\n\n").repeat(1 + (20 << 20) / text.len());
    let inputs = [input(dir.path(), "a.txt", large), write_plain(&dir.path().join("b.txt"), &documents(400, 800))];
    for kind in KINDS {
        let settings = settings(kind, 380);
        let json = |threads: usize| learn(&inputs, &settings, threads).unwrap().encoder.to_json().unwrap();
        let one = json(1);
        for threads in [2, 5] {
            assert!(json(threads) == one, "{kind:?} on {threads} threads");
        }
    }
}

/// Across processes: hash maps iterate in another order in each.
#[test]
fn two_kinds_are_the_same_in_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [write_plain(&dir.path().join("a.txt"), &documents(0, 300))];
    let pieces = |kind, vocab_size| {
        let json = learn(&inputs, &settings(kind, vocab_size), 2).unwrap().encoder.to_json().unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        run_store::hash::bytes(json["model"].to_string())
    };
    assert_eq!(
        [pieces(TokenizerKind::WordPiece, 150), pieces(TokenizerKind::Bpe, 400)],
        [
            "31c4a25cb888acf927cd7eb2ff02ed8a694c79998ddb04c235ee4a60ff87f14f",
            "26c99aeefea407b0d3675cb4a8b3d2d6717bab2bb1f2bb797bd57aed706d222f"
        ]
    );
}

#[test]
fn one_text_in_several_forms_gives_one_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let documents = documents(0, 120);
    let plain = documents.join("\n\n");
    let lines: String = documents.iter().map(|text| format!("{}\n", json!({ "text": text }))).collect();
    let packed = ruzstd::encoding::compress_to_vec(plain.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    let forms = [
        input(dir.path(), "a.txt", &plain),
        input(dir.path(), "a.txt.zst", packed),
        input(dir.path(), "a.jsonl", lines),
    ];
    let of = |form: &Input| {
        let learned = learn(std::slice::from_ref(form), &settings(TokenizerKind::WordPiece, 120), 2).unwrap();
        (learned.encoder.to_json().unwrap(), learned.sentences, learned.words)
    };
    let first = of(&forms[0]);
    assert!(first.1 > 300 && first.2 > 2000);
    assert!(forms[1..].iter().all(|form| of(form) == first));
}

#[test]
fn what_is_written_is_read_with_the_same_ids_special_tokens_and_frames() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [write_plain(&dir.path().join("a.txt"), &documents(0, 200))];
    for kind in KINDS {
        let learned = learn(&inputs, &settings(kind, 350), 2).unwrap();
        let encoder = reloaded(&learned);
        assert_eq!(encoder.notes().collect::<Vec<_>>(), [] as [String; 0], "{kind:?}");
        let text = "The river 12 is deeper, lake 3 a a. Zebra é";
        let (one, pair) =
            (encoder.encode_plain(text).unwrap(), encoder.encode_pair(text, Some("the lake"), 64).unwrap());
        assert_eq!(one, learned.encoder.encode_plain(text).unwrap(), "{kind:?}");
        assert_eq!(pair, learned.encoder.encode_pair(text, Some("the lake"), 64).unwrap(), "{kind:?}");
        let ids = [
            encoder.cls_id(),
            encoder.pad_id(),
            encoder.sep_id(),
            encoder.unk_id().unwrap(),
            encoder.mask_id().unwrap(),
        ];
        match kind {
            TokenizerKind::Bpe => {
                assert_eq!((ids, encoder.frame()), ([0, 1, 2, 3, 4], PairFrame::Roberta));
                assert!(encoder.vocab_size() > 261);
            }
            _ => assert_eq!((ids, encoder.frame()), ([2, 0, 3, 1, 4], PairFrame::Bert)),
        }
        // A unigram model of so few different words has hardly more than their characters.
        assert!(
            one.len() < 40 || kind == TokenizerKind::Unigram,
            "{kind:?}: pieces are longer than characters: {one:?}"
        );
    }
}

#[test]
fn any_script_can_be_learned_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        "東京は日本の首都です。東京は大きい。",
        "北京是中国的首都。北京很大。",
        "Москва — столица России. Москва большая.",
        "القاهرة عاصمة مصر. القاهرة كبيرة.",
        "दिल्ली भारत की राजधानी है। दिल्ली बड़ी है।",
        "กรุงเทพเป็นเมืองหลวงของไทย กรุงเทพใหญ่",
        "서울은 한국의 수도이다. 서울은 크다.",
    ];
    let repeated: String = texts.iter().map(|text| format!("{text}\n\n").repeat(4)).collect();
    let inputs = [input(dir.path(), "a.txt", repeated)];
    for kind in KINDS {
        let settings = LearnSettings { lowercase: false, ..settings(kind, 700) };
        let learned = learn(&inputs, &settings, 2).unwrap();
        let encoder = reloaded(&learned);
        for text in texts {
            let ids = encoder.encode_plain(text).unwrap();
            assert!(!ids.contains(&encoder.unk_id().unwrap()), "{kind:?} {text}");
            let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let decoded = encoder.decode(&ids, true).unwrap();
            assert_eq!(squeezed(&decoded), squeezed(text), "{kind:?}");
            let most = if kind == TokenizerKind::Unigram { text.chars().count() + 6 } else { text.len() / 2 };
            assert!(ids.len() < most, "{kind:?} {text}: {} pieces", ids.len());
        }
    }
}

#[test]
fn a_unigram_model_of_a_text_has_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["river", "lake", "deep", "deeper", "Москва", "столица", "東京都"];
    let end = [".", ",", "", "!"];
    let text: String = (0..4000_usize).map(|n| format!("{}{} ", words[n % 7], end[n / 7 % 4])).collect();
    let inputs = [input(dir.path(), "a.txt", text)];
    let encoder = learn(&inputs, &settings(TokenizerKind::Unigram, 60), 2).unwrap().encoder;
    for word in ["river", "lake", "deep", "東京都"] {
        assert_eq!(encoder.encode_plain(word).unwrap().len(), 1, "{word}");
    }
    assert_eq!(encoder.encode_plain("lake, lake!").unwrap().len(), 4);
}

#[test]
fn case_and_accents_are_kept_or_taken_off_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [input(dir.path(), "a.txt", "Élan Élan élan elan Elan ÉLAN É é E e. ".repeat(30))];
    for kind in KINDS {
        let same = |lowercase: bool, strip_accents: Option<bool>, a: &str, b: &str| {
            let settings = LearnSettings { lowercase, strip_accents, ..settings(kind, 320) };
            let encoder = reloaded(&learn(&inputs, &settings, 1).unwrap());
            encoder.encode_plain(a).unwrap() == encoder.encode_plain(b).unwrap()
        };
        assert!(same(true, None, "Élan", "élan") && !same(false, None, "Élan", "élan"), "{kind:?}");
        assert!(same(true, Some(true), "Élan", "elan") && !same(true, Some(false), "Élan", "elan"), "{kind:?}");
        assert!(same(false, Some(true), "Élan", "Elan") && !same(false, Some(true), "Élan", "elan"), "{kind:?}");
        // BERT uncased takes accents off unless told otherwise.
        assert_eq!(same(true, None, "élan", "elan"), kind == TokenizerKind::WordPiece);
    }
}

#[test]
fn a_sample_is_drawn_by_the_seed_whatever_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [write_plain(&dir.path().join("a.txt"), &documents(0, 500))];
    let of = |sample: Option<u64>, seed: u64, threads: usize| {
        let settings = LearnSettings { sample, seed, min_frequency: 1, ..settings(TokenizerKind::WordPiece, 300) };
        let learned = learn(&inputs, &settings, threads).unwrap();
        (learned.used, learned.sentences, learned.words, learned.encoder.to_json().unwrap())
    };
    let all = of(None, 1, 2);
    let sampled = of(Some(100), 1, 1);
    assert_eq!((sampled.0, sampled.1), (100, all.1));
    assert!(sampled.2 < all.2 / 5);
    assert!(sampled == of(Some(100), 1, 4) && sampled.3 != of(Some(100), 2, 1).3);
    assert!(of(Some(1_000_000), 1, 2) == all, "more than there are are all");
}

#[test]
fn special_tokens_in_a_text_are_no_words_and_rare_characters_no_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{} ¤uro", "[UNK] the [MASK]the river[SEP] ".repeat(20));
    let inputs = [input(dir.path(), "a.txt", text)];
    let learned = learn(&inputs, &settings(TokenizerKind::WordPiece, 60), 1).unwrap();
    let pieces = String::from_utf8(learned.encoder.to_json().unwrap()).unwrap();
    assert!(!pieces.contains("\"unk\"") && !pieces.contains("\"m\"") && !pieces.contains('¤'), "{pieces}");
    assert_eq!((learned.words, learned.distinct_words), (60, 2));
    let limited = LearnSettings { max_alphabet: Some(3), ..settings(TokenizerKind::WordPiece, 60) };
    let learned = learn(&inputs, &limited, 1).unwrap();
    // `e`, and of the equally frequent `h`, `r` and `t` the first two: `the` has a `t`, and so no word is left but its letters.
    assert_eq!(learned.alphabet, 3);
}

#[test]
fn what_cannot_be_learned_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let message = |inputs: &[Input], settings: LearnSettings| learn(inputs, &settings, 1).unwrap_err().to_string();
    let empty = [input(dir.path(), "empty.txt", " \n\n ")];
    let text = [input(dir.path(), "a.txt", "the river is deep. ".repeat(20))];
    for kind in KINDS {
        assert!(message(&empty, settings(kind, 400)).contains("no text in the 1 inputs"), "{kind:?}");
        assert!(message(&text, settings(kind, 10)).contains("has no room"), "{kind:?}");
        assert!(message(&text, settings(kind, 6)).contains("vocabulary size is 6; 7 to"), "{kind:?}");
        assert!(message(&[], settings(kind, 400)).contains("at least one input"));
    }
    let none = LearnSettings { sample: Some(0), ..settings(TokenizerKind::Unigram, 100) };
    assert!(message(&text, none).contains("sample has 0 sentences"));
    let limited = LearnSettings { max_alphabet: Some(9), ..settings(TokenizerKind::Bpe, 400) };
    assert!(message(&text, limited).contains("256 bytes"));
    std::fs::write(dir.path().join("bad.txt"), b"ok\n\xff\n").unwrap();
    let bad = [Input::detect(&dir.path().join("bad.txt"), "text").unwrap()];
    assert!(message(&bad, settings(TokenizerKind::WordPiece, 60)).contains("bad.txt:2"));
}

#[test]
fn who_watches_can_end_it_while_it_reads_and_while_it_learns() {
    let dir = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..60_000_u64).map(|n| format!("w{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    let inputs = [input(dir.path(), "a.txt", many.join(" ").repeat(2))];
    for kind in KINDS {
        for in_learning in [false, true] {
            let outcome = learn_tokenizer(&inputs, &settings(kind, 8000), 2, &|progress| match progress {
                LearnProgress::Reading { .. } if !in_learning => ControlFlow::Break(()),
                LearnProgress::Learning { .. } => ControlFlow::Break(()),
                LearnProgress::Reading { .. } => ControlFlow::Continue(()),
            });
            assert!(matches!(outcome, Err(Error::Interrupted)), "{kind:?} {in_learning}");
        }
    }
}
