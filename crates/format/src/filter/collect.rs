//! The terms of a block: what its spans say, without what would cost too much.
//!
//! Nearly unique keys (a message id on every span) would make the filter as large as
//! the data. If the filter would take more than [`MAX_SHARE_PERCENT`] of the block,
//! the keys with the most distinct values are left out, one after the other; each
//! leaves its *uncovered* term, and is named in the block's summary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::size::{Rate, SizeClass};
use super::split_block::{FilterKey, SplitBlockFilter};
use crate::columns::SpanColumns;
use crate::columns::attributes::{AttributeColumn, ColumnValues};
use crate::columns::dictionary::Dictionary;
use crate::columns::lists::ListTexts;
use crate::term::{NAME_FIELD, SERVICE_FIELD, STATUS_MESSAGE_FIELD, TermKey, TermScope, TermValue};
use crate::value::{Attribute, Value, ValueError};

/// How much of a block its term filter may take.
pub const MAX_SHARE_PERCENT: u64 = 8;

/// A key whose values are not in the term filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub scope: TermScope,
    pub key: String,
    /// Distinct values that it has in the block.
    pub distinct: u64,
}

/// The distinct terms of a block, by scope and key.
#[derive(Debug, Default)]
pub struct Terms {
    keys: BTreeMap<(TermScope, String), KeyTerms>,
}

#[derive(Debug, Default)]
struct KeyTerms {
    terms: Vec<u64>,
    /// So many of them are sorted, each once.
    settled: usize,
    uncovered: bool,
    /// It had more values than can be held: at least so many. They are left out whatever comes.
    given_up: u64,
}

/// Terms that are held of one block, eight bytes each. A filter of as many fills its share of a block of 65 MB.
const MOST_TERMS: usize = 4 << 20;
/// Keys with fewer terms take no room that matters, however many they are.
const WORTH_GIVING_UP: usize = 1_024;

impl Terms {
    /// All terms of all spans.
    pub fn of(columns: &SpanColumns) -> Result<Self, ValueError> {
        let mut terms = Self::default();
        terms.add(columns)?;
        terms.keys.values_mut().for_each(KeyTerms::settle);
        Ok(terms)
    }

    /// Adds all terms of more spans.
    pub(crate) fn add(&mut self, columns: &SpanColumns) -> Result<(), ValueError> {
        for column in columns.attributes.iter().filter(|column| !column.rows.is_empty()) {
            let name = columns.keys.name(column.key);
            self.add_key(TermScope::Span, name, |key, out| column_terms(column, key, out));
        }
        self.add_overflow(columns)?;
        self.add_texts(TermScope::Event, &columns.list_texts, &columns.events.attributes)?;
        self.add_texts(TermScope::Link, &columns.list_texts, &columns.links.attributes)?;
        for origin in &columns.origins {
            self.add_attributes(TermScope::Resource, &origin.resource_attributes);
            self.add_attributes(TermScope::Scope, &origin.scope_attributes);
            let service = origin.service_name();
            self.add_key(TermScope::Field, SERVICE_FIELD, |key, out| {
                out.push(key.term(TermValue::Str(&service)))
            });
        }
        self.add_key(TermScope::Field, NAME_FIELD, |key, out| {
            text_terms(&columns.names, &columns.names_of_rows, key, out);
        });
        let messages = &columns.status_messages;
        self.add_key(TermScope::Field, STATUS_MESSAGE_FIELD, |key, out| {
            text_terms(&messages.texts, &messages.numbers, key, out);
            if messages.rows.len() < columns.len() {
                out.push(key.term(TermValue::Str("")));
            }
        });
        self.keys.values_mut().filter(|key| key.is_worth_settling()).for_each(KeyTerms::settle);
        self.bound();
        Ok(())
    }

    /// Memory that is held, about.
    pub(crate) fn bytes(&self) -> usize {
        let of_key = |key: &str, terms: &KeyTerms| key.len() + size_of::<KeyTerms>() + terms.terms.len() * 8;
        self.keys.iter().map(|((_, key), terms)| of_key(key, terms)).sum()
    }

    /// Gives up the keys with the most terms until the rest can be held: a filter would have no room for them.
    fn bound(&mut self) {
        let mut held: usize = self.keys.values().map(|key| key.terms.len()).sum();
        while held > MOST_TERMS {
            let largest = self.keys.values_mut().max_by_key(|key| key.terms.len());
            let Some(largest) = largest.filter(|key| key.terms.len() >= WORTH_GIVING_UP) else { return };
            held -= largest.terms.len();
            largest.settle();
            largest.given_up = largest.terms.len() as u64;
            largest.terms = Vec::new();
            largest.settled = 0;
        }
    }

    /// The filter for a block of so many bytes, and the keys that it leaves out.
    pub fn into_filter(mut self, block_bytes: u64) -> (SplitBlockFilter, Vec<LeftOut>) {
        let budget = block_bytes * MAX_SHARE_PERCENT / 100;
        self.keys.values_mut().for_each(KeyTerms::settle);
        let (given_up, mut keys): (Vec<_>, Vec<_>) =
            self.keys.into_iter().partition(|(_, terms)| terms.given_up > 0);
        let given_up = given_up.into_iter();
        let mut left_out: Vec<LeftOut> =
            given_up.map(|((scope, key), terms)| LeftOut { scope, key, distinct: terms.given_up }).collect();
        keys.sort_by_key(|(_, terms)| terms.terms.len());
        let held = keys.iter().map(|(_, terms)| terms.terms.len() as u64 + u64::from(terms.uncovered));
        let mut distinct = held.sum::<u64>() + left_out.len() as u64;
        let class = loop {
            let class = SizeClass::for_keys(distinct, Rate::OneInHundred);
            if class.bytes() as u64 <= budget || class == SizeClass::SMALLEST {
                break class;
            }
            // A key with one value or none costs no more than its uncovered term.
            let Some(((scope, key), terms)) = keys.pop_if(|(_, terms)| terms.terms.len() > 1) else {
                break class;
            };
            let removed = terms.terms.len() as u64;
            distinct = distinct - removed + u64::from(!terms.uncovered);
            left_out.push(LeftOut { scope, key, distinct: removed });
        };
        let mut filter = SplitBlockFilter::new(class);
        for ((scope, key), terms) in &keys {
            terms.terms.iter().for_each(|term| filter.insert(FilterKey::of_term(*term)));
            if terms.uncovered {
                filter.insert(FilterKey::of_term(TermKey::new(*scope, key).uncovered()));
            }
        }
        for left in &left_out {
            filter.insert(FilterKey::of_term(TermKey::new(left.scope, &left.key).uncovered()));
        }
        (filter, left_out)
    }

