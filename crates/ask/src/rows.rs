//! Which rows of columns match: for each row the answer that [`Filter::matches`] gives for its span, without
//! building spans.
//!
//! A predicate is put once to each distinct text, origin and list of attributes, and the answers are spread over
//! the rows by number. It is asked only about rows on which it still depends: of the parts of an `and` the cheap
//! ones exclude rows first, of the parts of an `or` they include them.

mod attributes;
mod bitmap;
mod cost;
mod entries;
mod fields;
mod lists;
mod numbers;
mod verdicts;

use siltstone_format::columns::SpanColumns;
use siltstone_format::value::ValueError;

use self::attributes::of_attribute;
pub use self::bitmap::Rows;
use self::cost::cheap_first;
use self::fields::{of_field, of_origins};
use self::lists::ListAttributes;
use crate::filter::{Filter, Level, Nested, Node, Predicate, Target, Test};
use crate::window::Window;

impl Filter {
    /// The rows whose spans match. Of what [`Filter::parts`] does not name the columns may hold nothing, but how
    /// many rows there are.
    ///
    /// Fails if a row's answer depends on a text that is not a value of its type, which columns that were built
    /// here never hold. A text does not matter if the row is decided without it, or if it cannot hold the key.
    pub fn rows(&self, columns: &SpanColumns) -> Result<Rows, ValueError> {
        self.rows_within(Window::ALL, columns)
    }

    /// The rows whose spans match and start inside the window.
    pub fn rows_within(&self, window: Window, columns: &SpanColumns) -> Result<Rows, ValueError> {
        let lists = ListAttributes::new(self, &columns.list_texts);
        Evaluation { columns, lists }.matching(self, &window.rows(columns))
    }
}

impl Window {
    /// The rows whose spans start inside.
    pub fn rows(self, columns: &SpanColumns) -> Rows {
        let all = Rows::all(columns.len());
        if self == Self::ALL {
            all
        } else {
            all.filter(|row| self.contains(columns.starts[row].cast_unsigned()))
        }
    }
}

/// A filter on its way over columns.
struct Evaluation<'a> {
    columns: &'a SpanColumns,
    lists: ListAttributes<'a>,
}

impl Evaluation<'_> {
    /// Those of the rows that match.
    fn matching(&mut self, filter: &Filter, among: &Rows) -> Result<Rows, ValueError> {
        match filter.node() {
            Node::And(parts) => self.all_of(parts, among),
            Node::Or(parts) => Ok(among.clone().and_not(&self.none_of(parts, among)?)),
            Node::Not(inner) => Ok(among.clone().and_not(&self.matching(inner, among)?)),
            Node::Some(of, inner) => self.some(*of, inner, among),
            Node::Predicate(predicate) => self.passing(predicate, among),
        }
    }

    fn all_of(&mut self, parts: &[Filter], among: &Rows) -> Result<Rows, ValueError> {
        let mut left = among.clone();
        for part in cheap_first(parts) {
            if left.is_empty() {
                break;
            }
            left = self.matching(part, &left)?;
        }
        Ok(left)
    }

    fn none_of(&mut self, parts: &[Filter], among: &Rows) -> Result<Rows, ValueError> {
        let mut left = among.clone();
        for part in cheap_first(parts) {
            if left.is_empty() {
                break;
            }
            let found = self.matching(part, &left)?;
            left = left.and_not(&found);
        }
        Ok(left)
    }

    fn passing(&mut self, predicate: &Predicate, among: &Rows) -> Result<Rows, ValueError> {
        match predicate.target() {
            Target::Field(field) => Ok(of_field(*field, predicate.test(), self.columns, among)),
            Target::Attribute { level, key } => self.at_level(*level, key, predicate.test(), among),
        }
    }

    fn at_level(&mut self, level: Level, key: &str, test: &Test, among: &Rows) -> Result<Rows, ValueError> {
        let columns = self.columns;
        match level {
            Level::Span => of_attribute(key, test, columns, among),
            Level::Resource => {
                Ok(of_origins(columns, among, |origin| test.matches_holder(key, &origin.resource_attributes)))
            }
            Level::Scope => {
                Ok(of_origins(columns, among, |origin| test.matches_holder(key, &origin.scope_attributes)))
            }
            Level::Event => self.of_entries(Nested::Event, key, test, among),
            Level::Link => self.of_entries(Nested::Link, key, test, among),
            Level::Any => {
                let mut left = among.clone();
                for one in [Level::Resource, Level::Scope, Level::Span, Level::Event, Level::Link] {
                    let found = self.at_level(one, key, test, &left)?;
                    left = left.and_not(&found);
                }
                Ok(among.clone().and_not(&left))
            }
        }
    }
}
