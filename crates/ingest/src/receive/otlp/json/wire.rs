//! Protobuf from front to back: lengths that are not known yet get five bytes, and are written later.

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// Bytes of a length that is written later: room for 35 bits.
const ROOM: usize = 5;
/// Longest content whose length takes one byte.
const SHORT: usize = 127;

pub(super) struct Wire {
    bytes: Vec<u8>,
}

/// A message that is being written.
#[must_use]
pub(super) struct Open {
    content: usize,
}

impl Wire {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back all that was written since.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn begin(&mut self, field: u32) -> Open {
        self.tag(field, LENGTH);
        self.bytes.extend_from_slice(&[0; ROOM]);
        Open { content: self.bytes.len() }
    }

    /// Writes the length: a short message moves up to it; for a long one zeros fill the room, which costs less
    /// than moving it and is as valid.
    pub(super) fn end(&mut self, open: Open) {
        let length = self.bytes.len() - open.content;
        let start = open.content - ROOM;
        if length <= SHORT {
            self.bytes.copy_within(open.content.., start + 1);
            self.bytes.truncate(start + 1 + length);
            self.put(start, length as u8);
            return;
        }
        for at in 0..ROOM {
            let more = if at + 1 < ROOM { 0x80 } else { 0 };
            self.put(start + at, (length >> (7 * at) & 0x7f) as u8 | more);
        }
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH);
        self.raw_varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Where the content of a message or of bytes is written that comes piece by piece.
    pub(super) fn content(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.raw_varint(value);
    }

    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.raw_varint(u64::from(field << 3 | wire_type));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn put(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
        }
    }
}
