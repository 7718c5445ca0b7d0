//! Sizes of the published students, exactly.

use mlp_space::released::preset;
use mlp_space::{Architecture, Cost, StudentShape};

fn check(name: &str, shape: &StudentShape, with_fit: u64, without_fit: u64, macs: u64) {
    let arch: Architecture = preset(name).unwrap();
    assert_eq!(shape.cost(arch.ids(), 128), Cost { params: with_fit, macs }, "{name}");
    let deployed = StudentShape { fit: None, ..shape.clone() };
    assert_eq!(deployed.cost(arch.ids(), 128), Cost { params: without_fit, macs }, "{name} without projection");
}

#[test]
fn published_students_have_the_published_sizes() {
    let (full, tiny) = (StudentShape::efficientbert(), StudentShape::efficientbert_tiny());
    // 1.526, 0.708 and 1.398 G multiply-adds at 128 tokens.
    check("efficientbert", &full, 15_737_724, 15_322_236, 1_526_169_600);
    check("efficientbert", &tiny, 9_375_144, 9_097_896, 707_788_800);
    check("efficientbert++", &tiny, 14_241_864, 13_964_616, 1_397_882_880);
}

#[test]
fn warm_up_supernet_and_stage_winners_have_the_published_sizes() {
    let shape = StudentShape::efficientbert();
    for (name, parameters) in [("warm-up", 25_875_324), ("stage1-winner", 15_400_449), ("stage2-winner", 15_400_449)] {
        assert_eq!(shape.parameters(preset(name).unwrap().ids()), parameters, "{name}");
    }
}

#[test]
fn a_classifier_adds_a_pooler_and_one_output_per_class() {
    assert_eq!(StudentShape::efficientbert().classifier_parameters(3), 540 * 540 + 540 + 3 * 540 + 3);
}
