//! What is refused, by which status.

use std::time::Duration;

use serde_json::json;
use serve::{Error, ModelSource, Server, Settings, Token};

use crate::client::{Connection, JSON, get, post, request, until};
use crate::model::Running;

#[test]
fn too_many_texts_and_bytes_are_413_and_too_many_tokens_of_a_text_422() {
    let running = Running::of(&["labels"], |settings| {
        settings.limits.texts = 3;
        settings.limits.body = 4000;
        settings.limits.request_tokens = 100;
    });
    let at = running.address;
    let texts = |count: usize| json!({ "inputs": vec![["film"]; count] });
    assert_eq!(post(at, "/predict", &texts(3)).status, 200);
    let reply = post(at, "/predict", &texts(4));
    assert_eq!((reply.status, reply.json()["error_type"].as_str()), (413, Some("Validation")));
    assert_eq!(reply.json()["error"], "batch size 4 > maximum allowed batch size 3");

    let long = "film ".repeat(70);
    assert_eq!(post(at, "/predict", &json!({ "inputs": long })).status, 200);
    let reply = post(at, "/predict", &json!({ "inputs": long, "truncate": false }));
    assert_eq!(reply.status, 422);
    let message = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(message.contains("at most 64 tokens. Given: 72"), "{message}");
    let reply = post(at, "/predict", &json!({ "inputs": [[long], [long]] }));
    assert_eq!(reply.status, 413, "{:?}", reply.json());

    let body = json!({ "inputs": "a".repeat(5000) });
    assert_eq!(post(at, "/predict", &body).status, 413);
    // Far more is not read to its end, but answered.
    let huge = json!({ "inputs": "a".repeat(1_000_000) }).to_string();
    let mut connection = Connection::open(at);
    let _ = connection.send(&request("POST", "/predict", &[JSON], huge.as_bytes()));
    if let Some(reply) = connection.reply() {
        assert_eq!(reply.status, 413);
    }
    assert_eq!(get(at, "/health").status, 200);
}

