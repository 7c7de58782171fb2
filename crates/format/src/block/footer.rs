//! Whether a footer that nothing vouches for can be given to the Parquet reader.
//!
//! The reader reserves memory for as many row groups, columns of a group and pages as
//! a footer claims, and descends as deep as its schema claims: a few damaged bytes
//! would end the process. So the Thrift structure is walked first, without reading
//! what it says.

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;

use super::hybrid::read_varint;

const MAGIC: &[u8] = b"PAR1";
/// Deepest nesting of Thrift structures, and of groups in a schema.
const MOST_DEPTH: usize = 32;

// Thrift's compact types.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;
// parquet.thrift's numbers.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Whether the footer of a whole file holds as much as it claims. What is no Parquet
/// file at all passes: the reader says so better.
pub(crate) fn is_footer_sound(whole: &[u8]) -> bool {
    let footer = whole
        .strip_suffix(MAGIC)
        .and_then(|rest| rest.split_last_chunk())
        .and_then(|(rest, len)| rest.get(rest.len().checked_sub(u32::from_le_bytes(*len) as usize)?..));
    footer.is_none_or(|bytes| Thrift { bytes, at: 0 }.footer().is_some())
}

/// The same for the page indexes that the footer of a whole file names.
pub(crate) fn are_page_indexes_sound(whole: &Bytes, metadata: &ParquetMetaData) -> bool {
    let is_sound = |offset: Option<i64>, length: Option<i32>| {
        let (Some(start), Some(length)) = (offset, length) else { return true };
        let place = usize::try_from(start).ok().zip(usize::try_from(length).ok());
        let bytes = place.and_then(|(start, length)| whole.get(start..start.checked_add(length)?));
        bytes.is_some_and(|bytes| Thrift { bytes, at: 0 }.value(STRUCT, 0).is_some())
    };
    metadata.row_groups().iter().flat_map(|group| group.columns()).all(|chunk| {
        is_sound(chunk.offset_index_offset(), chunk.offset_index_length())
            && is_sound(chunk.column_index_offset(), chunk.column_index_length())
    })
}

struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn footer(&mut self) -> Option<()> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if (id, kind) == (SCHEMA, LIST) {
                self.schema()?;
            } else {
                self.value(kind, 1)?;
            }
        }
        Some(())
    }

    /// The elements of a schema stand one after the other, each before its children.
    fn schema(&mut self) -> Option<()> {
        let (kind, size) = self.list()?;
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..size {
            if kind != STRUCT {
                return None;
            }
            while open.pop_if(|left| *left == 0).is_some() {}
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            let children = self.children()?;
            if children > size || open.len() == MOST_DEPTH {
                return None;
            }
            open.push(children);
        }
        Some(())
    }

    /// How many children one element of a schema has.
    fn children(&mut self) -> Option<u64> {
        let (mut id, mut children) = (0, 0);
        while let Some(kind) = self.field(&mut id)? {
            if (id, kind) == (CHILDREN, I32) {
                children = u64::try_from(self.number()?).ok()?;
            } else {
                self.value(kind, 1)?;
            }
        }
        Some(children)
    }

    /// Passes a value of a struct.
    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth == MOST_DEPTH {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.pass(1),
            I16 | I32 | I64 => self.number().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let length = read_varint(self.bytes, &mut self.at)?;
                self.pass(usize::try_from(length).ok()?)
            }
            LIST | SET => {
                let (kind, size) = self.list()?;
                (0..size).try_for_each(|_| match kind {
                    TRUE | FALSE => self.pass(1),
                    _ => self.value(kind, depth + 1),
                })
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.value(kind, depth + 1)?;
                }
                Some(())
            }
            // Parquet has no maps.
            _ => None,
        }
    }

    /// The type of the next field of a struct, or nothing at its end.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head & 0xf == STOP {
            return Some(None);
        }
        *id = if head >> 4 == 0 { self.number()? } else { *id + i64::from(head >> 4) };
        Some(Some(head & 0xf))
    }

    /// The type of a list's elements and their number. Each takes a byte at least.
    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let size =
            if head >> 4 == 15 { read_varint(self.bytes, &mut self.at)? } else { u64::from(head >> 4) };
        (size <= (self.bytes.len() - self.at) as u64).then_some((head & 0xf, size))
    }

    fn number(&mut self) -> Option<i64> {
        let raw = read_varint(self.bytes, &mut self.at)?;
        Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn pass(&mut self, length: usize) -> Option<()> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file whose footer has these fields after the version.
    fn file(fields: &[u8]) -> Vec<u8> {
        let footer = [&[1 << 4 | I32, 2][..], fields].concat();
        [MAGIC, &footer, &(footer.len() as u32).to_le_bytes(), MAGIC].concat()
    }

    #[test]
    fn should_refuse_more_elements_than_there_are_bytes() {
        let empty_root = [1 << 4 | LIST, 1 << 4 | STRUCT, STOP];
        let groups =
            |size: &[u8]| [&empty_root[..], &[2 << 4 | LIST, 0xf0 | STRUCT], size, &[STOP, STOP]].concat();
        assert!(is_footer_sound(&file(&groups(&[1]))));
        assert!(!is_footer_sound(&file(&groups(&[0xff, 0xff, 0xff, 0xff, 7]))));
    }

    #[test]
    fn should_refuse_deep_schemas_and_children_that_are_not_there() {
        let schema = |children: u8, elements: u8| {
            let element = [5 << 4 | I32, 2 * children, STOP];
            file(
                &[&[1 << 4 | LIST, 0xf0 | STRUCT, elements][..], &element.repeat(elements.into()), &[STOP]]
                    .concat(),
            )
        };
        assert!(is_footer_sound(&schema(0, 120)));
        assert!(is_footer_sound(&schema(1, 20)));
        assert!(!is_footer_sound(&schema(1, 120)));
        assert!(!is_footer_sound(&schema(30, 20)));
    }

    #[test]
    fn should_leave_to_the_reader_what_is_no_parquet() {
        for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"text", b"\xff\xff\xff\xffPAR1"] {
            assert!(is_footer_sound(bytes));
        }
    }

    proptest! {
        #[test]
        fn should_never_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            is_footer_sound(&file(&bytes));
            Thrift { bytes: &bytes, at: 0 }.value(STRUCT, 0);
        }
    }
}
