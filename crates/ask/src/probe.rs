//! Which terms a block must hold for any of its spans to match.
//!
//! A block may be skipped only if no span in it can match. What terms cannot tell
//! (order, negation, regular expressions, presence, most fields) is unknown, and
//! unknown never skips.
//!
//! What the writer of a block inserts, and this relies on:
//! - for each attribute value of type str, int, double or bool its
//!   [term](siltstone_format::term): at span, resource, scope, event, link;
//! - the terms of service name, span name and status message, where not empty;
//! - for each key with a value that has no term here, the key's uncovered term.
//!
//! Equal values have equal terms, whatever their types, so an equality needs one term.
//! Two cases need more: a text literal beyond 2^53 equals an int exactly but a double
//! by rounding (two terms), and a double beyond it equals by rounding many strings
//! that are ints (unknown).

use std::collections::BTreeSet;

use siltstone_format::term::{
    NAME_FIELD, SERVICE_FIELD, STATUS_MESSAGE_FIELD, TermKey, TermScope, TermValue,
};

use crate::field::Field;
use crate::filter::{Comparison, Filter, Level, Node, Predicate, Target, Test};
use crate::literal::{Literal, Operand};

/// Doubles below this equal no two ints.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// What a block must hold, as far as terms tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing is known: the block must be read.
    Unknown,
    /// One of these terms; of none, nothing in any block matches.
    AnyOf(Vec<u64>),
    And(Vec<Probe>),
    Or(Vec<Probe>),
}

/// The terms that a filter needs.
pub fn probe(filter: &Filter) -> Probe {
    match filter.node() {
        Node::And(parts) => Probe::all(parts.iter().map(probe)),
        Node::Or(parts) => Probe::any(parts.iter().map(probe)),
        // What a term cannot exclude says nothing about its contrary.
        Node::Not(_) => Probe::Unknown,
        // What holds of one event holds of some.
        Node::Some(_, inner) => probe(inner),
        Node::Predicate(predicate) => of_predicate(predicate),
    }
}

impl Probe {
    /// Whether a block with these terms may hold a span that matches. A filter's false
    /// positives make it true more often, never less.
    pub fn may_match(&self, mut present: impl FnMut(u64) -> bool) -> bool {
        self.may(&mut present)
    }

    /// All terms that may be asked for.
    pub fn terms(&self) -> BTreeSet<u64> {
        match self {
            Self::Unknown => BTreeSet::new(),
            Self::AnyOf(terms) => terms.iter().copied().collect(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::terms).collect(),
        }
    }

    fn may(&self, present: &mut dyn FnMut(u64) -> bool) -> bool {
        match self {
            Self::Unknown => true,
            Self::AnyOf(terms) => terms.iter().any(|term| present(*term)),
            Self::And(parts) => parts.iter().all(|part| part.may(present)),
            Self::Or(parts) => parts.iter().any(|part| part.may(present)),
        }
    }

    fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut known: Vec<Self> = parts.filter(|part| *part != Self::Unknown).collect();
        match known.len() {
            0 => Self::Unknown,
            1 => known.remove(0),
            _ => Self::And(known),
        }
    }

    fn any(parts: impl Iterator<Item = Self>) -> Self {
        let mut terms = BTreeSet::new();
        let mut rest = Vec::new();
        for part in parts {
            match part {
                Self::Unknown => return Self::Unknown,
                Self::AnyOf(some) => terms.extend(some),
                other => rest.push(other),
            }
        }
        if rest.is_empty() || !terms.is_empty() {
            rest.insert(0, Self::AnyOf(terms.into_iter().collect()));
        }
        match rest.len() {
            1 => rest.remove(0),
            _ => Self::Or(rest),
        }
    }
}

fn of_predicate(predicate: &Predicate) -> Probe {
    let keys = term_keys(predicate.target());
    let is_field = matches!(predicate.target(), Target::Field(_));
    match predicate.test() {
        Test::Compare(Comparison::Eq, operand) => equality(&keys, operand, is_field),
        Test::In(operands) => Probe::any(operands.iter().map(|operand| equality(&keys, operand, is_field))),
        Test::Regex(pattern) => match pattern.literals() {
            // The texts of these doubles are no numbers, so no equality finds them.
            Some(texts) if !texts.iter().any(|text| matches!(*text, "NaN" | "inf" | "-inf")) => {
                let operands = texts.into_iter().map(|text| Operand::new(text.into()));
                Probe::any(operands.map(|operand| equality(&keys, &operand, is_field)))
            }
            _ => Probe::Unknown,
        },
        Test::Compare(..) | Test::Exists => Probe::Unknown,
    }
}

/// Where the target's terms stand; nowhere if it has none.
fn term_keys(target: &Target) -> Vec<TermKey> {
    let scopes: &[TermScope] = match target {
        Target::Field(Field::ServiceName) => return vec![TermKey::new(TermScope::Field, SERVICE_FIELD)],
        Target::Field(Field::Name) => return vec![TermKey::new(TermScope::Field, NAME_FIELD)],
        Target::Field(Field::StatusMessage) => {
            return vec![TermKey::new(TermScope::Field, STATUS_MESSAGE_FIELD)];
        }
        Target::Field(_) => return Vec::new(),
        Target::Attribute { level, .. } => match level {
            Level::Span => &[TermScope::Span],
            Level::Resource => &[TermScope::Resource],
            Level::Scope => &[TermScope::Scope],
            Level::Event => &[TermScope::Event],
            Level::Link => &[TermScope::Link],
            Level::Any => {
                &[TermScope::Span, TermScope::Resource, TermScope::Scope, TermScope::Event, TermScope::Link]
            }
        },
    };
    match target {
        Target::Attribute { key, .. } => scopes.iter().map(|scope| TermKey::new(*scope, key)).collect(),
        Target::Field(_) => Vec::new(),
    }
}

fn equality(keys: &[TermKey], operand: &Operand, is_field: bool) -> Probe {
    let empty = matches!(operand.literal(), Literal::Text(text) | Literal::Str(text) if text.is_empty());
    if keys.is_empty() || (is_field && empty) {
        return Probe::Unknown;
    }
    let Some(values) = equal_values(operand) else { return Probe::Unknown };
    if values.is_empty() {
        return Probe::AnyOf(Vec::new());
    }
    let terms: BTreeSet<u64> = keys
        .iter()
        .flat_map(|key| values.iter().map(|value| key.term(*value)).chain([key.uncovered()]))
        .collect();
    Probe::AnyOf(terms.into_iter().collect())
}

/// Values whose terms stand for all values that the literal equals, if they can be
/// enumerated.
fn equal_values(operand: &Operand) -> Option<Vec<TermValue<'_>>> {
    match operand.literal() {
        Literal::Text(text) => {
            let as_double = operand.number().map(|number| TermValue::Double(number.as_double()));
            Some([TermValue::Str(text)].into_iter().chain(as_double).collect())
        }
        Literal::Str(text) => Some(vec![TermValue::Str(text)]),
        Literal::Int(int) => Some(vec![TermValue::Int(*int)]),
        Literal::Bool(flag) => Some(vec![TermValue::Bool(*flag)]),
        Literal::Double(double) if double.is_nan() => Some(Vec::new()),
        Literal::Double(double) if double.is_finite() && double.abs() >= EXACT_LIMIT => None,
        Literal::Double(double) => Some(vec![TermValue::Double(*double)]),
    }
}

#[cfg(test)]
mod tests;
