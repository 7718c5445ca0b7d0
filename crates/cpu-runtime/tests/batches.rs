//! What is in a batch together, and on how many threads, changes nothing; what does not fit is an error.

mod reference;

use std::sync::atomic::{AtomicU64, Ordering};

use cpu_runtime::{Batch, Error, Model, Outputs, Precision, Ragged, Session};
use encoder_spec::{Activation, Floats, Program};
use mlp_space::Align;
use reference::{Encoder, Forward, Narrow, Sizes, ragged, sequences};

fn sizes() -> Sizes {
    let searched = |expression: &str| Forward::Searched {
        expression: expression.into(),
        align: Align::Cut,
        blocks: 2,
        inner: 45,
        extra: 0,
    };
    let layers = vec![
        searched("linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)"),
        searched("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)"),
    ];
    Sizes { embed: Some((20, true)), ..Sizes::plain(90, 2, layers) }
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
const WANT: Outputs<'_> = Outputs { pooled: true, heads: &[0, 2, 3] };

fn run(model: &Model, batch: &Batch<'_>, threads: usize) -> Vec<Vec<f32>> {
    let mut session = Session::new(threads);
    let out = session.run(model, batch, WANT).unwrap();
    let heads = out.heads().map(<[f32]>::to_vec);
    [out.hidden.to_vec(), out.pooled.to_vec()].into_iter().chain(heads).collect()
}

#[test]
fn a_batch_gives_bit_for_bit_what_its_sequences_give_alone() {
    let sizes = sizes();
    for precision in PRECISIONS {
        let model = Model::compile(sizes.encoder(2), precision).unwrap();
        let mut all = sequences(&sizes, &[1, 128, 17, 32, 33, 90, 5, 128, 128, 101], 4);
        all[5].mask[20] = 0;
        let together = run(&model, &ragged(&all).as_batch(), 2);
        let mut session = Session::new(1);
        let mut apart = vec![vec![]; 5];
        for one in &all {
            let ragged = ragged(std::slice::from_ref(one));
            let out = session.run(&model, &ragged.as_batch(), WANT).unwrap();
            for (all, one) in apart.iter_mut().zip([out.hidden, out.pooled].into_iter().chain(out.heads())) {
                all.extend_from_slice(one);
            }
        }
        assert!(together == apart, "{precision:?}");
    }
}

#[test]
fn the_timed_parts_are_those_of_the_description_and_their_times_leave_nothing_out() {
    let sizes = sizes();
    let encoder = sizes.encoder(2);
    let parts = cpu_runtime::parts(&encoder.map(|_, weight| weight.shape.clone())).unwrap();
    let names: Vec<String> = parts.iter().map(ToString::to_string).collect();
    assert_eq!(names[..2], ["trigram 60", "pack 60"]);
    assert_eq!(names.iter().filter(|name| *name == "product 90 x 45, gelu").count(), 2, "{names:?}");
    let model = Model::compile(encoder, Precision::F32).unwrap();
    for (lengths, threads) in [(&[128][..], 1), (&[128], 2), (&[20], 2), (&[100], 3), (&[128; 9], 2)] {
        let batch = ragged(&sequences(&sizes, lengths, 4));
        // A clock that goes on by 10 whenever somebody looks at it.
        let clock = AtomicU64::new(0);
        let now = || clock.fetch_add(10, Ordering::SeqCst);
        let laps = Session::new(threads).time_parts(&model, &batch.as_batch(), &now).unwrap();
        assert_eq!(laps.len(), parts.len());
        for (lap, name) in laps.iter().zip(&names) {
            assert!(lap.readings > 0 && lap.time == 10 * u64::from(lap.readings), "{name}, {threads} threads: {lap:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let sizes = Sizes { narrow: Narrow::Shared, width: 48, ..sizes() };
    let layers = vec![Forward::Plain { activation: Activation::GeluErf, blocks: 2, inner: 70 }; 2];
    let sizes = Sizes { layers, ..sizes };
    for precision in PRECISIONS {
        let model = Model::compile(sizes.encoder(2), precision).unwrap();
        for lengths in [&[128][..], &[40, 100, 3], &[64; 9]] {
            let ragged = ragged(&sequences(&sizes, lengths, 8));
            let alone = run(&model, &ragged.as_batch(), 1);
            for threads in [2, 3, 5] {
                assert!(run(&model, &ragged.as_batch(), threads) == alone, "{precision:?} {lengths:?} {threads}");
            }
        }
    }
}

#[test]
fn a_session_serves_models_and_batches_of_changing_size() {
    let (small, large) =
        (sizes(), Sizes::plain(64, 4, vec![Forward::Plain { activation: Activation::Relu, blocks: 1, inner: 200 }]));
    let models = [&small, &large].map(|s| Model::compile(s.encoder(3), Precision::F32).unwrap());
    let mut session = Session::new(2);
    for lengths in [&[20][..], &[128, 128, 128], &[2, 3], &[100]] {
        for (sizes, model) in [&small, &large].into_iter().zip(&models) {
            let ragged = ragged(&sequences(sizes, lengths, 5));
            let out = session.run(model, &ragged.as_batch(), WANT).unwrap().hidden.to_vec();
            assert!(out == run(model, &ragged.as_batch(), 1)[0]);
        }
    }
}

#[test]
fn only_what_was_asked_for_is_computed() {
    let sizes = sizes();
    let model = Model::compile(sizes.encoder(2), Precision::F32).unwrap();
    let ragged = ragged(&sequences(&sizes, &[4, 6], 4));
    let mut session = Session::new(1);
    let mut lengths = |want| {
        let out = session.run(&model, &ragged.as_batch(), want).unwrap();
        [out.hidden.len(), out.pooled.len(), out.heads().map(<[f32]>::len).sum()]
    };
    assert_eq!(lengths(Outputs::default()), [900, 0, 0]);
    assert_eq!(lengths(Outputs { pooled: true, heads: &[] }), [900, 180, 0]);
    assert_eq!(lengths(Outputs { pooled: false, heads: &[0] }), [900, 180, 6]);
    assert_eq!(lengths(Outputs { pooled: false, heads: &[1] }), [900, 0, 20]);
    assert_eq!(lengths(Outputs { pooled: false, heads: &[1, 0, 1] }), [900, 180, 46]);
    let several = session.run(&model, &ragged.as_batch(), Outputs { pooled: false, heads: &[1, 0] }).unwrap();
    let several: Vec<Vec<f32>> = several.heads().map(<[f32]>::to_vec).collect();
    for (head, values) in [1, 0].into_iter().zip(several) {
        let alone = session.run(&model, &ragged.as_batch(), Outputs { pooled: false, heads: &[head] }).unwrap();
        assert_eq!(alone.heads().next().unwrap(), values);
    }
    let nothing = session.run(&model, &Ragged::new().as_batch(), WANT).unwrap();
    assert!(nothing.hidden.is_empty() && nothing.heads().all(<[f32]>::is_empty));
}

#[test]
fn batches_that_do_not_fit_are_errors_with_a_place() {
    let sizes = sizes();
    let model = Model::compile(sizes.encoder(2), Precision::F32).unwrap();
    let mut session = Session::new(1);
    let mut error = |batch: Batch<'_>, heads: &[usize]| {
        session.run(&model, &batch, Outputs { pooled: false, heads }).unwrap_err().to_string()
    };
    let good = Batch { ids: &[1, 2, 3], offsets: &[0, 1, 3], ..Batch::default() };
    assert_eq!(error(Batch { ids: &[1, 60, 3], ..good }, &[]), "token 1: token id 60, but the table has 60 rows");
    assert_eq!(error(Batch { segments: &[0, 0, 2], ..good }, &[]), "token 2: segment id 2, but the table has 2 rows");
    assert_eq!(
        error(Batch { followers: &[None, Some(99)], ..good }, &[]),
        "token 2: token id 99, but the table has 60 rows"
    );
    assert_eq!(error(Batch { offsets: &[0, 0, 3], ..good }, &[]), "sequence 0 has 0 tokens; the model takes 1 to 140");
    let long = vec![0; 141];
    let message = error(Batch { ids: &long, offsets: &[0, 141], ..Batch::default() }, &[]);
    assert_eq!(message, "sequence 0 has 141 tokens; the model takes 1 to 140");
    for offsets in [&[][..], &[0, 2], &[1, 3], &[0, 3, 1, 3]] {
        assert!(error(Batch { offsets, ..good }, &[]).contains("offsets must rise from 0"), "{offsets:?}");
    }
    assert!(error(Batch { mask: &[1], ..good }, &[]).contains("1 mask values, expected 3"));
    assert_eq!(error(good, &[1, 6]), "head 6 does not exist: the model has 6");
}

#[test]
fn encoders_whose_parts_do_not_fit_are_errors_with_names() {
    let sizes = sizes();
    let set = |data: &mut Floats, at: usize, value: f32| {
        let mut values = data.to_vec();
        values[at] = value;
        *data = values.into();
    };
    let message = |change: &dyn Fn(&mut Encoder)| {
        let mut encoder = sizes.encoder(1);
        change(&mut encoder);
        let error = Model::compile(encoder, Precision::F32).unwrap_err();
        assert!(!matches!(error, Error::Batch(_)));
        error.to_string()
    };
    assert_eq!(
        message(&|e| e.layers[1].attention.as_mut().unwrap().heads = 7),
        "layer 2, attention heads: expected a divisor of 90, found 7"
    );
    assert_eq!(
        message(&|e| e.embedding.norm.weight.shape = vec![3]),
        "embedding norm, weight: expected shape [90], found [3]"
    );
    let bias = message(&|e| set(&mut e.heads[1].dense.as_mut().unwrap().bias.as_mut().unwrap().data, 0, f32::NAN));
    assert_eq!(bias, "heads.1.dense.bias: holds a value that is not finite");
    let table = message(&|e| set(&mut e.embedding.words.data, 7, f32::INFINITY));
    assert!(table.contains("word_embeddings.weight: holds"), "{table}");
    assert_eq!(
        message(&|e| e.layers[0].attention.as_mut().unwrap().query.weight.shape[1] = 80),
        "layer 1, query: expected 90 inputs, found 80"
    );
    assert_eq!(
        message(&|e| e.layers[0].attention.as_mut().unwrap().value.weight.shape = vec![8100]),
        "layer 1, value: expected a matrix, found shape [8100]"
    );
    let program = message(&|e| {
        let expression = "linear1_2(x,wb1)".parse().unwrap();
        e.layers[0].feed_forward.program = Program::searched(&expression, Align::Cut);
    });
    assert_eq!(program, "layer 1, feed-forward: the result has 45 channels; the residual needs 90");
    let narrow = message(&|e| e.layers[0].feed_forward.inner = 46);
    assert_eq!(narrow, "layer 1, feed-forward 1, dense1: expected at least 46 inner channels, found 45");
}

#[test]
fn values_of_another_number_than_the_shape_says_are_refused() {
    let sizes = sizes();
    let mut encoder = sizes.encoder(1);
    let data = &mut encoder.layers[0].attention.as_mut().unwrap().output.weight.data;
    *data = data[1..].to_vec().into();
    let message = Model::compile(encoder, Precision::F32).unwrap_err().to_string();
    assert!(message.contains("attention.output.weight") && message.contains("8100"), "{message}");
}
