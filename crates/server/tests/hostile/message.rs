//! OTLP by hand: what no library would write.

use std::io::Write;

/// A field with a length.
pub(crate) fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    put(&mut out, number, bytes);
    out
}

pub(crate) fn put(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | 2));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// 2026-01-01.
pub(crate) const USUAL_START: u64 = 1_767_225_600_000_000_000;

/// A span's fields; each may be wrong.
pub(crate) struct Span<'a> {
    pub(crate) trace: &'a [u8],
    pub(crate) span: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) start: u64,
    /// Further fields as they are sent.
    pub(crate) more: &'a [u8],
}

impl Span<'_> {
    pub(crate) fn put(&self, spans: &mut Vec<u8>) {
        let mut span = Vec::with_capacity(64 + self.name.len() + self.more.len());
        put(&mut span, 1, self.trace);
        put(&mut span, 2, self.span);
        put(&mut span, 5, self.name);
        for (number, moment) in [(7, self.start), (8, self.start.saturating_add(1_000))] {
            span.push(number << 3 | 1);
            span.extend_from_slice(&moment.to_le_bytes());
        }
        span.extend_from_slice(self.more);
        put(spans, 2, &span);
    }

    pub(crate) fn sent(&self) -> Vec<u8> {
        let mut spans = Vec::new();
        self.put(&mut spans);
        spans
    }
}

/// A span that nobody can object to.
pub(crate) fn good(number: u64) -> Vec<u8> {
    let trace = (u128::from(number) + 1).to_be_bytes();
    Span { trace: &trace, span: &[1; 8], name: b"good", start: USUAL_START, more: &[] }.sent()
}

/// A request of one resource and one scope, with these spans.
pub(crate) fn request(spans: &[u8]) -> Vec<u8> {
    let name = [field(1, b"service.name"), field(2, &field(1, b"shop"))].concat();
    let resource = field(1, &name);
    field(1, &[field(1, &resource), field(2, spans)].concat())
}

/// An attribute of a span.
pub(crate) fn attribute(key: &[u8], value: &[u8]) -> Vec<u8> {
    field(9, &[field(1, key), field(2, value)].concat())
}

/// About a megabyte: 4,000 spans with texts of their own.
pub(crate) fn megabyte(number: u64) -> Vec<u8> {
    let mut spans = Vec::with_capacity(1 << 20);
    for index in 0..MEGABYTE_SPANS {
        let id = number * MEGABYTE_SPANS + index + 1;
        let trace =
            (u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) | 1).to_be_bytes();
        let query =
            format!("SELECT * FROM orders WHERE id = {id} AND customer = {}{}", id * 7, "x".repeat(100));
        let more = attribute(b"db.query.text", &field(1, query.as_bytes()));
        Span { trace: &trace, span: &id.to_be_bytes(), name: b"query", start: USUAL_START + id, more: &more }
            .put(&mut spans);
    }
    request(&spans)
}

/// So many spans, all of the same trace.
pub(crate) fn part_of_one_trace(part: u64, count: u64) -> Vec<u8> {
    let mut spans = Vec::new();
    for id in part * count + 1..=(part + 1) * count {
        Span { trace: &[3; 16], span: &id.to_be_bytes(), name: b"loop", start: USUAL_START + id, more: &[] }
            .put(&mut spans);
    }
    request(&spans)
}

pub(crate) const MEGABYTE_SPANS: u64 = 4_000;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With the largest window that is taken.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(23).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
