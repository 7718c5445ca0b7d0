//! A model with a part of its word pieces computes for texts of these pieces what it did before, to the bit.

use bert_core::{
    BertConfig, EncodeOptions, ModelDir, Parts, TaskHeadConfig, TaskHeadKind, TaskModel, TokenBatch, preset,
};
use burn::tensor::{Device, Int, Tensor};
use proptest::prelude::*;

const PIECES: usize = 40;
const SEQ: usize = 7;

fn model(name: &str, seed: u64) -> ModelDir {
    let described = preset(name).unwrap();
    let config = BertConfig {
        vocab_size: PIECES,
        hidden_size: 24,
        intermediate_size: 24,
        num_attention_heads: 4,
        max_position_embeddings: 16,
        embedding_size: described.embedding_size.map(|_| 8),
        intra_bottleneck_size: described.intra_bottleneck_size.map(|_| 8),
        fit_size: None,
        num_hidden_layers: described.layers.len().max(2),
        task_heads: vec![TaskHeadConfig::new("t", TaskHeadKind::Classification, ["a", "b"].map(str::to_owned).into())],
        ..described
    };
    let parts = Parts::POOLER.with_words(&config);
    let model = TaskModel::new(&config, parts, &Device::flex()).unwrap().initialized(&config, seed);
    ModelDir { path: "m".into(), config, model }
}

/// Hidden states, the head's outputs and the scores of the words at all positions, for a text and another that is shorter.
fn outputs(dir: &ModelDir, ids: &[i32]) -> [Vec<f32>; 3] {
    let device = Device::flex();
    let mask: Vec<u8> = (0..ids.len()).map(|i| u8::from(i < SEQ || i % SEQ < 4)).collect();
    let batch = TokenBatch::from_host([ids.len() / SEQ, SEQ], ids, &vec![0; ids.len()], &mask, &device);
    let (encoded, logits) = dir.model.forward(&batch, 0, EncodeOptions::LAST);
    let positions = Tensor::<1, Int>::from_ints([0, 1, 2, 3], &device);
    let words = dir.model.words(encoded.last_hidden.clone(), positions).expect("a masked-LM head");
    let values = |data: burn::tensor::TensorData| data.try_into_vec_as::<f32>().unwrap();
    [values(encoded.last_hidden.into_data()), values(logits.into_data()), values(words.into_data())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn texts_of_kept_pieces_are_answered_to_the_bit(
        rows in prop::sample::subsequence((0..PIECES as u32).collect::<Vec<_>>(), 1..PIECES - 1),
        places in prop::collection::vec(any::<prop::sample::Index>(), 2 * SEQ),
        name in prop::sample::select(vec!["tinybert-4", "mobilebert", "mobilebert-tiny-reference", "efficientbert"]),
        seed in any::<u64>(),
    ) {
        let whole = model(name, seed);
        let small = whole.with_vocabulary(&rows, &Device::flex()).unwrap();
        prop_assert_eq!((small.config.vocab_size, small.model.parts()), (rows.len(), whole.model.parts()));
        let new: Vec<i32> = places.iter().map(|place| place.index(rows.len()) as i32).collect();
        let old: Vec<i32> = new.iter().map(|&id| rows[id as usize] as i32).collect();
        let [hidden, logits, words] = outputs(&whole, &old);
        let [small_hidden, small_logits, small_words] = outputs(&small, &new);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&hidden), bits(&small_hidden));
        prop_assert_eq!(bits(&logits), bits(&small_logits));
        let kept: Vec<f32> = words.chunks(PIECES).flat_map(|row| rows.iter().map(|&id| row[id as usize])).collect();
        prop_assert_eq!(bits(&kept), bits(&small_words));
    }
}
