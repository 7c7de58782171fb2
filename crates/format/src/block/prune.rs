//! Row groups that need not be read: what the metadata and a dictionary tell.

use std::ops::Range;

use super::decode::NOT_UTF8;
use super::error::ReadError;
use super::ranges::Fetched;
use super::read::SpansFile;
use super::schema::Fixed;
use crate::value::ValueType;

/// Texts of spans that may lie in a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPart<'a> {
    Name,
    ServiceName,
    /// A message that is empty counts as none.
    StatusMessage,
    /// Texts of the attribute with this key; values of other types are none.
    Attribute(&'a str),
}

impl SpansFile {
    /// Whether a span of a row group may have an attribute with this key, by the metadata
    /// alone.
    pub fn may_hold_attribute(&self, group: usize, key: &str) -> bool {
        let own = (Fixed::ALL.len()..).zip(&self.attributes);
        let mut own = own.filter(|(_, (_, name))| name == key);
        own.any(|(column, _)| !self.is_empty(group, column)) || self.may_overflow(group)
    }

    /// The ranges that [`Self::any_text`] needs; dictionaries that were read before are not
    /// among them.
    pub fn dictionary_ranges(&self, group: usize, part: TextPart<'_>) -> Vec<Range<u64>> {
        let own = self.text_column(part).filter(|column| !self.is_empty(group, *column));
        let overflow = self.overflow_keys(group, part);
        let columns = own.into_iter().chain(overflow);
        columns.filter_map(|column| self.unread_dictionary(group, column)).collect()
    }

    /// Whether a row group holds a text that `is_wanted`: looks at distinct texts only.
    /// Nothing if these do not tell, because there is no dictionary, or because the
    /// attribute may stand among those without a column.
    pub fn any_text(
        &self,
        group: usize,
        part: TextPart<'_>,
        fetched: &Fetched,
        is_wanted: impl FnMut(&str) -> bool,
    ) -> Result<Option<bool>, ReadError> {
        let own = match self.text_column(part) {
            Some(column) => self.any_in(group, column, fetched, is_wanted)?,
            None => Some(false),
        };
        let (Some(false), TextPart::Attribute(key)) = (own, part) else { return Ok(own) };
        let Some(keys) = self.overflow_keys(group, part) else { return Ok(own) };
        let overflows = self.any_in(group, keys, fetched, |found| found == key)?;
        Ok(overflows.filter(|overflows| !overflows))
    }

    fn any_in(
        &self,
        group: usize,
        column: usize,
        fetched: &Fetched,
        mut is_wanted: impl FnMut(&str) -> bool,
    ) -> Result<Option<bool>, ReadError> {
        if self.is_empty(group, column) {
            return Ok(Some(false));
        }
        let Some(dictionary) = self.dictionary(group, column, fetched)? else { return Ok(None) };
        for number in 0..dictionary.len() as u32 {
            let text =
                dictionary.get(number).and_then(|text| std::str::from_utf8(text).map_err(|_| NOT_UTF8));
            if is_wanted(text.map_err(|what| self.damage(group, column, what))?) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    fn text_column(&self, part: TextPart<'_>) -> Option<usize> {
        match part {
            TextPart::Name => Some(Fixed::Name as usize),
            TextPart::ServiceName => Some(Fixed::ServiceName as usize),
            TextPart::StatusMessage => Some(Fixed::StatusMessage as usize),
            TextPart::Attribute(key) => {
                let is_it = |(kind, name): &(ValueType, String)| *kind == ValueType::Str && name == key;
                self.attributes.iter().position(is_it).map(|index| Fixed::ALL.len() + index)
            }
        }
    }

    /// The keys of attributes without a column, where the wanted one may be among them.
    fn overflow_keys(&self, group: usize, part: TextPart<'_>) -> Option<usize> {
        (matches!(part, TextPart::Attribute(_)) && self.may_overflow(group))
            .then_some(self.lists.overflow.start)
    }

    fn may_overflow(&self, group: usize) -> bool {
        !self.is_empty(group, self.lists.overflow.start)
    }
}
