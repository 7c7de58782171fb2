//! What each fuzz target does with its input; the binaries in `fuzz_targets/` only hand the bytes over.
//!
//! Each function takes any bytes and must return: an error of the code under test is an answer, a panic is a
//! finding. `siltstone-tests` runs the same functions over `fuzz/corpus/<target>` as ordinary tests, so a
//! finding stays fixed.

mod damage;
// What ingest's decoder is judged by, shared with `siltstone-tests`.
#[path = "../../tests/src/decode.rs"]
#[expect(dead_code, reason = "tests use all of it")]
mod decode;
#[path = "../../tests/src/encode.rs"]
pub mod encode;
pub mod samples;
#[path = "../../tests/src/verdict.rs"]
mod verdict;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use siltstone_ask::{Filter, MAX_FILTER_BYTES, Retention};
use siltstone_catalog::inspect::inspect;
use siltstone_catalog::message::seal;
use siltstone_format::block::error::ReadError;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::block::prune::{Distinct, DistinctPart};
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, Origins, SpansFile};
use siltstone_format::columns::KnownOrigin;
use siltstone_format::content::canonical_span;
use siltstone_format::filter::size::SizeClass;
use siltstone_format::filter::split_block::{FilterKey, SplitBlockFilter};
use siltstone_format::filter::transposed::{GroupHeader, merge};
use siltstone_format::id::TraceId;
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Value, ValueType, attributes_from_text, attributes_text};
use siltstone_ingest::decode::Rules;
use siltstone_ingest::receive::otlp::json::to_protobuf;

use self::damage::Damage;
use self::samples::{SampleBlock, sample_block, sample_group};

/// A file that says it has more is opened and not read: memory is not what is looked at here.
const MOST_VALUES: i64 = 1 << 18;
const MOST_BYTES: i64 = 1 << 24;

/// An origin for every number: files are read here without their other half.
struct AnyOrigin;

impl Origins for AnyOrigin {
    fn origin(&self, _: u32) -> Option<KnownOrigin> {
        Some(Origin::default().into())
    }
}

/// Opens the bytes as each file of a block, with nothing that vouches for them, and reads all rows.
pub fn block_open(data: &[u8]) {
    let whole = Bytes::copy_from_slice(data);
    let _ = OriginsFile::open_unverified("origins", &whole);
    let Ok(file) = SpansFile::open_unverified("spans", &whole) else { return };
    let chunks = || file.metadata().row_groups().iter().flat_map(|group| group.columns());
    let sum = |numbers: &mut dyn Iterator<Item = i64>| numbers.fold(0, |sum: i64, n| sum.saturating_add(n));
    let values = sum(&mut chunks().map(|chunk| chunk.num_values()));
    let bytes = sum(&mut chunks().map(|chunk| chunk.uncompressed_size()));
    if values > MOST_VALUES || bytes > MOST_BYTES {
        return;
    }
    let fetched = Fetched::whole(whole);
    let groups: Vec<_> = file.groups().collect();
    groups.iter().for_each(|rows| drop(file.ranges(rows)));
    let Ok(columns) = file.read_rows(&groups, &fetched, &AnyOrigin) else { return };
    // Attributes in lists are texts that are first looked at here.
    let _ = columns.spans();
    for trace in columns.trace_ids.iter().take(8) {
        let _ = file.read_trace(trace, &file.find(trace), &fetched, &AnyOrigin);
    }
    read_some(&file, &fetched, &groups);
}

/// Reads every third row, in one column or two, and asks the dictionaries.
fn read_some(file: &SpansFile, fetched: &Fetched, groups: &[GroupRows]) {
    let third = |group: &GroupRows| {
        let group_number = group.group;
        group.rows.clone().step_by(3).map(move |row| GroupRows { group: group_number, rows: row..row + 1 })
    };
    let rows: Vec<_> = groups.iter().flat_map(third).collect();
    for (kind, key) in file.attributes() {
        let attributes = AttributeParts::Keys([key.clone()].into());
        let parts = Parts { names: *kind == ValueType::Str, attributes, ..Parts::default() };
        let read = file.read_parts(&rows, &parts, fetched, &AnyOrigin).expect("whole spans were read");
        assert_eq!(read.len(), rows.len());
    }
    let own = file.attributes().iter().map(|(_, key)| DistinctPart::Attribute(key));
    for part in own.chain([
        DistinctPart::Name,
        DistinctPart::ServiceName,
        DistinctPart::StatusMessage,
        DistinctPart::Kind,
    ]) {
        for group in 0..groups.len() {
            let some: Vec<_> = rows.iter().filter(|rows| rows.group == group).cloned().collect();
            let wanted = |value: Distinct<'_>| value != Distinct::Str("name");
            if let Ok(Some(values)) = file.wanted_values(group, part, fetched, wanted) {
                let _ = file.rows_with(&values, &groups[group..=group], fetched, wanted, |_| ());
                let _ = file.rows_with(&values, &some, fetched, wanted, |_| ());
            }
        }
    }
}

