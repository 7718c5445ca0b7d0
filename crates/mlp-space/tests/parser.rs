//! The parser on generated text.

use mlp_space::{Architecture, Binary, Expression, Fingerprint, LinearId, Node, Unary, WeightSlot, Widths};
use proptest::prelude::*;

fn any_id() -> impl Strategy<Value = LinearId> {
    prop::sample::select(LinearId::all().collect::<Vec<_>>())
}

fn any_tree() -> impl Strategy<Value = Expression> {
    let leaf = Just(Node::Input);
    let tree = leaf.prop_recursive(8, 64, 2, |inner| {
        let slot = prop_oneof![Just(WeightSlot::First), Just(WeightSlot::Second)];
        prop_oneof![
            (prop::sample::select(&Unary::ALL[..]), inner.clone()).prop_map(|(op, a)| Node::unary(op, a)),
            (prop::sample::select(&Binary::ALL[..]), inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| Node::binary(op, a, b)),
            (any_id(), slot, inner).prop_map(|(id, slot, a)| Node::linear(id, slot, a)),
        ]
    });
    tree.prop_map(|root| Expression::new(root).unwrap())
}

/// Text that is close to an expression: its words and signs in any order.
fn any_words() -> impl Strategy<Value = String> {
    const WORDS: [&str; 17] = [
        "x",
        "wb1",
        "wb2",
        "gelu(",
        "linear1_2(",
        "linear9_9(",
        "max(",
        "add",
        ",",
        ")",
        "(",
        " ",
        ";",
        "\n",
        "[",
        "\"",
        "é",
    ];
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40).prop_map(|words| words.concat())
}

/// Everything a caller may do with an accepted expression must end without a panic.
fn exercise(e: &Expression) {
    assert_eq!(e.to_string().parse::<Expression>().as_ref(), Ok(e));
    let _ = (e.validate(), e.id(), e.height(), e.inner_size(540), e.output_width(Widths::square(5)));
    let _ = Fingerprint::of(e);
    if let Ok(arch) = Architecture::new(vec![e.clone()]) {
        let _ = mlp_space::encode::rich(&arch, Widths::square(5));
    }
}

proptest! {
    #[test]
    fn every_tree_survives_text_tokens_and_json(e in any_tree()) {
        prop_assert_eq!(e.to_string().parse::<Expression>(), Ok(e.clone()));
        prop_assert_eq!(Expression::from_tokens(&e.tokens()), Ok(e.clone()));
        let json = serde_json::to_string(&e).unwrap();
        prop_assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), e.clone());
        exercise(&e);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), words in any_words()) {
        for text in [text, words] {
            if let Ok(e) = text.parse::<Expression>() {
                exercise(&e);
            }
            if let Ok(arch) = text.parse::<Architecture>() {
                prop_assert_eq!(arch.to_string().parse::<Architecture>(), Ok(arch));
            }
            let _ = (text.parse::<LinearId>(), text.parse::<Fingerprint>());
        }
    }

    #[test]
    fn a_damaged_expression_parses_or_is_refused_at_a_column_of_the_text(
        e in any_tree(), at in any::<prop::sample::Index>(), with in any::<char>(), insert in any::<bool>(),
    ) {
        let mut text: Vec<char> = e.to_string().chars().collect();
        let at = at.index(text.len());
        if insert { text.insert(at, with) } else { text[at] = with }
        let text: String = text.into_iter().collect();
        match text.parse::<Expression>() {
            Ok(other) => exercise(&other),
            Err(mlp_space::Error::Parse { column, .. }) => prop_assert!((1..=text.chars().count() + 1).contains(&column)),
            Err(other) => prop_assert!(false, "{}: {}", text, other),
        }
    }
}
