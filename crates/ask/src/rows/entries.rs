//! Rows by their events and links: which entries pass, and whose they are.
//!
//! Within a `some` all predicates are about the same entry, so that the filter is answered for entries; what it
//! asks of the span is answered for rows, and spread over their entries.

use siltstone_format::columns::SpanColumns;
use siltstone_format::value::ValueError;

use super::cost::cheap_first;
use super::numbers::of_ints;
use super::verdicts::Verdicts;
use super::{Evaluation, Rows};
use crate::coerce::Scalar;
use crate::evaluate::hex_matches;
use crate::field::Field;
use crate::filter::{Filter, Nested, Node, Predicate, Target, Test};

impl Nested {
    /// For each entry, whose it is.
    fn owners(self, columns: &SpanColumns) -> &[u32] {
        match self {
            Self::Event => &columns.events.rows,
            Self::Link => &columns.links.rows,
        }
    }

    /// The entries of some rows.
    fn entries_of(self, columns: &SpanColumns, rows: &Rows) -> Rows {
        let owners = self.owners(columns);
        Rows::all(owners.len()).filter(|entry| rows.contains(owners[entry] as usize))
    }

    /// The rows that have one of these entries.
    fn rows_of(self, columns: &SpanColumns, entries: &Rows) -> Rows {
        let owners = self.owners(columns);
        let mut rows = Rows::none(columns.len());
        entries.iter().for_each(|entry| rows.insert(owners[entry] as usize));
        rows
    }
}

/// Those of the rows with an entry for whose field the test holds.
pub(super) fn of_entries(of: Nested, field: Field, test: &Test, columns: &SpanColumns, among: &Rows) -> Rows {
    of.rows_of(columns, &entries_by_field(field, test, columns, &of.entries_of(columns, among)))
}

impl Evaluation<'_> {
    /// Those of the rows with an entry for whose attributes the test holds.
    pub(super) fn of_entries(
        &mut self,
        of: Nested,
        key: &str,
        test: &Test,
        among: &Rows,
    ) -> Result<Rows, ValueError> {
        let entries = of.entries_of(self.columns, among);
        let found = self.entries_by_attribute(of, key, test, &entries)?;
        Ok(of.rows_of(self.columns, &found))
    }

    /// Those of the rows with an entry on which the whole filter holds.
    pub(super) fn some(&mut self, of: Nested, filter: &Filter, among: &Rows) -> Result<Rows, ValueError> {
        let entries = of.entries_of(self.columns, among);
        let found = self.matching_entries(of, filter, &entries)?;
        Ok(of.rows_of(self.columns, &found))
    }

    fn matching_entries(&mut self, of: Nested, filter: &Filter, among: &Rows) -> Result<Rows, ValueError> {
        match filter.node() {
            Node::And(parts) => cheap_first(parts).into_iter().try_fold(among.clone(), |left, part| {
                if left.is_empty() { Ok(left) } else { self.matching_entries(of, part, &left) }
            }),
            Node::Or(parts) => {
                let mut left = among.clone();
                for part in cheap_first(parts) {
                    if left.is_empty() {
                        break;
                    }
                    let found = self.matching_entries(of, part, &left)?;
                    left = left.and_not(&found);
                }
                Ok(among.clone().and_not(&left))
            }
            Node::Not(inner) => Ok(among.clone().and_not(&self.matching_entries(of, inner, among)?)),
            Node::Predicate(predicate) if predicate.target().nested() == Some(of) => {
                self.passing_entries(of, predicate, among)
            }
            Node::Predicate(_) | Node::Some(..) => {
                let rows = of.rows_of(self.columns, among);
                let found = self.matching(filter, &rows)?;
                Ok(of.entries_of(self.columns, &found).and(among))
            }
        }
    }

    fn passing_entries(
        &mut self,
        of: Nested,
        predicate: &Predicate,
        among: &Rows,
    ) -> Result<Rows, ValueError> {
        match predicate.target() {
            Target::Field(field) => Ok(entries_by_field(*field, predicate.test(), self.columns, among)),
            Target::Attribute { key, .. } => self.entries_by_attribute(of, key, predicate.test(), among),
        }
    }

    fn entries_by_attribute(
        &mut self,
        of: Nested,
        key: &str,
        test: &Test,
        among: &Rows,
    ) -> Result<Rows, ValueError> {
        let columns = self.columns;
        let texts = match of {
            Nested::Event => &columns.events.attributes,
            Nested::Link => &columns.links.attributes,
        };
        let mut verdicts = Verdicts::new(columns.list_texts.texts.len());
        let mut found = Rows::none(among.of());
        for entry in among.iter() {
            let text = texts[entry];
            if verdicts.try_get(text, || Ok(test.matches_holder(key, self.lists.attributes(text)?)))? {
                found.insert(entry);
            }
        }
        Ok(found)
    }
}

fn entries_by_field(field: Field, test: &Test, columns: &SpanColumns, among: &Rows) -> Rows {
    let (events, links) = (&columns.events, &columns.links);
    let by_text = |numbers: &[u32]| {
        let texts = &columns.list_texts.texts;
        let mut verdicts = Verdicts::new(texts.len());
        among.filter(|entry| {
            let number = numbers[entry];
            verdicts.get(number, || test.matches_scalar(Scalar::Str(texts.get(number))))
        })
    };
    match field {
        Field::EventTime => {
            let holds = of_ints(test);
            among.filter(|entry| holds(i128::from(events.times[entry])))
        }
        Field::EventOffset => {
            let holds = of_ints(test);
            let start = |entry: usize| columns.starts[events.rows[entry] as usize].cast_unsigned();
            among.filter(|entry| holds(i128::from(events.times[entry]) - i128::from(start(entry))))
        }
        Field::LinkTraceId => among.filter(|entry| {
            let id = links.trace_ids[entry];
            !id.is_zero() && hex_matches(&id.0, test)
        }),
        Field::LinkSpanId => among.filter(|entry| {
            let id = links.span_ids[entry];
            !id.is_zero() && hex_matches(&id.0, test)
        }),
        Field::LinkTraceState => by_text(&links.trace_states),
        _ => by_text(&events.names),
    }
}
