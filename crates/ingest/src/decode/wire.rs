//! The bytes of protobuf messages, field by field, without copying.
//!
//! What is accepted is exactly what the protobuf rules accept: padded varints, groups in unknown fields,
//! fields in any order. Nothing here knows a message; callers say which fields they know.

use super::depth::Depth;

/// The bytes are not a protobuf message of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What is left of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    rest: &'a [u8],
}

const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const START_GROUP: u32 = 3;
const END_GROUP: u32 = 4;
const FOUR_BYTES: u32 = 5;

/// The key of a field as it stands before the field's value.
pub(crate) const fn varint(field: u32) -> u32 {
    field << 3 | VARINT
}

pub(crate) const fn eight_bytes(field: u32) -> u32 {
    field << 3 | EIGHT_BYTES
}

pub(crate) const fn delimited(field: u32) -> u32 {
    field << 3 | LENGTH_DELIMITED
}

pub(crate) const fn four_bytes(field: u32) -> u32 {
    field << 3 | FOUR_BYTES
}

impl<'a> Wire<'a> {
    #[inline(always)]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for index in 0..10 {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            // Only one bit of the tenth byte has room.
            if index == 9 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(*byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// The next field's key: number and wire type.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    /// A length-delimited value.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(value)
    }

    #[inline(always)]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Malformed> {
        self.chunk().map(u64::from_le_bytes)
    }

    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Malformed> {
        self.chunk().map(u32::from_le_bytes)
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*value)
    }

    /// Passes over the value of a field that the caller does not know. `known` has a bit for each field
    /// that the message has: such a field is here only because its wire type is another.
    #[cold]
    pub(crate) fn skip(&mut self, key: u32, known: u32, depth: Depth) -> Result<(), Malformed> {
        let field = key >> 3;
        if field == 0 || known.checked_shr(field).is_some_and(|bits| bits & 1 == 1) {
            return Err(Malformed);
        }
        self.skip_unknown(key, depth)
    }

    fn skip_unknown(&mut self, key: u32, depth: Depth) -> Result<(), Malformed> {
        let inner = depth.enter().ok_or(Malformed)?;
        let field = key >> 3;
        if field == 0 {
            return Err(Malformed);
        }
        match key & 7 {
            VARINT => self.varint().map(drop),
            EIGHT_BYTES => self.fixed64().map(drop),
            LENGTH_DELIMITED => self.bytes().map(drop),
            FOUR_BYTES => self.fixed32().map(drop),
            START_GROUP => loop {
                let key = self.key()?;
                if key & 7 == END_GROUP {
                    return if key >> 3 == field { Ok(()) } else { Err(Malformed) };
                }
                self.skip_unknown(key, inner)?;
            },
            _ => Err(Malformed),
        }
    }
}
