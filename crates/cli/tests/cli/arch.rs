//! `arch show`, `arch check`, `arch sample`.

use serde_json::{Value, json};

use crate::support::{Outcome, folder, run, tiny_config, tiny_model};

const PLAIN: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";

fn arch(args: &[&str]) -> Outcome {
    run(folder().path(), &[&["arch"], args].concat())
}

fn show(args: &[&str]) -> Value {
    arch(&[&["show", "--json"], args].concat()).json()
}

#[test]
fn every_preset_has_its_published_size() {
    // Parameters, parameters without the projection, GMAC at 128 tokens (where published).
    for (name, params, shipped, gmac) in [
        ("bert-base", 109_482_240, 109_482_240, Some(11.17)),
        ("tinybert-4", 14_350_248, 14_350_248, Some(0.624)),
        ("mobilebert", 24_581_888, 24_581_888, None),
        ("mobilebert-tiny", 15_485_696, 15_485_696, None),
        ("mobilebert-reference", 25_352_960, 25_352_960, None),
        ("mobilebert-tiny-reference", 15_083_264, 15_083_264, None),
        ("ib-bert-large", 294_205_184, 294_205_184, None),
        ("efficientbert", 15_737_724, 15_322_236, Some(1.526)),
        ("efficientbert-tiny", 9_375_144, 9_097_896, Some(0.708)),
        ("efficientbert++", 14_241_864, 13_964_616, Some(1.398)),
    ] {
        let shown = show(&[name]);
        assert_eq!(shown["params"], json!(params), "{name}");
        assert_eq!(shown["params_without_fit"], json!(shipped), "{name}");
        let digits = if name == "bert-base" { 100.0 } else { 1000.0 };
        if let Some(gmac) = gmac {
            let found = (shown["gmac"].as_f64().unwrap() * digits).round() / digits;
            assert_eq!(found, gmac, "{name}");
        }
    }
}

#[test]
fn parts_and_layers_add_up() {
    for name in ["efficientbert", "mobilebert", "bert-base"] {
        let shown = show(&[name, "--seq", "64"]);
        for key in ["params", "macs"] {
            let sum = |list: &mut dyn Iterator<Item = &Value>| list.map(|v| v[key].as_u64().unwrap()).sum::<u64>();
            let parts = shown["parts"].as_object().unwrap();
            assert_eq!(json!(sum(&mut parts.values())), shown[key], "{name} {key}");
            let layers = shown["layers"].as_array().unwrap();
            assert_eq!(json!(sum(&mut layers.iter())), parts["feed_forward"][key], "{name} {key}");
        }
    }
}