    /// A key with a term that a filter lacks, if there is one. Keys that are left out
    /// must have their uncovered term there.
    pub fn missing_from(&self, filter: &SplitBlockFilter, left_out: &[LeftOut]) -> Option<&str> {
        let holds = |term| filter.may_hold(FilterKey::of_term(term));
        let complete = |scope: TermScope, key: &str, terms: &KeyTerms| {
            let uncovered = || holds(TermKey::new(scope, key).uncovered());
            if left_out.iter().any(|left| left.scope == scope && left.key == key) {
                return uncovered();
            }
            terms.terms.iter().all(|term| holds(*term)) && (!terms.uncovered || uncovered())
        };
        let missing = self.keys.iter().find(|((scope, key), terms)| !complete(*scope, key, terms));
        missing.map(|((_, key), _)| key.as_str())
    }

    fn add_key(&mut self, scope: TermScope, key: &str, terms: impl FnOnce(TermKey, &mut Vec<u64>)) {
        let entry = self.keys.entry((scope, key.to_owned())).or_default();
        if entry.given_up == 0 {
            terms(TermKey::new(scope, key), &mut entry.terms);
        }
    }

    fn add_value(&mut self, scope: TermScope, key: &str, value: &Value) {
        let entry = self.keys.entry((scope, key.to_owned())).or_default();
        match plain(value) {
            Some(value) if entry.given_up == 0 => entry.terms.push(TermKey::new(scope, key).term(value)),
            Some(_) => {}
            None => entry.uncovered = true,
        }
    }

    fn add_attributes(&mut self, scope: TermScope, attributes: &[Attribute]) {
        attributes.iter().for_each(|attribute| self.add_value(scope, &attribute.key, &attribute.value));
    }

    fn add_overflow(&mut self, columns: &SpanColumns) -> Result<(), ValueError> {
        let (entries, texts) = (&columns.overflow.entries, &columns.list_texts);
        let mut distinct: Vec<_> =
            (0..entries.len()).map(|i| (entries.keys[i], entries.types[i], entries.texts[i])).collect();
        distinct.sort_unstable();
        distinct.dedup();
        for (key, kind, text) in distinct {
            let value = Value::from_text(kind, texts.texts.get(text))?;
            self.add_value(TermScope::Span, texts.keys.get(key), &value);
        }
        Ok(())
    }

    /// Adds the attributes of events or links, which are numbered texts.
    fn add_texts(&mut self, scope: TermScope, texts: &ListTexts, numbers: &[u32]) -> Result<(), ValueError> {
        let mut distinct = numbers.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        for number in distinct {
            self.add_attributes(scope, &texts.attributes(number)?);
        }
        Ok(())
    }
}

impl KeyTerms {
    /// Sorts the terms, and keeps each once.
    fn settle(&mut self) {
        if self.settled < self.terms.len() {
            // What is settled is one run already: this sort finds it.
            self.terms.sort();
            self.terms.dedup();
            self.settled = self.terms.len();
        }
    }

    /// When as much is new as was there, so that all settling together takes little.
    fn is_worth_settling(&self) -> bool {
        self.terms.len() > 2 * self.settled + 1_024
    }
}

/// The value as one that has a term. Arrays have none: a search for an element must
/// look into the block.
fn plain(value: &Value) -> Option<TermValue<'_>> {
    match value {
        Value::Str(text) => Some(TermValue::Str(text)),
        Value::Int(int) => Some(TermValue::Int(*int)),
        Value::Double(double) => Some(TermValue::Double(*double)),
        Value::Bool(flag) => Some(TermValue::Bool(*flag)),
        Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}

fn column_terms(column: &AttributeColumn, key: TermKey, out: &mut Vec<u64>) {
    match &column.values {
        ColumnValues::Str { texts, numbers } => text_terms(texts, numbers, key, out),
        ColumnValues::Int(values) => {
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            out.extend(distinct.into_iter().map(|value| key.term(TermValue::Int(value))));
        }
        ColumnValues::Double(values) => {
            out.extend(values.iter().map(|value| key.term(TermValue::Double(*value))))
        }
        ColumnValues::Bool(values) => {
            let both = [true, false].into_iter().filter(|flag| values.contains(flag));
            out.extend(both.map(|flag| key.term(TermValue::Bool(flag))));
        }
    }
}

/// Terms of the texts that are used: a span that was refused may have left others.
fn text_terms(texts: &Dictionary, numbers: &[u32], key: TermKey, out: &mut Vec<u64>) {
    let mut used = vec![false; texts.len()];
    numbers.iter().for_each(|number| used[*number as usize] = true);
    let numbers = used.iter().enumerate().filter(|(_, used)| **used).map(|(number, _)| number as u32);
    out.extend(numbers.map(|number| key.term(TermValue::Str(texts.get(number)))));
}
