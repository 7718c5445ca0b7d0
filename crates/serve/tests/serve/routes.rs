//! Every route, and that its numbers are those of `predict`.

use cpu_runtime::{Packing, Precision};
use predict::span::SpanSettings;
use predict::{HeadAnswer, Predictor, Target};
use serde_json::{Value, json};

use crate::client::{Connection, get, ok, post, until};
use crate::model::Running;

fn predictor(running: &Running, kind: &str) -> Predictor {
    let target = Target::Processor { threads: 1 };
    Predictor::load(&running.dir(kind), &target, Precision::F32, Packing::Ahead).unwrap()
}

fn near(a: &Value, b: f64) -> bool {
    (a.as_f64().unwrap() - b).abs() < 1e-6
}

#[test]
fn labels_have_the_forms_of_text_embeddings_inference_and_the_numbers_of_predict() {
    let running = Running::of(&["labels"], |_| {});
    let at = running.address;
    let mut predictor = predictor(&running, "labels");
    let text = predictor.encode("a quiet film", None).unwrap();
    let pair = predictor.encode("who was bad ?", Some("the film was bad")).unwrap();
    let answers = predictor.answer(&[text, pair], &[0, 1]).unwrap();
    let HeadAnswer::Label { label, probability, .. } = &answers[0][0] else { panic!("a label") };

    let one = ok(at, "/predict", &json!({ "inputs": "a quiet film" }));
    assert_eq!((one.as_array().unwrap().len(), one[0]["label"].as_str()), (2, Some(label.as_str())));
    assert!(near(&one[0]["score"], f64::from(*probability)), "{one} {probability}");
    assert!(one[0]["score"].as_f64() >= one[1]["score"].as_f64());
    assert_eq!(ok(at, "/predict", &json!({ "inputs": ["a quiet film"] })), one);
    assert_eq!(ok(at, "/predict", &json!({ "inputs": [["a quiet film"]] })), json!([one]));

    let asked = json!({ "inputs": [["a quiet film"], ["who was bad ?", "the film was bad"]], "task": "rte" });
    let many = ok(at, "/predict", &asked);
    let HeadAnswer::Label { label, probability, .. } = &answers[1][1] else { panic!("a label") };
    assert_eq!(many[1][0]["label"], label.as_str());
    assert!(near(&many[1][0]["score"], f64::from(*probability)));

    let spelled = json!({ "inputs": "a quiet film", "task": "RTE" });
    assert_eq!(ok(at, "/predict", &spelled), ok(at, "/predict", &json!({ "inputs": "a quiet film", "task": "rte" })));

    let raw = ok(at, "/predict", &json!({ "inputs": "a quiet film", "raw_scores": true }));
    let odds: Vec<f64> = raw.as_array().unwrap().iter().map(|one| one["score"].as_f64().unwrap().exp()).collect();
    assert!(near(&one[0]["score"], odds[0] / (odds[0] + odds[1])), "{raw}");

    // As a pipeline's client asks: a list of labels for each text.
    let pipeline = ok(at, "/", &json!({ "inputs": "a quiet film", "parameters": { "top_k": 1 } }));
    assert_eq!(pipeline, json!([[one[0]]]));
    assert_eq!(ok(at, "/", &json!({ "inputs": "a quiet film" })), one);
    let reply = post(at, "/", &json!({ "inputs": "a", "parameters": { "function_to_apply": "sigmoid" } }));
    assert_eq!(reply.status, 422);
}

#[test]
fn numbers_order_texts_and_labels_apply_each_for_itself() {
    let running = Running::of(&["number", "multi"], |_| {});
    let at = running.address;
    let texts = ["the film was good", "Ana lives in Bonn", "a bad film"];
    let ranks = ok(at, "/rerank", &json!({ "query": "a good film", "texts": texts, "return_text": true }));
    let ranks = ranks.as_array().unwrap();
    assert_eq!(ranks.len(), 3);
    let mut predictor = predictor(&running, "number");
    for rank in ranks {
        let index = rank["index"].as_u64().unwrap() as usize;
        assert_eq!(rank["text"], texts[index]);
        let pair = predictor.encode("a good film", Some(texts[index])).unwrap();
        let HeadAnswer::Number { score, .. } = predictor.answer(&[pair], &[0]).unwrap()[0][0] else {
            panic!("a number")
        };
        assert!(near(&rank["score"], f64::from(score)), "{rank} {score}");
    }
    assert!(ranks.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()));
    let number = ok(at, "/predict", &json!({ "inputs": ["a", "b"] }));
    assert_eq!((number[0]["label"].as_str(), number.as_array().unwrap().len()), (Some("sts-b"), 1));

    let labels = ok(at, "/models/multi/predict", &json!({ "inputs": "a good film" }));
    let raw = ok(at, "/models/multi/predict", &json!({ "inputs": "a good film", "raw_scores": true }));
    for (label, raw) in labels.as_array().unwrap().iter().zip(raw.as_array().unwrap()) {
        assert!(near(&label["score"], 1.0 / (1.0 + (-raw["score"].as_f64().unwrap()).exp())));
    }
    let wrong = post(at, "/models/multi/rerank", &json!({ "query": "a", "texts": ["b"] }));
    assert_eq!((wrong.status, wrong.json()["error_type"].as_str()), (424, Some("Backend")));
}

