//! All instruction sets of this machine compute the same model. Alone in its process: the limit holds for all threads.

mod reference;

use cpu_kernels::Isa;
use cpu_runtime::{Model, Outputs, Precision, Session};
use encoder_spec::Activation;
use mlp_space::Align;
use reference::{Forward, Sizes, difference, forward, ragged, relative, sequences};

#[test]
fn every_instruction_set_agrees_with_the_definition() {
    let searched = Forward::Searched {
        expression: "linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)".into(),
        align: Align::Cut,
        blocks: 2,
        inner: 67,
        extra: 0,
    };
    let plain = Forward::Plain { activation: Activation::GeluErf, blocks: 1, inner: 180 };
    let sizes = Sizes { embed: Some((24, true)), ..Sizes::plain(135, 3, vec![searched, plain]) };
    let mut batch = sequences(&sizes, &[1, 33, 70], 6);
    batch[1].mask[7] = 0;
    let encoder = sizes.encoder(11);
    let (mut hidden, mut logits) = (vec![], vec![]);
    for s in &batch {
        let (h, _, heads) = forward(&sizes, &encoder, s);
        hidden.extend(h.concat());
        logits.extend(heads[0].concat());
    }
    let ragged = ragged(&batch);
    for isa in Isa::ALL.into_iter().filter(|&isa| isa <= Isa::best()) {
        assert_eq!(Isa::limit(isa), isa);
        for (precision, bound) in [(Precision::F32, 2e-6), (Precision::Bf16, 0.02), (Precision::Int8, 0.05)] {
            let model = Model::compile(encoder.clone(), precision).unwrap();
            let mut session = Session::new(2);
            let out = session.run(&model, &ragged.as_batch(), Outputs { pooled: true, heads: &[0] }).unwrap();
            let error = relative(out.hidden, &hidden);
            assert!(error < bound, "{isa} {precision:?}: {error}");
            if precision == Precision::F32 {
                assert!(difference(out.heads().next().unwrap(), &logits) < 2e-5, "{isa}");
            } else {
                assert!(error > 1e-5, "{isa} {precision:?} rounds nothing: {error}");
            }
        }
    }
}
