//! The modules have the weights that the description of an encoder lists.

use bert_core::weights::parameter_shapes;
use bert_core::{
    BertConfig, ModelType, NormKind, PRESETS, Parts, TaskHeadConfig, TaskHeadKind, TaskModel, preset, student_config,
};
use burn::tensor::Device;
use encoder_spec::Encoder;
use mlp_space::{Architecture, Space, Widths};
use proptest::prelude::*;

fn agree(config: &BertConfig, parts: Parts) {
    let device = Device::flex();
    let spec = Encoder::describe(config, parts).unwrap();
    spec.check().unwrap();
    let model = TaskModel::new(config, parts, &device).unwrap();
    assert_eq!(spec.weights(), parameter_shapes(&model));
    assert_eq!(spec.parts(), parts);
    if config.model_type == ModelType::EfficientBert {
        let spec = Encoder::supernet(config, parts).unwrap();
        spec.check().unwrap();
        assert_eq!(spec.weights(), parameter_shapes(&TaskModel::supernet(config, parts, &device).unwrap()));
    }
}

#[test]
fn every_preset_has_the_weights_of_its_description() {
    for name in PRESETS {
        let config = preset(name).unwrap();
        for parts in [Parts::NONE, Parts::published(config.model_type), Parts::POOLER.with_words(&config)] {
            agree(&config, parts);
        }
    }
}

fn heads() -> impl Strategy<Value = Vec<TaskHeadConfig>> {
    let kinds = [
        TaskHeadKind::Classification,
        TaskHeadKind::MultiLabel,
        TaskHeadKind::Regression,
        TaskHeadKind::Span,
        TaskHeadKind::Tags,
    ];
    let head = (prop::sample::select(kinds.to_vec()), 1..4usize).prop_map(|(kind, labels)| {
        TaskHeadConfig::new("a task", kind, (0..labels).map(|label| label.to_string()).collect())
    });
    prop::collection::vec(head, 0..3)
}

prop_compose! {
    /// A plain BERT or a MobileBERT of any of its forms.
    fn plain()(
        [layers, heads, head_width, inner, vocab] in [1..4usize, 1..4usize, 1..5usize, 1..30usize, 5..40usize],
        bottleneck in prop::option::of(1..4usize),
        [shared, within, normed, tied, no_norm, trigram] in any::<[bool; 6]>(),
        embed in prop::option::of(1..9usize),
        (blocks, fit, task_heads) in (1..4usize, prop::option::of(1..9usize), heads()),
    ) -> BertConfig {
        let hidden = heads * head_width;
        BertConfig {
            model_type: if bottleneck.is_some() { ModelType::MobileBert } else { ModelType::Bert },
            intra_bottleneck_size: bottleneck.map(|width| width * heads),
            key_query_shared_bottleneck: shared,
            use_bottleneck_attention: within,
            bottleneck_norm: normed,
            tie_key_query: tied,
            normalization_type: if no_norm { NormKind::NoNorm } else { NormKind::LayerNorm },
            embedding_size: embed,
            trigram_input: trigram && embed.is_some(),
            num_feedforward_networks: blocks,
            fit_size: fit,
            task_heads,
            ..BertConfig::bert(vocab, hidden, layers, heads, inner)
        }
    }
}

prop_compose! {
    /// A student with drawn expressions.
    fn searched()(
        (frame, layers, seed) in (plain(), 1..4usize, any::<u64>()),
        quarter in 1..8usize,
    ) -> BertConfig {
        let hidden = 4 * quarter;
        let space = Space::runnable(Widths::square(hidden));
        let mut rng = run_store::rng::keyed(seed, "drawn student", &[]);
        let drawn = (0..layers).map(|_| space.sample(None, &mut rng).unwrap()).collect();
        let frame = BertConfig {
            hidden_size: hidden,
            intermediate_size: hidden,
            num_attention_heads: 4,
            intra_bottleneck_size: None,
            num_feedforward_networks: 1,
            ..frame
        };
        student_config(&frame, &Architecture::new(drawn).unwrap()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_configuration_has_the_weights_of_its_description(
        config in prop_oneof![plain(), searched()],
        pooler: bool,
        mlm: bool,
    ) {
        let parts = Parts { pooler, ..Parts::NONE };
        agree(&config, if mlm { parts.with_words(&config) } else { parts });
    }
}
