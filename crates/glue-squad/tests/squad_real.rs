//! SQuAD's own files, where they are at hand.

#![allow(clippy::print_stdout, reason = "what was found is of interest also where the test passes")]

mod common;

use std::collections::BTreeMap;

use glue_squad::squad::{
    AnswerlessWindows, Dataset, DecodeConfig, Gold, OrderedMap, SpanLogits, SquadVersion, WindowConfig, WindowSet,
    decode, evaluate, score_files,
};
use tokenizer::TextEncoder;

fn encoder() -> Option<TextEncoder> {
    let dir = common::shared("models/minilm-l6-h384-uncased")?;
    Some(TextEncoder::from_dir(&dir).unwrap_or_else(|e| panic!("{e}")))
}

fn read(file: &str) -> Option<Dataset> {
    Some(Dataset::read(&common::shared("data/squad")?.join(file)).unwrap_or_else(|e| panic!("{e}")))
}

/// Why the text between the tokens of a gold answer is not the answer.
fn cause(recovered: &str, answer: &str) -> &'static str {
    match (recovered.starts_with(answer), recovered.ends_with(answer)) {
        (true, false) => "the answer ends inside a token",
        (false, true) => "the answer begins inside a token",
        _ if recovered.contains(answer) => "the answer begins and ends inside tokens",
        _ => "other",
    }
}

/// Per file: answers annotated, answers with a window that holds them, and those whose text recovered from the token span has F1 100.
fn recover(
    data: &Dataset,
    set: &WindowSet,
    every_answer: bool,
) -> (usize, usize, usize, BTreeMap<&'static str, Vec<String>>) {
    let (mut all, mut held, mut perfect, mut rest) = (0, 0, 0, BTreeMap::<_, Vec<String>>::new());
    for (number, question) in data.questions.iter().enumerate() {
        let context = data.context(number);
        for answer in question.answers.iter().take(if every_answer { usize::MAX } else { 1 }) {
            all += 1;
            let bytes =
                answer.locate(context).unwrap_or_else(|| panic!("{}: `{}` is not there", question.id, answer.text));
            let (first, last) = set.token_span(number, bytes).unwrap_or_else(|| panic!("{}: no tokens", question.id));
            let windows = &set.windows()[set.question_windows(number)];
            held += usize::from(windows.iter().any(|w| w.context.start <= first && last < w.context.end()));
            let text = &context[set.context_bytes(data, number, first, last).expect("tokens of the context")];
            let gold = Gold { path: data.path.clone(), questions: vec![("q".into(), vec![answer.text.clone()])] };
            let predictions = OrderedMap::from_iter([("q".to_owned(), text.to_owned())]);
            let scores = evaluate(SquadVersion::V1, &gold, &predictions, None, 1.0).expect("scores");
            // An answer of nothing but an article has no F1 in v1.1.
            if scores.get("f1") == Some(100.0) || scores.get("exact_match") == Some(100.0) {
                perfect += 1;
            } else {
                rest.entry(cause(text, &answer.text))
                    .or_default()
                    .push(format!("{}: `{}` in `{text}`", question.id, answer.text));
            }
        }
    }
    (all, held, perfect, rest)
}

#[test]
fn every_gold_answer_of_the_dev_set_has_a_window_and_its_text_comes_back() {
    let (Some(encoder), Some(data)) = (encoder(), read("dev-v1.1.json")) else { return };
    assert_eq!((data.paragraphs.len(), data.questions.len()), (2_067, 10_570));
    for config in [WindowConfig::bert(), WindowConfig::efficientbert()] {
        let set = WindowSet::for_training(&data, &encoder, config, SquadVersion::V1).unwrap();
        assert!(set.issues().is_empty(), "{:?}", set.issues());
        for question in 0..set.questions() {
            let gold = set.windows()[set.question_windows(question)].iter().any(|w| w.target != Some((0, 0)));
            assert!(gold, "question {} has no window with its answer", data.questions[question].id);
        }
        for every_answer in [false, true] {
            let (all, held, perfect, rest) = recover(&data, &set, every_answer);
            println!("windows of {}: {all} answers, {held} whole in a window, {perfect} recovered", config.max_len);
            for (cause, answers) in &rest {
                println!("  {cause}: {}", answers.len());
                if !every_answer && config == WindowConfig::bert() {
                    println!("    {}", answers.join("\n    "));
                }
            }
            assert_eq!(held, all);
            assert!(perfect * 1000 >= all * 995, "{perfect} of {all} answers are recovered");
            assert!(!rest.contains_key("other"), "{:?}", rest["other"]);
        }
    }
}

