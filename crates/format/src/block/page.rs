//! A page: its header in Thrift's compact form, its checksum, its compression.
//!
//! ```text
//! header   PageHeader of parquet.thrift: type, sizes, crc, encoding, number of values
//! body     data page:        repetition levels | definition levels | values   (levels with a u32 length)
//!          dictionary page:  values, PLAIN
//! ```
//!
//! The body is compressed as a whole, and the CRC-32 is that of the compressed body.
//! A header has no checksum of its own, so whatever it says is compared with what
//! the file's metadata says of the same page.

use parquet::basic::Encoding;

use super::hybrid::{read_varint, write_varint};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageKind {
    Data,
    Dictionary,
}

/// What a page says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) kind: PageKind,
    pub(crate) uncompressed_len: usize,
    pub(crate) compressed_len: usize,
    pub(crate) crc: u32,
    pub(crate) values: usize,
    pub(crate) encoding: Encoding,
}

// Thrift's compact types.
const I32: u8 = 5;
const STRUCT: u8 = 12;
// parquet.thrift's numbers.
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;
const RLE: i32 = 3;

const ENCODINGS: [(Encoding, i32); 3] =
    [(Encoding::PLAIN, 0), (Encoding::RLE_DICTIONARY, 8), (Encoding::BYTE_STREAM_SPLIT, 9)];

impl PageHeader {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let encoding =
            ENCODINGS.iter().find(|(known, _)| *known == self.encoding).map_or(0, |(_, number)| *number);
        let page_type = if self.kind == PageKind::Data { DATA_PAGE } else { DICTIONARY_PAGE };
        for number in
            [page_type, self.uncompressed_len as i32, self.compressed_len as i32, self.crc.cast_signed()]
        {
            write_i32(number, out);
        }
        match self.kind {
            PageKind::Data => {
                out.push(1 << 4 | STRUCT); // field 5
                [self.values as i32, encoding, RLE, RLE]
                    .into_iter()
                    .for_each(|number| write_i32(number, out));
            }
            PageKind::Dictionary => {
                out.push(3 << 4 | STRUCT); // field 7
                [self.values as i32, encoding].into_iter().for_each(|number| write_i32(number, out));
            }
        }
        out.extend_from_slice(&[0, 0]); // ends of both structs
    }

    /// The header at the front of the bytes, and its length. Reads exactly the form
    /// that [`Self::write`] gives: other headers are not ours.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut at = 0;
        let page_type = read_i32(bytes, &mut at)?;
        let uncompressed_len = usize::try_from(read_i32(bytes, &mut at)?).ok()?;
        let compressed_len = usize::try_from(read_i32(bytes, &mut at)?).ok()?;
        let crc = read_i32(bytes, &mut at)?.cast_unsigned();
        let (kind, field) = match page_type {
            DATA_PAGE => (PageKind::Data, 1 << 4 | STRUCT),
            DICTIONARY_PAGE => (PageKind::Dictionary, 3 << 4 | STRUCT),
            _ => return None,
        };
        expect(bytes, &mut at, field)?;
        let values = usize::try_from(read_i32(bytes, &mut at)?).ok()?;
        let number = read_i32(bytes, &mut at)?;
        let encoding = ENCODINGS.iter().find(|(_, known)| *known == number)?.0;
        if kind == PageKind::Data {
            for _ in 0..2 {
                (read_i32(bytes, &mut at)? == RLE).then_some(())?;
            }
        }
        expect(bytes, &mut at, 0)?;
        expect(bytes, &mut at, 0)?;
        Some((Self { kind, uncompressed_len, compressed_len, crc, values, encoding }, at))
    }
}

/// A field that follows its neighbour, zigzag encoded.
fn write_i32(value: i32, out: &mut Vec<u8>) {
    out.push(1 << 4 | I32);
    write_varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()), out);
}

fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    expect(bytes, at, 1 << 4 | I32)?;
    let raw = u32::try_from(read_varint(bytes, at)?).ok()?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn expect(bytes: &[u8], at: &mut usize, wanted: u8) -> Option<()> {
    let found = *bytes.get(*at)?;
    *at += 1;
    (found == wanted).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn should_give_back_any_header(kind in any::<bool>(), uncompressed_len in 0usize..1 << 31, compressed_len in 0usize..1 << 31,
                                       crc in any::<u32>(), values in 0usize..1 << 31, encoding in 0usize..3) {
            let kind = if kind { PageKind::Data } else { PageKind::Dictionary };
            let header = PageHeader { kind, uncompressed_len, compressed_len, crc, values, encoding: ENCODINGS[encoding].0 };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            prop_assert_eq!(PageHeader::read(&bytes), Some((header, bytes.len())));
            prop_assert_eq!(PageHeader::read(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn should_never_panic_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            PageHeader::read(&bytes);
        }
    }
}
