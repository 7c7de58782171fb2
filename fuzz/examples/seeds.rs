//! Writes the inputs that the corpora began with: `cargo run --example seeds --no-default-features`.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::executor::block_on;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prost::Message;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::bucket::{Bucket, Listing};
use siltstone_catalog::change::AddMark;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::mark::{MAX_PAGE_MARKS, MarkKind, MarkTarget};
use siltstone_catalog::time::Clock;
use siltstone_catalog::windows::Windows;
use siltstone_catalog::{Catalog, CatalogConfig};
use siltstone_format::id::{TraceId, WriterId};
use siltstone_format::tenant::Tenant;
use siltstone_fuzz::encode::encode_request;
use siltstone_fuzz::samples::{block, group, sample_block, sample_group, span};

/// A clock that stands still, so that the same objects are written each time: all but the root (kind 2), which
/// has the store's own times.
struct Still;

impl Clock for Still {
    fn wall_millis(&self) -> u64 {
        1_800_000_000_000
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }
}

/// The largest object of each kind that a catalog writes, by kind.
async fn catalog_objects() -> Result<BTreeMap<u32, Bytes>, Box<dyn std::error::Error>> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let bucket = Bucket::new(Arc::clone(&store), Listing::LogThenRoots);
    let windows = Windows::default();
    let catalog = Catalog::new(CatalogConfig { bucket, clock: Arc::new(Still), seed: [7; 32], windows })?;
    catalog.init().await?;
    let writer = WriterId(catalog.next_id());
    let blocks = vec![BlockEntry::flushed(sample_block().summary.clone())];
    for number in 0..2 {
        catalog.commit(&LogEntry { writer, number, blocks: blocks.clone() }, Some(Duration::ZERO)).await?;
        catalog.fold().await?;
    }
    for number in 0..=MAX_PAGE_MARKS as u128 {
        let target = MarkTarget::Trace(TraceId(number.to_be_bytes()));
        let mark = AddMark { tenant: Tenant::single(), kind: MarkKind::Delete, target };
        catalog.publish(&mark).await?;
    }
    catalog.acquire_lease("a job", Duration::from_secs(60)).await?;
    let mut found = BTreeMap::new();
    let mut listed: Vec<_> = store.list(None).collect().await;
    listed.sort_by_key(|meta| meta.as_ref().map(|meta| meta.location.clone()).ok());
    for meta in listed {
        let object = store.get(&meta?.location).await?.bytes().await?;
        let kind = object.get(8..12).and_then(|kind| kind.try_into().ok()).map_or(0, u32::from_le_bytes);
        if found.get(&kind).is_none_or(|known: &Bytes| object.len() > known.len()) {
            found.insert(kind, object);
        }
    }
    Ok(found)
}

/// Spans in the JSON encoding, as they should be and not.
const OTLP_SPANS: [(&str, &str); 6] = [
    ("none", ""),
    (
        "usual",
        r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"eee19b7ec3c1b173",
        "name":"GET \u00e4\ud83d\ude00\n","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1.5e18,
        "traceState":"a=b","flags":257,"droppedAttributesCount":1,"droppedEventsCount":2,"droppedLinksCount":3,
        "status":{"code":"STATUS_CODE_ERROR","message":"no"},"events":[{"timeUnixNano":"1","name":"e"}],
        "links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","flags":1}]}"#,
    ),
    (
        "values",
        r#"{"attributes":[{"key":"a","value":{"intValue":"-9223372036854775808"}},{"key":"b","value":{"doubleValue":
        "-Infinity"}},{"key":"c","value":{"bytesValue":"-_8"}},{"key":"d","value":{"arrayValue":{"values":[null,
        {"boolValue":true},{"kvlist_value":{"values":[{"key":"","value":{}}]}}]}}},{"key":"e","value":null}]}"#,
    ),
    (
        "snake",
        r#"{"trace_id":"","start_time_unix_nano":0,"dropped_links_count":"7","kind":"SPAN_KIND_CLIENT"}"#,
    ),
    (
        "bad_spans",
        r#"{"traceId":"x"},null,{"kind":"x","later":[{"a":[[],{}]}]},{"name":"good"},7,{"flags":-1.0e2}"#,
    ),
    ("unknown", r#"{"new":[{"a":{"b":[[1],-0.5E+3,"\"",true]}}],"events":null,"name":"a","name":"b"}"#),
];

