//! KServe v2, with tensors in JSON and in binary form.

use serde_json::{Value, json};

use crate::client::{Connection, Reply, get, ok, post};
use crate::model::Running;

fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let found = answer["outputs"].as_array().unwrap().iter().find(|output| output["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {answer}"))
}

fn texts(name: &str, texts: &[&str]) -> Value {
    json!({ "name": name, "shape": [texts.len()], "datatype": "BYTES", "data": texts })
}

fn binary(at: std::net::SocketAddr, path: &str, request: &Value, tensors: &[u8]) -> Reply {
    let json = request.to_string();
    let length = json.len().to_string();
    let body = [json.as_bytes(), tensors].concat();
    let headers = [("inference-header-content-length", length.as_str())];
    Connection::open(at).call("POST", path, &headers, &body).expect("an answer")
}

#[test]
fn metadata_and_health_are_there_by_name_and_version() {
    let running = Running::of(&["labels", "vectors"], |_| {});
    let at = running.address;
    assert_eq!(get(at, "/v2").json()["extensions"], json!(["binary_tensor_data"]));
    for path in
        ["/v2/health/live", "/v2/health/ready", "/v2/models/labels/ready", "/v2/models/vectors/versions/1/ready"]
    {
        assert_eq!(get(at, path).status, 200, "{path}");
    }
    let model = get(at, "/v2/models/vectors/versions/1").json();
    assert_eq!(model["outputs"][0], json!({ "name": "embedding", "datatype": "FP32", "shape": [-1, 32] }));
    for path in ["/v2/models/none", "/v2/models/labels/versions/2"] {
        let reply = get(at, path);
        assert_eq!(reply.status, 404);
        assert!(reply.json()["error"].is_string() && reply.json().get("error_type").is_none());
    }
}

#[test]
fn texts_and_their_token_ids_give_the_same_numbers() {
    let running = Running::of(&["labels"], |_| {});
    let at = running.address;
    let path = "/v2/models/labels/infer";
    let given = ["a quiet film", "Ana"];
    let by_text = ok(at, path, &json!({ "id": "7", "inputs": [texts("text", &given)] }));
    assert_eq!((by_text["id"].as_str(), by_text["model_version"].as_str()), (Some("7"), Some("1")));
    let one = ok(at, "/predict", &json!({ "inputs": given[0] }));
    assert_eq!(output(&by_text, "label")["data"][0], one[0]["label"]);
    assert_eq!(output(&by_text, "score")["data"][0], one[0]["score"]);

    let tokens = ok(at, "/tokenize", &json!({ "inputs": given }));
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in tokens.as_array().unwrap() {
        let row = row.as_array().unwrap();
        ids.push((0..7).map(|i| row.get(i).map_or(0, |t| t["id"].as_i64().unwrap())).collect::<Vec<_>>());
        mask.push((0..7).map(|i| i64::from(i < row.len())).collect::<Vec<_>>());
    }
    let tensor =
        |name: &str, data: &[Vec<i64>]| json!({ "name": name, "shape": [2, 7], "datatype": "INT64", "data": data });
    let inputs = json!([tensor("input_ids", &ids), tensor("attention_mask", &mask)]);
    let wanted = json!([{ "name": "last_hidden_state" }, { "name": "logits" }]);
    let by_ids = ok(at, path, &json!({ "inputs": inputs, "outputs": wanted }));
    assert_eq!(output(&by_ids, "logits"), output(&by_text, "logits"));
    let states = output(&by_ids, "last_hidden_state");
    assert_eq!(states["shape"], json!([2, 7, 32]));
    // Behind the end of a row nothing is computed.
    assert_eq!(states["data"].as_array().unwrap().last().unwrap(), &json!(0.0));
    let all = ok(at, "/embed_all", &json!({ "inputs": given[0] }));
    assert_eq!(states["data"][33], all[0][1][1]);

    let pairs = json!([texts("text", &["a film"]), texts("text_pair", &["bad"])]);
    let pair = ok(at, path, &json!({ "inputs": pairs, "parameters": { "task": "rte" } }));
    let wanted = ok(at, "/predict", &json!({ "inputs": ["a film", "bad"], "task": "rte" }));
    assert_eq!(output(&pair, "label")["data"][0], wanted[0]["label"]);
}

