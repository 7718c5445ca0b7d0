//! Windows, targets, batches and decoding. `golden/squad-decode.json` holds what the functions of BERT's `run_squad` (Python 3.11) give
//! for random texts and scores, with ties; answers are cut out of the context by characters.

mod common;

use std::path::Path;

use glue_squad::batch::{BatchPlan, EvalPlan};
use glue_squad::squad::{
    AnswerlessWindows, Dataset, DecodeConfig, Decoded, Gold, OrderedMap, SpanLogits, SquadVersion, Trouble,
    WindowConfig, WindowSet, decode, evaluate, max_context_window, search_threshold, sliding_windows,
};
use proptest::prelude::*;
use serde_json::Value;
use tokenizer::{Padding, TextEncoder};

fn number(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

struct Case {
    version: SquadVersion,
    config: WindowConfig,
    decode: DecodeConfig,
    data: Dataset,
    logits: Vec<SpanLogits>,
    golden: Value,
}

fn cases() -> Vec<Case> {
    let golden: Vec<Value> = serde_json::from_str(include_str!("golden/squad-decode.json")).expect("JSON");
    let scores =
        |v: &Value| v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a score") as f32).collect();
    let case = |golden: Value| Case {
        version: golden["version"].as_str().expect("a name").parse().expect("a version"),
        config: WindowConfig {
            max_len: number(&golden["max_len"]),
            stride: number(&golden["stride"]),
            max_query: number(&golden["max_query"]),
            answerless: if golden["answerless"] == "drop" { AnswerlessWindows::Drop } else { AnswerlessWindows::Cls },
        },
        decode: DecodeConfig {
            n_best: number(&golden["n_best"]),
            max_answer_length: number(&golden["max_answer_length"]),
        },
        data: Dataset::parse(golden["data"].to_string().as_bytes(), Path::new("golden.json")).expect("SQuAD"),
        logits: golden["logits"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|w| SpanLogits { start: scores(&w[0]), end: scores(&w[1]) })
            .collect(),
        golden,
    };
    golden.into_iter().map(case).collect()
}

fn encoder() -> TextEncoder {
    TextEncoder::from_dir(common::tiny_model().path()).expect("a tokenizer")
}

#[test]
fn windows_of_a_roberta_tokenizer_have_two_separators_and_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let vocab = r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"c":6,"d":7,"e":8,"f":9,"Ġ":10,"<mask>":11}"#;
    std::fs::write(dir.path().join("vocab.json"), vocab).unwrap();
    std::fs::write(dir.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    let answers = serde_json::json!([{ "text": "e", "answer_start": 8 }]);
    let questions = serde_json::json!([{ "id": "q", "question": "c d", "answers": answers }]);
    let paragraphs = serde_json::json!([{ "context": "a b c d e f", "qas": questions }]);
    let data = serde_json::json!({ "version": "1.1", "data": [{ "title": "t", "paragraphs": paragraphs }] });
    let data = Dataset::parse(data.to_string().as_bytes(), Path::new("own.json")).unwrap();
    let config = WindowConfig { max_len: 30, stride: 4, max_query: 4, ..WindowConfig::bert() };
    let set = WindowSet::for_training(&data, &encoder, config, SquadVersion::V1).unwrap();
    assert_eq!((set.len(), set.context_position(0)), (1, 6));
    let features = set.features(0).unwrap();
    assert_eq!(features.ids, [0, 6, 10, 7, 2, 2, 4, 10, 5, 10, 6, 10, 7, 10, 8, 10, 9, 2]);
    assert_eq!((features.type_ids, set.length(0)), (vec![0; 18], 18));
    assert_eq!(set.windows()[0].target, Some((14, 14)), "the `e`, without the space before it");
    let tight = WindowConfig { max_len: 8, ..config };
    let message = WindowSet::for_prediction(&data, &encoder, tight, SquadVersion::V1).unwrap_err().to_string();
    assert!(message.contains("maximum length 8 is too small: at least 9"), "{message}");
}

