//! What the three stages draw.

mod support;

use std::collections::BTreeSet;

use mlp_space::released::preset;
use mlp_space::{Architecture, Expression, Unary};
use nas::Error;
use nas::budget::Budget;
use nas::space::{CoarseSpace, EncodedSpace, Encoding, OperatorSpace, SearchSpace, WidthSpace};
use proptest::prelude::*;
use support::{WINDOW, coarse, operators, student, widths};

fn check_draws(space: &dyn EncodedSpace<Genome = Architecture>, budget: &Budget) {
    let mut rng = run_store::rng::keyed(5, "nas.test.draws", &[]);
    let mut distinct = BTreeSet::new();
    let width = space.encode(&space.sample(&mut rng)).len();
    for _ in 0..60 {
        let sample = space.sample(&mut rng);
        let mutant = space.mutate(&sample, &mut rng);
        for genome in [&sample, &mutant] {
            assert_eq!(space.check(genome).map_err(|e| e.to_string()), Ok(()));
            assert_eq!(budget.check(space.cost(genome)), None, "{genome}");
            assert_eq!(space.encode(genome).len(), width);
            assert_eq!(space.parse(&genome.to_string()).unwrap(), *genome);
        }
        distinct.insert(space.fingerprint(&sample));
    }
    assert!(distinct.len() > 30, "only {} different samples of 60", distinct.len());
}

#[test]
fn every_draw_of_every_stage_is_valid_within_the_window_and_reads_back() {
    check_draws(&coarse(), &WINDOW);
    check_draws(&operators(), &WINDOW);
    check_draws(&widths(), &WINDOW);
}

#[test]
fn a_window_of_a_hair_is_sampled_as_fast_as_a_wide_one() {
    // The exact size of the released architecture and nothing else.
    let exact = student().cost(&preset("efficientbert").unwrap()).params;
    let hair = Budget { min_params: Some(exact), max_params: Some(exact), ..Budget::default() };
    let space = CoarseSpace::new(student(), &hair).unwrap();
    assert!(space.tuples() > 0 && space.tuples() < 100_000, "{} tuples", space.tuples());
    let mut rng = run_store::rng::keyed(1, "nas.test.hair", &[]);
    for _ in 0..20 {
        let genome = space.sample(&mut rng);
        assert_eq!(space.cost(&genome).params, exact);
        assert_eq!(space.cost(&space.mutate(&genome, &mut rng)).params, exact);
    }
}

#[test]
fn stage_two_keeps_stacks_and_ratios_and_stage_three_keeps_expressions() {
    let winner = preset("stage1-winner").unwrap();
    let mut rng = run_store::rng::keyed(2, "nas.test.stages", &[]);
    let (operators, widths) = (operators(), widths());
    for _ in 0..20 {
        assert_eq!(operators.sample(&mut rng).ids(), winner.ids());
        let sample = widths.sample(&mut rng);
        let back = sample.with_ids(preset("stage2-winner").unwrap().ids()).unwrap();
        assert_eq!(back, preset("stage2-winner").unwrap());
    }
    let stranger = preset("warm-up").unwrap();
    assert!(matches!(operators.check(&stranger), Err(Error::Genome { .. })));
    assert!(matches!(widths.check(&stranger), Err(Error::Genome { .. })));
}

#[test]
fn stage_two_starts_from_the_winner_and_from_its_plain_form() {
    // With both seeds the last layer is sometimes a relative of the winner's leaky_relu(..).
    let space = operators();
    let mut rng = run_store::rng::keyed(3, "nas.test.seeds", &[]);
    let last: Vec<Expression> = (0..80).map(|_| space.sample(&mut rng).layers()[5].clone()).collect();
    let leaky = last.iter().filter(|layer| layer.to_string().contains("leaky_relu")).count();
    assert!((8..=60).contains(&leaky), "{leaky} of 80 draws come from the winner's activation");
}

#[test]
fn an_expression_that_runs_only_at_full_width_keeps_ratio_one_in_stage_three() {
    // wb2 takes the inner width but is handed x: the two agree at ratio 1 only.
    let layer = "add(gelu(linear1_1(x,wb1)),linear1_1(tanh(x),wb2))";
    let cut: Expression = layer.parse().unwrap();
    let plain = Expression::plain(cut.id().unwrap(), Unary::Gelu).to_string();
    let text = [layer, &plain, &plain, &plain, &plain, &plain].join("; ");
    let space = WidthSpace::new(student(), text.parse().unwrap(), &Budget::default()).unwrap();
    let mut rng = run_store::rng::keyed(4, "nas.test.cut", &[]);
    for _ in 0..50 {
        let genome = space.sample(&mut rng);
        assert_eq!(genome.ids()[0].ratio(), 1, "{genome}");
    }
}

#[test]
fn an_impossible_budget_is_refused_at_construction_with_the_nearest_size() {
    let budget = Budget { max_params: Some(5_000_000), ..Budget::default() };
    let coarse = CoarseSpace::new(student(), &budget).unwrap_err();
    // The smallest student has six layers of 1_4.
    assert!(
        matches!(coarse, Error::Unreachable { smallest, nearest, .. }
            if smallest == nearest && nearest.params > 5_000_000),
        "{coarse}"
    );
    let winner = preset("stage1-winner").unwrap();
    let params = student().cost(&winner).params;
    let operators = OperatorSpace::new(student(), winner.clone(), &budget).unwrap_err();
    assert!(operators.to_string().contains(&params.to_string()), "{operators}");
    assert!(WidthSpace::new(student(), winner, &budget).is_err());
}

#[test]
fn the_reference_encoding_has_the_reference_lengths() {
    let student = student().with_encoding(Encoding::Reference);
    let winner = preset("stage1-winner").unwrap();
    let coarse = CoarseSpace::new(student, &WINDOW).unwrap();
    let widths = WidthSpace::new(student, winner.clone(), &WINDOW).unwrap();
    assert_eq!(coarse.encode(&winner).len(), 120);
    assert_eq!(widths.encode(&winner), winner.ids().iter().map(|id| id.index() as f64).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_text_a_store_holds_is_read_or_refused_without_a_panic(text in "\\PC{0,60}") {
        if let Err(error) = widths().parse(&text) {
            prop_assert!(error.to_string().contains("not an architecture"));
        }
    }
}