#[test]
fn text_output_groups_digits_and_names_the_expressions() {
    let shown = arch(&["show", "efficientbert"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for part in [
        "15,737,724",
        "1.526 GMAC for one sequence of 128 tokens",
        "15,322,236 parameters without the distillation projection",
        "elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))",
    ] {
        assert!(shown.stdout.contains(part), "`{part}` is not in {}", shown.stdout);
    }
}

#[test]
fn expressions_files_and_configurations_name_the_same_architecture() {
    let dir = folder();
    let text = format!("{PLAIN}; {PLAIN}");
    std::fs::write(dir.path().join("two.json"), json!([PLAIN, PLAIN]).to_string()).unwrap();
    std::fs::write(dir.path().join("two.txt"), format!("{PLAIN}\n{PLAIN}\n")).unwrap();
    let sizes = ["--hidden", "24", "--heads", "4", "--vocab", "50", "--no-fit", "--json"];
    let count = |arch: &str| {
        let shown = run(dir.path(), &[&["arch", "show", arch], &sizes[..]].concat()).json();
        (shown["params"].clone(), shown["macs"].clone(), shown["parts"].clone())
    };
    let expected = count(&text);
    assert_eq!(count("two.json"), expected);
    assert_eq!(count("two.txt"), expected);
    // Word, projection, positions, segments, norm; twice attention with norm and feed-forward with norm.
    let embedding = 50 * 128 + (384 * 24 + 24) + 512 * 24 + 2 * 24 + 48;
    let layer = 4 * (24 * 24 + 24) + 48 + 2 * (24 * 24 + 24) + 48;
    assert_eq!(expected.0, json!(embedding + 2 * layer));
}

#[test]
fn a_model_directory_counts_what_its_weights_hold() {
    let dir = tiny_model();
    let shown = run(dir.path(), &["arch", "show", "model", "--json", "--seq", "8"]).json();
    assert_eq!(shown["name"], "model");
    assert_eq!(shown["parts"]["pooler"]["params"], json!(20));
    std::fs::write(dir.path().join("bare.json"), tiny_config().to_string()).unwrap();
    assert_eq!(
        run(dir.path(), &["arch", "show", "bare.json", "--json", "--seq", "8"]).json()["params"],
        shown["params"]
    );
}

#[test]
fn an_unknown_preset_lists_the_known_ones() {
    arch(&["show", "efficientbret"])
        .fails_with(2, &["`efficientbret` is no preset", "no such file", "efficientbert++", "mobilebert-tiny"]);
    arch(&["show", "models/none/config.json"]).fails_with(2, &["models/none/config.json", "no such file"]);
}

#[test]
fn sizes_that_would_be_ignored_are_wrong_usage() {
    arch(&["show", "bert-base", "--hidden", "24"]).fails_with(2, &["--hidden has no effect on `bert-base`", "hint:"]);
    arch(&["show", PLAIN, "--heads", "7"]).fails_with(2, &["`heads` = 7", "divide"]);
    arch(&["show", "bert-base", "--seq", "513"]).fails_with(2, &["--seq 513", "1 to 512"]);
    arch(&["show", "bert-base", "--seq", "0"]).fails_with(2, &["--seq 0"]);
}

#[test]
fn an_expression_that_is_not_valid_names_layer_and_rule() {
    let check = |text: &str| arch(&["check", text]);
    check(&format!("{PLAIN}; gelu(")).fails_with(1, &["layer 2", "column 6"]);
    check(&format!("{PLAIN}; {PLAIN}; linear1_1(linear1_1(x,wb1),wb2)")).fails_with(1, &["layer 3", "linear1_1"]);
    check("linear1_1(gelu(gelu(linear1_1(x,wb1))),wb2)").fails_with(1, &["layer 1", "gelu"]);
    check("linear1_2(gelu(max(linear1_2(x,wb1),x)),wb2); add(linear1_2(gelu(x),wb1),linear1_2(gelu(x),wb2))")
        .fails_with(1, &["layer 2"]);
    check("").fails_with(2, &["no preset"]);
    check(&"(".repeat(100_000)).fails_with(1, &[]);
}

#[test]
fn check_says_yes_and_json_says_why_not() {
    let good = arch(&["check", PLAIN, "--json"]).json();
    assert_eq!((&good["valid"], &good["layers"]), (&json!(true), &json!(1)));
    assert!(arch(&["check", "mobilebert"]).stdout.contains("valid, 24 layers with plain"));
    assert!(arch(&["check", "stage1-winner"]).stdout.contains("valid, 6 layers with searched"));
    let bad = arch(&["check", "x; x", "--json"]);
    assert_eq!(bad.code, Some(1));
    let value: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(value["valid"], json!(false));
    assert!(value["error"].as_str().unwrap().contains("layer 1"), "{value}");
}

#[test]
fn files_that_are_no_architecture_are_named() {
    let dir = folder();
    for (name, text, parts) in [
        ("broken.json", "{", &["broken.json", "EOF"][..]),
        ("empty.json", "{}", &["empty.json", "vocab_size"]),
        ("list.json", "[1, 2]", &["list.json", "JSON array of strings"]),
        ("text.txt", "hello\n", &["text.txt", "layer 1"]),
        ("nothing.txt", "", &["nothing.txt", "at least one layer"]),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        run(dir.path(), &["arch", "check", name]).fails_with(1, parts);
    }
    std::fs::write(dir.path().join("bytes.json"), [0xff, 0xfe, 0]).unwrap();
    run(dir.path(), &["arch", "check", "bytes.json"]).fails_with(1, &["bytes.json", "UTF-8"]);
    run(dir.path(), &["arch", "show", "."]).fails_with(1, &["config.json", "hint:"]);
}

#[test]
fn configurations_are_checked_field_by_field() {
    let dir = folder();
    for (field, value, parts) in [
        ("hidden_act", json!("gelo"), &["gelo", "gelu_new"][..]),
        ("num_attention_heads", json!(3), &["num_attention_heads", "divide"]),
        ("hidden_size", json!(0), &["hidden_size"]),
        ("hidden_size", json!(-4), &["-4"]),
        ("model_type", json!("gpt2"), &["gpt2", "mobilebert"]),
        ("position_embedding_type", json!("relative_key"), &["position_embedding_type"]),
        ("layers", json!([{ "expression": PLAIN, "stacks": 1, "ratio": 1 }]), &["layers", "efficientbert"]),
    ] {
        let mut config = tiny_config();
        config[field] = value;
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        run(dir.path(), &["arch", "check", "config.json"]).fails_with(1, &[&["config.json"], parts].concat());
    }
}

#[test]
fn samples_are_valid_within_limits_and_the_same_for_a_seed() {
    let args = ["sample", "--n", "4", "--min-params", "15M", "--max-params", "16M", "--json", "--seed"];
    let draw = |seed: &str| arch(&[&args[..], &[seed]].concat()).json();
    let first = draw("7");
    assert_eq!(first, draw("7"));
    assert_ne!(first["architectures"], draw("8")["architectures"]);
    let drawn = first["architectures"].as_array().unwrap();
    assert_eq!(drawn.len(), 4);
    for one in drawn {
        let params = one["params"].as_u64().unwrap();
        assert!((15_000_000..=16_000_000).contains(&params), "{params}");
        let shown = show(&[&one["expressions"].to_string()]);
        assert_eq!(shown["params_without_fit"], one["params"]);
        assert_eq!(shown["macs"], one["macs"]);
    }
    let lines = arch(&["sample", "--n", "3", "--layers", "2"]).stdout;
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines() {
        assert_eq!(arch(&["check", line]).code, Some(0), "{line}");
    }
}

#[test]
fn limits_that_no_architecture_keeps_are_an_error_with_the_range() {
    arch(&["sample", "--max-params", "1M"]).fails_with(1, &["keeps the limits", "hint: students of this shape have"]);
    arch(&["sample", "--min-params", "lots"]).fails_with(2, &["`lots` is not a count", "15M"]);
}
