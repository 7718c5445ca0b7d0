//! Which parameters a model has, under which paths and of which shapes: what checkpoints, random weights and descriptions of an
//! encoder go by.

use std::collections::BTreeMap;

use bert_core::weights::parameter_shapes;
use bert_core::{BertConfig, ModelType, NormKind, Parts, TaskHeadConfig, TaskHeadKind, TaskModel, student_config};
use burn::tensor::Device;
use mlp_space::Architecture;

/// One layer over 20 word pieces of width 12, with a head of two classes and a projection to width 10.
fn config() -> BertConfig {
    let labels = vec!["no".into(), "yes".into()];
    BertConfig {
        max_position_embeddings: 16,
        fit_size: Some(10),
        task_heads: vec![TaskHeadConfig::new("rte", TaskHeadKind::Classification, labels)],
        ..BertConfig::bert(20, 12, 1, 2, 30)
    }
}

/// What every model of [`config`] has outside of its layer, the word table `embed` wide.
fn around(embed: usize) -> Expected {
    let mut all = Expected::default();
    all.put("encoder.embeddings.word_embeddings.weight", &[20, embed]);
    all.put("encoder.embeddings.position_embeddings.weight", &[16, 12]);
    all.put("encoder.embeddings.token_type_embeddings.weight", &[2, 12]);
    all.norm("encoder.embeddings.norm", 12);
    all.linear("encoder.fit_dense", [10, 12]);
    all.linear("pooler", [12, 12]);
    all.linear("heads.0.dense", [2, 12]);
    all
}

#[derive(Default)]
struct Expected(BTreeMap<String, Vec<usize>>);

impl Expected {
    fn put(&mut self, path: &str, shape: &[usize]) {
        assert!(self.0.insert(path.into(), shape.into()).is_none(), "{path} twice");
    }

    fn norm(&mut self, path: &str, width: usize) {
        self.put(&format!("{path}.weight"), &[width]);
        self.put(&format!("{path}.bias"), &[width]);
    }

    /// `[out, in]`, as files hold it.
    fn linear(&mut self, path: &str, shape: [usize; 2]) {
        self.put(&format!("{path}.weight"), &shape);
        self.put(&format!("{path}.bias"), &shape[..1]);
    }

    fn attention(&mut self, width: usize, value_input: usize) {
        let path = "encoder.layers.0.attention";
        self.linear(&format!("{path}.query"), [width, width]);
        self.linear(&format!("{path}.key"), [width, width]);
        self.linear(&format!("{path}.value"), [width, value_input]);
        self.linear(&format!("{path}.output"), [width, width]);
        self.norm(&format!("{path}.norm"), width);
    }

    fn feed_forward(&mut self, blocks: usize, width: usize, inner: usize) {
        for block in 0..blocks {
            let path = format!("encoder.layers.0.feed_forward.blocks.{block}");
            self.linear(&format!("{path}.dense1"), [inner, width]);
            self.linear(&format!("{path}.dense2"), [width, inner]);
            self.norm(&format!("{path}.norm"), width);
        }
    }

    fn words(&mut self, width: usize) {
        self.linear("mlm.dense", [width, 12]);
        self.norm("mlm.norm", width);
        self.put("mlm.bias", &[20]);
    }

    fn are_those_of(self, model: &TaskModel) {
        let found = parameter_shapes(model);
        let missing: Vec<_> = self.0.iter().filter(|(path, shape)| found.get(*path) != Some(shape)).collect();
        let extra: Vec<_> = found.iter().filter(|(path, shape)| self.0.get(*path) != Some(shape)).collect();
        assert!(missing.is_empty() && extra.is_empty(), "expected {missing:?}, found {extra:?}");
    }
}

#[test]
fn a_plain_model_has_one_block_in_a_layer() {
    let mut expected = around(12);
    expected.attention(12, 12);
    expected.feed_forward(1, 12, 30);
    expected.words(12);
    let parts = Parts::POOLER.with_words(&config());
    expected.are_those_of(&TaskModel::new(&config(), parts, &Device::flex()).unwrap());
}

#[test]
fn a_mobilebert_has_a_bottleneck_and_several_blocks_and_words_of_its_own() {
    let config = BertConfig {
        model_type: ModelType::MobileBert,
        normalization_type: NormKind::NoNorm,
        embedding_size: Some(4),
        trigram_input: true,
        intra_bottleneck_size: Some(6),
        key_query_shared_bottleneck: true,
        num_feedforward_networks: 3,
        ..config()
    };
    let mut expected = around(4);
    expected.linear("encoder.embeddings.projection", [12, 12]);
    expected.attention(6, 12);
    expected.feed_forward(3, 6, 30);
    let path = "encoder.layers.0.bottleneck";
    for (part, shape, norm) in [("input", [6, 12], 6), ("attention", [6, 12], 6), ("output", [12, 6], 12)] {
        expected.linear(&format!("{path}.{part}"), shape);
        expected.norm(&format!("{path}.{part}_norm"), norm);
    }
    expected.words(12);
    expected.put("mlm.extra", &[8, 20]);
    let parts = Parts::POOLER.with_words(&config);
    expected.are_those_of(&TaskModel::new(&config, parts, &Device::flex()).unwrap());
}

#[test]
fn a_searched_student_has_the_blocks_of_its_expression_and_a_supernet_all_of_them() {
    let expression = "linear2_3(gelu(linear2_3(x,wb1)),wb2)".parse().unwrap();
    let frame = BertConfig { embedding_size: Some(4), trigram_input: true, ..config() };
    let config = student_config(&frame, &Architecture::new(vec![expression]).unwrap()).unwrap();
    let expected = |blocks, inner| {
        let mut expected = around(4);
        expected.linear("encoder.embeddings.projection", [12, 12]);
        expected.attention(12, 12);
        expected.feed_forward(blocks, 12, inner);
        expected
    };
    expected(2, 10).are_those_of(&TaskModel::new(&config, Parts::POOLER, &Device::flex()).unwrap());
    expected(4, 30).are_those_of(&TaskModel::supernet(&config, Parts::POOLER, &Device::flex()).unwrap());
}