#[test]
fn vectors_are_those_of_predict_normalized_and_cut_as_asked() {
    let running = Running::of(&["vectors"], |_| {});
    let at = running.address;
    let mut predictor = predictor(&running, "vectors");
    let texts = ["a quiet film", "Ana lives in Bonn ."];
    let encoded: Vec<_> = texts.iter().map(|text| predictor.encode(text, None).unwrap()).collect();
    let wanted = predictor.vectors(&encoded, 0).unwrap();

    let plain = ok(at, "/embed", &json!({ "inputs": texts, "normalize": false }));
    for (vector, wanted) in plain.as_array().unwrap().iter().zip(&wanted) {
        assert_eq!(vector.as_array().unwrap().len(), wanted.len());
        assert!(vector.as_array().unwrap().iter().zip(wanted).all(|(a, b)| near(a, f64::from(*b))));
    }
    let length = |vector: &Value| vector.as_array().unwrap().iter().map(|v| v.as_f64().unwrap().powi(2)).sum::<f64>();
    let units = ok(at, "/embed", &json!({ "inputs": texts }));
    assert!((length(&units[0]) - 1.0).abs() < 1e-5);
    let short = ok(at, "/embed", &json!({ "inputs": "a quiet film", "dimensions": 5 }));
    assert!((length(&short[0]) - 1.0).abs() < 1e-5 && short[0].as_array().unwrap().len() == 5);

    let ids = json!({ "inputs": encoded[0].features.ids, "normalize": false });
    assert_eq!(ok(at, "/embed", &ids)[0], plain[0]);
    let inner = &encoded[0].features.ids[1..encoded[0].features.ids.len() - 1];
    let mixed = json!({ "inputs": [inner, texts[1]], "normalize": false });
    assert_eq!(ok(at, "/embed", &mixed), plain);
    assert_eq!(ok(at, "/", &json!({ "inputs": texts })), units);

    let compared = json!({ "inputs": { "source_sentence": texts[0], "sentences": [texts[1], texts[0]] } });
    let cosines = ok(at, "/similarity", &compared);
    assert!(near(&cosines[1], 1.0), "{cosines}");
    let dot = units[0].as_array().unwrap().iter().zip(units[1].as_array().unwrap());
    let dot: f64 = dot.map(|(a, b)| a.as_f64().unwrap() * b.as_f64().unwrap()).sum();
    assert!((cosines[0].as_f64().unwrap() - dot).abs() < 1e-5);
    assert_eq!(ok(at, "/", &compared), cosines);

    let states = ok(at, "/embed_all", &json!({ "inputs": "a quiet film" }));
    assert_eq!(states[0].as_array().unwrap().len(), encoded[0].features.ids.len());
    let mean = states[0].as_array().unwrap().iter().map(|token| token[3].as_f64().unwrap()).sum::<f64>() / 5.0;
    assert!((mean - plain[0][3].as_f64().unwrap()).abs() < 1e-5);
}