#[test]
fn binary_tensors_are_those_in_json() {
    let running = Running::of(&["vectors"], |_| {});
    let at = running.address;
    let path = "/v2/models/vectors/infer";
    let wanted = ok(at, path, &json!({ "inputs": [texts("text", &["a film", "ünder"])] }));
    let mut tensor = Vec::new();
    for text in ["a film", "ünder"] {
        tensor.extend((text.len() as u32).to_le_bytes());
        tensor.extend(text.as_bytes());
    }
    let size = json!({ "binary_data_size": tensor.len() });
    let input = json!({ "name": "text", "shape": [2, 1], "datatype": "BYTES", "parameters": size });
    let request = json!({ "inputs": [input], "parameters": { "binary_data_output": true } });
    let reply = binary(at, path, &request, &tensor);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    let answer: Value = serde_json::from_slice(&reply.body[..length]).unwrap();
    assert_eq!(output(&answer, "embedding")["parameters"], json!({ "binary_data_size": 2 * 32 * 4 }));
    let values: Vec<f32> =
        reply.body[length..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(json!(values), {
        let list = output(&wanted, "embedding")["data"].as_array().unwrap().iter();
        json!(list.map(|v| v.as_f64().unwrap() as f32).collect::<Vec<_>>())
    });
    let sizes = [0, tensor.len() - 1, tensor.len() + 1, usize::MAX];
    for size in sizes {
        let input =
            json!({ "name": "text", "shape": [2], "datatype": "BYTES", "parameters": { "binary_data_size": size } });
        assert_eq!(binary(at, path, &json!({ "inputs": [input] }), &tensor).status, 400);
    }
    let headers = [("inference-header-content-length", "999999")];
    let reply = Connection::open(at).call("POST", path, &headers, b"{}").unwrap();
    assert_eq!(reply.status, 400);
}

#[test]
fn heads_that_mark_parts_of_texts_have_tensors_of_their_own() {
    let running = Running::of(&["tokens", "answers-v1"], |_| {});
    let at = running.address;
    let found = ok(at, "/v2/models/tokens/infer", &json!({ "inputs": [texts("text", &["Ana lives in Bonn"])] }));
    let line: Value = serde_json::from_str(output(&found, "entities")["data"][0].as_str().unwrap()).unwrap();
    assert_eq!(line, ok(at, "/tokens", &json!({ "inputs": "Ana lives in Bonn" })));
    let ids = json!({ "name": "input_ids", "shape": [1, 4], "datatype": "INT64", "data": [2, 5, 6, 3] });
    let logits = ok(at, "/v2/models/tokens/infer", &json!({ "inputs": [ids] }));
    assert_eq!(output(&logits, "logits")["shape"], json!([1, 4, 4]));

    let path = "/v2/models/answers-v1/infer";
    let inputs = json!([texts("question", &["who ?"]), texts("context", &["Ana lives in Bonn"])]);
    let found = ok(at, path, &json!({ "inputs": inputs }));
    let asked = json!({ "inputs": { "question": "who ?", "context": "Ana lives in Bonn" } });
    let wanted = ok(at, "/models/answers-v1/answers", &asked);
    for name in ["answer", "start", "end"] {
        assert_eq!(output(&found, name)["data"][0], wanted[name]);
    }
    let scores = ok(at, path, &json!({ "inputs": [ids] }));
    assert_eq!(output(&scores, "start_logits")["shape"], json!([1, 4]));
}

#[test]
fn requests_that_do_not_fit_are_refused_with_the_reason() {
    let running = Running::of(&["labels", "answers"], |_| {});
    let at = running.address;
    let ids =
        |shape: Value, data: Value| json!({ "name": "input_ids", "shape": shape, "datatype": "INT64", "data": data });
    let input = |value: Value| json!({ "inputs": [value] });
    let cases = [
        (json!({}), "inputs"),
        (json!({ "inputs": [] }), "is expected"),
        (input(json!({ "name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"] })), "no input `x`"),
        (input(json!({ "name": "text", "shape": [1], "datatype": "FP64", "data": [1] })), "FP64"),
        (input(json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["a"] })), "1 elements"),
        (input(json!({ "name": "text", "shape": [-1], "datatype": "BYTES", "data": ["a"] })), "invalid value"),
        (input(json!({ "name": "text", "shape": [1], "datatype": "BYTES" })), "is expected"),
        (input(ids(json!([1, 2]), json!([2, 999]))), "999"),
        (input(ids(json!([1, 2]), json!([2, -1]))), "-1"),
        (input(ids(json!([2]), json!([2, 3]))), "[batch, tokens]"),
        (input(ids(json!([1, 65]), json!(vec![2; 65]))), "65 tokens"),
        (input(ids(json!([0, 2]), json!([]))), "empty"),
        (json!({ "inputs": [texts("text", &["a"]), ids(json!([1, 1]), json!([2]))] }), "exclude each other"),
        (json!({ "inputs": [texts("text", &["a"]), texts("text", &["a"])] }), "twice"),
        (json!({ "inputs": [texts("text", &["a"]), texts("text_pair", &["a", "b"])] }), "2 of `text_pair`"),
        (json!({ "inputs": [texts("text", &["a"])], "outputs": [{ "name": "vector" }] }), "no output `vector`"),
        (
            json!({ "inputs": [texts("text", &["a"])], "outputs": vec![json!({ "name": "logits" }); 1000] }),
            "`logits` is asked for twice",
        ),
        (json!({ "inputs": [texts("question", &["a"]), texts("context", &["a"])] }), "`text`"),
        (json!({ "inputs": [texts("text", &["a"])], "parameters": { "task": "none" } }), "no head of task"),
        (json!({ "inputs": [texts("text", &["a"])], "parameters": { "truncate": 1 } }), "true or false"),
    ];
    for (request, reason) in cases {
        let reply = post(at, "/v2/models/labels/infer", &request);
        assert!((400..=424).contains(&reply.status), "{request}: {}", reply.status);
        let message = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains(reason), "{request}: {message}");
    }
    let reply = post(at, "/v2/models/answers/infer", &json!({ "inputs": [texts("question", &["a"])] }));
    assert_eq!(reply.status, 400);
}

