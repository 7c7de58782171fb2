//! Texts as arrow's views, taken from a dictionary by number: a text is laid down once for all rows that have it.

use datafusion::arrow::array::{ArrayRef, AsArray, StringViewArray, StringViewBuilder, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::error::ArrowError;
use siltstone_format::columns::dictionary::Dictionary;
use std::sync::Arc;

/// Distinct texts of more bytes are not carried along by every batch that names a few of them.
const MOST_SHARED_BYTES: usize = 64 << 10;

/// Distinct texts with numbers.
pub(super) struct Texts {
    values: StringViewArray,
    is_shared: bool,
}

impl Texts {
    /// The dictionary's texts, the empty one as nothing if it stands for that.
    pub(super) fn of(dictionary: &Dictionary, is_empty_none: bool) -> Self {
        let texts = (0..dictionary.len() as u32).map(|number| dictionary.get(number));
        Self::collect(texts.map(|text| (!is_empty_none || !text.is_empty()).then_some(text)))
    }

    pub(super) fn collect<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut values = StringViewBuilder::new();
        let mut bytes = 0;
        for text in texts {
            bytes += text.map_or(0, str::len);
            values.append_option(text);
        }
        Self { values: values.finish(), is_shared: bytes <= MOST_SHARED_BYTES }
    }

    /// The texts of these numbers, and nothing where there is none.
    pub(super) fn take(&self, numbers: impl Iterator<Item = Option<u32>>) -> Result<ArrayRef, ArrowError> {
        self.of_numbers(&numbers.collect())
    }

    /// The same where each row has a number.
    pub(super) fn take_all(&self, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef, ArrowError> {
        self.of_numbers(&UInt32Array::from_iter_values(numbers))
    }

    fn of_numbers(&self, numbers: &UInt32Array) -> Result<ArrayRef, ArrowError> {
        let taken = take(&self.values, numbers, None)?;
        Ok(if self.is_shared { taken } else { Arc::new(taken.as_string_view().gc()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_take_texts_by_number_and_carry_no_others_along() {
        let mut dictionary = Dictionary::default();
        for text in ["", "short", "a text that is longer than a view"] {
            dictionary.intern(text.as_bytes()).unwrap();
        }
        let texts = Texts::of(&dictionary, true);
        let taken = texts.take([Some(2), None, Some(0), Some(1)].into_iter()).unwrap();
        let found: Vec<_> = taken.as_string_view().iter().collect();
        assert_eq!(found, [Some("a text that is longer than a view"), None, None, Some("short")]);
        let all = texts.take_all([2, 0, 1].into_iter()).unwrap();
        let found: Vec<_> = all.as_string_view().iter().collect();
        assert_eq!(found, [Some("a text that is longer than a view"), None, Some("short")]);
        assert_eq!(Texts::of(&dictionary, false).take_all([0].into_iter()).unwrap().null_count(), 0);

        let many: Vec<String> = (0..4_000).map(|number| format!("a long text, number {number}")).collect();
        let texts = Texts::collect(many.iter().map(|text| Some(text.as_str())));
        let taken = texts.take([Some(3_999)].into_iter()).unwrap();
        assert_eq!(taken.as_string_view().value(0), many[3_999]);
        assert!(taken.get_array_memory_size() < 1_000);
    }
}
