//! Objectives: what they learn in which step, and what is refused before any training.

use kd::objective::{
    Feature, LayerMatch, MatchLoss, Objective, Plan, Point, Prediction, Preset, Schedule, Shape, Source,
};
use proptest::prelude::*;

const TEACHER: Shape = Shape { layers: 6, width: 32, heads: 4, words: None };
const STUDENT: Shape = Shape { layers: 3, width: 32, heads: 4, words: None };

fn preset(preset: Preset, source: Source) -> Plan {
    Objective::from(preset).plan(STUDENT, TEACHER, source, 1000).unwrap()
}

fn error(text: &str, source: Source, steps: u64) -> String {
    let objective = match Objective::from_toml(text) {
        Ok(objective) => objective,
        Err(e) => return e.to_string(),
    };
    objective.plan(STUDENT, TEACHER, source, steps).unwrap_err().to_string()
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

fn entry(teacher: usize, student: usize, feature: &str, loss: &str) -> String {
    format!("[[distill.match]]\nteacher = {teacher}\nstudent = {student}\nfeature = \"{feature}\"\nloss = \"{loss}\"\n")
}

#[test]
fn the_default_pairs_layers_evenly_and_adds_the_teachers_answers_on_tasks() {
    let plan = Objective::default().plan(STUDENT, TEACHER, Source::Tasks, 1000).unwrap();
    let of = |feature| plan.layers().iter().filter(move |m| m.feature == feature).map(|m| (m.student, m.teacher));
    assert_eq!(of(Feature::Hidden).collect::<Vec<_>>(), [(1, 2), (2, 4), (3, 6)]);
    assert_eq!(of(Feature::AttentionScores).collect::<Vec<_>>(), [(1, 2), (2, 4), (3, 6)]);
    assert_eq!(of(Feature::Embedding).collect::<Vec<_>>(), [(0, 0)]);
    assert_eq!(plan.prediction(), Some(&Prediction::default()));
    assert!(preset(Preset::EfficientBert, Source::Text).prediction().is_none());
}

#[test]
fn layers_that_do_not_divide_need_a_map_and_get_one_proposed() {
    let teacher = Shape { layers: 7, ..TEACHER };
    for name in [Preset::EfficientBert, Preset::TinyBert, Preset::MobileBert] {
        let message = Objective::from(name).plan(STUDENT, teacher, Source::Text, 9).unwrap_err().to_string();
        says(&message, &["7 layers", "student's 3", &format!("preset = \"{name}\""), "map = [2, 5, 7]"]);
        let text = format!("[distill]\npreset = \"{name}\"\nmap = [2, 5, 7]\n");
        let plan = Objective::from_toml(&text).unwrap().plan(STUDENT, teacher, Source::Text, 9).unwrap();
        assert!(plan.layers().iter().any(|m| (m.student, m.teacher) == (2, 5)));
    }
    // MiniLM looks at the last layers only.
    let plan = Objective::from(Preset::MiniLm).plan(STUDENT, teacher, Source::Text, 9).unwrap();
    assert!(plan.layers().iter().all(|m| (m.student, m.teacher) == (3, 7)) && plan.layers().len() == 2);
}

#[test]
fn entries_are_checked_against_both_models_and_named() {
    let good = entry(2, 1, "hidden", "mse");
    let second = |text: String| error(&(good.clone() + &text), Source::Text, 9);
    says(&second(entry(7, 1, "hidden", "mse")), &["entry 2", "teacher layer 7", "1..=6"]);
    says(&second(entry(1, 0, "attention_scores", "mse")), &["entry 2", "student layer 0"]);
    says(&second(entry(1, 0, "embedding", "mse")), &["entry 2", "teacher layer 1", "0..=0"]);
    says(&second(entry(1, 1, "hidden", "cross_entropy")), &["entry 2", "cross_entropy", "mse, cosine, feature_map"]);
    says(&second(entry(1, 1, "attention_scores", "kl")), &["entry 2", "attention_probs"]);
    says(&second(entry(1, 1, "value_relation", "variance")), &["entry 2", "variance", "kl"]);
    says(&second(entry(1, 1, "hidden", "mse") + "weight = -1.0\n"), &["entry 2", "weight", "from 0 up"]);
    says(&second(entry(1, 1, "hidden", "mse") + "weight = nan\n"), &["entry 2", "weight"]);
    says(
        &second(entry(1, 1, "hidden", "mse") + "weight = { value = 1.0, begin = 9 }\n"),
        &["entry 2", "never reached"],
    );
    says(&second(entry(1, 1, "hidden", "rms")), &["entry 2", "rms", "`mse`"]);
    says(&second(entry(1, 1, "state", "mse")), &["entry 2", "state", "`hidden`"]);
    says(&second("[[distill.match]]\nteacher = 1\n".into()), &["entry 2", "student"]);

    let fits = |student: Shape, feature: &str, loss: &str| {
        Objective::from_toml(&entry(2, 1, feature, loss)).unwrap().plan(student, TEACHER, Source::Text, 9)
    };
    let message = |student, feature, loss| fits(student, feature, loss).unwrap_err().to_string();
    let heads = Shape { heads: 2, ..STUDENT };
    for (feature, loss) in [("attention_scores", "mse"), ("attention_probs", "kl"), ("value_relation", "kl")] {
        says(&message(heads, feature, loss), &["entry 1", feature, "equal heads", "2", "4"]);
    }
    let narrow = Shape { width: 24, ..STUDENT };
    for loss in ["mse", "cosine", "feature_map", "mean", "variance"] {
        says(&message(narrow, "hidden", loss), &["entry 1", "equal widths", "24", "32", "fit_size"]);
    }
    // What an entry does not compare need not fit.
    fits(heads, "hidden", "mse").unwrap();
    fits(narrow, "value_relation", "kl").unwrap();
}

#[test]
fn contradictions_in_the_settings_are_explained() {
    let distill = |text: &str, source| error(&format!("[distill]\n{text}\n"), source, 9);
    says(&distill("", Source::Tasks), &["nothing to learn"]);
    says(&distill("preset = \"tinybret\"", Source::Tasks), &["tinybret", "tinybert"]);
    says(&distill("preset = \"minilm\"\nmap = [2, 4, 6]", Source::Tasks), &["`map`", "minilm"]);
    says(&distill("preset = \"tinybert\"\nmap = [2, 4]", Source::Tasks), &["`map`", "2", "3"]);
    says(&distill("preset = \"tinybert\"\nmap = [2, 4, 9]", Source::Tasks), &["teacher layer 9"]);
    says(&distill(&format!("preset = \"minilm\"\n{}", entry(1, 1, "hidden", "mse")), Source::Tasks), &["either"]);
    says(&distill("[distill.prediction]\nhard_label = 2.0", Source::Tasks), &["prediction", "`hard_label`"]);
    says(&distill("[distill.mlm]\nratio = 0.5", Source::Text), &["ratio", "unknown field", "`teacher`"]);
    for name in ["logits", "labels", "tinybert-prediction"] {
        says(&distill(&format!("preset = \"{name}\""), Source::Text), &[name, "tasks"]);
    }
    let late = entry(2, 1, "hidden", "mse") + "weight = { value = 1.0, begin = 5 }\n";
    says(&error(&late, Source::Text, 9), &["step 0 of 9", "nothing to learn"]);
    let early = entry(2, 1, "hidden", "mse") + "weight = { from = 1.0, to = 0.0, end = 4 }\n";
    says(&error(&early, Source::Text, 9), &["step 4 of 9"]);
}

#[test]
fn models_are_asked_only_for_what_a_step_compares() {
    let asked = |text: &str| {
        let plan = Objective::from_toml(text).unwrap().plan(STUDENT, TEACHER, Source::Text, 10).unwrap();
        let options = plan.at(0).options();
        (options.hidden_states, options.attention_scores, options.values)
    };
    assert_eq!(asked("[distill]\npreset = \"efficientbert\""), (true, true, false));
    assert_eq!(asked("[distill]\npreset = \"minilm\""), (false, true, true));
    assert_eq!(asked(&entry(2, 1, "attention_scores", "mse")), (false, true, false));
    assert_eq!(asked(&entry(0, 0, "embedding", "mse")), (true, false, false));
    assert_eq!(asked(&entry(2, 1, "value_relation", "kl")), (false, false, true));
    let later = entry(2, 1, "hidden", "mse") + "weight = { value = 1.0, begin = \"50%\" }\n";
    assert_eq!(asked(&(entry(2, 1, "attention_probs", "kl") + &later)), (false, true, false));
}

#[test]
fn tinybert_learns_layers_first_and_answers_then() {
    let plan = preset(Preset::TinyBert, Source::Tasks);
    for (step, layers) in [(0, true), (869, true), (870, false), (999, false)] {
        let now = plan.at(step);
        let options = now.options();
        let found = (options.hidden_states, options.attention_scores, now.prediction.is_some());
        assert_eq!(found, (layers, layers, !layers), "step {step}");
    }
    assert!(!plan.heads_taught_by(869) && plan.heads_taught_by(870), "until then there is nothing to evaluate");
    let text = preset(Preset::TinyBert, Source::Text);
    assert_eq!(text.layers(), preset(Preset::EfficientBert, Source::Text).layers());
    assert!(preset(Preset::TinyBertIntermediate, Source::Tasks).prediction().is_none());
    assert!(preset(Preset::TinyBertPrediction, Source::Tasks).layers().is_empty());
}

#[test]
fn mobilebert_has_the_published_weights_and_goes_stage_by_stage_or_layer_by_layer_where_it_is_said() {
    let plan = preset(Preset::MobileBert, Source::Tasks);
    let weights: Vec<f64> = plan.layers()[..4].iter().map(|m| m.weight.at(0, 1000) * 3.0).collect();
    for (found, expected) in weights.iter().zip([100.0, 5000.0, 5.0, 1.0]) {
        assert!((found - expected).abs() < 1e-9, "{weights:?}");
    }
    let losses: Vec<MatchLoss> = plan.layers()[..4].iter().map(|m| m.loss).collect();
    assert_eq!(losses, [MatchLoss::FeatureMap, MatchLoss::Mean, MatchLoss::Variance, MatchLoss::CrossEntropy]);
    let active = |plan: &Plan, step| {
        let layers = plan.layers().iter().filter(|m| m.weight.at(step, 1000) > 0.0);
        layers.map(|m| m.student).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(active(&plan, 0), [1, 2, 3]);
    let plan = preset(Preset::MobileBertJoint, Source::Tasks);
    for (step, layers) in [(0, vec![1, 2, 3]), (323, vec![1, 2, 3]), (324, vec![])] {
        assert_eq!(active(&plan, step), layers, "step {step}");
        assert_eq!(plan.at(step).prediction.is_some(), layers.is_empty());
    }
    let plan = preset(Preset::MobileBertProgressive, Source::Tasks);
    for (step, layers) in [(0, vec![1]), (107, vec![1]), (108, vec![2]), (216, vec![3]), (323, vec![3]), (324, vec![])]
    {
        assert_eq!(active(&plan, step), layers, "step {step}");
        assert_eq!(plan.at(step).prediction.is_some(), layers.is_empty());
    }
    let plan = preset(Preset::MobileBertProgressive, Source::Text);
    assert_eq!([active(&plan, 332), active(&plan, 999)], [vec![1], vec![3]]);
}

#[test]
fn only_labels_alone_leave_the_teacher_unasked() {
    for name in Preset::ALL {
        let plan = preset(name, Source::Tasks);
        let silent = matches!(name, Preset::Labels | Preset::TinyBertIntermediate);
        assert_eq!(plan.asks_logits(), !silent, "{name}");
    }
    let gold: Prediction =
        Prediction { hard_label: Schedule::gate(1.0, Point::Step(2), Point::Step(4)), ..Default::default() };
    assert!(gold.asks_teacher(), "outside the gate the teacher answers");
}

#[test]
fn heads_are_taught_from_the_first_step_with_a_prediction_term_on() {
    let first = |weight: &str| {
        let text = format!("{}[distill.prediction]\nweight = {weight}\n", entry(2, 1, "hidden", "mse"));
        let plan = Objective::from_toml(&text).unwrap().plan(STUDENT, TEACHER, Source::Tasks, 10).unwrap();
        let by = (0..10).find(|&step| plan.heads_taught_by(step));
        assert_eq!(by, (0..10).find(|&step| plan.at(step).prediction.is_some()), "{weight}");
        by
    };
    assert_eq!(first("1.0"), Some(0));
    assert_eq!(first("{ value = 1.0, begin = 4, end = 6 }"), Some(4));
    assert_eq!(first("{ from = 0.0, to = 1.0, begin = \"30%\" }"), Some(4));
    assert_eq!(first("{ from = 1.0, to = 0.0, end = 5 }"), Some(0));
    assert_eq!(first("0.0"), None);
}

#[test]
fn every_preset_written_out_is_the_same_plan_and_survives_trainings_of_any_length() {
    let deep = (Shape { layers: 4, ..STUDENT }, Shape { layers: 12, ..TEACHER });
    for name in Preset::ALL {
        assert_eq!(name.to_string().parse::<Preset>(), Ok(name));
        for source in [Source::Text, Source::Tasks] {
            if source == Source::Text && !name.has_layers() {
                continue;
            }
            for (student, teacher) in [(STUDENT, TEACHER), deep, (STUDENT, STUDENT)] {
                let objective = Objective::from(name);
                let text = objective.written_out(student, teacher, source).unwrap().to_toml().unwrap();
                let written = Objective::from_toml(&text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
                assert_eq!(written.preset, None);
                for steps in [1, 2, 3, 7, 40, 1001] {
                    let plan = |o: &Objective| o.plan(student, teacher, source, steps);
                    let (one, other) = (plan(&objective).unwrap(), plan(&written).unwrap());
                    assert_eq!(one, other, "{name} in {steps} steps");
                }
            }
        }
    }
}

fn any_entry() -> impl Strategy<Value = LayerMatch> {
    let feature = (0..Feature::ALL.len()).prop_map(|i| Feature::ALL[i]);
    let loss = (0..MatchLoss::ALL.len()).prop_map(|i| MatchLoss::ALL[i]);
    let point = prop_oneof![(0..50u64).prop_map(Point::Step), (0.0..100.0f64).prop_map(Point::Percent)];
    let weight =
        (0..3, -1.0..9.0f64, 0.0..9.0f64, point.clone(), point).prop_map(|(kind, a, b, begin, end)| match kind {
            0 => Schedule::Constant(a),
            1 => Schedule::gate(a, begin, end),
            _ => Schedule::Linear { from: a, to: b, begin, end },
        });
    (0..8usize, 0..5usize, feature, loss, weight).prop_map(|(teacher, student, feature, loss, weight)| LayerMatch {
        teacher,
        student,
        feature,
        loss,
        weight,
    })
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(?s).{0,200}") {
        let _ = Objective::from_toml(&text);
        let _ = Objective::from_toml(&format!("[distill]\n{text}"));
        let _ = Objective::from_toml(&(entry(1, 1, "hidden", "mse") + &text));
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..2000usize, with in "[ -~]{0,3}") {
        let objective = Objective::from(Preset::MobileBertProgressive).written_out(STUDENT, TEACHER, Source::Tasks).unwrap();
        let mut text = objective.to_toml().unwrap();
        let at = at.min(text.len() - 1);
        text.replace_range(at..=at, &with);
        if let Ok(objective) = Objective::from_toml(&text) {
            let _ = objective.plan(STUDENT, TEACHER, Source::Tasks, 100);
        }
    }

    #[test]
    fn any_entries_are_written_and_read_and_the_first_bad_one_is_named(entries in prop::collection::vec(any_entry(), 1..5), steps in 0..60u64) {
        let objective = Objective { preset: None, map: Vec::new(), matches: entries.clone(), prediction: None, mlm: None };
        let read = Objective::from_toml(&objective.to_toml().unwrap());
        let bad = |check: &dyn Fn(&LayerMatch) -> bool| entries.iter().position(|e| !check(e)).map(|i| format!("entry {}:", i + 1));
        match bad(&|e| e.check().is_ok()) {
            Some(name) => prop_assert!(read.unwrap_err().to_string().contains(&name)),
            None => {
                prop_assert_eq!(&read.unwrap(), &objective);
                match (objective.plan(STUDENT, TEACHER, Source::Text, steps), bad(&|e| e.fits(STUDENT, TEACHER).is_ok())) {
                    (Ok(plan), None) => {
                        for step in 0..steps {
                            let now = plan.at(step);
                            let options = now.options();
                            prop_assert!(options.hidden_states || options.attention_scores || options.values, "step {}", step);
                        }
                    }
                    (Ok(_), Some(name)) => prop_assert!(false, "{} was not refused", name),
                    // A schedule of an entry before may be at fault instead, or a step without any term.
                    (Err(error), _) => prop_assert!(error.to_string().contains("entry") || error.to_string().contains("step")),
                }
            }
        }
    }
}

/// Shapes of models with a masked-language-model head.
const WORDS: (Shape, Shape) = (Shape { words: Some(90), ..STUDENT }, Shape { words: Some(90), ..TEACHER });

fn with_words(text: &str) -> Plan {
    Objective::from_toml(text).unwrap().plan(WORDS.0, WORDS.1, Source::Text, 1000).unwrap()
}

#[test]
fn masked_words_are_added_to_a_preset_and_follow_its_layers_in_two_stages() {
    for name in Preset::ALL {
        let section = format!("[distill]\npreset = \"{name}\"\n[distill.mlm]\n");
        let plan = with_words(&section);
        let counts = |step| (plan.at(step).mlm.is_some(), plan.at(step).layer_count() > 0);
        let two_stages = matches!(name, Preset::MobileBertJoint | Preset::MobileBertProgressive);
        let expected = if two_stages { [(false, true), (true, false)] } else { [(true, name.has_layers()); 2] };
        assert_eq!([counts(0), counts(999)], expected, "{name}");
        assert!(plan.prediction().is_none() && plan.mlm().unwrap().asks_teacher());
        // Written out it is the same plan.
        let written = Objective::from_toml(&section).unwrap().written_out(WORDS.0, WORDS.1, Source::Text).unwrap();
        let text = written.to_toml().unwrap();
        assert_eq!(with_words(&text), plan, "{text}");
    }
    let given = "[distill]\npreset = \"mobilebert-joint\"\n[distill.mlm]\nweight = 2.0";
    assert!(with_words(given).at(0).mlm.is_some(), "a weight that is given is taken");
    // Without the section everything is as it was.
    let plain = preset(Preset::MobileBertJoint, Source::Text);
    assert!(plain.mlm().is_none() && plain.at(999).layer_count() > 0);
}

#[test]
fn masked_words_that_cannot_be_learned_are_refused() {
    let refused = |section: &str, shapes: (Shape, Shape), source| {
        Objective::from_toml(section).unwrap().plan(shapes.0, shapes.1, source, 1000).unwrap_err().to_string()
    };
    let section = "[distill]\npreset = \"mobilebert\"\n[distill.mlm]";
    says(&refused(section, WORDS, Source::Tasks), &["`mlm`", "training on text"]);
    says(
        &refused(section, (WORDS.0, TEACHER), Source::Text),
        &["mlm: the teacher has no", "cls.predictions", "teacher = 0.0"],
    );
    says(&refused(section, (STUDENT, WORDS.1), Source::Text), &["mlm: the student has no"]);
    let other = Shape { words: Some(91), ..TEACHER };
    says(&refused(section, (WORDS.0, other), Source::Text), &["90 word pieces, the teacher 91"]);
    let late = format!("{section}\nweight = {{ value = 1.0, begin = 2000 }}");
    says(&refused(&late, WORDS, Source::Text), &["mlm: weight", "never reached"]);
    let hole = "[distill.mlm]\nweight = { value = 1.0, end = 5 }";
    says(&refused(hole, WORDS, Source::Text), &["step 5 of 1000", "nothing to learn"]);
    assert!(error("[distill.mlm]\nteacher = 2.0", Source::Text, 9).contains("mlm: `teacher`"));
    let alone = "[distill.mlm]\nteacher = 0.0";
    Objective::from_toml(alone).unwrap().plan(WORDS.0, TEACHER, Source::Text, 9).unwrap();
}

#[test]
fn comparing_heads_with_a_student_whose_layers_have_other_numbers_of_heads_is_refused() {
    use bert_core::{AttentionShape, BertConfig, LayerParts, layered_config};
    let teacher = BertConfig::bert(40, 12, 2, 3, 24);
    let frame = BertConfig { intermediate_size: 12, ..teacher.clone() };
    let expressions = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"; 2].join("; ").parse().unwrap();
    let usual = LayerParts::usual(&frame);
    let plan = |parts: [LayerParts; 2]| {
        let student = layered_config(&frame, &expressions, &parts).unwrap();
        kd::objective::Plan::between(&student, &teacher)
    };
    plan([usual; 2]).unwrap();
    let narrow = LayerParts { attention: Some(AttentionShape { heads: 3, width: 6 }), ..usual };
    plan([narrow, usual]).unwrap();
    for other in [
        LayerParts { attention: None, ..usual },
        LayerParts { attention: Some(AttentionShape { heads: 2, width: 12 }), ..usual },
    ] {
        let message = plan([usual, other]).unwrap_err().to_string();
        assert!(message.contains("head by head") && message.contains("3 heads"), "{message}");
    }
    let all = LayerParts { attention: Some(AttentionShape { heads: 2, width: 12 }), ..usual };
    let message = plan([all; 2]).unwrap_err().to_string();
    assert!(message.contains("the student has 2, the teacher 3"), "{message}");
}