#[test]
fn what_would_change_nothing_is_refused() {
    let running = Running::of(&["labels", "tokens", "answers"], |_| {});
    let at = running.address;
    let ids = json!({ "name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [2, 3] });
    let mask = json!({ "name": "attention_mask", "shape": [1, 2], "datatype": "INT64", "data": [1, 1] });
    let text = || texts("text", &["a"]);
    let asked = || json!([texts("question", &["who ?"]), texts("context", &["Ana"])]);
    let output = |parameters: Value| json!([{ "name": "logits", "parameters": parameters }]);
    let cases = [
        ("labels", json!({ "inputs": [ids, texts("text_pair", &["a"])] }), "`text_pair` belongs to `text`"),
        ("labels", json!({ "inputs": [text(), mask] }), "`attention_mask` belongs to `input_ids`"),
        ("labels", json!({ "inputs": [text(), texts("context", &["a"])] }), "`context` belongs to `question`"),
        ("tokens", json!({ "inputs": [text(), texts("text_pair", &["a", "b", "c"])] }), "no `text_pair`"),
        ("answers", json!({ "inputs": asked(), "parameters": { "truncate": false } }), "`truncate` is for `text`"),
        ("labels", json!({ "inputs": [ids], "parameters": { "truncate": true } }), "`truncate` is for `text`"),
        ("labels", json!({ "inputs": [text()], "parameters": { "binary_data_output": "yes" } }), "true or false"),
        ("labels", json!({ "inputs": [text()], "outputs": output(json!({ "binary_data": 1 })) }), "true or false"),
        ("labels", json!({ "inputs": [text()], "parameters": { "tasks": "rte" } }), "no parameter `tasks`"),
        (
            "labels",
            json!({ "inputs": [text()], "outputs": output(json!({ "classification": 2 })) }),
            "`classification`",
        ),
    ];
    for (model, request, reason) in cases {
        let reply = post(at, &format!("/v2/models/{model}/infer"), &request);
        let message = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 400 && message.contains(reason), "{request}: {} {message}", reply.status);
    }
}
