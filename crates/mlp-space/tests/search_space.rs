//! What sampling and mutation reach.

use std::collections::{BTreeMap, BTreeSet};

use mlp_space::released::{STAGE1_WINNER, STAGE2_WINNER, preset};
use mlp_space::{Binary, Expression, Heights, LinearId, Mutation, Space, Token, Unary, Widths};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const EFFICIENTBERT: Widths = Widths { hidden: 540, base: 540, align: mlp_space::Align::Cut };

#[test]
fn sampling_covers_every_primitive_and_every_height() {
    let rng = &mut ChaCha8Rng::seed_from_u64(11);
    let space = Space::runnable(EFFICIENTBERT);
    let (mut tokens, mut heights, mut ids) = (BTreeSet::new(), BTreeMap::new(), [0_usize; LinearId::COUNT]);
    const DRAWS: usize = 4000;
    for _ in 0..DRAWS {
        let e = space.sample(None, rng).unwrap();
        assert_eq!((e.validate(), e.check_widths(EFFICIENTBERT)), (Ok(()), Ok(())), "{e}");
        tokens.extend(e.tokens());
        *heights.entry(e.height()).or_insert(0) += 1;
        ids[e.id().unwrap().index()] += 1;
    }
    assert_eq!(tokens.len(), 16 + 3 + 7 + 3, "missing some of: {tokens:?}");
    assert_eq!(heights.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7], "{heights:?}");
    // Uniform apart from rejected parallel forms: 250 each, standard deviation 15.
    assert!(ids.iter().all(|n| (150..350).contains(n)), "{ids:?}");
}

/// The expression with every activation and every operator replaced by one: its shape.
fn shape(e: &Expression) -> String {
    let tokens: Vec<Token> = e
        .tokens()
        .into_iter()
        .map(|token| match token {
            Token::Unary(_) => Token::Unary(Unary::Gelu),
            Token::Binary(_) => Token::Binary(Binary::Max),
            other => other,
        })
        .collect();
    Expression::from_tokens(&tokens).unwrap().to_string()
}

#[test]
fn sampling_reaches_the_shapes_the_search_found_and_parallel_linear_maps() {
    let rng = &mut ChaCha8Rng::seed_from_u64(12);
    let id = LinearId::new(1, 1).unwrap();
    let space = Space::runnable(EFFICIENTBERT);
    let drawn: BTreeSet<String> = (0..20_000).map(|_| shape(&space.sample(Some(id), rng).unwrap())).collect();
    for e in preset("efficientbert").unwrap().layers() {
        assert!(drawn.contains(&shape(&e.with_id(id))), "nothing of the shape of {e} was drawn");
    }
    for parallel in
        ["gelu(max(linear1_1(x,wb1),linear1_1(x,wb2)))", "max(linear1_1(gelu(x),wb1),linear1_1(gelu(x),wb2))"]
    {
        assert!(drawn.contains(parallel), "nothing of the shape of {parallel} was drawn");
    }
}

#[test]
fn mutation_of_every_stage1_seed_is_valid_and_rarely_falls_back() {
    let rng = &mut ChaCha8Rng::seed_from_u64(13);
    let mutation = Mutation::stage1(Space::runnable(EFFICIENTBERT));
    let (mut kinds, mut fallbacks, mut changed) = (BTreeSet::new(), 0, 0);
    const ROUNDS: usize = 20;
    let seeds: Vec<Expression> = LinearId::all().map(|id| Expression::plain(id, Unary::Gelu)).collect();
    for seed in seeds.iter().cycle().take(seeds.len() * ROUNDS) {
        match mutation.try_mutate(seed, rng) {
            None => fallbacks += 1,
            Some(e) => {
                assert_eq!(mutation.space.check(&e), Ok(()), "{seed} became {e}");
                changed += usize::from(e != *seed);
                kinds.extend(e.tokens().into_iter().filter(|t| !matches!(t, Token::Linear(_))));
            }
        }
    }
    let total = seeds.len() * ROUNDS;
    // About 6 in 100 with 1000 tries, as the reference's edits rarely keep each weight exactly once.
    assert!(fallbacks * 10 < total, "{fallbacks} of {total} fell back");
    assert!(changed * 2 > total, "only {changed} of {total} changed");
    assert_eq!(kinds.len(), 3 + 7 + 3, "{kinds:?}");
}

#[test]
fn stage2_mutation_keeps_the_id() {
    let rng = &mut ChaCha8Rng::seed_from_u64(14);
    let mutation = Mutation::stage2(Space::default());
    for text in STAGE1_WINNER.into_iter().chain(STAGE2_WINNER).cycle().take(200) {
        let seed: Expression = text.parse().unwrap();
        let e = mutation.mutate(&seed, rng);
        assert_eq!((e.validate(), e.id()), (Ok(()), seed.id()), "{seed} became {e}");
    }
}

#[test]
fn stage1_mutation_can_change_the_id() {
    let rng = &mut ChaCha8Rng::seed_from_u64(15);
    let seed = &Expression::plain(LinearId::LARGEST, Unary::Gelu);
    let mutation = Mutation { tries: 200_000, ..Mutation::stage1(Space::default()) };
    assert!((0..400).any(|_| mutation.mutate(seed, rng).id() != seed.id()));
}

#[test]
fn the_same_seed_draws_the_same_expressions() {
    let draw = || {
        let rng = &mut ChaCha8Rng::seed_from_u64(16);
        let space = Space { heights: Heights { min: 4, max: 5 }, widths: None };
        let seed = space.sample(None, rng).unwrap();
        (0..20).map(|_| Mutation::stage1(space).mutate(&seed, rng).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
}