#[test]
fn tokens_to_write_and_to_read_are_counted() {
    let running = Running::of(&["states"], |settings| settings.limits.request_tokens = 100);
    let at = running.address;
    let refused = |path: &str, body: serde_json::Value| {
        let reply = post(at, path, &body);
        assert_eq!(reply.status, 413, "{path}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()["error"].as_str().unwrap().to_owned()
    };
    let long = "film ".repeat(60);
    assert_eq!(post(at, "/tokenize", &json!({ "inputs": long })).status, 200);
    assert!(refused("/tokenize", json!({ "inputs": [long, long] })).contains("124 tokens; at most 100"));
    let without = json!({ "inputs": "film ".repeat(100), "add_special_tokens": false });
    assert_eq!(post(at, "/tokenize", &without).status, 200);
    assert_eq!(post(at, "/decode", &json!({ "ids": vec![5; 100] })).status, 200);
    assert!(refused("/decode", json!({ "ids": [vec![5; 60], vec![5; 41]] })).contains("101 tokens"));
    assert!(refused("/tokenize", json!({ "inputs": vec!["a"; 33] })).contains("batch size 33"));
}

#[test]
fn texts_to_tokenize_need_room_in_the_queue_too() {
    // A text of a second or so, with a vocabulary of few words.
    let running = Running::of(&["states"], |settings| {
        settings.limits = serve::Limits { texts: 1, queue: 1, request_tokens: 10_000_000, ..settings.limits };
    });
    let at = running.address;
    let slow = json!({ "inputs": "film ".repeat(390_000) });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(|| post(at, "/tokenize", &slow).status)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    // Its room is free again, and the time of an answer is for these too.
    assert_eq!(post(at, "/tokenize", &json!({ "inputs": "a" })).status, 200);
    let running = Running::of(&["states"], |settings| {
        settings.limits.request_tokens = 10_000_000;
        settings.limits.answer_time = Duration::from_millis(1);
    });
    assert_eq!(post(running.address, "/tokenize", &slow).status, 504);
}

#[test]
fn texts_lose_the_side_that_was_asked_for() {
    let running = Running::of(&["labels"], |settings| settings.truncate = false);
    let at = running.address;
    let (short, long) = ("bad ".repeat(62), format!("{}{}", "film ".repeat(10), "bad ".repeat(62)));
    let score = |body: serde_json::Value| post(at, "/predict", &body);
    assert_eq!(score(json!({ "inputs": long })).status, 422);
    let left = score(json!({ "inputs": long, "truncate": true, "truncation_direction": "Left" })).json();
    assert_eq!(left, score(json!({ "inputs": short })).json());
    let right = score(json!({ "inputs": long, "truncate": true, "truncation_direction": "right" })).json();
    assert_ne!(left, right);
}

#[test]
fn bodies_that_are_no_request_say_what_is_wrong_with_them() {
    let running = Running::of(&["labels", "vectors"], |_| {});
    let call = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        Connection::open(running.address).call("POST", path, headers, body).expect("an answer")
    };
    for (body, status) in [
        (&b"{"[..], 400),
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"{\"inputs\": \"\xc3\x28\"}", 400),
        (b"null", 422),
        (b"{}", 422),
        (b"{\"inputs\": 3}", 422),
        (b"{\"inputs\": []}", 400),
        (b"{\"inputs\": [[]]}", 422),
        (b"{\"inputs\": [\"a\", \"b\", \"c\"]}", 422),
        (b"{\"inputs\": \"a\", \"truncate\": \"yes\"}", 422),
        (b"{\"inputs\": \"\"}", 200),
        (b"{\"inputs\": \"\\u0000\\ud83d\\ude00\"}", 200),
        (b"{\"inputs\": \"\\ud83d\"}", 400),
    ] {
        let reply = call("/predict", &[JSON], body);
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(body));
        assert!(status == 200 || reply.json()["error"].is_string());
    }
    let deep = [b"{\"inputs\":".to_vec(), vec![b'['; 100_000]].concat();
    assert_eq!(call("/predict", &[JSON], &deep).status, 400);
    assert_eq!(call("/v2/models/labels/infer", &[JSON], &deep).status, 400);
    assert_eq!(call("/predict", &[("content-type", "text/plain")], b"{}").status, 415);
    assert_eq!(call("/v2/models/labels/infer", &[("content-encoding", "gzip")], b"{}").status, 415);
    for (path, body, status) in [
        ("/models/vectors/embed", json!({ "inputs": "a", "dimensions": 99 }), 422),
        ("/models/vectors/embed", json!({ "inputs": [99999] }), 422),
        ("/models/vectors/embed", json!({ "inputs": "a", "prompt_name": "query" }), 422),
        ("/models/vectors/similarity", json!({ "inputs": { "source_sentence": "a", "sentences": [] } }), 400),
        ("/embed", json!({ "inputs": "a" }), 424),
        ("/rerank", json!({ "query": "a", "texts": [] }), 400),
        ("/decode", json!({ "ids": [] }), 400),
    ] {
        assert_eq!(post(running.address, path, &body).status, status, "{path} {body}");
    }
    let mut connection = Connection::open(running.address);
    let reply = connection.call("DELETE", "/predict", &[], b"").unwrap();
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    assert_eq!(connection.call("GET", "/nowhere", &[], b"").unwrap().status, 404);
}