/// A model that knows the target of one window per question.
fn oracle(set: &WindowSet) -> Vec<SpanLogits> {
    let logits = |(at, window): (usize, &glue_squad::squad::Window)| {
        let (start, end) = window.target.expect("windows for training");
        let side = |position: usize| {
            let mut scores = vec![0.0; set.length(at)];
            scores[position] = if position == 0 { 5.0 } else { 10.0 };
            scores
        };
        SpanLogits { start: side(start), end: side(end) }
    };
    set.windows().iter().enumerate().map(logits).collect()
}

fn oracle_scores(file: &str, version: SquadVersion, config: WindowConfig) -> Option<OrderedMap<f64>> {
    let (encoder, data) = (encoder()?, read(file)?);
    let set = WindowSet::for_training(&data, &encoder, config, version).unwrap_or_else(|e| panic!("{file}: {e}"));
    println!("{file}: {} questions, {} windows, {} issues", data.questions.len(), set.len(), set.issues().len());
    let decoded =
        decode(&data, &set, &oracle(&set), &DecodeConfig { max_answer_length: 384, ..DecodeConfig::default() })
            .unwrap();
    let dir = tempfile::tempdir().expect("a folder");
    let (predictions, odds) = (dir.path().join("predictions.json"), dir.path().join("null_odds.json"));
    decoded.save_predictions(&predictions, 0.0).unwrap();
    decoded.save_null_odds(&odds).unwrap();
    let odds = version.has_unanswerable().then_some(odds.as_path());
    let found = score_files(version, &data.path, &predictions, odds).unwrap();
    println!("  {}", serde_json::to_string(&found.scores).expect("JSON"));
    Some(found.scores.iter().map(|(name, score)| (name.clone(), score.as_f64())).collect())
}

#[test]
fn a_model_that_knows_the_windows_scores_nearly_everything() {
    let bert = WindowConfig::bert();
    let Some(scores) = oracle_scores("dev-v1.1.json", SquadVersion::V1, bert) else { return };
    assert!(scores.get("exact_match") >= Some(&99.5) && scores.get("f1") >= Some(&99.5), "{scores:?}");
    for (file, total, answerable) in
        [("dev-v2.0.half.json", 6_078.0, 2_910.0), ("train-v2.0.slice10.json", 4_719.0, 4_371.0)]
    {
        let Some(scores) = oracle_scores(file, SquadVersion::V2, bert) else { return };
        assert_eq!((scores.get("total"), scores.get("HasAns_total")), (Some(&total), Some(&answerable)));
        assert_eq!(scores.get("NoAns_exact"), Some(&100.0), "{file}");
        // One answer per question in the training set: what is annotated inside a token, `one` in `iPhone`, has no second chance.
        assert!(scores.get("HasAns_f1") >= Some(&99.3), "{file}: {scores:?}");
    }
    for file in [
        "xquad.en.json",
        "squadshifts/new_wiki_v1.0.json",
        "squadshifts/reddit_v1.0.json",
        "squadshifts/amazon_reviews_v1.0.json",
    ] {
        let Some(scores) = oracle_scores(file, SquadVersion::V1, bert) else { return };
        assert!(scores.get("f1") >= Some(&99.0), "{file}: {scores:?}");
    }
}

#[test]
fn windows_without_the_answer_can_be_left_out() {
    let (Some(encoder), Some(data)) = (encoder(), read("train-v2.0.slice10.json")) else { return };
    let config = WindowConfig::efficientbert();
    let kept = WindowSet::for_training(&data, &encoder, config, SquadVersion::V2).unwrap();
    let dropping = WindowConfig { answerless: AnswerlessWindows::Drop, ..config };
    let dropped = WindowSet::for_training(&data, &encoder, dropping, SquadVersion::V2).unwrap();
    let gold = |set: &WindowSet| set.windows().iter().filter(|w| w.target != Some((0, 0))).count();
    assert_eq!(gold(&kept), gold(&dropped));
    assert!(dropped.len() < kept.len() && gold(&dropped) >= 4_371);
    let impossible = |w: &&glue_squad::squad::Window| data.questions[w.question].is_impossible;
    assert_eq!(kept.windows().iter().filter(impossible).count(), dropped.windows().iter().filter(impossible).count());
}
