//! Requests written as no usual sender writes them, and still by the rules of protobuf: fields in any order,
//! said twice, in pieces, with unknown ones between, numbers longer than they need be.

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A message type: which of its fields are messages, and whether there may be many of them.
struct Shape {
    members: &'static [(u32, &'static Shape)],
    /// Fields whose order among themselves has a meaning.
    repeated: &'static [u32],
}

static REQUEST: Shape = Shape { members: &[(1, &RESOURCE_SPANS)], repeated: &[1] };
static RESOURCE_SPANS: Shape = Shape { members: &[(1, &RESOURCE), (2, &SCOPE_SPANS)], repeated: &[2] };
static RESOURCE: Shape = Shape { members: &[(1, &PAIR), (3, &PLAIN)], repeated: &[1, 3] };
static SCOPE_SPANS: Shape = Shape { members: &[(1, &SCOPE), (2, &SPAN)], repeated: &[2] };
static SCOPE: Shape = Shape { members: &[(3, &PAIR)], repeated: &[3] };
static SPAN: Shape =
    Shape { members: &[(9, &PAIR), (11, &EVENT), (13, &LINK), (15, &PLAIN)], repeated: &[9, 11, 13] };
static EVENT: Shape = Shape { members: &[(3, &PAIR)], repeated: &[3] };
static LINK: Shape = Shape { members: &[(4, &PAIR)], repeated: &[4] };
static PAIR: Shape = Shape { members: &[(2, &ANY)], repeated: &[] };
static ANY: Shape = Shape { members: &[(5, &ARRAY), (6, &MAP)], repeated: &[] };
static ARRAY: Shape = Shape { members: &[(1, &ANY)], repeated: &[1] };
static MAP: Shape = Shape { members: &[(1, &PAIR)], repeated: &[1] };
static PLAIN: Shape = Shape { members: &[], repeated: &[] };

/// One field: number, wire type and value without length.
#[derive(Clone)]
struct Field {
    number: u32,
    wire: u32,
    value: Vec<u8>,
}

/// The same request, or nearly, as an odd sender writes it. None: it is not a request.
pub fn shaken(request: &[u8], rng: &mut impl Rng) -> Option<Vec<u8>> {
    shake(request, &REQUEST, rng)
}

fn shake(message: &[u8], shape: &Shape, rng: &mut impl Rng) -> Option<Vec<u8>> {
    let mut fields = parse(message)?;
    if rng.random_ratio(1, 8) {
        fields.shuffle(rng);
    }
    let mut out = Vec::new();
    for field in &fields {
        if rng.random_ratio(1, 40) {
            unknown(&mut out, rng);
        }
        let member = shape.members.iter().find(|(number, _)| *number == field.number);
        let mut field = field.clone();
        if let Some((_, inner)) = member {
            // Damage within is for others to find.
            field.value = shake(&field.value, inner, rng).unwrap_or(field.value);
            let single = !shape.repeated.contains(&field.number);
            if single && rng.random_ratio(1, 10) {
                in_pieces(&field, &mut out, rng);
                continue;
            }
        }
        if rng.random_ratio(1, 30) {
            write(&field, &mut out, rng);
        }
        write(&field, &mut out, rng);
    }
    if rng.random_ratio(1, 40) {
        // A field of a message of the same kind, maybe another member of the same one-of.
        out.extend(fields.choose(rng).map_or_else(Vec::new, |field| {
            let mut again = Vec::new();
            write(field, &mut again, rng);
            again
        }));
    }
    Some(out)
}

/// A message cut between two of its fields, as two messages.
fn in_pieces(field: &Field, out: &mut Vec<u8>, rng: &mut impl Rng) {
    let Some(inner) = parse(&field.value) else { return write(field, out, rng) };
    let cut = rng.random_range(0..=inner.len());
    for part in [&inner[..cut], &inner[cut..]] {
        let mut value = Vec::new();
        part.iter().for_each(|field| write(field, &mut value, rng));
        write(&Field { value, ..*field }, out, rng);
        if rng.random_ratio(1, 4) {
            unknown(out, rng);
        }
    }
}

fn parse(mut message: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = u32::try_from(take_varint(&mut message)?).ok()?;
        let rest = message;
        let length = match key & 7 {
            0 => {
                take_varint(&mut message)?;
                rest.len() - message.len()
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let from = if key & 7 == 0 { rest } else { message };
        let (value, rest) = from.split_at_checked(length)?;
        message = rest;
        fields.push(Field { number: key >> 3, wire: key & 7, value: value.to_vec() });
    }
    Some(fields)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(message).ok()
}

fn write(field: &Field, out: &mut Vec<u8>, rng: &mut impl Rng) {
    write_varint(u64::from(field.number << 3 | field.wire), out, rng);
    if field.wire == 2 {
        write_varint(field.value.len() as u64, out, rng);
    }
    out.extend_from_slice(&field.value);
}

/// A number, sometimes in more bytes than it needs.
fn write_varint(number: u64, out: &mut Vec<u8>, rng: &mut impl Rng) {
    prost::encoding::encode_varint(number, out);
    if rng.random_ratio(1, 30)
        && let Some(last) = out.last_mut()
    {
        *last |= 0x80;
        out.extend(std::iter::repeat_n(0x80, rng.random_range(0..4)));
        out.push(0);
    }
}

/// A field that no message of OTLP has, of each wire type.
fn unknown(out: &mut Vec<u8>, rng: &mut impl Rng) {
    let number: u32 = *[17, 31, 32, 63, 100, 0x1fff_ffff].choose(rng).unwrap_or(&100);
    let wire = *[0, 1, 2, 3, 5].choose(rng).unwrap_or(&0);
    prost::encoding::encode_varint(u64::from(number << 3 | wire), out);
    match wire {
        0 => prost::encoding::encode_varint(rng.random(), out),
        1 => out.extend_from_slice(&[0xff; 8]),
        2 => out.extend_from_slice(&[2, 0xff, 0xff]),
        3 => {
            // Within a group nothing is known, not even what looks so.
            if rng.random() {
                out.extend_from_slice(&[0x08, 1]);
                unknown(out, rng);
            }
            prost::encoding::encode_varint(u64::from(number << 3 | 4), out);
        }
        _ => out.extend_from_slice(&[0xff; 4]),
    }
}
