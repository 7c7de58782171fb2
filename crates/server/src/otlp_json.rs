//! The ingester's reading of OTLP as JSON, lent to the querier: neither knows the other.

use siltstone_format::columns::SpanColumns;
use siltstone_ingest::decode::{OriginCache, Rules, decode};
use siltstone_ingest::receive::otlp::json::to_protobuf;
use siltstone_querier::jaeger::settings::{ReadOtlpJson, ReadSpans};

pub(crate) struct IngestersJson;

impl ReadOtlpJson for IngestersJson {
    fn read(&self, json: &[u8]) -> Result<ReadSpans, String> {
        let transcoded = to_protobuf(json).map_err(|error| error.to_string())?;
        let (mut columns, mut origins) = (SpanColumns::default(), OriginCache::default());
        let decoded = decode(&transcoded.body, &Rules::NONE, &mut columns, &mut origins);
        let mut refused = decoded.map_err(|error| error.to_string())?.refused;
        refused.add_all(&transcoded.refused);
        let spans = columns.spans().map_err(|error| error.to_string())?;
        let refused = match refused.total() {
            0 => String::new(),
            count => format!("{count} spans are left out, as they cannot be read ({refused})"),
        };
        Ok(ReadSpans { spans, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_read_spans_and_say_which_it_cannot() {
        let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[
            {"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"a"},
            {"traceId":"xyz","spanId":"0102030405060708","name":"b"},
            {"traceId":"00000000000000000000000000000000","spanId":"0102030405060708","name":"c"}]}]}]}"#;
        let read = IngestersJson.read(json).unwrap();
        assert_eq!(read.spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(read.refused.starts_with("2 spans are left out"), "{}", read.refused);
        assert!(IngestersJson.read(b"{\"resourceSpans\":7}").unwrap_err().starts_with("byte "));
    }
}
