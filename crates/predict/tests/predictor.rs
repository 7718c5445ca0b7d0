//! Model directories that answer: compiled for the processor and as burn modules.

use std::ops::ControlFlow;
use std::path::Path;

use bert_core::{ModelDir, Package, Parts, TaskModel, init};
use burn::tensor::Device;
use cpu_runtime::{Packing, Precision};
use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::features;
use glue_squad::squad::{Dataset, DecodeConfig, SquadVersion, WindowConfig};
use glue_squad::task::{Answer, Example, Label, Predictions, Tags, Task, TaskKind, TaskSpec};
use predict::data::{BatchSettings, EvalSet};
use predict::heads::{AnsweringHead, answering_head, task_head};
use predict::span::SpanSettings;
use predict::{Error, HeadAnswer, Predictor, Target};

const WORDS: [&str; 10] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "soup", "was", "good", "bad", "lamp"];
const POSITIONS: usize = 24;

/// A small model with these heads.
fn write(dir: &Path, task_heads: Vec<TaskHeadConfig>) {
    let config =
        BertConfig { max_position_embeddings: POSITIONS, task_heads, ..BertConfig::bert(WORDS.len(), 16, 2, 2, 32) };
    let model = TaskModel::new(&config, Parts::POOLER, &Device::flex()).unwrap();
    let vocab = WORDS.map(|word| format!("{word}\n")).concat();
    let files = [("vocab.txt".to_owned(), vocab.into_bytes())];
    let package = Package { card: "", files: &files, keep_fit: false };
    ModelDir::save(dir, &config, &init::normal(model, 3, 0.3), package).unwrap();
}

/// The model in `dir`, compiled and as modules.
fn both(dir: &Path) -> [Predictor; 2] {
    [Target::Processor { threads: 1 }, Target::Device(Device::flex())]
        .map(|target| Predictor::load(dir, &target, Precision::F32, Packing::Ahead).unwrap())
}

fn labels() -> Vec<TaskHeadConfig> {
    let kinds = [("tags", TaskHeadKind::MultiLabel, &["a", "b", "c"][..]), ("warmth", TaskHeadKind::Regression, &[])];
    let own = kinds.map(|(task, kind, labels)| {
        let labels = labels.iter().map(ToString::to_string).collect();
        TaskHeadConfig::new(task, kind, labels)
    });
    [vec![task_head(TaskKind::Sst2.task())], own.to_vec()].concat()
}

fn values(answer: &HeadAnswer) -> Vec<f32> {
    match answer {
        HeadAnswer::Label { probabilities, .. } | HeadAnswer::Labels { probabilities, .. } => {
            probabilities.iter().map(|(_, p)| *p).collect()
        }
        HeadAnswer::Number { score, .. } => vec![*score],
    }
}

#[test]
fn a_compiled_model_and_its_modules_give_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), labels());
    let [compiled, modules] = both(dir.path()).map(|mut predictor| {
        let heads = predictor.heads(None).unwrap();
        let long = "soup ".repeat(40);
        let texts = [("the soup was good", None), ("the lamp", Some("was bad")), (long.as_str(), None)];
        let texts = texts.map(|(a, b)| predictor.encode(a, b).unwrap());
        assert_eq!(texts.each_ref().map(|text| (text.is_cut(), text.tokens)), [(false, 6), (false, 7), (true, 42)]);
        predictor.answer(&texts, &heads).unwrap()
    });
    for (one, other) in compiled.iter().flatten().zip(modules.iter().flatten()) {
        assert_eq!(one.task(), other.task());
        let far = values(one).iter().zip(values(other)).any(|(a, b)| (a - b).abs() > 1e-5);
        assert!(!far, "{one:?} {other:?}");
    }
    assert_eq!(compiled[0].iter().map(HeadAnswer::task).collect::<Vec<_>>(), ["sst-2", "tags", "warmth"]);
    let HeadAnswer::Label { label, probability, probabilities, .. } = &compiled[0][0] else { panic!("a label") };
    assert_eq!(probabilities.get(label), Some(probability));
}

#[test]
fn heads_are_found_in_every_spelling_and_those_that_are_not_there_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), [labels(), vec![task_head(SquadVersion::V2.task())]].concat());
    let [predictor, _] = both(dir.path());
    assert_eq!(predictor.heads(Some("SST2")).unwrap(), [0]);
    assert_eq!(predictor.heads(Some("SQuAD2.0")).unwrap(), [3]);
    let message = predictor.heads(Some("rte")).unwrap_err().to_string();
    assert_eq!(message, "no such head; its heads: sst-2, tags, warmth, squad-v2");
    let message = predictor.heads(None).unwrap_err().to_string();
    assert_eq!(message, "the head `squad-v2` marks parts of a text and cannot answer together with others");
}

#[test]
fn an_answer_to_a_question_is_a_piece_of_its_text() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), vec![task_head(SquadVersion::V1.task())]);
    let settings = SpanSettings {
        windows: WindowConfig { max_len: POSITIONS, stride: 4, max_query: 4, ..WindowConfig::bert() },
        decoding: DecodeConfig { max_answer_length: 3, ..DecodeConfig::default() },
        threshold: 0.0,
        batch_size: 2,
    };
    // Longer than one window, and not only ASCII.
    let text = "é the soup was good the lamp was bad ".repeat(6);
    let [compiled, modules] = both(dir.path()).map(|mut predictor| {
        let answers = predictor.answer_questions((0, SquadVersion::V1), &[("the lamp", &text)], &settings);
        answers.unwrap().remove(0)
    });
    let characters: Vec<char> = text.chars().collect();
    let piece: String = characters[compiled.start.unwrap()..compiled.end.unwrap()].iter().collect();
    assert_eq!((compiled.answer.as_str(), compiled.null_odds), (piece.as_str(), None));
    assert_eq!((compiled.start, compiled.end), (modules.start, modules.end));
    assert!((compiled.probability - modules.probability).abs() < 1e-4);
}

