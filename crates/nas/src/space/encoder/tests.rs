use encoder_spec::student_frame;
use mlp_space::StudentShape;

use super::*;

fn frame() -> BertConfig {
    let shape =
        StudentShape { vocab: 90, embed: 8, hidden: 24, base: 24, heads: 2, max_positions: 32, segments: 2, fit: None };
    student_frame(&shape, 3)
}

fn choices(expressions: bool) -> EncoderChoices {
    EncoderChoices {
        layers: vec![2, 3],
        hidden: vec![12, 18, 24],
        embed: vec![4, 8],
        heads: vec![2, 3],
        base: vec![12, 24, 48, 96],
        expressions,
        head_width: Vec::new(),
        absent: false,
    }
}

fn space(expressions: bool, budget: &Budget) -> EncoderSpace {
    EncoderSpace::new(&frame(), Parts::POOLER, 16, choices(expressions), budget).unwrap()
}

fn rng(seed: u64) -> ChaCha8Rng {
    run_store::rng::keyed(seed, "test", &[])
}

const WINDOW: Budget =
    Budget { min_params: Some(9_000), max_params: Some(9_600), max_macs: None, max_bytes: None, max_latency_ms: None };

#[test]
fn every_draw_and_variation_is_within_a_narrow_window_and_is_read_back_from_its_text() {
    for expressions in [false, true] {
        let space = space(expressions, &WINDOW);
        let mut rng = rng(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..60 {
            let drawn = space.sample(&mut rng);
            for genome in [space.mutate(&drawn, &mut rng), drawn] {
                assert_eq!(WINDOW.check(space.cost(&genome)), None, "{genome}");
                assert_eq!(space.parse(&genome.to_string()).unwrap(), genome);
                assert_eq!(space.encode(&genome).len(), 3 + 3 * 5);
                seen.insert(space.fingerprint(&genome));
            }
        }
        assert!(seen.len() > 30, "{} different students", seen.len());
    }
}

#[test]
fn all_that_can_be_chosen_is_drawn() {
    let space = space(false, &Budget::default());
    let mut rng = rng(2);
    let drawn: Vec<EncoderGenome> = (0..300).map(|_| space.sample(&mut rng)).collect();
    let all = |of: &dyn Fn(&EncoderGenome) -> usize| {
        let mut found: Vec<usize> = drawn.iter().map(of).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let c = choices(false);
    assert_eq!(all(&|g| g.hidden), c.hidden);
    assert_eq!(all(&|g| g.embed), c.embed);
    assert_eq!(all(&|g| g.base), c.base);
    assert_eq!(all(&|g| g.layers.len()), c.layers);
    assert_eq!(all(&|g| g.layers[1].attention.unwrap().heads), c.heads);
}

#[test]
fn plain_bert_with_four_times_the_hidden_width_is_in_it() {
    let space = space(false, &Budget::default());
    let plain = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";
    let layer = format!("2x24 + {plain}");
    let genome = space.parse(&format!("hidden=24 embed=8 base=96: {layer}; {layer}; {layer}")).unwrap();
    let config = genome.config(&frame()).unwrap();
    let encoder = Encoder::describe(&config, Parts::POOLER).unwrap();
    let block = &encoder.layers[1].feed_forward.blocks[0];
    assert_eq!((block.dense1.inputs(), block.dense1.outputs()), (24, 96));
    // Words 90 x 8, trigram projection, positions and segments, norm; attention and feed-forward of each layer; pooler.
    let layer = 4 * (24 * 24 + 24) + 48 + (24 * 96 + 96) + (96 * 24 + 24) + 48;
    let embedding = 90 * 8 + (24 * 24 + 24) + (32 + 2) * 24 + 48;
    assert_eq!(space.cost(&genome).params, (embedding + 3 * layer + 24 * 24 + 24) as u64);
}

#[test]
fn equal_inner_widths_are_one_student_whatever_the_base_is() {
    let space = space(false, &Budget::default());
    let of = |base: usize, ratio: usize| {
        let layer = format!("2x24 + linear1_{ratio}(gelu(linear1_{ratio}(x,wb1)),wb2)");
        space.fingerprint(&space.parse(&format!("hidden=24 embed=8 base={base}: {layer}; {layer}")).unwrap())
    };
    assert_eq!(of(96, 4), of(24, 1));
    assert_ne!(of(96, 4), of(96, 2));
}

#[test]
fn limits_that_nothing_meets_are_refused_with_the_nearest_size() {
    let budget = Budget { max_params: Some(10), ..Budget::default() };
    let error = EncoderSpace::new(&frame(), Parts::POOLER, 16, choices(false), &budget).unwrap_err();
    assert!(matches!(error, Error::Unreachable { nearest, smallest, .. } if nearest == smallest), "{error}");
}

#[test]
fn choices_that_make_no_student_and_students_of_other_choices_are_refused() {
    let odd = EncoderChoices { hidden: vec![25], ..choices(false) };
    let message = EncoderSpace::new(&frame(), Parts::POOLER, 16, odd, &Budget::default()).unwrap_err().to_string();
    assert!(message.contains("25"), "{message}");
    let none = EncoderChoices { embed: vec![], ..choices(false) };
    let message = EncoderSpace::new(&frame(), Parts::POOLER, 16, none, &Budget::default()).unwrap_err().to_string();
    assert!(message.contains("`embed`"), "{message}");
    let space = space(false, &Budget::default());
    let plain = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";
    let relu = "linear1_1(relu(linear1_1(x,wb1)),wb2)";
    for (text, why) in [
        (format!("hidden=20 embed=8 base=96: 2x24 + {plain}; 2x24 + {plain}"), "`hidden` is 20"),
        (format!("hidden=24 embed=8 base=96: 2x24 + {plain}"), "`layers` is 1"),
        (format!("hidden=24 embed=8 base=96: 2x24 + {relu}; 2x24 + {plain}"), "plain GELU"),
        (format!("hidden=24 embed=8 base=96: 2x20 + {plain}; 2x24 + {plain}"), "2 heads of together 20"),
        (format!("hidden=24 embed=8 base=96: 2x24; 2x24 + {plain}"), "attention and a feed-forward"),
        (format!("hidden=24 base=96: 2x24 + {plain}"), "`embed=NUMBER`"),
        (format!("hidden=24 embed=8 base=96: twox24 + {plain}"), "HEADSxWIDTH"),
    ] {
        let message = space.parse(&text).unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_crossed_student_takes_each_choice_from_a_parent_and_is_within_the_window() {
    for (expressions, window, least) in [(true, Budget::default(), 50), (false, WINDOW, 5)] {
        let space = space(expressions, &window);
        let mut rng = rng(7);
        let mut found = 0;
        for _ in 0..60 {
            let (one, other) = (space.sample(&mut rng), space.sample(&mut rng));
            assert_eq!(space.crossover(&one, &one, &mut rng), None);
            let Some(child) = space.crossover(&one, &other, &mut rng) else { continue };
            found += 1;
            space.check(&child).unwrap();
            assert_eq!(window.check(space.cost(&child)), None, "{child}");
            assert!(child != one && child != other);
            assert!([one.hidden, other.hidden].contains(&child.hidden), "{child}");
            assert!([one.layers.len(), other.layers.len()].contains(&child.layers.len()), "{child}");
            let feed_forward =
                |genome: &EncoderGenome, at: usize| genome.layers.get(at).map(|l| l.feed_forward.clone());
            for at in 0..child.layers.len() {
                let own = feed_forward(&child, at);
                assert!(own == feed_forward(&one, at) || own == feed_forward(&other, at), "{child}");
            }
        }
        assert!(found >= least, "{found} of 60 pairs have a child");
    }
}

#[test]
fn layers_may_differ_in_heads_and_width_of_attention_and_may_lack_a_part() {
    let wide = EncoderChoices { head_width: vec![4, 8], absent: true, ..choices(true) };
    let space = EncoderSpace::new(&frame(), Parts::POOLER, 16, wide, &WINDOW).unwrap();
    let mut rng = rng(3);
    let (mut no_attention, mut no_feed_forward, mut differ) = (0, 0, 0);
    for _ in 0..100 {
        let drawn = space.sample(&mut rng);
        for genome in [space.mutate(&drawn, &mut rng), drawn] {
            assert_eq!(WINDOW.check(space.cost(&genome)), None, "{genome}");
            assert_eq!(space.parse(&genome.to_string()).unwrap(), genome);
            no_attention += usize::from(genome.layers.iter().any(|layer| layer.attention.is_none()));
            no_feed_forward += usize::from(genome.layers.iter().any(|layer| layer.feed_forward.is_none()));
            differ += usize::from(genome.layers.iter().any(|layer| layer.attention != genome.layers[0].attention));
        }
    }
    assert!(no_attention > 5 && no_feed_forward > 5 && differ > 50, "{no_attention} {no_feed_forward} {differ}");
}
