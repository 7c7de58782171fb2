use std::sync::Arc;

use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::value::{Attribute, Value};

use super::*;

const RULES: &str = "keep 7d; keep 90d where status = error; keep 30d where service_name = \"payment\"; \
                     keep 400d where archived";

fn read(text: &str) -> Retention {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Retention>() {
        Ok(rules) => panic!("{text} is read as {rules}"),
        Err(error) => error.to_string(),
    }
}

fn days(days: u64) -> Keep {
    Keep::For(Duration::from_secs(days * 24 * HOUR_SECONDS))
}

fn failed() -> Span {
    Span { status_code: 2, ..Span::default() }
}

fn of_payment() -> Span {
    let service = Attribute { key: SERVICE_NAME.to_owned(), value: Value::Str("payment".to_owned()) };
    let origin = Origin { resource_attributes: vec![service], ..Origin::default() };
    Span { origin: Arc::new(origin), ..Span::default() }
}

#[test]
fn should_read_rules_and_write_them_again() {
    let rules = read(RULES);
    assert_eq!(rules.to_string(), RULES);
    let filter = |text: &str| Of::Spans(text.parse().unwrap());
    assert_eq!(
        rules.rules(),
        [
            Rule { keep: days(7), of: Of::All },
            Rule { keep: days(90), of: filter("status = error") },
            Rule { keep: days(30), of: filter("service_name = 'payment'") },
            Rule { keep: days(400), of: Of::Archived },
        ]
    );
    let loose = "\nKEEP 168h ;keep 2160h where status=error;keep 30d where service_name='payment';\nkeep 400d where archived ; ";
    assert_eq!(read(loose), rules);
    assert_eq!(read("keep forever").rules(), [Rule { keep: Keep::Forever, of: Of::All }]);
    assert_eq!(
        read("keep 1d12h; keep forever where name = 'a;b'").to_string(),
        "keep 36h; keep forever where name = \"a;b\""
    );
}

#[test]
fn should_keep_a_trace_as_long_as_the_longest_rule_that_one_of_its_spans_meets() {
    let rules = read(RULES);
    assert_eq!(rules.keep_of(&[], false), days(7));
    assert_eq!(rules.keep_of(&[Span::default()], false), days(7));
    assert_eq!(rules.keep_of(&[Span::default(), of_payment()], false), days(30));
    assert_eq!(rules.keep_of(&[failed(), of_payment()], false), days(90));
    assert_eq!(rules.keep_of(&[of_payment()], true), days(400));
    let without_archived = read("keep 7d; keep 90d where status = error");
    assert_eq!(without_archived.keep_of(&[failed()], true), Keep::Forever);
    let soon = read("keep 7d; keep 8d where archived; keep 90d where status = error");
    assert_eq!([false, true].map(|is_archived| soon.keep_of(&[failed()], is_archived)), [days(90); 2]);
}

#[test]
fn should_say_the_shortest_and_the_longest_and_for_how_long_archives_stay() {
    let rules = read(RULES);
    assert_eq!((rules.shortest(), rules.longest(), rules.archived()), (days(7), days(90), days(400)));
    let one = read("keep 36500d");
    assert_eq!((one.shortest(), one.longest(), one.archived()), (days(36_500), days(36_500), Keep::Forever));
    assert!(Keep::Forever > days(36_500) && days(2) > days(1));
}

#[test]
fn should_refuse_rules_that_do_not_go_together_and_say_where() {
    for (text, expected) in [
        ("", "column 1: no rule is about all traces; add one without `where`, such as `keep 30d`"),
        (
            "keep 7d where archived",
            "column 23: no rule is about all traces; add one without `where`, such as `keep 30d`",
        ),
        (
            "keep 7d; keep 8d",
            "column 10: a second rule is about all traces; give it a `where`, or take one away",
        ),
        (
            "keep 7d; keep 8d where archived; keep 9d where archived",
            "column 34: a second rule is about archived traces; take one away",
        ),
        ("keep 59m", "column 1: `59m` is not in whole hours, from `1h` to `36500d`, nor `forever`"),
        ("keep 90m", "column 1: `90m` is not in whole hours, from `1h` to `36500d`, nor `forever`"),
        ("keep 1000000d", "column 1: `1000000d` is not in whole hours, from `1h` to `36500d`, nor `forever`"),
        ("keep 36501d", "column 1: `36501d` is not in whole hours, from `1h` to `36500d`, nor `forever`"),
        (
            "keep 30d; keep 7d where root = true",
            "column 11: `keep 7d where root = true` does nothing, as all traces are kept 30d and the longest rule decides; let the rule without `where` say less, or take this one away",
        ),
        ("keep -1d", "column 6: expected `forever` or hours or days, such as `36h` or `90d`, found `-1d`"),
        ("keep 30", "column 6: expected `forever` or hours or days, such as `36h` or `90d`, found `30`"),
        (
            "keep always",
            "column 6: expected `forever` or hours or days, such as `36h` or `90d`, found `always`",
        ),
        ("drop 30d", "column 1: expected `keep`, found `drop`"),
        ("keep 30d;;", "column 10: expected `keep`, found `;`"),
        (
            "keep 30d where",
            r#"column 15: expected a field, an attribute such as span["http.route"], `not` or `(`, found the end"#,
        ),
        ("keep 30d where archived and root = true", "column 25: expected `;` or the end, found `and`"),
        (
            "keep 7d; keep 30d where statos = error",
            "column 25: there is no field `statos`: did you mean `status`?",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
}

#[test]
fn should_bound_the_rules_together() {
    let many = format!("keep 7d{}", "; keep 8d where root = true".repeat(100_000 / 4));
    assert!(refused(&many).ends_with(&RetentionError::TooManyRules.to_string()));
    let new = |filters: Vec<Filter>| {
        let rules = filters.into_iter().map(|filter| Rule { keep: days(2), of: Of::Spans(filter) });
        Retention::new(rules.chain([Rule { keep: days(1), of: Of::All }]).collect())
    };
    let pattern = || Filter::regex(crate::Field::Name.into(), "a").unwrap();
    assert!(new(vec![pattern(); MAX_PATTERNS]).is_ok());
    assert_eq!(new(vec![pattern(); MAX_PATTERNS + 1]), Err(RetentionError::TooManyPatterns));
    assert_eq!(new(vec![pattern(); MAX_RULES]), Err(RetentionError::TooManyRules));
    let wide = Filter::and(vec![Filter::all(); MAX_NODES / 2]).unwrap();
    assert_eq!(new(vec![wide.clone(), wide]), Err(RetentionError::TooManyNodes));
}
