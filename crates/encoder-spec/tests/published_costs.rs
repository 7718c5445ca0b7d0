//! Sizes of the published students, exactly.

use encoder_spec::{Cost, Encoder, Parts, TaskHeadConfig, TaskHeadKind, preset, student_config, student_frame};
use mlp_space::cost::{MAX_SIZE, feed_forward};
use mlp_space::{Architecture, StudentShape, released};

fn cost(shape: &StudentShape, architecture: &Architecture) -> Cost {
    let frame = student_frame(shape, architecture.layers().len());
    let encoder = Encoder::describe(&student_config(&frame, architecture).unwrap(), Parts::NONE).unwrap();
    let count = encoder.count(128);
    for (layer, id) in count.layers.iter().zip(architecture.ids()) {
        let Cost { params, macs } = feed_forward(*id, shape.hidden, shape.base);
        assert_eq!(*layer, Cost { params, macs: 128 * macs }, "linear{id}");
    }
    Cost { params: count.params(), macs: count.macs() }
}

fn check(name: &str, shape: &StudentShape, with_fit: u64, without_fit: u64, macs: u64) {
    let architecture = released::preset(name).unwrap();
    assert_eq!(cost(shape, &architecture), Cost { params: with_fit, macs }, "{name}");
    let deployed = StudentShape { fit: None, ..shape.clone() };
    assert_eq!(cost(&deployed, &architecture), Cost { params: without_fit, macs }, "{name} without projection");
}

#[test]
fn published_students_have_the_published_sizes() {
    let full = StudentShape::efficientbert();
    let tiny = StudentShape { hidden: 360, base: 360, ..full.clone() };
    // 1.526, 0.708 and 1.398 G multiply-adds at 128 tokens.
    check("efficientbert", &full, 15_737_724, 15_322_236, 1_526_169_600);
    check("efficientbert", &tiny, 9_375_144, 9_097_896, 707_788_800);
    check("efficientbert++", &tiny, 14_241_864, 13_964_616, 1_397_882_880);
}

#[test]
fn warm_up_supernet_and_stage_winners_have_the_published_sizes() {
    let shape = StudentShape::efficientbert();
    for (name, params) in [("warm-up", 25_875_324), ("stage1-winner", 15_400_449), ("stage2-winner", 15_400_449)] {
        assert_eq!(cost(&shape, &released::preset(name).unwrap()).params, params, "{name}");
    }
}

#[test]
fn a_classifier_adds_a_pooler_and_one_output_per_class() {
    let config = preset("efficientbert").unwrap();
    let labels = ["a", "b", "c"].map(String::from).to_vec();
    let head = TaskHeadConfig::new("mnli", TaskHeadKind::Classification, labels);
    let params = |parts, task_heads| {
        let config = encoder_spec::BertConfig { task_heads, ..config.clone() };
        Encoder::describe(&config, parts).unwrap().count(128).params()
    };
    assert_eq!(params(Parts::POOLER, vec![head]) - params(Parts::NONE, vec![]), 540 * 540 + 540 + 3 * 540 + 3);
}

#[test]
fn modernberts_have_the_sizes_that_transformers_counts_and_pay_for_near_tokens_only() {
    let words = Parts { mlm: true, ..Parts::POOLER };
    for (name, with_words, alone) in
        [("modernbert-base", 149_655_232, 149_014_272), ("modernbert-large", 395_881_664, 394_781_696)]
    {
        let config = preset(name).unwrap();
        let params = |parts| Encoder::describe(&config, parts).unwrap().count(128).params();
        assert_eq!((params(words), params(Parts::NONE)), (with_words, alone), "{name}");
    }
    let encoder = Encoder::describe(&preset("modernbert-base").unwrap(), Parts::NONE).unwrap();
    for tokens in [32u64, 65, 1024] {
        let maps = 22 * (4 * 768 * 768 + 3 * 768 * 1152) * tokens;
        // 8 layers are global, and 14 see 64 tokens on each side.
        let near = (0..tokens).map(|at| at.min(64) + 1 + (tokens - 1 - at).min(64)).sum::<u64>();
        let attention = 2 * 768 * (8 * tokens * tokens + 14 * near);
        assert_eq!(encoder.count(tokens as usize).macs(), maps + attention, "{tokens} tokens");
    }
}

#[test]
fn counts_of_the_largest_sizes_saturate() {
    let n = MAX_SIZE;
    let shape =
        StudentShape { vocab: n, embed: n, hidden: n, base: n, heads: 1, max_positions: n, segments: n, fit: Some(n) };
    let architecture = released::preset("warm-up").unwrap();
    let config = student_config(&student_frame(&shape, 6), &architecture).unwrap();
    let count = Encoder::describe(&config, Parts::NONE).unwrap().count(usize::MAX);
    assert!(count.params() > 1 << 50);
    assert_eq!(count.macs(), u64::MAX);
}