/// Damages a block as the bytes say and reads it: what comes back is right, or an error. See [`damage`].
pub fn block_trace(data: &[u8]) {
    let block = sample_block();
    let damage = Damage::parse(data);
    let (spans, origins) = if damage.second {
        (block.spans.clone(), Bytes::from(damage.apply(&block.origins)))
    } else {
        (Bytes::from(damage.apply(&block.spans)), block.origins.clone())
    };
    let check = |read: Result<Vec<Span>, ReadError>, wanted: &[Vec<u8>]| match read {
        Ok(spans) => {
            let found: Vec<_> = spans.iter().map(canonical_span).collect();
            assert!(!damage.certain || found == wanted, "damage gave other spans");
        }
        Err(error) => {
            assert!(["spans", "origins"].contains(&error.object.as_str()), "{error} names another object");
            assert!(error.to_string().starts_with(&error.object), "{error} does not name its object");
        }
    };
    // One thing at a time: opening costs most of the time, and what was read once is held.
    match damage.reads.checked_sub(2) {
        None if damage.reads == 0 => check(read_all(block, &spans, &origins), &block.contents),
        None => {
            let read = read_unverified(&spans, &origins);
            // Only pages are vouched for, by their own checksums.
            let pages = !damage.second && damage.end <= block.summary.spans.metadata_offset as usize;
            if pages && !damage.cuts {
                check(read, &block.contents);
            }
        }
        Some(number) => {
            let trace = &block.traces[number % block.traces.len()];
            let of_trace = block.contents.iter().filter(|content| content.starts_with(&trace.0));
            check(read_one(block, &spans, &origins, trace), &of_trace.cloned().collect::<Vec<_>>());
        }
    }
}

fn open(block: &SampleBlock, spans: &Bytes, origins: &Bytes) -> Result<(SpansFile, OriginsFile), ReadError> {
    let tail = |file: &Bytes, offset: u64| file.slice(file.len().min(offset as usize)..);
    let summary = &block.summary;
    Ok((
        SpansFile::open("spans", &summary.spans, &tail(spans, summary.spans.metadata_offset))?,
        OriginsFile::open("origins", &summary.origins, &tail(origins, summary.origins.origins_offset))?,
    ))
}

fn read_all(block: &SampleBlock, spans: &Bytes, origins: &Bytes) -> Result<Vec<Span>, ReadError> {
    let (file, origins) = open(block, spans, origins)?;
    let groups: Vec<_> = file.groups().collect();
    let columns = file.read_rows(&groups, &Fetched::whole(spans.clone()), &origins)?;
    Ok(columns.spans().expect("what was read has texts that are values"))
}

fn read_one(
    block: &SampleBlock,
    spans: &Bytes,
    origins: &Bytes,
    trace: &TraceId,
) -> Result<Vec<Span>, ReadError> {
    let (file, origins) = open(block, spans, origins)?;
    let columns = file.read_trace(trace, &file.find(trace), &Fetched::whole(spans.clone()), &origins)?;
    Ok(columns.spans().expect("what was read has texts that are values"))
}

fn read_unverified(spans: &Bytes, origins: &Bytes) -> Result<Vec<Span>, ReadError> {
    let file = SpansFile::open_unverified("spans", spans)?;
    let (origins, _) = OriginsFile::open_unverified("origins", origins)?;
    let groups: Vec<_> = file.groups().collect();
    let columns = file.read_rows(&groups, &Fetched::whole(spans.clone()), &origins)?;
    Ok(columns.spans().unwrap_or_default())
}

/// Opens the bytes as a filter and as a filter group; and damages a group as the bytes say: a block that
/// holds a key may never be denied.
pub fn filter(data: &[u8]) {
    if let Some((class, buckets)) = data.split_first()
        && let Some(class) = SizeClass::from_number(*class)
        && let Some(filter) = SplitBlockFilter::from_bytes(class, buckets)
    {
        (0..16).for_each(|term| assert!(probe_same(&filter, FilterKey::of_term(term))));
    }
    probe_group(data);

    let group = sample_group();
    let damaged = Damage::parse(data).apply(&group.bytes);
    let damaged_header = damaged.get(..group.header_len).unwrap_or(&damaged);
    let Ok(header) = GroupHeader::parse(damaged_header) else { return };
    for (block, terms) in &group.terms {
        for key in terms.iter().map(|term| FilterKey::of_term(*term)) {
            let range = header.probe_range(key);
            let row = damaged.get(range.start as usize..range.end as usize).unwrap_or_default();
            assert!(header.probe(key, row).blocks.contains(block), "a damaged group denies a key");
        }
    }
}

