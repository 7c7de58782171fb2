//! Protobuf's encoding, written straight into bytes. `put_…` writes a field in any case, `set_…` leaves out what a
//! reader takes for granted: zero, and what is empty.

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    // Seven bits for each byte.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_key(out: &mut Vec<u8>, field: u32, kind: u32) {
    put_varint(out, u64::from(field << 3 | kind));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    put_key(out, field, VARINT);
    put_varint(out, number);
}

pub(crate) fn put_fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A message within a message. Its length is known when it is written: most are short, and have their place.
pub(crate) fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, field, LENGTH);
    let start = out.len() + 1;
    out.push(0);
    write(out);
    let end = out.len();
    let length = (end - start) as u64;
    let more = varint_len(length) - 1;
    if more > 0 {
        out.resize(end + more, 0);
        out.copy_within(start..end, start + more);
    }
    let mut rest = length;
    for place in &mut out[start - 1..start + more] {
        *place = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start + more - 1] &= 0x7f;
}

pub(crate) fn set_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, field, bytes);
    }
}

pub(crate) fn set_text(out: &mut Vec<u8>, field: u32, text: &str) {
    set_bytes(out, field, text.as_bytes());
}

pub(crate) fn set_number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_number(out, field, number);
    }
}

/// An `int32` or an enumeration, a negative one as protobuf has it.
pub(crate) fn set_int32(out: &mut Vec<u8>, field: u32, number: i32) {
    set_number(out, field, i64::from(number).cast_unsigned());
}

pub(crate) fn set_fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_fixed64(out, field, number);
    }
}

pub(crate) fn set_fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    if number != 0 {
        put_key(out, field, FIXED32);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Everything {
        #[prost(string, tag = "1")]
        text: String,
        #[prost(uint64, tag = "2")]
        number: u64,
        #[prost(int32, tag = "3")]
        int32: i32,
        #[prost(fixed64, tag = "4")]
        fixed64: u64,
        #[prost(fixed32, tag = "5")]
        fixed32: u32,
        #[prost(message, optional, boxed, tag = "100")]
        inner: Option<Box<Everything>>,
    }

    fn write(message: &Everything, out: &mut Vec<u8>) {
        set_text(out, 1, &message.text);
        set_number(out, 2, message.number);
        set_int32(out, 3, message.int32);
        set_fixed64(out, 4, message.fixed64);
        set_fixed32(out, 5, message.fixed32);
        if let Some(inner) = &message.inner {
            put_message(out, 100, |out| write(inner, out));
        }
    }

    #[test]
    fn should_write_what_prost_writes() {
        for length in [0, 1, 100, 127, 128, 129, 16_383, 16_384, 16_500, 2_097_151, 2_097_152] {
            let mut message = Everything::default();
            for (number, int32) in [(0, 0), (127, -1), (128, i32::MAX), (u64::MAX, i32::MIN)] {
                message = Everything {
                    text: "x".repeat(length),
                    number,
                    int32,
                    fixed64: number,
                    fixed32: number as u32,
                    inner: Some(Box::new(message)),
                };
            }
            let mut written = vec![7];
            write(&message, &mut written);
            assert!(written[1..] == message.encode_to_vec(), "{length}");
        }
    }
}
