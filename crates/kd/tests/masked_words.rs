//! Learning hidden words: what a step's term is, whole and in parts, and who is asked for it.

#[allow(dead_code)]
mod counted;
#[allow(dead_code)]
mod hidden;

use std::path::Path;

use bert_core::ModelType;
use bert_core::weights::{Tensors, apply_internal, collect_internal};
use burn::module::Module;
use burn::tensor::Device;
use corpus::MaskSettings;
use counted::Counted;
use glue_squad::batch::EncodedBatch;
use hidden::{HALF, MASK, STEPS, Texts, all_scores, config, encoder, job, mask, mobile, model, plan, value};
use train::data::to_device;
use train::engine::{Job, MicroBatch};
use train::mlm::WordMask;
use train::optim::Gradients;
use train::text::TextSource;

fn log_softmax(row: &[f64], t: f64) -> Vec<f64> {
    let sum: f64 = row.iter().map(|v| (v / t).exp()).sum();
    row.iter().map(|v| v / t - sum.ln()).collect()
}

#[test]
fn the_term_of_a_step_is_the_formula_over_what_is_hidden_in_it() {
    for config in [config(), mobile()] {
        let (teacher, student, text) = (model(&config, 1), model(&config, 2), Texts::new());
        let section = "[distill.mlm]\nteacher = 0.3\ntemperature = 2.0\nweight = 1.5\nmask = { probability = 0.4 }";
        let plan = plan(section, &config);
        let mask = mask(&plan);
        for step in [0, 7] {
            let found =
                job(&plan, &teacher, &text, &mask).loss(&student, MicroBatch::whole(step), &Device::flex()).unwrap();
            assert_eq!(found.0.iter().map(|t| t.0).collect::<Vec<_>>(), ["mlm"]);
            let hidden = mask.hide(text.batch(step).unwrap(), step / 6);
            let tokens = to_device(&hidden.batch, &Device::flex());
            let (ours, theirs) = (all_scores(&student, &tokens), all_scores(&teacher, &tokens));
            let (places, words) = hidden.places();
            assert!(places.len() > 4, "{places:?}");
            let at = |(&place, &word): (&i32, &i32)| {
                let (s, t) = (&ours[place as usize], &theirs[place as usize]);
                let soft: f64 = log_softmax(t, 2.0).iter().zip(log_softmax(s, 2.0)).map(|(p, q)| -p.exp() * q).sum();
                0.3 * 4.0 * soft - 0.7 * log_softmax(s, 1.0)[word as usize]
            };
            let expected = 1.5 * places.iter().zip(&words).map(at).sum::<f64>() / places.len() as f64;
            let found = value(&found.total());
            assert!((found - expected).abs() < 2e-5 * expected, "{found} instead of {expected}");
        }
    }
}

#[test]
fn gradients_of_the_term_are_its_slopes_in_encoder_head_and_shared_table() {
    const STEP: f32 = 5e-3;
    for config in [config(), mobile()] {
        let (teacher, student, text) = (model(&config, 1), model(&config, 2), Texts::new());
        let plan = plan(HALF, &config);
        let mask = mask(&plan);
        let job = job(&plan, &teacher, &text, &mask);
        let tracked = student.clone().train();
        let gradients =
            Gradients::of(&job.loss(&tracked, MicroBatch::whole(1), &Device::flex()).unwrap().total(), &tracked);
        let weights = collect_internal(&student);
        let mut names =
            vec!["mlm.bias", "mlm.dense.bias", "mlm.norm.weight", "encoder.embeddings.word_embeddings.weight"];
        names.push("encoder.layers.0.attention.value.bias");
        names.extend((config.model_type == ModelType::MobileBert).then_some("mlm.extra"));
        for name in names {
            let found = gradients.get(name).unwrap_or_else(|| panic!("{name} has no gradient"));
            let size = found.iter().map(|g| g.abs()).fold(0.0, f32::max);
            assert!(size > 1e-3, "{name}: no gradient at all");
            for i in (0..found.len()).step_by(found.len().div_ceil(12)) {
                let moved = |by: f32| {
                    let mut weights = Tensors(weights.0.clone());
                    weights.0.get_mut(name).unwrap().data[i] += by;
                    let model = apply_internal(student.clone(), weights, Path::new("moved")).unwrap();
                    value(&job.loss(&model, MicroBatch::whole(1), &Device::flex()).unwrap().total())
                };
                let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let off = (slope - f64::from(found[i])).abs();
                assert!(off < 3e-3 + 0.02 * slope.abs(), "{name} {i}: {} against {slope}", found[i]);
            }
        }
    }
}

