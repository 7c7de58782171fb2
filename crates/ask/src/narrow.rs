//! Which rows of a row group may match: what the distinct values of its columns tell, before anything else of
//! the group is read.
//!
//! Only what every match must have is looked at: a predicate that stands alone or in an `and`. Where distinct
//! values decide all of them, the rows are those that match, and no others.

use std::ops::Range;

use siltstone_format::block::error::ReadError;
use siltstone_format::block::prune::{Distinct, DistinctPart, WantedValues};
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, SpansFile};

use crate::coerce::Scalar;
use crate::evaluate::named_matches;
use crate::field::Field;
use crate::filter::{Comparison, Filter, Level, Node, Predicate, Target, Test};
use crate::rows::Rows;

/// What of a filter distinct values may decide.
#[derive(Debug)]
pub struct Narrowing<'a> {
    predicates: Vec<(DistinctPart<'a>, &'a Predicate)>,
    /// Attributes that a match has.
    keys: Vec<&'a str>,
    /// The predicates are all that is asked.
    is_whole: bool,
    /// No span matches.
    is_impossible: bool,
}

/// Rows of a group: no other row matches.
#[derive(Clone, Debug)]
pub struct Narrowed {
    pub rows: Rows,
    /// Each of them matches.
    pub is_exact: bool,
}

impl Filter {
    pub fn narrowing(&self) -> Narrowing<'_> {
        let mut narrowing =
            Narrowing { predicates: Vec::new(), keys: Vec::new(), is_whole: true, is_impossible: false };
        narrowing.add(self);
        narrowing
    }
}

impl<'a> Narrowing<'a> {
    /// It decides nothing: every row may match.
    pub fn is_empty(&self) -> bool {
        self.predicates.is_empty() && self.keys.is_empty() && !self.is_impossible
    }

    /// The filter asks nothing else than what distinct values may decide.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// All that distinct values may decide is about few of them: many rows are likely to match.
    pub fn is_of_few_values(&self, file: &SpansFile, group: usize) -> bool {
        self.predicates.iter().all(|(part, _)| file.has_few_values(group, *part))
    }

    /// The ranges that [`Self::rows`] needs.
    pub fn ranges(&self, file: &SpansFile, group: usize, among: &[GroupRows]) -> Vec<Range<u64>> {
        if is_nothing(among) || !self.may_match(file, group) {
            return Vec::new();
        }
        self.predicates.iter().flat_map(|(part, _)| file.distinct_ranges(group, *part, among)).collect()
    }

    /// Those among some rows of a group, which ascend.
    pub fn rows(
        &self,
        file: &SpansFile,
        group: usize,
        among: &[GroupRows],
        fetched: &Fetched,
    ) -> Result<Narrowed, ReadError> {
        let count = file.group_rows(group);
        let none = Narrowed { rows: Rows::none(count), is_exact: true };
        if is_nothing(among) || !self.may_match(file, group) {
            return Ok(none);
        }
        // Dictionaries first: if one of them has nothing, no page is opened.
        let mut wanted: Vec<(WantedValues, &Predicate)> = Vec::new();
        let mut is_exact = self.is_whole;
        for (part, predicate) in &self.predicates {
            match file.wanted_values(group, *part, fetched, |value| passes(predicate, value))? {
                Some(values) if values.is_empty() => return Ok(none),
                Some(values) => wanted.push((values, predicate)),
                None => is_exact = false,
            }
        }
        let mut rows = Rows::none(count);
        among.iter().for_each(|run| rows.insert_all(run.rows.clone()));
        for (values, predicate) in wanted {
            let mut found = Rows::none(count);
            let is_wanted = |value: Distinct<'_>| passes(predicate, value);
            file.rows_with(&values, among, fetched, is_wanted, |row| found.insert(row))?;
            rows = rows.and(&found);
        }
        Ok(Narrowed { rows, is_exact })
    }

    fn may_match(&self, file: &SpansFile, group: usize) -> bool {
        !self.is_impossible && self.keys.iter().all(|key| file.may_hold_attribute(group, key))
    }

    fn add(&mut self, filter: &'a Filter) {
        match filter.node() {
            Node::And(parts) => parts.iter().for_each(|part| self.add(part)),
            Node::Predicate(predicate) => self.add_predicate(predicate),
            Node::Or(parts) if parts.is_empty() => self.is_impossible = true,
            Node::Or(_) | Node::Not(_) | Node::Some(..) => self.is_whole = false,
        }
    }

    fn add_predicate(&mut self, predicate: &'a Predicate) {
        if let Target::Attribute { level: Level::Span, key } = predicate.target() {
            self.keys.push(key);
        }
        match part_of(predicate) {
            Some(part) => self.predicates.push((part, predicate)),
            None => self.is_whole = false,
        }
    }
}

/// No page is read for no rows, so that none is there.
fn is_nothing(among: &[GroupRows]) -> bool {
    among.iter().all(|run| run.rows.is_empty())
}

/// Where the distinct values stand that decide a predicate.
fn part_of(predicate: &Predicate) -> Option<DistinctPart<'_>> {
    match (predicate.target(), predicate.test()) {
        (Target::Field(Field::Name), _) => Some(DistinctPart::Name),
        (Target::Field(Field::ServiceName), _) => Some(DistinctPart::ServiceName),
        (Target::Field(Field::Kind), _) => Some(DistinctPart::Kind),
        (Target::Field(Field::StatusCode), _) => Some(DistinctPart::StatusCode),
        // Rows without a message have the empty one, and stand in no column.
        (Target::Field(Field::StatusMessage), test) if !test.matches_scalar(Scalar::Str("")) => {
            Some(DistinctPart::StatusMessage)
        }
        // A span may have several values: that one passes does not decide these.
        (Target::Attribute { .. }, Test::Exists | Test::Compare(Comparison::Ne, _)) => None,
        (Target::Attribute { level: Level::Span, key }, _) => Some(DistinctPart::Attribute(key)),
        _ => None,
    }
}

fn passes(predicate: &Predicate, value: Distinct<'_>) -> bool {
    let test = predicate.test();
    match (predicate.target(), value) {
        (Target::Field(field @ (Field::Kind | Field::StatusCode)), Distinct::Int(number)) => {
            // Wider numbers are in no such column.
            i32::try_from(number).is_ok_and(|number| named_matches(*field, number, test))
        }
        (_, Distinct::Str(text)) => test.matches_scalar(Scalar::Str(text)),
        (_, Distinct::Int(int)) => test.matches_scalar(Scalar::Int(i128::from(int))),
        (_, Distinct::Double(double)) => test.matches_scalar(Scalar::Double(double)),
        (_, Distinct::Bool(flag)) => test.matches_scalar(Scalar::Bool(flag)),
    }
}
