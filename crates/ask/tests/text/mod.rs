//! The text of a filter says all of it and nothing else, whatever its names and values are made of.

use proptest::prelude::*;
use proptest::sample::select;
use siltstone_ask::{Field, Filter, Level, Literal, Target};

use super::strategies::{DOUBLES, INTS, filter, filter_of};

/// Quotes, escapes, white space, what nobody sees, and words and signs of the grammar.
fn hostile() -> impl Strategy<Value = String> {
    let characters = "'\"\\ \t\n\r\0;()[]{},=<>!~&|.-_€\u{301}\u{7}\u{202e}\u{a0}\u{1f600}0aeu";
    let characters: Vec<String> = characters.chars().map(String::from).collect();
    let words = ["''", "\\u{0}", "and", "keep", "str", "true", "NaN(", "where archived", "72", "0.5"];
    let pieces = characters.into_iter().chain(words.map(str::to_owned)).collect::<Vec<_>>();
    prop_oneof![
        3 => prop::collection::vec(select(pieces), 0..6).prop_map(|pieces| pieces.concat()),
        1 => prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    let levels = vec![Level::Span, Level::Resource, Level::Scope, Level::Event, Level::Link, Level::Any];
    prop_oneof![
        (select(levels), hostile()).prop_map(|(level, key)| Target::attribute(level, key)),
        select(Field::ALL.to_vec()).prop_map(Target::Field),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    let names = select(vec!["client", "SERVER", "STATUS_CODE_OK", "unset", "1e3", "-7", "true"]);
    let doubles = prop_oneof![select(DOUBLES.to_vec()), any::<u64>().prop_map(f64::from_bits)];
    let ints = prop_oneof![
        select(INTS.to_vec()),
        any::<i64>(),
        -3..9_i64,
        // Of durations: of all sizes, and round.
        (any::<i64>(), 0..64_u32).prop_map(|(int, bits)| int >> bits),
        (-400..400_i64, select(vec![1_000, 1_000_000, 1_000_000_000, 60_000_000_000, 86_400_000_000_000]))
            .prop_map(|(count, unit)| count * unit / 8),
    ];
    prop_oneof![
        hostile().prop_map(Literal::Text),
        hostile().prop_map(Literal::Str),
        names.prop_map(Literal::from),
        ints.prop_map(Literal::Int),
        doubles.prop_map(Literal::Double),
        any::<bool>().prop_map(Literal::Bool),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    prop_oneof![filter(), filter_of(target().boxed(), literal().boxed(), hostile().boxed())]
}

/// The text with other white space where white space may stand: around every sign, and instead of each space.
fn spaced(text: &str, mut space: impl FnMut() -> &'static str) -> String {
    let mut spaced = String::from(space());
    let mut quote = None;
    let mut is_escaped = false;
    for character in text.chars() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some('"') if character == '\\' => is_escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == ' ' => {
                spaced.push(' ');
                spaced.push_str(space());
                continue;
            }
            // Two in a row are one within single quotes: nothing may come between them.
            None if matches!(character, '\'' | '"') => quote = Some(character),
            // A NaN with its bits is one word.
            None if matches!(character, '(' | ')') && !text.contains("NaN(0x")
                || "[],".contains(character) =>
            {
                spaced.push_str(space());
                spaced.push(character);
                spaced.push_str(space());
                continue;
            }
            None => {}
        }
        spaced.push(character);
    }
    spaced + space()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_filter_comes_back_from_its_text(filter in any_filter()) {
        let text = filter.to_string();
        let read: Filter = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        // Doubles included: by their bits, not as numbers.
        prop_assert_eq!(read.to_bytes(), filter.to_bytes(), "{}", text);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn white_space_says_nothing(
        filter in any_filter(),
        spaces in prop::collection::vec(select(vec!["", " ", "\n", "\t \r\n", "\u{a0}\u{2003}"]), 1..9),
    ) {
        let mut spaces = spaces.into_iter().cycle();
        let text = spaced(&filter.to_string(), || spaces.next().unwrap());
        let read: Filter = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(read.to_bytes(), filter.to_bytes(), "{}", text);
    }

    #[test]
    fn a_damaged_text_is_an_error_or_a_filter_that_says_the_same(
        filter in any_filter(),
        at in any::<prop::sample::Index>(),
        piece in hostile(),
        cut in 0..4_usize,
    ) {
        let text: Vec<char> = filter.to_string().chars().collect();
        let at = at.index(text.len());
        let damaged = text[..at].iter().copied().chain(piece.chars()).chain(text[at..].iter().skip(cut).copied());
        let damaged = String::from_iter(damaged);
        match damaged.parse::<Filter>() {
            Ok(read) => {
                let again: Filter = read.to_string().parse().unwrap();
                prop_assert_eq!(again.to_bytes(), read.to_bytes());
            }
            Err(error) => prop_assert!((1..=damaged.chars().count() + 1).contains(&error.column), "{}", error),
        }
    }
}