fn probe_same(filter: &SplitBlockFilter, key: FilterKey) -> bool {
    filter.doubled().is_none_or(|doubled| doubled.may_hold(key) == filter.may_hold(key))
}

fn probe_group(data: &[u8]) {
    let Ok(header) = GroupHeader::parse(data) else { return };
    let probe = |header: &GroupHeader, bytes: &[u8], key| {
        let range = header.probe_range(key);
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        let row = start.ok().zip(end.ok()).and_then(|(start, end)| bytes.get(start..end));
        header.probe(key, row.unwrap_or_default()).blocks
    };
    let keys = || (0..16).map(FilterKey::of_term);
    let before: Vec<_> = keys().map(|key| probe(&header, data, key)).collect();
    let Ok(merged) = merge(&[data], |_| false) else { return };
    let again = GroupHeader::parse(&merged.bytes).expect("a merged group is one");
    for (key, before) in keys().zip(before) {
        let after = probe(&again, &merged.bytes, key);
        assert!(before.iter().all(|block| after.contains(block)), "merging lost a block");
    }
}

/// Reads the bytes as the text of a filter, and as that of rules of retention: what is read is written, and read
/// again it is the same.
pub fn filter_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Escapes may have made it longer than what is read.
    let is_read = |written: &String| written.len() <= MAX_FILTER_BYTES;
    if let Ok(filter) = text.parse::<Filter>() {
        if let Some(written) = Some(filter.to_string()).filter(is_read) {
            let again: Filter = written.parse().expect("a filter that was written can be read");
            // Doubles included: by their bits, not as numbers.
            assert_eq!(again.to_bytes(), filter.to_bytes(), "{written}");
        }
    }
    if let Ok(rules) = text.parse::<Retention>() {
        if let Some(written) = Some(rules.to_string()).filter(is_read) {
            let again: Retention = written.parse().expect("rules that were written can be read");
            assert_eq!(again.to_string(), written);
        }
    }
}

/// Reads the bytes as an object of the catalog, and as the message of one whose kind the first byte says: what
/// is read is written, and read again it is the same.
pub fn catalog_objects(data: &[u8]) {
    let _ = inspect(&Bytes::copy_from_slice(data));
    let Some((kind, message)) = data.split_first() else { return };
    let Ok(read) = inspect(&seal(u32::from(*kind), message)) else { return };
    let written = read.encode();
    let again = inspect(&written).expect("what was written can be read");
    assert_eq!(again.encode(), written);
}

/// Decodes the bytes as an OTLP request: what becomes of it is what prost and the rules say.
pub fn otlp_protobuf(data: &[u8]) {
    verdict::assert_decodes_as_judged(data, &Rules::NONE);
    let start = samples::START;
    let strict = Rules {
        earliest_start: start,
        latest_start: start + 9_000_000,
        attribute_bytes: 12,
        spans: 6,
        ..Rules::NONE
    };
    verdict::assert_decodes_as_judged(data, &strict);
}

/// Reads the bytes as the text of an attribute value of each type, writes it and reads it again.
pub fn attribute_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for kind in ValueType::ALL {
        let Ok(value) = Value::from_text(kind, text) else { continue };
        assert_eq!(value.value_type(), kind);
        let written = value.text();
        assert_eq!(Value::from_text(kind, &written).as_ref(), Ok(&value), "{written}");
    }
    if let Ok(attributes) = attributes_from_text(text) {
        assert_eq!(attributes_from_text(&attributes_text(&attributes)), Ok(attributes));
    }
}

/// Reads the bytes as an OTLP request in JSON: what is accepted is JSON to others too, and is written as protobuf
/// that others can read, no longer than it was.
pub fn otlp_json(data: &[u8]) {
    let Ok(transcoded) = to_protobuf(data) else { return };
    serde_json::from_slice::<serde::de::IgnoredAny>(data).expect("what is accepted is JSON");
    assert!(transcoded.body.len() <= data.len(), "{} from {}", transcoded.body.len(), data.len());
    assert_eq!(transcoded.refused.total() > 0, transcoded.first_refused.is_some());
    ExportTraceServiceRequest::decode(&*transcoded.body).expect("what is written is protobuf");
}
