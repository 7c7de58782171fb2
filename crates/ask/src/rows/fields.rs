//! Rows by a field of their spans.

use siltstone_format::columns::{RareTexts, SpanColumns};
use siltstone_format::origin::Origin;

use super::Rows;
use super::entries::of_entries;
use super::numbers::of_ints;
use super::verdicts::Verdicts;
use crate::coerce::Scalar;
use crate::evaluate::{hex_matches, named_matches};
use crate::field::Field;
use crate::filter::{Nested, Test};

/// Those of the rows for whose field the test holds.
pub(super) fn of_field(field: Field, test: &Test, columns: &SpanColumns, among: &Rows) -> Rows {
    let text = |text: &str| test.matches_scalar(Scalar::Str(text));
    match field {
        Field::Name => {
            let mut verdicts = Verdicts::new(columns.names.len());
            among.filter(|row| {
                let name = columns.names_of_rows[row];
                verdicts.get(name, || text(columns.names.get(name)))
            })
        }
        Field::ServiceName => of_origins(columns, among, |origin| text(&origin.service_name())),
        Field::ScopeName => of_origins(columns, among, |origin| text(&origin.scope_name)),
        Field::ScopeVersion => of_origins(columns, among, |origin| text(&origin.scope_version)),
        Field::ScopeSchemaUrl => of_origins(columns, among, |origin| text(&origin.scope_schema_url)),
        Field::ResourceSchemaUrl => of_origins(columns, among, |origin| text(&origin.resource_schema_url)),
        Field::StatusMessage => of_rare_texts(&columns.status_messages, among, text),
        Field::TraceState => of_rare_texts(&columns.trace_states, among, text),
        Field::Kind => of_named(field, test, &columns.kinds, among),
        Field::StatusCode => of_named(field, test, &columns.status_codes, among),
        Field::Start | Field::End | Field::Duration => of_times(field, test, columns, among),
        Field::TraceId => among.filter(|row| hex_matches(&columns.trace_ids[row].0, test)),
        Field::SpanId => among.filter(|row| hex_matches(&columns.span_ids[row].0, test)),
        Field::ParentSpanId => {
            among.filter(|row| columns.parents[row].is_some_and(|parent| hex_matches(&parent.0, test)))
        }
        Field::Root => {
            let [child, root] = [false, true].map(|root| test.matches_scalar(Scalar::Bool(root)));
            among.filter(|row| if columns.parents[row].is_none() { root } else { child })
        }
        Field::EventName | Field::EventTime | Field::EventOffset => {
            of_entries(Nested::Event, field, test, columns, among)
        }
        Field::LinkTraceId | Field::LinkSpanId | Field::LinkTraceState => {
            of_entries(Nested::Link, field, test, columns, among)
        }
    }
}

/// Those of the rows whose origin passes; each origin is asked once.
pub(super) fn of_origins(columns: &SpanColumns, among: &Rows, test: impl Fn(&Origin) -> bool) -> Rows {
    let mut verdicts = Verdicts::new(columns.origins.len());
    among.filter(|row| {
        let origin = columns.origins_of_rows[row];
        verdicts.get(origin, || test(&columns.origins[origin as usize]))
    })
}

fn of_rare_texts(rare: &RareTexts, among: &Rows, test: impl Fn(&str) -> bool) -> Rows {
    let mut verdicts = Verdicts::new(rare.texts.len());
    // Rows that are not listed have the empty text.
    let mut found = if test("") { among.clone() } else { Rows::none(among.of()) };
    for (row, number) in rare.rows.iter().zip(&rare.numbers) {
        let row = *row as usize;
        if among.contains(row) {
            match verdicts.get(*number, || test(rare.texts.get(*number))) {
                true => found.insert(row),
                false => found.remove(row),
            }
        }
    }
    found
}

/// Kinds and status codes: nearly all are small numbers.
fn of_named(field: Field, test: &Test, numbers: &[i32], among: &Rows) -> Rows {
    let small: [bool; 8] = std::array::from_fn(|number| named_matches(field, number as i32, test));
    among.filter(|row| {
        let number = numbers[row];
        let verdict = usize::try_from(number).ok().and_then(|number| small.get(number));
        verdict.copied().unwrap_or_else(|| named_matches(field, number, test))
    })
}

fn of_times(field: Field, test: &Test, columns: &SpanColumns, among: &Rows) -> Rows {
    let holds = of_ints(test);
    let start = |row: usize| columns.starts[row].cast_unsigned();
    // As it was put in, see `SpanColumns::get`.
    let end = |row: usize| start(row).wrapping_add(columns.durations[row].cast_unsigned());
    match field {
        Field::Start => among.filter(|row| holds(i128::from(start(row)))),
        Field::End => among.filter(|row| holds(i128::from(end(row)))),
        _ => among.filter(|row| holds(i128::from(end(row)) - i128::from(start(row)))),
    }
}