#[test]
fn the_parts_of_a_step_add_up_to_the_whole_however_many_words_each_hides() {
    let (teacher, student, text) = (model(&config(), 1), model(&config(), 2).train(), Texts::new());
    let layers = "[distill]\npreset = \"mobilebert\"\n[distill.mlm]\nmask = { probability = 0.4 }";
    for section in [HALF, layers] {
        let plan = plan(section, &config());
        let mask = mask(&plan);
        let job = job(&plan, &teacher, &text, &mask);
        let mut uneven = 0;
        for step in 0..6 {
            let hidden = mask.hide(text.batch(step).unwrap(), 0);
            let rows = hidden.batch.batch;
            uneven += usize::from(hidden.rows(0..rows / 2).count() != hidden.rows(rows / 2..rows).count());
            let taken_in = |of: u32| {
                let (mut sum, mut gradients) = (0.0, Gradients::default());
                for index in 0..of {
                    let terms = job.loss(&student, MicroBatch { step, index, of }, &Device::flex()).unwrap();
                    if !terms.0.is_empty() {
                        sum += value(&terms.total());
                        gradients.add(Gradients::of(&terms.total(), &student));
                    }
                }
                (sum, gradients.global_norm())
            };
            let whole = taken_in(1);
            for of in [2, 3, 5] {
                let parts = taken_in(of);
                let close = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs();
                assert!(close(parts.0, whole.0) && close(parts.1, whole.1), "{of} parts: {parts:?} {whole:?}");
            }
        }
        assert!(uneven > 2, "halves that hide as many words show nothing");
    }
}

#[test]
fn the_teacher_is_asked_for_what_counts_and_for_nothing_else() {
    let (student, text) = (model(&config(), 2), Texts::new());
    let check = |section: &str, step: u64, names: &[&str], asked: [u64; 3]| {
        let counted = Counted::of(config(), model(&config(), 1));
        let plan = plan(section, &config());
        let mask = mask(&plan);
        let terms =
            job(&plan, &counted, &text, &mask).loss(&student, MicroBatch::whole(step), &Device::flex()).unwrap();
        assert_eq!(terms.0.iter().map(|t| t.0).collect::<Vec<_>>(), names, "{section}");
        assert_eq!(counted.asked(), asked, "{section}");
    };
    check("[distill.mlm]", 0, &["mlm"], [0, 0, 1]);
    check("[distill.mlm]\nteacher = 0.0", 0, &["mlm"], [0, 0, 0]);
    let joint = "[distill]\npreset = \"mobilebert-joint\"\n[distill.mlm]";
    check(joint, 0, &["attention", "hidden", "mean", "variance"], [1, 0, 0]);
    check(joint, STEPS - 1, &["mlm"], [0, 0, 1]);
    let auxiliary = "[distill]\npreset = \"mobilebert\"\n[distill.mlm]";
    check(auxiliary, 0, &["attention", "hidden", "mean", "variance", "mlm"], [0, 0, 1]);
    check(&format!("{auxiliary}\nteacher = 0.0"), 0, &["attention", "hidden", "mean", "variance", "mlm"], [1, 0, 0]);
}

#[test]
fn what_is_hidden_follows_from_seed_epoch_and_sequence_and_not_from_the_batch() {
    let text = Texts::new();
    let of = |seed: u64| WordMask::new(&MaskSettings::default(), &encoder(), seed).unwrap();
    let batch = text.batch(2).unwrap();
    let hidden = of(1).hide(batch.clone(), 3);
    assert_eq!(hidden, of(1).hide(batch.clone(), 3));
    let everywhere = |seed, epoch| {
        let places = |step| of(seed).hide(text.batch(step).unwrap(), epoch).places();
        (0..6).map(places).collect::<Vec<_>>()
    };
    assert_ne!(everywhere(1, 3), everywhere(1, 4));
    assert_ne!(everywhere(1, 3), everywhere(2, 3));
    for row in 0..batch.batch {
        assert_eq!(hidden.rows(row..row + 1), of(1).hide(batch.rows(row..row + 1), 3), "row {row} alone");
    }
    // Every hidden place is a word of the text, and nothing else has changed.
    let (places, words) = hidden.places();
    assert!(words.iter().zip(&places).all(|(&word, &at)| word > MASK && batch.ids[at as usize] == word));
    let changed = (0..batch.ids.len()).filter(|&i| batch.ids[i] != hidden.batch.ids[i]);
    assert!(changed.into_iter().all(|i| places.contains(&(i as i32))));
    let others = |b: &EncodedBatch| (b.mask.clone(), b.type_ids.clone(), b.indices.clone(), b.seq);
    assert_eq!(others(&batch), others(&hidden.batch));
    let masks = (0..12).flat_map(|step| of(1).hide(text.batch(step % 6).unwrap(), step / 6).batch.ids);
    assert!(masks.filter(|&id| id == MASK).count() > 20);
}