#[test]
fn windows_and_targets_are_those_of_run_squad() {
    let encoder = encoder();
    for case in cases() {
        let set = WindowSet::for_prediction(&case.data, &encoder, case.config, case.version).unwrap();
        let wanted = case.golden["windows"].as_array().unwrap();
        assert_eq!(set.len(), wanted.len());
        for (at, (window, wanted)) in set.windows().iter().zip(wanted).enumerate() {
            let found = [window.question, window.context.start, window.context.len, set.length(at)];
            assert_eq!(found.as_slice(), wanted.as_array().unwrap().iter().map(number).collect::<Vec<_>>());
            assert_eq!(window.target, None);
        }
        let set = WindowSet::for_training(&case.data, &encoder, case.config, case.version).unwrap();
        let wanted: Vec<(usize, usize)> = case.golden["targets"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|t| t.as_array().map(|t| (number(&t[0]), number(&t[1]))))
            .collect();
        assert_eq!(set.windows().iter().map(|w| w.target.unwrap()).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn answers_n_best_lists_and_null_odds_are_those_of_run_squad() {
    let encoder = encoder();
    for case in cases() {
        let set = WindowSet::for_prediction(&case.data, &encoder, case.config, case.version).unwrap();
        let decoded = decode(&case.data, &set, &case.logits, &case.decode).unwrap();
        let predictions = decoded.predictions(0.0);
        assert_eq!(predictions.len(), case.data.questions.len());
        for (id, wanted) in case.golden["predictions"].as_object().unwrap() {
            assert_eq!(predictions.get(id).map(String::as_str), wanted.as_str(), "{id}");
        }
        for (id, wanted) in case.golden["nbest"].as_object().unwrap() {
            let (found, wanted) = (&decoded.answers.get(id).unwrap().nbest, wanted.as_array().unwrap());
            assert_eq!(found.len(), wanted.len(), "{id}");
            for (found, wanted) in found.iter().zip(wanted) {
                assert_eq!(found.text, wanted["text"].as_str().unwrap(), "{id}");
                assert_eq!(
                    (found.start_logit, found.end_logit),
                    (wanted["start_logit"].as_f64().unwrap(), wanted["end_logit"].as_f64().unwrap())
                );
                assert!((found.probability - wanted["probability"].as_f64().unwrap()).abs() < 1e-12, "{id}");
            }
        }
        let odds = decoded.null_odds();
        assert_eq!(odds.len(), case.golden["null_odds"].as_object().unwrap().len());
        for (id, wanted) in case.golden["null_odds"].as_object().unwrap() {
            assert_eq!(odds.get(id).copied(), wanted.as_f64(), "{id}");
        }
    }
}

#[test]
fn the_files_of_a_prediction_are_scored_by_their_names() {
    let case = cases().swap_remove(0);
    let set = WindowSet::for_prediction(&case.data, &encoder(), case.config, case.version).unwrap();
    let decoded = decode(&case.data, &set, &case.logits, &case.decode).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let paths = ["predictions.json", "nbest_predictions.json", "null_odds.json"].map(|name| dir.path().join(name));
    decoded.save_predictions(&paths[0], 0.0).unwrap();
    decoded.save_nbest(&paths[1]).unwrap();
    decoded.save_null_odds(&paths[2]).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else stays there");
    let data = dir.path().join("data.json");
    std::fs::write(&data, case.golden["data"].to_string()).unwrap();
    let scores = glue_squad::squad::score_files(SquadVersion::V2, &data, &paths[0], Some(&paths[2])).unwrap();
    let gold = Gold::from(&case.data);
    let again = evaluate(SquadVersion::V2, &gold, &decoded.predictions(0.0), Some(&decoded.null_odds()), 1.0).unwrap();
    assert_eq!(scores, again);
    assert!(scores.get("best_f1").unwrap() >= scores.get("f1").unwrap());
    let nbest: Value = serde_json::from_slice(&std::fs::read(&paths[1]).unwrap()).unwrap();
    assert_eq!(nbest.as_object().unwrap().len(), case.data.questions.len());
    let absent = dir.path().join("absent/predictions.json");
    assert!(decoded.save_predictions(&absent, 0.0).unwrap_err().to_string().contains("predictions.json"));
}

/// Decoded answers with random scores.
fn random_answers(seed: u64) -> (Dataset, Decoded) {
    let case = cases().swap_remove(4);
    let set = WindowSet::for_prediction(&case.data, &encoder(), case.config, case.version).unwrap();
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 9) as f32 - 4.0
    };
    let logits: Vec<SpanLogits> = (0..set.len())
        .map(|w| SpanLogits {
            start: (0..set.length(w)).map(|_| next()).collect(),
            end: (0..set.length(w)).map(|_| next()).collect(),
        })
        .collect();
    let decoded = decode(&case.data, &set, &logits, &case.decode).unwrap();
    (case.data, decoded)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_threshold_that_was_searched_scores_what_it_promises_and_no_other_scores_more(seed: u64) {
        let (data, decoded) = random_answers(seed);
        let gold = Gold::from(&data);
        let best = search_threshold(&gold, &decoded).unwrap();
        let score = |threshold: f64, name: &str| {
            evaluate(SquadVersion::V2, &gold, &decoded.predictions(threshold), None, 1.0).unwrap().get(name).unwrap()
        };
        prop_assert!((score(best.best_exact_thresh, "exact") - best.best_exact).abs() < 1e-9);
        prop_assert!((score(best.best_f1_thresh, "f1") - best.best_f1).abs() < 1e-9);
        for (_, odds) in decoded.null_odds().iter() {
            for threshold in [*odds, odds.next_down()] {
                prop_assert!(score(threshold, "exact") <= best.best_exact + 1e-9);
                prop_assert!(score(threshold, "f1") <= best.best_f1 + 1e-9);
            }
        }
    }

    #[test]
    fn windows_cover_every_token_and_every_token_has_one_best_window(tokens in 0..200_usize, room in 1..40_usize, stride in 1..60_usize) {
        let spans = sliding_windows(tokens, room, stride);
        prop_assert!(spans.iter().all(|s| s.len >= 1 && s.len <= room && s.end() <= tokens));
        prop_assert_eq!(spans.is_empty(), tokens == 0);
        for token in 0..tokens {
            let best = max_context_window(&spans, token).unwrap();
            prop_assert!((spans[best].start..spans[best].end()).contains(&token));
        }
        // A run of tokens that is short enough is whole in some window.
        let sure = room.saturating_sub(stride.min(room)) + 1;
        for first in 0..tokens.saturating_sub(sure - 1) {
            prop_assert!(spans.iter().any(|s| s.start <= first && first + sure <= s.end()), "{first} {sure} {spans:?}");
        }
    }

    #[test]
    fn the_answer_is_recovered_wherever_it_lies(words in proptest::collection::vec("[a-f]{1,3}", 1..60), pick: (usize, usize), stride in 1..20_usize, gap in "[ \n\t]{1,2}") {
        let first = pick.0 % words.len();
        let last = (first + pick.1 % 3).min(words.len() - 1);
        let context = words.join(&gap);
        let start = words[..first].iter().map(|w| w.len() + gap.len()).sum::<usize>();
        let answer = words[first..=last].join(&gap);
        let text = serde_json::json!({"data": [{"paragraphs": [{"context": context, "qas": [
            {"id": "q", "question": "is the river deep", "answers": [{"text": answer, "answer_start": start}]}]}]}]});
        let data = Dataset::parse(text.to_string().as_bytes(), Path::new("x.json")).unwrap();
        let config = WindowConfig { max_len: 30, stride, max_query: 4, answerless: AnswerlessWindows::Drop };
        let set = WindowSet::for_training(&data, &encoder(), config, SquadVersion::V1).unwrap();
        prop_assert!(set.issues().is_empty());
        for window in set.windows() {
            let (start, end) = window.target.unwrap();
            let offset = set.context_position(0);
            let token = |position: usize| position - offset + window.context.start;
            let bytes = set.context_bytes(&data, 0, token(start), token(end)).unwrap();
            prop_assert_eq!(&context[bytes], answer.as_str());
        }
    }
}

fn one(context: &str, qas: &str) -> Dataset {
    let text = format!(r#"{{"data": [{{"title": "t", "paragraphs": [{{"context": "{context}", "qas": [{qas}]}}]}}]}}"#);
    Dataset::parse(text.as_bytes(), Path::new("x.json")).unwrap()
}

#[test]
fn a_batch_holds_the_questions_the_windows_and_their_targets() {
    let data = one(
        "the lake is deep .",
        r#"{"id": "q", "question": "a b c", "answers": [{"text": "is deep", "answer_start": 9}]}"#,
    );
    let config = WindowConfig { max_len: 8, stride: 2, max_query: 2, answerless: AnswerlessWindows::Cls };
    let set = WindowSet::for_training(&data, &encoder(), config, SquadVersion::V1).unwrap();
    assert_eq!((set.lengths(), set.questions()), (vec![8, 8], 1));
    let padding = Padding { pad_id: 0, multiple: 10, max_len: 10 };
    let batch = set.batch(&[1, 0], padding).unwrap();
    assert_eq!(batch.tokens.ids, [[2, 13, 14, 3, 8, 9, 11, 3, 0, 0], [2, 13, 14, 3, 5, 7, 8, 3, 0, 0]].concat());
    assert_eq!(batch.tokens.type_ids[..10], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]);
    assert_eq!((batch.tokens.indices.as_slice(), batch.tokens.tokens()), ([1, 0].as_slice(), 16));
    let targets = batch.targets.as_ref().unwrap();
    assert_eq!((targets.starts.as_slice(), targets.ends.as_slice()), ([4, 0].as_slice(), [5, 0].as_slice()));
    let logits: Vec<f32> = (0..40).map(|i| i as f32).collect();
    let split = batch.split_logits(&logits).unwrap();
    assert_eq!(split[1].start, (0..8).map(|i| (20 + 2 * i) as f32).collect::<Vec<_>>());
    assert_eq!(split[1].end[7], 35.0);
    assert!(batch.split_logits(&logits[1..]).is_err());
    let packed = [&logits[..16], &logits[20..36]].concat();
    assert_eq!(batch.split_ragged_logits(&packed).unwrap(), split);
    assert!(batch.split_ragged_logits(&logits).is_err());
    assert!(set.batch(&[2], padding).unwrap_err().to_string().contains("window 2"));
    assert!(set.batch(&[], padding).is_err());
    assert!(set.batch(&[0], Padding { max_len: 7, ..padding }).unwrap_err().to_string().contains("8 tokens"));
    let prediction = WindowSet::for_prediction(&data, &encoder(), config, SquadVersion::V1).unwrap();
    assert_eq!(prediction.batch(&[0], padding).unwrap().targets, None);
}

#[test]
fn the_order_of_windows_follows_from_seed_and_epoch_and_evaluation_sees_each_once() {
    let case = cases().swap_remove(0);
    let set = WindowSet::for_training(&case.data, &encoder(), case.config, case.version).unwrap();
    let plan = |seed| BatchPlan::new(set.lengths(), 4, seed).unwrap();
    assert_eq!(plan(1).epoch(3), plan(1).epoch(3));
    assert_ne!(plan(1).epoch(3), plan(2).epoch(3));
    let evaluation = EvalPlan::new(&set.lengths(), 7).unwrap();
    let padding = Padding { pad_id: 0, multiple: 1, max_len: case.config.max_len };
    let mut outputs = Vec::new();
    for windows in evaluation.batches() {
        let batch = set.batch(windows, padding).unwrap();
        // A model that answers with the window's number everywhere.
        let logits: Vec<f32> =
            batch.tokens.indices.iter().flat_map(|w| vec![*w as f32; batch.tokens.seq * 2]).collect();
        outputs.extend(batch.split_logits(&logits).unwrap());
    }
    for (window, output) in evaluation.restore(outputs).unwrap().iter().enumerate() {
        assert_eq!(output.start, vec![window as f32; set.length(window)]);
    }
}

#[test]
fn training_questions_that_cannot_be_used_are_named_with_their_cause() {
    let answer = |id: &str, text: &str, start: usize| {
        format!(r#"{{"id": "{id}", "question": "a", "answers": [{{"text": "{text}", "answer_start": {start}}}]}}"#)
    };
    let qas = [
        answer("good", "deep", 12),
        answer("elsewhere", "river", 0),
        answer("empty", "", 0),
        answer("long", "the lake is deep . a b c d e f", 0),
    ];
    let data = one("the lake is deep . a b c d e f", &qas.join(","));
    let config = WindowConfig { max_len: 9, stride: 2, max_query: 2, answerless: AnswerlessWindows::Cls };
    let set = WindowSet::for_training(&data, &encoder(), config, SquadVersion::V1).unwrap();
    let issues: Vec<_> = set.issues().iter().map(|i| (data.questions[i.question].id.as_str(), i.trouble)).collect();
    assert_eq!(
        issues,
        [("elsewhere", Trouble::AnswerNotFound), ("empty", Trouble::EmptyAnswer), ("long", Trouble::LongerThanWindows)]
    );
    assert!(set.question_windows(1).is_empty() && set.question_windows(2).is_empty());
    assert_eq!(set.question_windows(3).len(), 4, "windows without the whole answer point at [CLS]");
    assert!(set.windows()[set.question_windows(3)].iter().all(|w| w.target == Some((0, 0))));
    let dropping = WindowConfig { answerless: AnswerlessWindows::Drop, ..config };
    let set = WindowSet::for_training(&data, &encoder(), dropping, SquadVersion::V1).unwrap();
    assert!(set.windows().iter().all(|w| w.question == 0 && w.target != Some((0, 0))));
}

#[test]
fn unanswerable_questions_belong_to_v2_and_keep_their_windows() {
    let qas = r#"{"id": "no", "question": "a", "is_impossible": true, "answers": [], "plausible_answers": [{"text": "deep", "answer_start": 12}]}"#;
    let data = one("the lake is deep .", qas);
    assert_eq!(data.questions[0].plausible_answers[0].locate(data.context(0)), Some(12..16));
    let config = WindowConfig { max_len: 9, stride: 2, max_query: 2, answerless: AnswerlessWindows::Drop };
    let set = WindowSet::for_training(&data, &encoder(), config, SquadVersion::V2).unwrap();
    assert!(!set.is_empty() && set.windows().iter().all(|w| w.target == Some((0, 0))));
    let message = WindowSet::for_training(&data, &encoder(), config, SquadVersion::V1).unwrap_err().to_string();
    assert!(message.contains("x.json: question `no`") && message.contains("squad-v2"), "{message}");
    let unlabeled = one("the lake", r#"{"id": "test", "question": "a"}"#);
    let message = WindowSet::for_training(&unlabeled, &encoder(), config, SquadVersion::V2).unwrap_err().to_string();
    assert!(message.contains("question `test`") && message.contains("no answer to train on"), "{message}");
    assert_eq!(WindowSet::for_prediction(&unlabeled, &encoder(), config, SquadVersion::V2).unwrap().len(), 1);
}

#[test]
fn a_text_comes_back_with_the_accents_that_the_tokenizer_strips() {
    // An accent inside a letter, one after its letter, and an invisible character between two words.
    let data = Dataset::from_texts([("the", "a B\u{301} \u{200d} Ç d\u{327}\u{301}, e")]);
    let set = WindowSet::for_prediction(&data, &encoder(), WindowConfig::bert(), SquadVersion::V1).unwrap();
    let text = |first, last| &data.context(0)[set.context_bytes(&data, 0, first, last).unwrap()];
    assert_eq!((text(1, 1), text(2, 2), text(3, 3)), ("B\u{301}", "Ç", "d\u{327}\u{301}"));
    assert_eq!(text(0, 5), data.context(0));
    assert_eq!(set.context_bytes(&data, 0, 0, 6), None);
    assert_eq!(set.context_bytes(&data, 0, 2, 1), None);
    assert_eq!(set.context_bytes(&data, 1, 0, 0), None);
    let bytes = |part: &str| data.context(0).find(part).map(|at| at..at + part.len()).unwrap();
    assert_eq!((set.token_span(0, bytes("Ç d")), set.token_span(0, bytes("\u{200d}"))), (Some((2, 3)), None));
}

#[test]
fn a_question_about_nothing_is_answered_with_nothing() {
    let data = Dataset::from_texts([("the lake", "deep"), ("the lake", " "), ("", "a b")]);
    assert_eq!((data.paragraphs.len(), data.questions[2].id.as_str()), (3, "2"));
    for (version, wanted) in [(SquadVersion::V1, "empty"), (SquadVersion::V2, "")] {
        let set = WindowSet::for_prediction(&data, &encoder(), WindowConfig::bert(), version).unwrap();
        assert_eq!(set.len(), 2);
        let logits: Vec<SpanLogits> =
            (0..2).map(|w| SpanLogits { start: vec![1.0; set.length(w)], end: vec![1.0; set.length(w)] }).collect();
        let decoded = decode(&data, &set, &logits, &DecodeConfig::default()).unwrap();
        let predictions = decoded.predictions(0.0);
        assert_eq!(predictions.get("0").unwrap(), "deep");
        assert_eq!(predictions.get("1").unwrap(), wanted);
        assert_eq!(decoded.answers.get("0").unwrap().span, Some(0..4));
        assert_eq!(decoded.answers.get("1").unwrap().span, None);
        assert!(
            decoded
                .answers
                .iter()
                .all(|(_, a)| (a.nbest.iter().map(|e| e.probability).sum::<f64>() - 1.0).abs() < 1e-12)
        );
    }
}

#[test]
fn scores_that_cannot_be_decoded_are_errors() {
    let data = Dataset::from_texts([("the", "deep lake")]);
    let set = WindowSet::for_prediction(&data, &encoder(), WindowConfig::bert(), SquadVersion::V1).unwrap();
    let message =
        |logits: &[SpanLogits], config: DecodeConfig| decode(&data, &set, logits, &config).unwrap_err().to_string();
    let scores = |start: Vec<f32>, end: Vec<f32>| [SpanLogits { start, end }];
    let usual = DecodeConfig::default();
    assert!(message(&[], usual).contains("0 windows for 1"));
    assert!(message(&scores(vec![0.0; 5], vec![0.0; 6]), usual).contains("5 start and 6 end scores for 6 tokens"));
    assert!(message(&scores(vec![f32::NAN; 6], vec![0.0; 6]), usual).contains("diverged"));
    assert!(message(&scores(vec![0.0; 6], vec![0.0; 6]), DecodeConfig { n_best: 0, ..usual }).contains("n-best"));
    let empty = Gold { path: "x".into(), questions: Vec::new() };
    let decoded = Decoded { answers: OrderedMap::default() };
    assert!(search_threshold(&empty, &decoded).is_err());
    let gold = Gold { path: "x".into(), questions: vec![("q".into(), vec![])] };
    assert!(search_threshold(&gold, &decoded).unwrap_err().to_string().contains("`q`"));
}