#[test]
fn keys_that_a_route_does_not_know_are_refused() {
    let running = Running::of(&["labels", "vectors", "number", "tokens", "answers"], |_| {});
    let at = running.address;
    let about = json!({ "question": "who ?", "context": "Ana" });
    for (path, body, key) in [
        ("/predict", json!({ "inputs": "film", "raw_score": true }), "raw_score"),
        ("/", json!({ "inputs": "film", "raw_score": true }), "raw_score"),
        ("/", json!({ "inputs": "film", "parameters": { "top_kk": 1 } }), "top_kk"),
        ("/", json!({ "inputs": "film", "parameters": {}, "raw_scores": true }), "raw_scores"),
        ("/models/vectors/embed", json!({ "inputs": "film", "normalise": false }), "normalise"),
        ("/models/number/rerank", json!({ "query": "a", "texts": ["b"], "top_n": 1 }), "top_n"),
        ("/models/tokens/tokens", json!({ "inputs": "Ana", "parameters": { "ignore": ["O"] } }), "ignore"),
        ("/models/answers/answers", json!({ "inputs": about, "parameters": { "stride": 9 } }), "stride"),
        ("/tokenize", json!({ "inputs": "a", "special": false }), "special"),
    ] {
        let reply = post(at, path, &body);
        let message = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 422 && message.contains(&format!("unknown field `{key}`")), "{path} {body}: {message}");
    }
    // `truncate` and `task` count beside `parameters` too.
    let long = "film ".repeat(100);
    assert_eq!(post(at, "/", &json!({ "inputs": long, "parameters": {}, "truncate": false })).status, 422);
    let rte = post(at, "/", &json!({ "inputs": "film", "parameters": {}, "task": "rte" })).json();
    assert_eq!(rte[0], post(at, "/predict", &json!({ "inputs": "film", "task": "rte" })).json());
    // OpenAI's clients send keys of their service.
    let extra = json!({ "input": "a", "model": "vectors", "input_type": "query" });
    assert_eq!(post(at, "/v1/embeddings", &extra).status, 200);
}

