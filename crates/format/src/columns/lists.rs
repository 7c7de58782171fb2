//! What a span may have many of: attributes without a column, events, links.

use super::Rejected;
use super::attributes::Scalar;
use super::dictionary::Dictionary;
use crate::id::{SpanId, TraceId};
use crate::value::{
    Attribute, Value, ValueError, ValueType, attributes_from_text, attributes_text, write_double, write_int,
};

/// Attributes as (key, type, text).
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub keys: Vec<u32>,
    pub types: Vec<ValueType>,
    pub texts: Vec<u32>,
}

/// The texts that all lists of the same columns share.
#[derive(Clone, Debug, Default)]
pub struct ListTexts {
    pub keys: Dictionary,
    pub texts: Dictionary,
    scratch: String,
}

impl ListTexts {
    /// The number of the text of some attributes.
    pub(crate) fn intern_attributes(&mut self, attributes: &[Attribute]) -> Result<u32, Rejected> {
        if attributes.iter().any(|attribute| attribute.value.nesting() > crate::value::MAX_NESTING) {
            return Err(Rejected::TooDeep);
        }
        self.texts.intern(attributes_text(attributes).as_bytes())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes() + self.texts.memory_bytes() + self.scratch.capacity()
    }

    pub(crate) fn attributes(&self, number: u32) -> Result<Vec<Attribute>, ValueError> {
        attributes_from_text(self.texts.get(number))
    }
}

impl Entries {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn push(
        &mut self,
        texts: &mut ListTexts,
        key: &[u8],
        kind: ValueType,
        text: &[u8],
    ) -> Result<(), Rejected> {
        let key = texts.keys.intern(key)?;
        let text = texts.texts.intern(text)?;
        self.keys.push(key);
        self.types.push(kind);
        self.texts.push(text);
        Ok(())
    }

    pub(crate) fn push_value(
        &mut self,
        texts: &mut ListTexts,
        key: &[u8],
        value: &Value,
    ) -> Result<(), Rejected> {
        if value.nesting() > crate::value::MAX_NESTING {
            return Err(Rejected::TooDeep);
        }
        let mut scratch = std::mem::take(&mut texts.scratch);
        scratch.clear();
        value.write_text(&mut scratch);
        let pushed = self.push(texts, key, value.value_type(), scratch.as_bytes());
        texts.scratch = scratch;
        pushed
    }

    /// Adds a value of a type that may have a column.
    pub(crate) fn push_scalar(
        &mut self,
        texts: &mut ListTexts,
        key: &[u8],
        value: Scalar<'_>,
    ) -> Result<(), Rejected> {
        let mut scratch = std::mem::take(&mut texts.scratch);
        scratch.clear();
        let (kind, text) = match value {
            Scalar::Str(text) => (ValueType::Str, text),
            Scalar::Int(int) => {
                write_int(int, &mut scratch);
                (ValueType::Int, scratch.as_bytes())
            }
            Scalar::Double(double) => {
                write_double(double, &mut scratch);
                (ValueType::Double, scratch.as_bytes())
            }
            Scalar::Bool(flag) => (ValueType::Bool, if flag { &b"true"[..] } else { b"false" }),
        };
        let pushed = self.push(texts, key, kind, text);
        texts.scratch = scratch;
        pushed
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.types.truncate(len);
        self.texts.truncate(len);
    }

    /// The attributes of a run of entries.
    pub(crate) fn attributes(
        &self,
        texts: &ListTexts,
        run: std::ops::Range<usize>,
    ) -> Result<Vec<Attribute>, ValueError> {
        run.map(|index| {
            Ok(Attribute {
                key: texts.keys.get(self.keys[index]).to_owned(),
                value: Value::from_text(self.types[index], texts.texts.get(self.texts[index]))?,
            })
        })
        .collect()
    }
}

/// Attributes of spans that have no column of their own.
#[derive(Clone, Debug, Default)]
pub struct Overflow {
    /// Ascending; a row occurs once for each of its entries.
    pub rows: Vec<u32>,
    pub entries: Entries,
}

/// Events of all spans, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Ascending; a row occurs once for each of its events.
    pub rows: Vec<u32>,
    pub times: Vec<u64>,
    pub names: Vec<u32>,
    pub dropped: Vec<u32>,
    /// The attributes of each event as text, see [`crate::value::attributes_text`].
    pub attributes: Vec<u32>,
}

/// Links of all spans, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Ascending; a row occurs once for each of its links.
    pub rows: Vec<u32>,
    pub trace_ids: Vec<TraceId>,
    pub span_ids: Vec<SpanId>,
    pub trace_states: Vec<u32>,
    pub flags: Vec<u32>,
    pub dropped: Vec<u32>,
    /// The attributes of each link as text.
    pub attributes: Vec<u32>,
}

/// How many entries lie before a row; looks at no more than what lies behind.
pub(crate) fn keep_before<T: PartialOrd>(rows: &[T], row: &T) -> usize {
    rows.iter().rposition(|at| at < row).map_or(0, |last| last + 1)
}

impl Overflow {
    /// Forgets the entries of a row and of all behind.
    pub(crate) fn truncate(&mut self, row: u32) {
        let keep = keep_before(&self.rows, &row);
        self.rows.truncate(keep);
        self.entries.truncate(keep);
    }
}

impl Events {
    /// Forgets the entries of a row and of all behind.
    pub(crate) fn truncate(&mut self, row: u32) {
        let keep = keep_before(&self.rows, &row);
        self.rows.truncate(keep);
        self.times.truncate(keep);
        self.names.truncate(keep);
        self.dropped.truncate(keep);
        self.attributes.truncate(keep);
    }
}

impl Links {
    /// Forgets the entries of a row and of all behind.
    pub(crate) fn truncate(&mut self, row: u32) {
        let keep = keep_before(&self.rows, &row);
        self.rows.truncate(keep);
        self.trace_ids.truncate(keep);
        self.span_ids.truncate(keep);
        self.trace_states.truncate(keep);
        self.flags.truncate(keep);
        self.dropped.truncate(keep);
        self.attributes.truncate(keep);
    }
}