#[test]
fn openai_has_vectors_as_lists_and_as_base64_of_the_same_numbers() {
    use base64::Engine;
    let running = Running::of(&["vectors", "labels"], |_| {});
    let at = running.address;
    let asked = |format| json!({ "input": ["a film", "bad"], "model": "vectors", "encoding_format": format });
    let lists = ok(at, "/v1/embeddings", &asked("float"));
    assert_eq!((lists["object"].as_str(), lists["model"].as_str()), (Some("list"), Some("vectors")));
    assert_eq!(lists["usage"], json!({ "prompt_tokens": 7, "total_tokens": 7 }));
    let packed = ok(at, "/v1/embeddings", &asked("base64"));
    for (list, packed) in lists["data"].as_array().unwrap().iter().zip(packed["data"].as_array().unwrap()) {
        assert_eq!((&list["index"], &list["object"]), (&packed["index"], &packed["object"]));
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed["embedding"].as_str().unwrap()).unwrap();
        let values = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert!(values.zip(list["embedding"].as_array().unwrap()).all(|(a, b)| near(b, f64::from(a))));
    }
    let other = post(at, "/v1/embeddings", &json!({ "input": "a", "model": "no-such" }));
    assert_eq!(other.status, 404);
    assert!(other.json()["error"]["message"].as_str().unwrap().contains("models: vectors, labels"));
    let labels = post(at, "/models/labels/v1/embeddings", &json!({ "input": "a", "model": "any" }));
    assert_eq!((labels.status, labels.json()["error"]["type"].as_str()), (424, Some("Backend")));
    let names = get(at, "/v1/models").json();
    assert_eq!(names["data"][1]["id"], "labels");
}

#[test]
fn entities_are_those_of_predict() {
    let running = Running::of(&["tokens"], |_| {});
    let at = running.address;
    let mut predictor = predictor(&running, "tokens");
    let text = "Ana lives in Bönn , she was in Bonn .";
    let words = predictor.words(text).unwrap();
    let wanted = predictor.tag(&[(text, &words)], 0).unwrap().remove(0).entities;
    assert!(!wanted.is_empty(), "the seed gives entities");
    let found = ok(at, "/tokens", &json!({ "inputs": text }));
    assert_eq!(found.as_array().unwrap().len(), wanted.len());
    for (found, wanted) in found.as_array().unwrap().iter().zip(&wanted) {
        assert_eq!(
            (found["entity_group"].as_str(), found["word"].as_str()),
            (Some(&*wanted.kind), Some(&*wanted.text))
        );
        assert_eq!((&found["start"], &found["end"]), (&json!(wanted.start), &json!(wanted.end)));
        assert!(near(&found["score"], f64::from(wanted.probability)));
    }
    assert_eq!(ok(at, "/", &json!({ "inputs": [text] })), json!([found]));
    let parameters = json!({ "aggregation_strategy": "simple", "ignore_labels": ["PER", "LOC"] });
    assert_eq!(ok(at, "/", &json!({ "inputs": text, "parameters": parameters })), json!([]));
    let refused = post(at, "/tokens", &json!({ "inputs": text, "parameters": { "aggregation_strategy": "none" } }));
    assert_eq!(refused.status, 422);
    let long = "film ".repeat(100);
    assert_eq!(post(at, "/tokens", &json!({ "inputs": long, "truncate": false })).status, 422);
    assert_eq!(post(at, "/tokens", &json!({ "inputs": long, "truncate": true })).status, 200);
}

#[test]
fn answers_are_those_of_predict_also_in_long_texts() {
    let running = Running::of(&["answers-v1", "answers"], |_| {});
    let at = running.address;
    let question = "who lives in Bonn ?";
    let context = format!("the film was good . {} Ana lives in Bonn , she was quiet .", "the bad film . ".repeat(30));
    for (kind, version) in
        [("answers-v1", glue_squad::squad::SquadVersion::V1), ("answers", glue_squad::squad::SquadVersion::V2)]
    {
        let mut predictor = predictor(&running, kind);
        let windows = glue_squad::squad::WindowConfig { max_len: 64, max_query: 30, ..Default::default() };
        let decoding = glue_squad::squad::DecodeConfig::default();
        let settings = SpanSettings { windows, decoding, threshold: 0.0, batch_size: 8 };
        let pairs = [(question, context.as_str()), ("who ?", "Ana")];
        let wanted = predictor.answer_questions((0, version), &pairs, &settings).unwrap();
        let asked: Vec<Value> = pairs.iter().map(|(q, c)| json!({ "question": q, "context": c })).collect();
        let found = ok(at, &format!("/models/{kind}/answers"), &json!({ "inputs": asked }));
        for (found, wanted) in found.as_array().unwrap().iter().zip(&wanted) {
            assert_eq!(found["answer"], wanted.answer.as_str());
            assert!(near(&found["score"], wanted.probability));
            assert_eq!(found["start"], wanted.start.unwrap_or(0));
        }
        let one = ok(at, &format!("/models/{kind}"), &json!({ "inputs": asked[0], "parameters": { "n_best": 3 } }));
        assert_eq!((&one["answer"], one["n_best"].as_array().unwrap().len()), (&found[0]["answer"], 3));
        let forced = json!({ "inputs": asked[1], "parameters": { "handle_impossible_answer": false } });
        assert_ne!(ok(at, &format!("/models/{kind}/answers"), &forced)["answer"], "");
    }
    let empty = post(at, "/answers", &json!({ "inputs": { "question": "", "context": "a" } }));
    assert_eq!(empty.status, 422);
    assert_eq!(post(at, "/answers", &json!({ "inputs": [] })).status, 400);
}