#[test]
fn a_body_that_does_not_come_is_408_and_a_head_that_does_not_come_is_closed() {
    let running = Running::of(&["labels"], |settings| {
        settings.limits.body_time = Duration::from_millis(500);
        settings.limits.head_time = Duration::from_secs(2);
    });
    let mut connection = Connection::open(running.address);
    connection.send(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{\"inputs\"").unwrap();
    let reply = connection.reply().unwrap();
    assert_eq!((reply.status, reply.json()["error_type"].as_str()), (408, Some("Timeout")));
    let mut connection = Connection::open(running.address);
    connection.send(b"POST /predict HTTP/1.1\r\nhost").unwrap();
    assert!(connection.reply().is_none_or(|reply| reply.status == 408));
}

#[test]
fn connections_that_are_silent_or_do_not_take_their_answer_end() {
    // Good requests are to come within these times too, on a machine that is busy.
    let running = Running::sized(&["states"], (256, 1, 512), |settings| {
        settings.limits.body_time = Duration::from_secs(2);
        settings.limits.head_time = Duration::from_secs(2);
    });
    let mut idle = Connection::open(running.address);
    assert_eq!(idle.call("GET", "/health", &[], b"").unwrap().status, 200);
    assert!(idle.reply().is_none(), "it is closed after a while");
    // An answer of some 40 MB, which no buffer of the system holds.
    let body = json!({ "inputs": vec!["film ".repeat(510); 32] }).to_string();
    let mut deaf = Connection::open(running.address);
    deaf.send(&request("POST", "/embed_all", &[JSON], body.as_bytes())).unwrap();
    let open = || {
        let metrics = String::from_utf8(get(running.address, "/metrics").body).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("efficientbert_connections "));
        line.unwrap().parse::<usize>().unwrap()
    };
    let begun = std::time::Instant::now();
    // The answer is computed first; then it stalls. This request has a connection too.
    while running.events_of("request").iter().all(|event| event["path"] != "/embed_all") || open() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the connection stays");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_queue_is_429_and_a_late_answer_504() {
    // A model that takes its time: texts of 512 tokens.
    let running = Running::sized(&["labels"], (256, 6, 512), |settings| {
        settings.limits.texts = 4;
        settings.limits.queue = 4;
        settings.limits.answer_time = Duration::from_millis(400);
    });
    let body = json!({ "inputs": vec![["film ".repeat(510)]; 4] });
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| post(running.address, "/predict", &body))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let refused: Vec<_> = statuses.iter().filter(|reply| reply.status == 429).collect();
    assert!(!refused.is_empty(), "{:?}", statuses.iter().map(|r| r.status).collect::<Vec<_>>());
    assert_eq!(refused[0].header("retry-after"), Some("1"));
    assert_eq!(refused[0].json()["error_type"], "Overloaded");
    let known = |status| matches!(status, 200 | 429 | 504);
    assert!(statuses.iter().all(|reply| known(reply.status)));

    let running = Running::sized(&["labels"], (256, 6, 512), |settings| {
        settings.limits.answer_time = Duration::from_millis(1);
    });
    let reply = post(running.address, "/predict", &body);
    assert_eq!((reply.status, reply.header("retry-after")), (504, Some("1")));
    // Its place in the queue is free again, and it is not computed in vain.
    let mut tries = 0..100;
    while tries.next().is_some() {
        let metrics = String::from_utf8(get(running.address, "/metrics").body).unwrap();
        if metrics.contains("efficientbert_queue_size 0\n") {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the queue does not get empty");
}

#[test]
fn clients_that_leave_are_logged_and_keep_their_room_until_their_texts_are_reached() {
    let running = Running::sized(&["labels"], (256, 6, 512), |settings| {
        settings.limits = serve::Limits { texts: 8, queue: 16, batch_tokens: 512, ..settings.limits };
    });
    let at = running.address;
    let body = json!({ "inputs": vec![["film ".repeat(510)]; 8] }).to_string();
    let size = || {
        let metrics = String::from_utf8(get(at, "/metrics").body).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("efficientbert_queue_size "));
        line.unwrap().parse::<usize>().unwrap()
    };
    let slow = request("POST", "/predict", &[JSON], body.as_bytes());
    let (mut first, mut second) = (Connection::open(at), Connection::open(at));
    first.send(&slow).unwrap();
    until(|| size() > 0);
    second.send(&slow).unwrap();
    until(|| size() > 8);
    drop(second);
    until(|| running.events_of("request").iter().any(|event| event["status"] == 499));
    // The texts of the second client are still there, so that there is no room for eight more; unless the first was answered meanwhile.
    let reply = post(at, "/predict", &json!({ "inputs": vec![["a"]; 8] }));
    let over = running.events_of("request").iter().any(|event| event["path"] == "/predict" && event["status"] == 200);
    assert!(reply.status == 429 || over, "{}", reply.status);
    assert_eq!(first.reply().unwrap().status, 200);
    until(|| post(at, "/predict", &json!({ "inputs": vec![["a"]; 8] })).status == 200);
    let metrics = String::from_utf8(get(at, "/metrics").body).unwrap();
    assert!(metrics.contains("efficientbert_requests_total{route=\"/predict\",status=\"499\"} 1"), "{metrics}");
}

#[test]
fn requests_need_the_token_except_those_that_ask_for_health() {
    let running = Running::of(&["labels"], |settings| settings.token = Some(Token::new("s3cret\n").unwrap()));
    let at = running.address;
    let body = json!({ "inputs": "a" }).to_string();
    let call = |headers: &[(&str, &str)]| {
        let headers = [&[JSON], headers].concat();
        Connection::open(at).call("POST", "/predict", &headers, body.as_bytes()).unwrap()
    };
    assert_eq!(call(&[("authorization", "Bearer s3cret")]).status, 200);
    assert_eq!(call(&[("authorization", "bearer s3cret")]).status, 200);
    for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "s3cret", "Bearer  s3cret", ""] {
        let reply = call(&[("authorization", wrong)]);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{wrong:?}");
        assert_eq!(reply.json()["error_type"], "Unauthorized");
    }
    assert_eq!(call(&[]).status, 401);
    for path in ["/health", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(get(at, path).status, 200);
    }
    for path in ["/info", "/metrics", "/openapi.json", "/nowhere", "/v2/models/labels"] {
        assert_eq!(get(at, path).status, 401, "{path}");
    }
    assert_eq!(format!("{:?}", Token::new("s3cret").unwrap()), "Token(..)");
    assert!(Token::new(" \n").is_err() && Token::new("a b").is_err());
}