/// Filters and rules of retention, as people write them and not.
const FILTER_TEXTS: [(&str, &str); 8] = [
    (
        "attributes",
        r#"span["http.route"] = '/a' and resource['k'] != str "7" or scope["k"] < -1.5e-7 or any["k"] exists"#,
    ),
    (
        "fields",
        "status in (error, 2, 'OK') and not (duration >= 1h30m or event_offset < -1.5us) and start < 2026-08-01T12:00:00.5Z",
    ),
    (
        "parts",
        r#"some event (event_name =~ 'a|b' and or (true)) and (some link (link["k"] !~ '\d+') or false)"#,
    ),
    ("numbers", "span['k'] in (NaN, NaN(0x7ff8000000000001), -inf, -0.0, 9223372036854775807, true)"),
    ("quotes", r#"name = 'it''s' or name = "\"\\\n\u{1f600}\0" or span[''] = ''"#),
    (
        "retention",
        r#"keep 7d; keep 90d where status = error; keep 30d where service_name = "payment"; keep 400d where archived; "#,
    ),
    ("forever", "keep forever"),
    ("unclosed", r#"kind in (server, "cl"#),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let (small, usual) = (block(1), sample_block());
    for (name, bytes) in [
        ("spans_of_one", &small.spans),
        ("origins_of_one", &small.origins),
        ("spans", &usual.spans),
        ("origins", &usual.origins),
    ] {
        write("block_open", name, bytes)?;
    }
    write("block_open", "spans_cut_off", &usual.spans[..usual.spans.len() / 2])?;
    write("block_open", "empty", &[])?;

    let metadata = usual.summary.spans.metadata_offset as u16;
    for (name, choice, place) in [
        ("first_byte", 0, 4),
        ("in_a_page", 4, 700),
        ("in_the_metadata", 8, metadata + 9),
        ("in_the_origins", 1, usual.summary.origins.origins_offset as u16 + 40),
        ("nowhere", 12, u16::MAX),
    ] {
        let [low, high] = place.to_le_bytes();
        write("block_trace", name, &[choice, low, high, 1, 0, 0, 0x80])?;
    }
    write("block_trace", "cut_off", &[2, 0, 4])?;
    write("block_trace", "unharmed", &[])?;

    write("filter", "group", &sample_group().bytes)?;
    write("filter", "group_of_one", &group(1).bytes)?;
    write("filter", "filter", &[&[0][..], &[0x5a; 128]].concat())?;
    write("filter", "damage", &[0, 90, 0, 0xff, 0, 0, 0])?;

    for (name, text) in FILTER_TEXTS {
        write("filter_text", name, text.as_bytes())?;
    }
    let deep = format!("{}{}root = true{}", "not ".repeat(58), "(".repeat(5), ")".repeat(5));
    write("filter_text", "deep", deep.as_bytes())?;

    for (kind, object) in block_on(catalog_objects())? {
        write("catalog_objects", &format!("object_of_kind_{kind}"), &object)?;
        let message = [&[kind as u8], &object[20..]].concat();
        write("catalog_objects", &format!("message_of_kind_{kind}"), &message)?;
    }
    write("catalog_objects", "empty", &[])?;

    for (name, spans) in [("request_of_one", 0..1), ("request", 0..8), ("request_with_links", 3..14)] {
        let spans: Vec<_> = spans.map(span).collect();
        write("otlp_protobuf", name, &encode_request(&spans).encode_to_vec())?;
    }
    let id = [&[0x0a, 16][..], &[1; 16], &[0x12, 8], &[2; 8]].concat();
    let odd = [
        // A value in two pieces that are arrays, and one of another kind before.
        &[0x4a, 17, 0x0a, 1, b'k', 0x12, 4, 0x18, 1, 0x2a, 0, 0x12, 6, 0x2a, 4, 0x0a, 2, 0x18, 7][..],
        // A padded varint, an unknown group, a status in two pieces.
        &[0xb0, 0x80, 0x00, 0x03, 0x9b, 0x06, 0x08, 1, 0x9c, 0x06, 0x7a, 2, 0x18, 2, 0x7a, 3, 0x12, 1, b'm'],
    ];
    for (name, odd) in [("value_in_pieces", odd[0]), ("padded_group_status", odd[1])] {
        let span = [&id, odd].concat();
        let message = |field: u8, inner: &[u8]| [&[field << 3 | 2, inner.len() as u8][..], inner].concat();
        // The resource stands behind its spans.
        let resource = message(1, &message(1, &[0x0a, 1, b'r']));
        let resource_spans = [message(2, &message(2, &span)), resource].concat();
        write("otlp_protobuf", name, &message(1, &resource_spans))?;
    }
    write("otlp_protobuf", "empty", &[])?;

    for (name, text) in [
        ("map", r#"{"a":[1,-2.5e300,true,null,"ä\u0000"],"b":{"$$":{"$bytes":"AAE="}},"b":[]}"#),
        ("double", r#"[{"$double":"7ff8000000000001"},-0.0,1e23,0.1]"#),
        ("large", "[9223372036854775807,-9223372036854775808,18446744073709551616]"),
        ("nan", "NaN(0xfff8000000000000)"),
        ("int", "-72"),
        ("base64", "AAEC/w=="),
        ("unknown_key", r#"{"$odd":1}"#),
        ("deep", &format!("{}{}", "[".repeat(60), "]".repeat(60))),
    ] {
        write("attribute_json", name, text.as_bytes())?;
    }
    for (name, spans) in OTLP_SPANS {
        let request = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"a"}}}}],
            "entityRefs":[{{"type":"service","idKeys":["service.name"]}}]}},"scopeSpans":[{{"spans":[{spans}],"scope":
            {{"name":"s","version":"1"}},"schemaUrl":"u"}}]}}]}}"#
        );
        write("otlp_json", name, request.as_bytes())?;
    }
    Ok(())
}