#[test]
fn tokens_of_a_text_have_their_characters_and_become_text_again() {
    let running = Running::of(&["states"], |_| {});
    let at = running.address;
    let tokens = ok(at, "/tokenize", &json!({ "inputs": ["Bönn films", "a"] }));
    let texts: Vec<&str> = tokens[0].as_array().unwrap().iter().map(|t| t["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["[CLS]", "bonn", "film", "##s", "[SEP]"]);
    assert_eq!((&tokens[0][2]["start"], &tokens[0][2]["stop"]), (&json!(5), &json!(9)));
    assert_eq!((&tokens[0][0]["special"], &tokens[0][0]["start"]), (&json!(true), &Value::Null));
    let bare = ok(at, "/tokenize", &json!({ "inputs": "a", "add_special_tokens": false }));
    assert_eq!(bare[0].as_array().unwrap().len(), 1);
    let ids: Vec<&Value> = tokens[0].as_array().unwrap().iter().map(|token| &token["id"]).collect();
    assert_eq!(ok(at, "/decode", &json!({ "ids": ids })), json!(["bonn films"]));
    let whole = json!({ "ids": [ids], "skip_special_tokens": false });
    assert_eq!(ok(at, "/decode", &whole), json!(["[CLS] bonn films [SEP]"]));
    assert_eq!(post(at, "/", &json!({ "inputs": "a" })).status, 424);
}

#[test]
fn every_route_of_the_document_is_there() {
    let running = Running::of(&["labels"], |_| {});
    let document = get(running.address, "/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 20, "{} paths", paths.len());
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{model}", "labels");
            let mut connection = Connection::open(running.address);
            let reply = connection.call(&method.to_uppercase(), &path, &[], b"{}").unwrap();
            let known = [200, 400, 422, 424];
            assert!(known.contains(&reply.status), "{method} {path}: {}", reply.status);
            if method == "get" {
                assert_eq!(reply.status, 200, "{path}");
            }
        }
    }
    // References lead somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[test]
fn models_are_chosen_by_path_and_described() {
    let running = Running::of(&["labels", "vectors"], |_| {});
    let at = running.address;
    let first = get(at, "/info").json();
    assert_eq!((first["model_id"].as_str(), first["model_dtype"].as_str()), (Some("labels"), Some("float32")));
    assert_eq!(first["model_type"]["classifier"]["label2id"], json!({ "0": 0, "1": 1 }));
    let second = get(at, "/models/vectors/info").json();
    assert_eq!(second["model_type"], json!({ "embedding": { "pooling": "mean" } }));
    assert_eq!(second["max_input_length"], 64);
    assert_eq!(get(at, "/models/none/info").status, 404);
    for path in ["/", "/health", "/ping"] {
        assert_eq!(get(at, path).status, 200);
    }
    ok(at, "/predict", &json!({ "inputs": [["a"], ["a film"]] }));
    let metrics = String::from_utf8(get(at, "/metrics").body).unwrap();
    for line in [
        "efficientbert_texts_total{model=\"labels\"} 2",
        "efficientbert_tokens_total{model=\"labels\"} 7",
        "efficientbert_requests_total{route=\"/models/{model}/info\",status=\"404\"} 1",
        "efficientbert_queue_size 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn texts_of_one_request_are_shared_among_the_threads_that_compute() {
    let batches = |threads: usize| {
        let running = Running::of(&["labels"], |settings| settings.threads.batches = threads);
        assert_eq!(post(running.address, "/predict", &json!({ "inputs": vec![["a quiet film"]; 8] })).status, 200);
        let number = |name: &str| {
            let metrics = String::from_utf8(get(running.address, "/metrics").body).unwrap();
            metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        // A batch is counted after its last answer.
        until(|| number("efficientbert_batch_texts_sum") == Some(8.0));
        number("efficientbert_batch_texts_count").unwrap()
    };
    assert_eq!(batches(1), 1.0);
    assert!(batches(2) >= 2.0);
}