#[test]
fn who_sends_a_large_body_reads_why_it_is_refused() {
    let running = Running::of(&["labels"], |settings| settings.token = Some(Token::new("s3cret").unwrap()));
    let body = json!({ "inputs": "a".repeat(1_900_000) }).to_string();
    let (right, wrong) = (("authorization", "Bearer s3cret"), ("authorization", "Bearer other"));
    let text = ("content-type", "text/plain");
    for (method, path, headers, status) in [
        ("POST", "/predict", [JSON, wrong], 401),
        ("POST", "/nowhere", [JSON, right], 404),
        ("POST", "/models/none/predict", [JSON, right], 404),
        ("PUT", "/predict", [JSON, right], 405),
        ("POST", "/predict", [text, right], 415),
    ] {
        let mut connection = Connection::open(running.address);
        connection.send(&request(method, path, &headers, body.as_bytes())).expect("all is taken");
        assert_eq!(connection.reply().expect("an answer").status, status, "{path}");
        // And the connection is good for another one.
        assert_eq!(connection.call("GET", "/health", &[], b"").expect("an answer").status, 200);
    }
}

#[test]
fn ids_of_requests_come_back_and_are_logged() {
    let mut running = Running::of(&["labels"], |_| {});
    let body = json!({ "inputs": "a film" }).to_string();
    let mut connection = Connection::open(running.address);
    let reply = connection.call("POST", "/predict", &[JSON, ("x-request-id", "my-7")], body.as_bytes()).unwrap();
    assert_eq!((reply.header("x-request-id"), reply.header("x-compute-tokens")), (Some("my-7"), Some("4")));
    let long = "x".repeat(200);
    let other = connection.call("GET", "/nowhere", &[("x-request-id", &long)], b"").unwrap();
    let made = other.header("x-request-id").unwrap().to_owned();
    assert!(made != long && made.len() > 16);
    running.stop();
    let requests = running.events_of("request");
    let logged = |id: &str| requests.iter().find(|event| event["id"] == id).unwrap().clone();
    let event = logged("my-7");
    assert_eq!((&event["status"], &event["tokens"], &event["model"]), (&json!(200), &json!(4), &json!("labels")));
    assert!(event["inference_us"].as_u64() <= event["total_us"].as_u64());
    assert_eq!((&logged(&made)["status"], &logged(&made)["path"]), (&json!(404), &json!("/nowhere")));
    assert!(logged(&made)["error"].as_str().unwrap().contains("no such route"));
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_starts() {
    let start = |settings: Settings| match Server::start(settings, std::sync::Arc::new(|_| {})) {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    };
    let source = |name: &str, dir: &str| ModelSource { name: name.into(), dir: dir.into() };
    assert!(start(Settings::new(vec![])).contains("no model"));
    assert!(start(Settings::new(vec![source("a/b", "x")])).contains("`a/b`"));
    assert!(start(Settings::new(vec![source("a", "x"), source("a", "y")])).contains("two models"));
    assert!(start(Settings::new(vec![source("a", "no/such/folder")])).contains("no/such/folder"));
    let mut settings = Settings::new(vec![source("a", "x")]);
    settings.limits.queue = 0;
    assert!(start(settings.clone()).contains("`queue` is 0"));
    settings.limits.queue = 8;
    assert!(start(settings).contains("the queue holds 8"));
    let running = Running::of(&["labels"], |_| {});
    let mut settings = Settings::new(vec![source("labels", running.dir("labels").to_str().unwrap())]);
    settings.address = running.address;
    match Server::start(settings, std::sync::Arc::new(|_| {})) {
        Err(Error::Listen { address, .. }) => assert_eq!(address, running.address),
        _ => panic!("two servers at one address"),
    }
}
