//! `--device`: several devices, and others than the processor.

use std::path::Path;

use bert_core::weights::Tensors;

use crate::support::{pocket_folder, run, snapshot, test_device, tiny_model};

fn train(dir: &Path, out: &str, more: &[&str]) {
    let fixed =
        ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--steps", "4", "--learning-rate"];
    let sizes = ["1e-3", "--batch-size", "8", "--max-len", "16", "--out", out];
    let outcome = run(dir, &[&fixed[..], &sizes, more].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

fn weights(dir: &Path, name: &str) -> Tensors {
    Tensors::read_safetensors(&dir.join(name).join("model.safetensors")).unwrap()
}

#[test]
fn several_devices_share_the_steps_of_a_training() {
    let dir = pocket_folder(&[]);
    train(dir.path(), "shared", &["--device", "cpu,cpu"]);
    train(dir.path(), "parts", &["--accumulate", "2"]);
    assert_eq!(weights(dir.path(), "shared"), weights(dir.path(), "parts"));

    let distill = |out: &str, more: &[&str]| {
        let fixed =
            ["distill", "--teacher", "shared", "--arch", "linear1_1(gelu(linear1_1(x,wb1)),wb2)", "--task", "sst-2"];
        let rest =
            ["--hidden", "8", "--heads", "2", "--data", "pocket", "--steps", "3", "--max-len", "16", "--out", out];
        let outcome = run(dir.path(), &[&fixed[..], &rest, more].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    };
    distill("student", &["--device", "cpu,cpu", "--teacher-cache", "answers"]);
    distill("student-parts", &["--accumulate", "2"]);
    assert_eq!(weights(dir.path(), "student"), weights(dir.path(), "student-parts"));
}

#[test]
fn a_list_of_devices_is_refused_where_one_is_meant_and_where_it_makes_no_sense() {
    let dir = tiny_model();
    for (device, reasons) in [
        ("cpu,cpu", &["only teacher, distill and search", "name one device"][..]),
        ("cpu:1", &["no number"]),
        ("gpu", &["unknown device `gpu`: one of cpu, cuda, wgpu"]),
        ("cuda:0,wgpu:0", &["devices of one kind"]),
        ("cuda:0,cuda:0", &["named twice"]),
    ] {
        run(dir.path(), &["arch", "show", "bert-base", "--device", device]).fails_with(2, reasons);
    }
}

#[test]
fn a_training_on_another_device_ends_where_the_processor_does() {
    let Some(device) = test_device() else {
        test_support::skipped("EFFICIENTBERT_TEST_DEVICE names no other device than the cpu");
        return;
    };
    let dir = pocket_folder(&[]);
    train(dir.path(), "here", &["--dropout", "0"]);
    train(dir.path(), "there", &["--dropout", "0", "--device", &device]);
    let (here, there) = (weights(dir.path(), "here"), weights(dir.path(), "there"));
    let start = weights(dir.path(), "bert");
    let (mut moved, mut off) = (0.0f32, 0.0f32);
    for (name, tensor) in &here.0 {
        // The loss does not depend on the bias of the keys: its gradient is rounding, which Adam scales up to full steps.
        if name.ends_with("key.bias") {
            continue;
        }
        let far = |other: &Tensors| {
            let found = other.0.iter().find(|(known, _)| name.ends_with(known.as_str()));
            let pairs = found.map(|(_, other)| tensor.data.iter().zip(&other.data)).into_iter().flatten();
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        moved = moved.max(far(&start));
        off = off.max(far(&there));
    }
    assert!(moved > 1e-3 && off < 1e-3 && off < moved / 4.0, "off by {off:e} of {moved:e}");

    // In short floats it trains, or refuses before anything is begun.
    for precision in ["bf16", "f16"] {
        let before = snapshot(dir.path());
        let short = ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--steps", "1", "--out"];
        let short = [&short[..], &[precision, "--device", &device, "--precision", precision]].concat();
        let short = run(dir.path(), &short);
        println!("{precision} on {device}: {}", if short.code == Some(0) { "trains" } else { "refused" });
        if short.code != Some(0) {
            short.fails_with(2, &[&format!("{precision} is not available on this device; use f32")]);
            assert_eq!(snapshot(dir.path()), before);
        }
    }

    let number = format!("{device}:999");
    run(dir.path(), &["arch", "show", "bert-base", "--device", &number])
        .fails_with(1, &[&format!("--device {number}")]);
}