#[test]
fn words_have_the_same_tags_compiled_and_as_modules_and_in_batches_and_alone() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["O", "B-X", "I-X", "B-Y"];
    let task = Task::new(TaskSpec::new("tags", &["words"], Answer::Tags(names.map(Into::into).to_vec()))).unwrap();
    write(dir.path(), vec![task_head(&task)]);
    let texts = ["the soup was good", "lamp", "the bad \u{200d} soup was the lamp was bad was good the soup"];
    let tags = |text: &str| Label::Tags(Tags::new(text.split(' '), vec![1; text.split(' ').count()]));
    let example =
        |(id, text): (usize, &&str)| Example { id, text_a: (*text).to_owned(), text_b: None, label: Some(tags(text)) };
    let examples: Vec<Example> = texts.iter().enumerate().map(example).collect();
    let mut found = Vec::new();
    for mut predictor in both(dir.path()) {
        let rows = features::encode_for(&task, &predictor.tokenizer, &examples, 12).unwrap().0;
        // Ten words of the last text fit beside the special tokens, and a control character has no token.
        let seen: Vec<usize> =
            rows.iter().map(|row| row.words.iter().flat_map(|w| w.iter()).flatten().count()).collect();
        assert_eq!(seen, [4, 1, 10]);
        let batches = BatchSettings::new(2, 12, 1);
        let set = EvalSet::new(&task, rows, predictor.tokenizer.pad_id(), batches).unwrap();
        let head = answering_head(&predictor.config, &task).unwrap();
        let mut watch = |_, _| ControlFlow::Continue(());
        let evaluated = predictor.model.evaluate(&head, &set, &[], &mut watch).unwrap();
        assert!(evaluated.scores.is_some() && evaluated.majority.is_some());
        let Predictions::Tags(all) = evaluated.predictions else { panic!("tags") };
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [4, 1, 13]);
        assert!(all[2][2] == 0 && all[2][11..] == [0, 0], "words that are not seen are outside: {all:?}");
        let words = predictor.words(texts[0]).unwrap();
        let answer = predictor.tag(&[(texts[0], &words)], 0).unwrap().remove(0);
        let entities = task.tag_set().unwrap().entities(&all[0]);
        assert_eq!(answer.entities.len(), entities.len());
        found.push(all);
    }
    assert_eq!(found[0], found[1]);
    let other = TaskSpec::new("tags", &["words"], Answer::Tags(["B-X", "O", "I-X", "B-Y"].map(Into::into).to_vec()));
    let [predictor, _] = both(dir.path());
    let message = answering_head(&predictor.config, &Task::new(other).unwrap()).unwrap_err().to_string();
    assert!(message.contains("has the tags O, B-X, I-X, B-Y; the data have B-X, O"), "{message}");
}

#[test]
fn whoever_watches_an_evaluation_hears_how_far_it_is_and_may_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let spans = task_head(SquadVersion::V1.task());
    write(dir.path(), vec![task_head(TaskKind::Sst2.task()), spans]);
    let settings = SpanSettings {
        windows: WindowConfig { max_len: POSITIONS, stride: 4, max_query: 4, ..WindowConfig::bert() },
        decoding: DecodeConfig::default(),
        threshold: 0.0,
        batch_size: 2,
    };
    for mut predictor in both(dir.path()) {
        let example = |id| Example {
            id,
            text_a: ["the soup was good", "the lamp was bad"][id % 2].into(),
            text_b: None,
            label: Some(Label::Class(id % 2)),
        };
        let rows: Vec<Example> = (0..6).map(example).collect();
        let rows = features::encode(&predictor.tokenizer, &rows, POSITIONS).unwrap();
        let batches = BatchSettings::new(2, POSITIONS, 1);
        let set = EvalSet::new(TaskKind::Sst2.task(), rows, predictor.tokenizer.pad_id(), batches).unwrap();
        let head = AnsweringHead::in_order(0, 2);
        let mut heard = Vec::new();
        let mut all = |done, total| {
            heard.push((done, total));
            ControlFlow::Continue(())
        };
        let evaluated = predictor.model.evaluate(&head, &set, &[], &mut all).unwrap();
        assert_eq!(heard.last(), Some(&(6, 6)));
        assert!(evaluated.scores.is_some() && evaluated.majority.is_some());
        let mut once = |_, _| ControlFlow::Break(());
        let ended = predictor.model.evaluate(&head, &set, &[], &mut once);
        assert!(matches!(ended, Err(Error::Stopped)));
        let questions = Dataset::from_texts([("the lamp", "the soup was good"), ("the soup", "the lamp was bad")]);
        let windows = predictor.windows(questions, SquadVersion::V1, &settings).unwrap();
        assert!(matches!(predictor.model.spans(1, &windows, &mut once), Err(Error::Stopped)));
    }
}

#[test]
fn a_tokenizer_of_more_words_than_the_model_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), labels());
    let vocab = dir.path().join("vocab.txt");
    std::fs::write(&vocab, std::fs::read_to_string(&vocab).unwrap() + "more\n").unwrap();
    let loaded = Predictor::load(dir.path(), &Target::Processor { threads: 1 }, Precision::F32, Packing::AtUse);
    assert!(matches!(loaded.err(), Some(Error::Vocabulary { pieces: 11, rows: 10 })));
}
