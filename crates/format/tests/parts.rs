//! Parts of spans are what whole spans say of them, and row groups that are passed over
//! hold nothing that is wanted.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

mod samples;
mod strategies;

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::block::prune::{Distinct, DistinctPart};
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::GroupRows;
use siltstone_format::columns::attributes::ColumnValues;
use siltstone_format::columns::{RareCounts, RareTexts, SpanColumns};
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};

use self::samples::{Opened, encode, open};
use self::strategies::span;

const KEYS: [&str; 7] = ["", "k", "http.route", "attr.str.k", "\"q\"", "copy", "absent"];

/// Each span as often as that, with ids and a text of its own: several pages and large
/// dictionaries come of many.
fn copied(spans: &[Span], copies: usize) -> Vec<Span> {
    let copy = |number: usize, span: &Span| {
        let mut copy = span.clone();
        copy.trace_id.0[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let value = Value::Str(format!("copy {}", number / 2));
        copy.attributes.push(Attribute { key: "copy".to_owned(), value });
        copy
    };
    (0..copies).flat_map(|number| spans.iter().map(move |span| copy(number, span))).collect()
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let copies = prop_oneof![3 => Just(1usize), 1 => 200usize..400];
    (prop::collection::vec(span(), 1..30), copies).prop_map(|(spans, copies)| copied(&spans, copies))
}

fn parts() -> impl Strategy<Value = Parts> {
    let keys = prop::sample::subsequence(KEYS.to_vec(), 0..=KEYS.len());
    let keys = keys.prop_map(|keys| AttributeParts::Keys(keys.into_iter().map(str::to_owned).collect()));
    let attributes = prop_oneof![4 => keys, 1 => Just(AttributeParts::All)];
    let one_in_three = || prop::bool::weighted(0.33);
    (prop::collection::vec(one_in_three(), 16), attributes).prop_map(|(wanted, attributes)| Parts {
        trace_ids: wanted[0],
        span_ids: wanted[1],
        parents: wanted[2],
        starts: wanted[3],
        durations: wanted[4],
        names: wanted[5],
        kinds: wanted[6],
        status_codes: wanted[7],
        status_messages: wanted[8],
        trace_states: wanted[9],
        flags: wanted[10],
        dropped_counts: wanted[11],
        origins: wanted[12],
        attributes,
        events: wanted[13],
        links: wanted[14],
        services: wanted[15],
    })
}

fn whole(opened: &Opened) -> SpanColumns {
    let groups: Vec<_> = opened.spans.groups().collect();
    opened.spans.read_rows(&groups, &Fetched::whole(opened.whole.clone()), &opened.origins).unwrap()
}

/// The rows of all traces that a range touches.
fn whole_traces(trace_ids: &[TraceId], rows: Range<usize>) -> Range<usize> {
    let Some(last) = rows.clone().next_back() else { return rows };
    let first = trace_ids.partition_point(|id| *id < trace_ids[rows.start]);
    first..trace_ids.partition_point(|id| *id <= trace_ids[last])
}

/// What columns say of a row, as far as it is wanted.
fn said(columns: &SpanColumns, row: usize, parts: &Parts) -> Vec<String> {
    let number = row as u32;
    let rare = |texts: &RareTexts| -> Option<String> {
        let index = texts.rows.binary_search(&number).ok()?;
        Some(texts.texts.get(texts.numbers[index]).to_owned())
    };
    let count =
        |counts: &RareCounts| counts.rows.binary_search(&number).map_or(0, |index| counts.counts[index]);
    let mut said = Vec::new();
    if parts.trace_ids || parts.parents {
        said.push(format!("{:?}", columns.trace_ids[row]));
    }
    if parts.span_ids || parts.parents {
        said.push(format!("{:?}", columns.span_ids[row]));
    }
    if parts.parents {
        said.push(format!("{:?}", columns.parents[row]));
    }
    for (wanted, times) in [(parts.starts, &columns.starts), (parts.durations, &columns.durations)] {
        said.extend(wanted.then(|| times[row].to_string()));
    }
    for (wanted, codes) in [(parts.kinds, &columns.kinds), (parts.status_codes, &columns.status_codes)] {
        said.extend(wanted.then(|| codes[row].to_string()));
    }
    if parts.names {
        said.push(columns.names.get(columns.names_of_rows[row]).to_owned());
    }
    if parts.status_messages {
        said.push(format!("{:?}", rare(&columns.status_messages)));
    }
    if parts.trace_states {
        said.push(format!("{:?}", rare(&columns.trace_states)));
    }
    if parts.flags {
        said.push(columns.flags[row].to_string());
    }
    if parts.dropped_counts {
        let counts = [&columns.dropped_attributes, &columns.dropped_events, &columns.dropped_links];
        said.push(format!("{:?}", counts.map(count)));
    }
    if parts.origins {
        said.push(format!("{:?}", columns.origins[columns.origins_of_rows[row] as usize]));
    }
    if parts.services {
        let (names, of_rows) = columns.services();
        said.push(names[of_rows[row] as usize].to_string());
    }
    let mut attributes = attributes_of(columns, number);
    attributes.retain(|(key, ..)| parts.attributes.holds(key));
    said.push(format!("{attributes:?}"));
    let texts = &columns.list_texts.texts;
    if parts.events {
        let events = &columns.events;
        let places = (0..events.rows.len()).filter(|place| events.rows[*place] == number);
        said.extend(places.map(|place| {
            let (name, attributes) = (events.names[place], events.attributes[place]);
            let texts = (texts.get(name), texts.get(attributes));
            format!("event {} {texts:?} {}", events.times[place], events.dropped[place])
        }));
    }
    if parts.links {
        let links = &columns.links;
        let places = (0..links.rows.len()).filter(|place| links.rows[*place] == number);
        said.extend(places.map(|place| {
            let ids = (links.trace_ids[place], links.span_ids[place]);
            let texts = (texts.get(links.trace_states[place]), texts.get(links.attributes[place]));
            format!("link {ids:?} {texts:?} {} {}", links.flags[place], links.dropped[place])
        }));
    }
    said
}

/// Attributes of a row: key, type and exact text.
fn attributes_of(columns: &SpanColumns, row: u32) -> Vec<(String, &'static str, String)> {
    let mut found = Vec::new();
    for column in &columns.attributes {
        let Ok(index) = column.rows.binary_search(&row) else { continue };
        let text = match &column.values {
            ColumnValues::Str { texts, numbers } => texts.get(numbers[index]).to_owned(),
            ColumnValues::Int(values) => values[index].to_string(),
            ColumnValues::Double(values) => values[index].to_bits().to_string(),
            ColumnValues::Bool(values) => values[index].to_string(),
        };
        found.push((columns.keys.name(column.key).to_owned(), column.values.value_type().name(), text));
    }
    let (rows, entries, texts) = (&columns.overflow.rows, &columns.overflow.entries, &columns.list_texts);
    for place in rows.partition_point(|at| *at < row)..rows.partition_point(|at| *at <= row) {
        let key = texts.keys.get(entries.keys[place]).to_owned();
        found.push((key, entries.types[place].name(), texts.texts.get(entries.texts[place]).to_owned()));
    }
    found.sort_unstable();
    found
}

/// That what is not wanted is not there.
fn assert_nothing_else(columns: &SpanColumns, parts: &Parts) {
    let rows = columns.len();
    if !(parts.trace_ids || parts.parents) {
        assert!(columns.trace_ids.is_empty());
    }
    let dropped = [&columns.dropped_attributes, &columns.dropped_events, &columns.dropped_links];
    for (wanted, len) in [
        (parts.span_ids || parts.parents, columns.span_ids.len()),
        (parts.parents, columns.parents.len()),
        (parts.starts, columns.starts.len()),
        (parts.durations, columns.durations.len()),
        (parts.names, columns.names_of_rows.len()),
        (parts.kinds, columns.kinds.len()),
        (parts.status_codes, columns.status_codes.len()),
        (parts.flags, columns.flags.len()),
        (parts.origins, columns.origins_of_rows.len()),
    ] {
        assert_eq!(len, if wanted { rows } else { 0 });
    }
    for (wanted, len) in [
        (parts.names, columns.names.len()),
        (parts.status_messages, columns.status_messages.rows.len()),
        (parts.trace_states, columns.trace_states.rows.len()),
        (parts.dropped_counts, dropped.iter().map(|counts| counts.rows.len()).sum()),
        (parts.origins, columns.origins.len()),
        (parts.events, columns.events.rows.len()),
        (parts.links, columns.links.rows.len()),
    ] {
        assert!(wanted || len == 0);
    }
    let own = columns.attributes.iter().map(|column| columns.keys.name(column.key));
    let overflow = columns.overflow.entries.keys.iter().map(|key| columns.list_texts.keys.get(*key));
    assert!(own.chain(overflow).all(|key| parts.attributes.holds(key)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn should_give_parts_of_any_rows_from_their_ranges_alone(
        spans in spans(), parts in parts(), near in any::<bool>(),
        ranges in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..12),
    ) {
        let opened = open(encode(&spans));
        let full = whole(&opened);
        // Any order, also twice the same; or ascending, as who looks up what was found asks.
        let mut rows: Vec<Range<usize>> = ranges.iter().map(|(start, len)| {
            let start = start.index(spans.len());
            let most = if near { 5 } else { spans.len() };
            let rows = start..start + len.index(most.min(spans.len() - start) + 1);
            if parts.parents { whole_traces(&full.trace_ids, rows) } else { rows }
        }).collect();
        if near {
            rows.sort_unstable_by_key(|rows| rows.start);
        }
        let asked: Vec<GroupRows> = rows.iter().map(|rows| GroupRows { group: 0, rows: rows.clone() }).collect();
        let needed = opened.spans.ranges_of(&asked, &parts);
        let read = opened.spans.read_parts(&asked, &parts, &opened.fetch(needed), &opened.origins).unwrap();
        prop_assert_eq!(read.len(), rows.iter().map(Range::len).sum::<usize>());
        for (row, place) in rows.into_iter().flatten().enumerate() {
            prop_assert_eq!(said(&read, row, &parts), said(&full, place, &parts), "row {}", place);
        }
        assert_nothing_else(&read, &parts);
    }

    #[test]
    fn should_pass_over_no_group_that_holds_what_is_wanted(
        spans in spans(), key in prop::sample::select(KEYS.to_vec()),
        wanted in prop::sample::select(vec!["", "a", "GET /cart", "copy 0", "copy 77", "absent"]),
    ) {
        let opened = open(encode(&spans));
        let any = |is_it: &dyn Fn(&Span) -> bool| spans.iter().any(is_it);
        let has = |span: &Span, is_it: &dyn Fn(&Value) -> bool| {
            span.attributes.iter().any(|attribute| attribute.key == key && is_it(&attribute.value))
        };
        let held = any(&|span| has(span, &|_| true));
        prop_assert!(opened.spans.may_hold_attribute(0, key) || !held);
        prop_assert_eq!(opened.spans.may_hold_attribute(0, "absent"), overflows(&opened));

        let rows_are = |part, is_it: &dyn Fn(&Span) -> bool| {
            let Some(found) = rows_with(&opened, part, Distinct::Str(wanted)) else { return true };
            let spans = whole(&opened).spans().unwrap();
            let right: Vec<usize> = (0..spans.len()).filter(|row| is_it(&spans[*row])).collect();
            found == right
        };
        prop_assert!(rows_are(DistinctPart::Name, &|span| span.name == wanted));
        prop_assert!(rows_are(DistinctPart::ServiceName, &|span| span.origin.service_name() == wanted));
        let said = |span: &Span| !wanted.is_empty() && span.status_message == wanted;
        prop_assert!(rows_are(DistinctPart::StatusMessage, &said));
        let text = |span: &Span| has(span, &|value| matches!(value, Value::Str(text) if text == wanted));
        prop_assert!(rows_are(DistinctPart::Attribute(key), &text));
    }
}

/// Rows of the only group with a value, if columns tell.
fn rows_with(opened: &Opened, part: DistinctPart<'_>, wanted: Distinct<'_>) -> Option<Vec<usize>> {
    let count = opened.spans.group_rows(0);
    let rows = rows_with_among(opened, part, wanted, &[GroupRows { group: 0, rows: 0..count }])?;
    // Some of them are those of all that are there.
    let some: Vec<GroupRows> = [1..2, 3..3, 5..70, 71..72, 1_000..3_000]
        .into_iter()
        .map(|rows| GroupRows { group: 0, rows: rows.start.min(count)..rows.end.min(count) })
        .collect();
    let is_there = |row: &usize| some.iter().any(|run| run.rows.contains(row));
    let there: Vec<usize> = rows.iter().copied().filter(is_there).collect();
    assert_eq!(rows_with_among(opened, part, wanted, &some), Some(there));
    Some(rows)
}

fn rows_with_among(
    opened: &Opened,
    part: DistinctPart<'_>,
    wanted: Distinct<'_>,
    among: &[GroupRows],
) -> Option<Vec<usize>> {
    let fetched = opened.fetch(opened.spans.distinct_ranges(0, part, among));
    let is_it = |value: Distinct<'_>| value == wanted;
    let values = opened.spans.wanted_values(0, part, &fetched, is_it).unwrap()?;
    let mut rows = Vec::new();
    opened.spans.rows_with(&values, among, &fetched, is_it, |row| rows.push(row)).unwrap();
    assert!(!values.is_empty() || rows.is_empty());
    Some(rows)
}

/// Whether the file has an attribute without a column.
fn overflows(opened: &Opened) -> bool {
    !whole(opened).overflow.rows.is_empty()
}

fn numbered(number: usize) -> Span {
    let text = |key: &str, value: String| Attribute { key: key.to_owned(), value: Value::Str(value) };
    Span {
        trace_id: TraceId((number as u128).to_be_bytes()),
        span_id: SpanId((number as u64).to_be_bytes()),
        name: format!("name {}", number % 50),
        start_unix_nano: number as u64 * 10,
        attributes: vec![
            text("route", format!("/{}", number % 20)),
            text("unique", number.to_string()),
            Attribute { key: "code".to_owned(), value: Value::Int(number as i64 % 4) },
        ],
        ..Span::default()
    }
}

#[test]
fn should_read_the_same_where_dictionaries_are_packed() {
    let spans: Vec<Span> = (0..3_000)
        .map(|number| {
            let mut span = numbered(number);
            span.name = format!("a name that many others begin with, number {}", number % 600);
            // Most of these have no column of their own.
            let key = format!("a key that few spans have, number {}", number % 1_000);
            span.attributes.push(Attribute { key, value: Value::Str(format!("text {number}")) });
            span
        })
        .collect();
    let (plain, mut packed) = (open(encode(&spans)), open(encode(&spans)));
    assert!(overflows(&plain));
    packed.spans.pack_dictionaries();
    assert_eq!(whole(&packed).spans().unwrap(), whole(&plain).spans().unwrap());
    assert!(packed.spans.held_bytes() < plain.spans.held_bytes());
}

#[test]
fn should_tell_from_columns_which_rows_have_a_value() {
    let mut spans: Vec<Span> = (0..5_000).map(numbered).collect();
    spans[7].attributes.push(Attribute { key: "rare".to_owned(), value: Value::Str("here".to_owned()) });
    let opened = open(encode(&spans));
    let every = |step: usize, first: usize| Some((first..5_000).step_by(step).collect::<Vec<_>>());
    let none = Some(Vec::new());
    let rows = |part, wanted: &str| rows_with(&opened, part, Distinct::Str(wanted));
    assert_eq!(rows(DistinctPart::Name, "name 49"), every(50, 49));
    assert_eq!(rows(DistinctPart::Name, "name 50"), none);
    assert_eq!(rows(DistinctPart::ServiceName, ""), every(1, 0));
    assert_eq!(rows(DistinctPart::ServiceName, "absent"), none);
    assert_eq!(rows(DistinctPart::StatusMessage, "absent"), none);
    assert_eq!(rows(DistinctPart::Attribute("route"), "/19"), every(20, 19));
    assert_eq!(rows(DistinctPart::Attribute("route"), "/20"), none);
    assert_eq!(rows(DistinctPart::Attribute("unique"), "7"), Some(vec![7]), "without a dictionary");
    assert_eq!(rows(DistinctPart::Attribute("rare"), "here"), None, "it stands among those without a column");
    assert_eq!(rows(DistinctPart::Attribute("absent"), "here"), none);
    let kinds = |wanted| rows_with(&opened, DistinctPart::Kind, Distinct::Int(wanted));
    assert_eq!([kinds(0), kinds(1)], [every(1, 0), none.clone()]);
    assert_eq!(rows_with(&opened, DistinctPart::Attribute("code"), Distinct::Int(3)), every(4, 3));
    assert_eq!(rows_with(&opened, DistinctPart::Attribute("code"), Distinct::Double(3.0)), none);
    let start = |number: u64| number * 10;
    assert_eq!(opened.spans.starts_of(0), Some((start(0), start(4_999))));
    let needed = opened.spans.ranges_of(&[GroupRows { group: 0, rows: 0..5_000 }], &Parts::default());
    assert!(needed.is_empty(), "no part needs {needed:?}");
}

#[test]
fn should_refuse_rows_that_are_not_there_and_ranges_that_were_not_fetched() {
    let opened = open(encode(&(0..100).map(numbered).collect::<Vec<_>>()));
    let names = Parts { names: true, ..Parts::default() };
    let read = |group, rows, fetched: &Fetched| {
        let rows = [GroupRows { group, rows }];
        opened.spans.read_parts(&rows, &names, fetched, &opened.origins).map(|columns| columns.len())
    };
    let fetched = Fetched::whole(opened.whole.clone());
    assert_eq!(read(0, 10..100, &fetched).unwrap(), 90);
    for (group, rows) in [(0, 99..101), (1, 0..1)] {
        let error = read(group, rows, &fetched).unwrap_err();
        assert!(error.to_string().contains("has not the rows that are asked for"), "{error}");
    }
    let opened = open(encode(&(0..100).map(numbered).collect::<Vec<_>>()));
    let error = opened.spans.read_parts(
        &[GroupRows { group: 0, rows: 0..1 }],
        &names,
        &Fetched::default(),
        &opened.origins,
    );
    assert!(error.unwrap_err().to_string().contains("are needed and were not given"));
}

#[test]
fn should_join_parts() {
    let key = |key: &str| AttributeParts::Keys(BTreeSet::from([key.to_owned()]));
    let one = Parts { names: true, attributes: key("a"), ..Parts::default() };
    let other = Parts { starts: true, attributes: key("b"), ..Parts::default() };
    let joined = one.clone().and(&other);
    assert!(joined.names && joined.starts && !joined.durations);
    assert!(joined.attributes.holds("a") && joined.attributes.holds("b") && !joined.attributes.holds("c"));
    assert_eq!(joined.clone().and(&Parts::all()), Parts::all());
    assert_eq!(Parts::all().and(&joined), Parts::all());
}

/// Dictionaries are those of a row group: what one numbers is something else in the next.
#[test]
fn should_give_parts_of_scattered_rows_of_several_row_groups() {
    let mut spans: Vec<Span> = (0..140_000).map(numbered).collect();
    for (number, span) in spans.iter_mut().enumerate() {
        span.name = format!("name {}", number / 700);
        span.start_unix_nano = number as u64;
    }
    let opened = open(encode(&spans));
    let groups: Vec<GroupRows> = opened.spans.groups().collect();
    assert!(groups.len() > 1, "one row group proves little");
    let key = AttributeParts::Keys(BTreeSet::from(["route".to_owned()]));
    let parts = Parts { names: true, starts: true, attributes: key, ..Parts::default() };
    let every = |step: usize| -> Vec<GroupRows> {
        let scattered = groups.iter().flat_map(|group| {
            let rows = group.rows.clone().step_by(step);
            rows.map(|row| GroupRows { group: group.group, rows: row..group.rows.end.min(row + 2) })
        });
        scattered.collect()
    };
    for asked in [groups.clone(), every(3), every(20_000)] {
        let fetched = Fetched::whole(opened.whole.clone());
        let read = opened.spans.read_parts(&asked, &parts, &fetched, &opened.origins).unwrap();
        let first_rows: Vec<usize> = groups
            .iter()
            .scan(0, |sum, group| Some(std::mem::replace(sum, *sum + group.rows.len())))
            .collect();
        let places = asked.iter().flat_map(|part| part.rows.clone().map(|row| first_rows[part.group] + row));
        let mut row = 0;
        for place in places {
            assert_eq!(read.starts[row], place as i64);
            assert_eq!(read.names.get(read.names_of_rows[row]), spans[place].name);
            let route = ("route".to_owned(), "str", format!("/{}", place % 20));
            assert_eq!(attributes_of(&read, row as u32), [route]);
            row += 1;
        }
        assert_eq!(read.len(), row);
    }
}
