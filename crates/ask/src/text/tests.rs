use super::*;
use crate::error::FilterError;
use crate::field::Field;
use crate::filter::{Comparison, Level, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Nested, Target};
use crate::literal::Literal;
use crate::pattern::MAX_PATTERN_BYTES;
use crate::wire::MAX_FILTER_BYTES;

fn read(text: &str) -> Filter {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Filter>() {
        Ok(filter) => panic!("{text} is read as {filter}"),
        Err(error) => error.to_string(),
    }
}

fn span(key: &str) -> Target {
    Target::attribute(Level::Span, key)
}

fn exists(key: &str) -> Filter {
    Filter::exists(span(key))
}

fn compare(target: impl Into<Target>, comparison: Comparison, literal: impl Into<Literal>) -> Filter {
    Filter::compare(target.into(), comparison, literal).unwrap()
}

fn and(parts: Vec<Filter>) -> Filter {
    Filter::and(parts).unwrap()
}

fn or(parts: Vec<Filter>) -> Filter {
    Filter::or(parts).unwrap()
}

fn not(inner: Filter) -> Filter {
    Filter::negate(inner).unwrap()
}

#[test]
fn should_write_every_form_as_people_read_it() {
    let (a, b) = (|| exists("a"), || exists("b"));
    let str = |text: &str| Literal::Str(text.to_owned());
    let failed = compare(Field::StatusCode, Comparison::Eq, "error");
    let slow = compare(Field::Duration, Comparison::Gt, 1_500_000);
    let kinds = vec!["server".into(), "client".into(), 9.into(), 2.0.into()];
    for (filter, expected) in [
        (and(vec![failed, slow]), "status = error and duration > 1.5ms"),
        (compare(Field::ServiceName, Comparison::Ne, "payment"), r#"service_name != "payment""#),
        (compare(span("http.route"), Comparison::Eq, str("7")), r#"span["http.route"] = str "7""#),
        (compare(span("k"), Comparison::Le, -0.0), r#"span["k"] <= -0.0"#),
        (compare(span("k"), Comparison::Eq, true), r#"span["k"] = true"#),
        (Filter::one_of(Field::Kind.into(), kinds).unwrap(), "kind in (server, client, 9, 2.0)"),
        (Filter::one_of(span("k"), vec![]).unwrap(), r#"span["k"] in ()"#),
        (Filter::regex(Field::Name.into(), r"GET /\d+").unwrap(), r"name =~ 'GET /\d+'"),
        (compare(Field::TraceId, Comparison::Eq, "00FF"), r#"trace_id = "00ff""#),
        (compare(Field::Root, Comparison::Eq, "true"), "root = true"),
        (compare(Field::Start, Comparison::Ge, 1_500_000_000), "start >= 1970-01-01T00:00:01.5Z"),
        (compare(Field::Start, Comparison::Ge, "1500"), r#"start >= "1500""#),
        (compare(Field::End, Comparison::Lt, -5), "end < -5"),
        (not(and(vec![a(), b()])), r#"not (span["a"] exists and span["b"] exists)"#),
        (not(not(a())), r#"not not span["a"] exists"#),
        (
            or(vec![and(vec![a(), b()]), a()]),
            r#"(span["a"] exists and span["b"] exists) or span["a"] exists"#,
        ),
        (
            and(vec![and(vec![a(), b()]), a()]),
            r#"(span["a"] exists and span["b"] exists) and span["a"] exists"#,
        ),
        (
            Filter::some(Nested::Event, or(vec![a(), b()])).unwrap(),
            r#"some event (span["a"] exists or span["b"] exists)"#,
        ),
        (not(and(vec![a()])), r#"not and (span["a"] exists)"#),
        (and(vec![or(vec![Filter::all()]), Filter::none()]), "or (true) and false"),
    ] {
        assert_eq!(filter.to_string(), expected);
        assert_eq!(read(expected), filter, "{expected}");
    }
}

#[test]
fn should_bind_not_before_and_before_or_and_keep_parentheses() {
    let [a, b, c] = ["a", "b", "c"].map(exists);
    let text = r#"span["a"] exists OR Not span["b"] exists AND span["c"] exists"#;
    assert_eq!(read(text), or(vec![a.clone(), and(vec![not(b.clone()), c.clone()])]));
    let nested = r#"((span["a"] exists)) and (span["b"] exists and span["c"] exists)"#;
    assert_eq!(read(nested), and(vec![a, and(vec![b, c])]));
}

#[test]
fn should_read_what_may_be_written_in_several_ways() {
    for (text, same) in [
        ("STATUS = STATUS_CODE_ERROR", "status_code=2"),
        ("start_time < 1970-01-02", "start < 86400000000000"),
        ("duration >= 1m30s", "duration >= 90000ms"),
        (r#"event_offset < -5ms"#, "event_offset < -5000000"),
        (r#"span['it''s'] = 'x'"#, r#"span["it's"] = "x""#),
        (r#"kind in(server,"client" , 3)"#, "kind in (server, client, client)"),
        (r#"name !~ "a""#, r#"name exists and not name =~ "a""#),
        ("root = 'true'", "root = true"),
        ("span['k'] = NaN(0x7ff8000000000000) or true", "span['k'] = NaN or true"),
    ] {
        assert_eq!(format!("{:?}", read(text)), format!("{:?}", read(same)), "{text}");
    }
}

/// Of a table of `docs/filters.md`, the texts in backticks at the front of each row.
fn documented(heading: &str) -> Vec<&'static str> {
    let page = include_str!("../../../../docs/filters.md");
    let (_, rows) = page.split_once(heading).unwrap();
    let rows = rows.lines().skip(2).take_while(|row| row.starts_with('|'));
    rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect()
}

#[test]
fn should_read_what_the_docs_show() {
    let examples = documented("| text | spans |");
    assert_eq!(examples.len(), 10);
    examples.into_iter().for_each(|text| drop(read(text)));
    let fields = documented("| field | values | `<` |");
    assert_eq!(fields.len(), Field::ALL.len() + 3, "all, and three by two names");
    fields.into_iter().for_each(|field| drop(read(&format!("{field} exists"))));
}

#[test]
fn should_say_where_it_goes_wrong_and_what_to_write() {
    for (text, expected) in [
        (
            "",
            r#"column 1: expected a field, an attribute such as span["http.route"], `not` or `(`, found the end"#,
        ),
        ("sevice_name = 'a'", "column 1: there is no field `sevice_name`: did you mean `service_name`?"),
        (
            "resourc['k'] = 1",
            "column 1: no attributes are called `resourc`: did you mean `resource`? There are span, resource, scope, event, link, any",
        ),
        ("span = 1", "column 6: expected `[` and a key in quotes, found `=`"),
        ("span[k] = 1", "column 6: expected a key in quotes, found `k`"),
        (
            "name is 'a'",
            "column 6: expected `=`, `!=`, `<`, `<=`, `>`, `>=`, `=~`, `!~`, `in` or `exists`, found `is`",
        ),
        ("name = payment", "column 8: expected a value, found `payment`; texts stand in quotes"),
        ("name = str", "column 8: expected a value, found `str`; texts stand in quotes"),
        ("name == 'a'", "column 7: expected a value, found `=`"),
        (
            "status = eror",
            "column 10: there is no status code `eror`; it is a number or one of: unset, ok, error",
        ),
        (
            "status > ok",
            "column 10: `status code` has no order, so `>` cannot be asked of it; use `=`, `!=` or `in`",
        ),
        (
            "duration > 5sec",
            "column 12: `5sec` is no duration of whole nanoseconds; write `1.5ms`, `2s` or `1h30m`",
        ),
        (
            "duration > 300000d",
            "column 12: `300000d` is no duration of whole nanoseconds; write `1.5ms`, `2s` or `1h30m`",
        ),
        ("start > 2026-02-30", "column 9: `2026-02-30` is no time since 1970; write `2026-08-01T12:00:00Z`"),
        (
            "span['k'] > 5ms",
            "column 13: `5ms` is no number; only `duration` and `event_offset` are compared with durations, and `start`, `end` and `event_time` with times",
        ),
        (
            "span['k'] = 9223372036854775808",
            "column 13: `9223372036854775808` is over 64 bits; write it in quotes, or as a double",
        ),
        ("name =~ a", "column 9: expected a regular expression in quotes, found `a`"),
        ("kind in (server client)", "column 17: expected `,` or `)`, found `client`"),
        ("kind in server", "column 9: expected `(` and values, found `server`"),
        ("(name exists", "column 13: expected `and`, `or` or `)`, found the end"),
        ("name exists adn root = true", "column 13: expected `and`, `or` or the end, found `adn`"),
        ("name exists)", "column 12: expected `and`, `or` or the end, found `)`"),
        ("some span (true)", "column 6: expected `event` or `link`, found `span`"),
        ("and name exists", "column 5: expected `(`, found `name`"),
        (
            "'ä' = name",
            r#"column 1: expected a field, an attribute such as span["http.route"], `not` or `(`, found the text `ä`"#,
        ),
        ("name = 'ä' or 'b", "column 15: a quote has no end"),
        (
            r#"name = "ä\d""#,
            r"column 10: `\d` is no escape; write `\\d`, or the text in single quotes, where `\` is itself",
        ),
    ] {
        assert_eq!(refused(text), expected);
    }
    assert!(refused("name =~ '('").contains("column 9: `(` is not a regular expression"));
    assert!(refused("some event (any['k'] exists)").starts_with("column 1: within `some event` the key `k`"));
}

#[test]
fn should_give_back_the_largest_filters() {
    let deepest = (1..MAX_DEPTH).try_fold(exists("k"), |inner, _| Filter::negate(inner)).unwrap();
    let wide = |inner| Filter::and(vec![inner, Filter::none()]);
    let deepest_joined = (1..MAX_DEPTH).try_fold(exists("k"), |inner, _| wide(inner)).unwrap();
    let widest = and(vec![Filter::all(); MAX_NODES - 1]);
    let literals = Filter::one_of(span("k"), vec![Literal::Int(i64::MIN); MAX_NODES - 1]).unwrap();
    let patterns = or(vec![Filter::regex(span("k"), "a|b.*").unwrap(); MAX_PATTERNS]);
    for filter in [deepest, deepest_joined, widest, literals, patterns] {
        assert_eq!(read(&filter.to_string()), filter);
    }
}

#[test]
fn should_bound_what_it_reads() {
    let many = 50_000;
    for open in ["(", "not ", "not(", "and(", "some event(", "or (not "] {
        let refused = refused(&open.repeat(many));
        assert!(refused.ends_with(&FilterError::TooDeep.to_string()), "{refused}");
    }
    let deep = format!("{}true{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert_eq!(read(&deep), Filter::all());
    assert!(refused(&format!("({deep})")).contains("column 65: "));
    for wide in
        ["true or ".repeat(many), format!("span['k'] in ({}", "1,".repeat(many)), "(true) and ".repeat(many)]
    {
        let refused = refused(&wide);
        assert!(refused.ends_with(&FilterError::TooManyNodes.to_string()), "{refused}");
    }
    assert!(refused(&"name =~ '(' or ".repeat(many)).contains("is not a regular expression"));
    let refused_patterns = refused(&"name !~ 'a' or ".repeat(MAX_PATTERNS + 1));
    assert!(refused_patterns.ends_with(&FilterError::TooManyPatterns.to_string()), "{refused_patterns}");
    assert!(refused(&format!("name =~ '{}'", "a".repeat(MAX_PATTERN_BYTES + 1))).contains("4097 bytes"));
    assert!(refused(&" ".repeat(MAX_FILTER_BYTES + 1)).contains("over the limit"));
    let long_word = refused(&"x".repeat(MAX_FILTER_BYTES));
    assert!(long_word.len() < 1_000 && long_word.contains('…'), "{long_word}");
}
