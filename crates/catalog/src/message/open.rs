//! A message that keeps the fields that this program does not know.

use prost::DecodeError;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, decode_varint, encode_key, encode_varint, skip_field};

/// Which fields a message has in this program.
pub(crate) trait KnownTags {
    const KNOWN: &'static [u32];
}

/// A message with whatever else a later release wrote into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Open<M> {
    pub(crate) known: M,
    unknown: Vec<u8>,
}

impl<M> From<M> for Open<M> {
    fn from(known: M) -> Self {
        Self { known, unknown: Vec::new() }
    }
}

impl<M> Open<M> {
    /// What a later release wrote, alone: the rest has been taken out.
    pub(crate) fn rest(self) -> Self
    where
        M: Default,
    {
        Self { known: M::default(), unknown: self.unknown }
    }

    /// Other content, with the same unknown fields.
    pub(crate) fn with(&self, known: M) -> Self {
        Self { known, unknown: self.unknown.clone() }
    }
}

impl<M: Message + KnownTags + Default> Message for Open<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.known.encode_raw(buf);
        buf.put_slice(&self.unknown);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if M::KNOWN.contains(&tag) {
            return self.known.merge_field(tag, wire_type, buf, ctx);
        }
        if matches!(wire_type, WireType::StartGroup | WireType::EndGroup) {
            // Groups are long gone from protobuf: no release writes them, and none is kept.
            return skip_field(wire_type, tag, buf, ctx);
        }
        encode_key(tag, wire_type, &mut self.unknown);
        match wire_type {
            WireType::Varint => encode_varint(decode_varint(buf)?, &mut self.unknown),
            WireType::LengthDelimited => {
                let length = decode_varint(buf)?;
                encode_varint(length, &mut self.unknown);
                copy(buf, length, &mut self.unknown)?;
            }
            WireType::ThirtyTwoBit => copy(buf, 4, &mut self.unknown)?,
            WireType::SixtyFourBit => copy(buf, 8, &mut self.unknown)?,
            WireType::StartGroup | WireType::EndGroup => {}
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.known.encoded_len() + self.unknown.len()
    }

    fn clear(&mut self) {
        self.known.clear();
        self.unknown.clear();
    }
}

fn copy(buf: &mut impl Buf, length: u64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if length > buf.remaining() as u64 {
        // The error that prost itself gives; it makes none in any other way.
        return skip_field(WireType::SixtyFourBit, 1, &mut &[][..], DecodeContext::default());
    }
    out.put(buf.take(length as usize));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Newer {
        #[prost(uint32, tag = "1")]
        number: u32,
        #[prost(string, repeated, tag = "2")]
        texts: Vec<String>,
        #[prost(fixed64, tag = "3")]
        fixed: u64,
        #[prost(uint64, tag = "4")]
        varint: u64,
        #[prost(float, tag = "500")]
        float: f32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Older {
        #[prost(uint32, tag = "1")]
        number: u32,
    }

    impl KnownTags for Older {
        const KNOWN: &'static [u32] = &[1];
    }

    #[test]
    fn should_keep_fields_of_a_newer_release() {
        let newer = Newer {
            number: 1,
            texts: vec!["a".into(), String::new(), "c".into()],
            fixed: u64::MAX,
            varint: u64::MAX,
            float: 1.5,
        };
        let bytes = newer.encode_to_vec();
        let mut older = Open::<Older>::decode(&bytes[..]).unwrap();
        older = older.with(Older { number: older.known.number + 1 });
        let rewritten = Newer::decode(&older.encode_to_vec()[..]).unwrap();
        assert_eq!(rewritten, Newer { number: 2, ..newer });
        for cut in 0..bytes.len() {
            let _ = Open::<Older>::decode(&bytes[..cut]);
        }
        assert!(Open::<Older>::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    /// Field 4 as a group with field 3 in it, and a field after it.
    #[test]
    fn should_write_what_can_be_read_where_a_group_was() {
        let bytes = [0x08, 7, 0x23, 0x18, 1, 0x24, 0x28, 9];
        let read = Open::<Older>::decode(&bytes[..]).unwrap();
        let again = Open::<Older>::decode(&read.encode_to_vec()[..]).unwrap();
        assert_eq!(again, read);
        assert_eq!(read.encode_to_vec(), [0x08, 7, 0x28, 9]);
    }
}
