//! Bad input: cut-off files, flipped bits, files of others, a future version. Each is an error that names the
//! object and says what is wrong; never a panic, never other rows.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says so by a panic")]

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Repetition, Type as Physical};
use parquet::data_type::Int64Type;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use siltstone_format::block::error::{ReadError, Wrong};
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::prune::{Distinct, DistinctPart};
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, SpansFile};
use siltstone_format::block::summary::{OriginsSummary, SpansSummary};
use siltstone_format::columns::SpanColumns;
use siltstone_format::content::canonical_span;
use siltstone_format::id::TraceId;
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_format::value::{Attribute, Value};
use siltstone_testkit::corpus::nasty;
use siltstone_tests::blocks::{Block, columns_of, traffic};
use siltstone_tests::decode::decode_request;

const SPANS: &str = "default/01/spans.parquet";
const ORIGINS: &str = "default/01/origins.parquet";

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// A block, and what reading it must give.
struct Sample {
    block: Block,
    contents: Vec<Vec<u8>>,
    /// Name, and start as a block has it.
    names_and_starts: Vec<(String, i64)>,
    traces: Vec<TraceId>,
}

impl Sample {
    fn of(columns: &SpanColumns) -> Self {
        let block = Block::encode(columns, 1).expect("encodes");
        let read = block.checked_spans().expect("F1 holds");
        let mut traces: Vec<_> = read.iter().map(|span| span.trace_id).collect();
        traces.dedup();
        let name_and_start = |span: &Span| (span.name.clone(), span.start_unix_nano.cast_signed());
        Self {
            block,
            contents: read.iter().map(canonical_span).collect(),
            names_and_starts: read.iter().map(name_and_start).collect(),
            traces,
        }
    }

    /// Of every kind a little: lists, rare texts, values of all types.
    fn small() -> Self {
        let large =
            ["long texts", "a trace of 10,000 spans", "5,000 distinct keys", "keys that look like columns"];
        let requests = nasty::named().into_iter().filter(|(name, _)| !large.contains(name));
        let requests: Vec<_> = requests.map(|(_, request)| request).collect();
        Self::of(&columns_of(&requests).expect("decodes"))
    }

    /// Several pages in some columns.
    fn large() -> Self {
        let mut columns = SpanColumns::default();
        for batch in traffic(5_000, 280, 6) {
            decode_request(&batch.request, &mut columns).expect("decodes");
        }
        nasty::named()
            .iter()
            .filter(|(name, _)| {
                ["events", "links", "arrays", "dropped counts, flags, trace state"].contains(name)
            })
            .for_each(|(_, request)| decode_request(request, &mut columns).expect("decodes"));
        Self::of(&columns)
    }

    fn metadata_offset(&self) -> usize {
        self.block.summary.spans.metadata_offset as usize
    }

    fn origins_offset(&self) -> usize {
        self.block.summary.origins.origins_offset as usize
    }

    /// What stands in the files of a trace, or of all.
    fn content_of(&self, trace: Option<&TraceId>) -> Vec<Vec<u8>> {
        let wanted = |content: &&Vec<u8>| trace.is_none_or(|trace| content.starts_with(&trace.0));
        self.contents.iter().filter(wanted).cloned().collect()
    }
}

/// A file from this place on, as much of it as is there.
fn tail(file: &Bytes, offset: u64) -> Bytes {
    file.slice(file.len().min(usize::try_from(offset).unwrap_or(usize::MAX))..)
}

fn open_spans(summary: &SpansSummary, file: &Bytes) -> Result<SpansFile, ReadError> {
    SpansFile::open(SPANS, summary, &tail(file, summary.metadata_offset))
}

fn open_origins(summary: &OriginsSummary, file: &Bytes) -> Result<OriginsFile, ReadError> {
    OriginsFile::open(ORIGINS, summary, &tail(file, summary.origins_offset))
}

/// The contents of a trace, or of all rows.
fn read(
    file: &SpansFile,
    origins: &OriginsFile,
    whole: &Bytes,
    trace: Option<&TraceId>,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let fetched = Fetched::whole(whole.clone());
    let columns = match trace {
        Some(trace) => file.read_trace(trace, &file.find(trace), &fetched, origins)?,
        None => file.read_rows(&file.groups().collect::<Vec<_>>(), &fetched, origins)?,
    };
    Ok(columns.spans().expect("the lists hold values").iter().map(canonical_span).collect())
}

/// Right, or an error that names the object and says something about it.
fn assert_right_or_named(read: Result<Vec<Vec<u8>>, ReadError>, right: &[Vec<u8>], object: &str, what: &str) {
    match read {
        Ok(found) => assert!(found == right, "{what}: other rows"),
        Err(error) => assert_named(&error, object, what),
    }
}

fn assert_named(error: &ReadError, object: &str, what: &str) {
    let text = error.to_string();
    let said = text.strip_prefix(object).and_then(|rest| rest.strip_prefix(": "));
    assert!(said.is_some_and(|said| said.len() > 10), "{what}: {text}");
}

fn flipped(file: &Bytes, place: usize, bit: usize) -> Bytes {
    let mut bytes = file.to_vec();
    bytes[place] ^= 1 << bit;
    bytes.into()
}

/// Reads everything, each trace by itself, and one that is not there.
fn check_spans(sample: &Sample, origins: &OriginsFile, damaged: &Bytes, every: usize, what: &str) {
    let file = match open_spans(&sample.block.summary.spans, damaged) {
        Ok(file) => file,
        Err(error) => return assert_named(&error, SPANS, what),
    };
    assert_right_or_named(read(&file, origins, damaged, None), &sample.contents, SPANS, what);
    check_parts(sample, origins, damaged, what);
    // Opened again, as dictionaries that were read are held.
    let file = open_spans(&sample.block.summary.spans, damaged).expect("opened before");
    let absent = TraceId([0xab; 16]);
    for trace in sample.traces.iter().step_by(every).chain([&absent]) {
        let right = sample.content_of(Some(trace));
        assert_right_or_named(read(&file, origins, damaged, Some(trace)), &right, SPANS, what);
    }
}

/// Reads two columns of every other row, and asks a dictionary.
fn check_parts(sample: &Sample, origins: &OriginsFile, damaged: &Bytes, what: &str) {
    let file = open_spans(&sample.block.summary.spans, damaged).expect("opened before");
    assert_eq!(file.groups().count(), 1);
    let fetched = Fetched::whole(damaged.clone());
    let all: Vec<GroupRows> = file.groups().collect();
    let (name, _) = &sample.names_and_starts[0];
    let is_it = |value: Distinct<'_>| value == Distinct::Str(name);
    let found = file.wanted_values(0, DistinctPart::Name, &fetched, is_it).and_then(|values| {
        let values = values.expect("names have a dictionary");
        let mut found = Vec::new();
        file.rows_with(&values, &all, &fetched, is_it, |row| found.push(row)).map(|()| found)
    });
    let names = sample.names_and_starts.iter().map(|(name, _)| name);
    let right: Vec<usize> = names.enumerate().filter(|(_, one)| *one == name).map(|(row, _)| row).collect();
    match found {
        Ok(found) => assert_eq!(found, right, "{what}: other rows have the name"),
        Err(error) => assert_named(&error, SPANS, what),
    }
    let rows = (0..sample.names_and_starts.len()).step_by(2);
    let asked: Vec<_> = rows.clone().map(|row| GroupRows { group: 0, rows: row..row + 1 }).collect();
    let parts = Parts { names: true, starts: true, ..Parts::default() };
    match file.read_parts(&asked, &parts, &fetched, origins) {
        Ok(read) => {
            let names = read.names_of_rows.iter().map(|name| read.names.get(*name).to_owned());
            let found: Vec<_> = names.zip(read.starts.iter().copied()).collect();
            let right: Vec<_> = rows.map(|row| sample.names_and_starts[row].clone()).collect();
            assert!(found == right, "{what}: other names or starts");
        }
        Err(error) => assert_named(&error, SPANS, what),
    }
}

fn check_origins(sample: &Sample, spans: &SpansFile, damaged: &Bytes, what: &str) {
    match open_origins(&sample.block.summary.origins, damaged) {
        Ok(origins) => {
            let found = read(spans, &origins, &sample.block.spans, None);
            assert_right_or_named(found, &sample.contents, SPANS, what);
        }
        Err(error) => assert_named(&error, ORIGINS, what),
    }
}

#[test]
fn should_read_right_or_refuse_a_small_block_with_any_byte_damaged() {
    let sample = Sample::small();
    let (spans, origins) = (sample.block.spans_file().unwrap(), sample.block.origins_file().unwrap());
    let mut numbers = Numbers(1);
    for place in 0..sample.block.spans.len() {
        let bit = numbers.below(8);
        let damaged = flipped(&sample.block.spans, place, bit);
        // Metadata is hashed: whatever bit, nothing is read.
        if place >= sample.metadata_offset() {
            let error = open_spans(&sample.block.summary.spans, &damaged).unwrap_err();
            assert!(error.to_string().contains("its metadata has another hash than its catalog entry says"));
            continue;
        }
        check_spans(&sample, &origins, &damaged, 7, &format!("bit {bit} of byte {place} flipped"));
    }
    for place in 0..sample.block.origins.len() {
        let damaged = flipped(&sample.block.origins, place, numbers.below(8));
        let opened = open_origins(&sample.block.summary.origins, &damaged);
        assert_eq!(opened.is_ok(), place < sample.origins_offset(), "byte {place}");
        if place % 50 == 0 {
            check_origins(&sample, &spans, &damaged, &format!("byte {place} of the origins flipped"));
        }
    }
}

#[test]
fn should_read_right_or_refuse_a_block_of_several_pages_with_flipped_bits() {
    let sample = Sample::large();
    let file = sample.block.spans_file().unwrap();
    let pages = file.metadata().offset_index().map(|index| index[0][0].page_locations().len());
    assert!(pages >= Some(3), "{pages:?} pages prove little");
    let origins = sample.block.origins_file().unwrap();
    let mut numbers = Numbers(2);
    for _ in 0..500 {
        let (place, bit) = (numbers.below(sample.metadata_offset()), numbers.below(8));
        let damaged = flipped(&sample.block.spans, place, bit);
        check_spans(&sample, &origins, &damaged, 400, &format!("bit {bit} of byte {place} flipped"));
    }
}

#[test]
fn should_refuse_files_that_were_cut_off() {
    let sample = Sample::small();
    let spans = open_spans(&sample.block.summary.spans, &sample.block.spans).unwrap();
    let origins = sample.block.origins_file().unwrap();
    let cuts = |len: usize| {
        let near = |place: usize| place.saturating_sub(9)..(place + 9).min(len);
        (0..len).step_by(97).chain(0..32).chain(near(len)).collect::<Vec<_>>()
    };
    for length in cuts(sample.block.spans.len()) {
        let short = sample.block.spans.slice(..length);
        let error = open_spans(&sample.block.summary.spans, &short).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{SPANS}: it is damaged: it has another size than its catalog entry says")
        );
        assert_named(&SpansFile::open_unverified(SPANS, &short).unwrap_err(), SPANS, "cut off");
        // Cut off after the metadata was read.
        let what = format!("{length} bytes left");
        match read(&spans, &origins, &short, None) {
            Ok(found) => {
                assert!(length >= sample.metadata_offset(), "{what}");
                assert_eq!(found, sample.contents);
            }
            Err(error) => assert_named(&error, SPANS, &what),
        }
    }
    for length in cuts(sample.block.origins.len()) {
        let short = sample.block.origins.slice(..length);
        let error = open_origins(&sample.block.summary.origins, &short).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{ORIGINS}: it is damaged: it has another size than its catalog entry says")
        );
        assert_named(&OriginsFile::open_unverified(ORIGINS, &short).unwrap_err(), ORIGINS, "cut off");
    }
}

/// Nothing vouches for the metadata here: damage to it may go unseen, but nothing may panic. Pages bear
/// checksums of their own.
#[test]
fn should_find_damaged_pages_without_a_summary_too() {
    let sample = Sample::small();
    let origins = sample.block.origins_file().unwrap();
    let mut numbers = Numbers(3);
    for place in 0..sample.block.spans.len() {
        let bit = numbers.below(8);
        let damaged = flipped(&sample.block.spans, place, bit);
        let what = format!("bit {bit} of byte {place} flipped");
        let file = match SpansFile::open_unverified(SPANS, &damaged) {
            Ok(file) => file,
            Err(error) => {
                assert!(place >= sample.metadata_offset(), "{what}: {error}");
                assert_named(&error, SPANS, &what);
                continue;
            }
        };
        let found = read_unverified(&file, &origins, &damaged);
        if place < sample.metadata_offset() {
            assert_right_or_named(found, &sample.contents, SPANS, &what);
        } else if let Err(error) = found {
            assert_named(&error, SPANS, &what);
        }
    }
    let spans = sample.block.spans_file().unwrap();
    for place in 4..sample.block.origins.len() {
        let bit = numbers.below(8);
        let damaged = flipped(&sample.block.origins, place, bit);
        let what = format!("bit {bit} of byte {place} of the origins flipped");
        match OriginsFile::open_unverified(ORIGINS, &damaged) {
            Ok((origins, summary)) => {
                assert!(place >= sample.origins_offset(), "{what}: a damaged filter goes unseen");
                if summary.origins.origins == sample.block.summary.origins.origins {
                    let _ = read(&spans, &origins, &sample.block.spans, None);
                }
            }
            Err(error) => assert_named(&error, ORIGINS, &what),
        }
    }
}

/// Damaged metadata may give any rows, but lists need not hold values then.
fn read_unverified(
    file: &SpansFile,
    origins: &OriginsFile,
    whole: &Bytes,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let groups: Vec<_> = file.groups().collect();
    let columns = file.read_rows(&groups, &Fetched::whole(whole.clone()), origins)?;
    Ok(columns.spans().unwrap_or_default().iter().map(canonical_span).collect())
}

/// A Parquet file of one column of numbers.
fn foreign(key_values: &[(&str, &str)], page_index: bool) -> Bytes {
    let column = Type::primitive_type_builder("id", Physical::INT64).with_repetition(Repetition::REQUIRED);
    let schema = Type::group_type_builder("schema")
        .with_fields(vec![Arc::new(column.build().unwrap())])
        .build()
        .unwrap();
    let key_values =
        key_values.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
    let properties = WriterProperties::builder()
        .set_offset_index_disabled(!page_index)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .set_key_value_metadata(Some(key_values.collect()))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap().into()
}

/// What is said of a file that claims to be a spans file, and of one that claims to be an origins file.
fn said_of(file: &Bytes) -> [String; 2] {
    [
        SpansFile::open_unverified(SPANS, file).unwrap_err().to_string(),
        OriginsFile::open_unverified(ORIGINS, file).unwrap_err().to_string(),
    ]
}

#[test]
fn should_say_that_a_file_is_of_another_program() {
    for page_index in [true, false] {
        let said = said_of(&foreign(&[], page_index));
        for (said, object) in said.iter().zip([SPANS, ORIGINS]) {
            let wanted = format!(
                "{object}: it is a Parquet file that Siltstone did not write (no `siltstone.version`)"
            );
            assert_eq!(*said, wanted);
        }
    }
}

#[test]
fn should_say_what_to_do_about_a_future_version() {
    for page_index in [true, false] {
        let said = said_of(&foreign(&[("siltstone.version", "99")], page_index));
        for (said, object) in said.iter().zip([SPANS, ORIGINS]) {
            assert_eq!(
                *said,
                format!(
                    "{object}: its format version is 99, and this program reads 1 to 1: \
                     read it with the release that wrote it, or a newer one"
                )
            );
        }
    }
    let said = said_of(&foreign(&[("siltstone.version", "new")], true));
    assert!(said[0].contains("did not write"), "{}", said[0]);
}

#[test]
fn should_say_that_a_file_of_ours_lacks_something() {
    let identity = |file| {
        [
            ("siltstone.version", "1"),
            ("siltstone.file", file),
            ("siltstone.block", "00000000000000000000000001"),
            ("siltstone.tenant", "default"),
            ("siltstone.inputs", ""),
        ]
    };
    let said = said_of(&foreign(&identity("spans"), true));
    assert_eq!(said[0], format!("{SPANS}: it is damaged: its columns are not those of its version"));
    let said = said_of(&foreign(&identity("origins"), false));
    assert_eq!(said[1], format!("{ORIGINS}: it is damaged: its columns are not those of its version"));
    let said = said_of(&foreign(&identity("spans")[..3], true));
    assert!(said[0].ends_with("(no `siltstone.inputs`)"), "{}", said[0]);
    let mut nobody = identity("spans");
    nobody[3].1 = "a/b";
    let said = said_of(&foreign(&nobody, true));
    assert_eq!(said[0], format!("{SPANS}: it is damaged: its tenant is none"));
}

#[test]
fn should_say_that_a_file_is_no_parquet() {
    let mut numbers = Numbers(4);
    let random: Vec<u8> = (0..5_000).map(|_| numbers.below(256) as u8).collect();
    let footer = |len: u32| [&random[..], &len.to_le_bytes(), b"PAR1"].concat();
    for file in [
        Vec::new(),
        b"PAR1".to_vec(),
        b"PAR1PAR1".to_vec(),
        random.clone(),
        vec![0; 4_096],
        footer(0),
        footer(100),
        footer(5_000),
        footer(u32::MAX),
    ] {
        for (said, object) in said_of(&file.into()).iter().zip([SPANS, ORIGINS]) {
            let wanted = format!("{object}: it is no Parquet file, or a damaged one: ");
            assert!(said.starts_with(&wanted) && said.len() > wanted.len(), "{said}");
        }
    }
    let sample = Sample::small();
    let garbage = Bytes::from(random);
    assert_named(&open_spans(&sample.block.summary.spans, &garbage).unwrap_err(), SPANS, "random");
    assert_named(&open_origins(&sample.block.summary.origins, &garbage).unwrap_err(), ORIGINS, "random");
}

#[test]
fn should_say_that_files_were_swapped() {
    let sample = Sample::small();
    let swapped = SpansFile::open_unverified(SPANS, &sample.block.origins).unwrap_err();
    assert_eq!(
        swapped.to_string(),
        format!("{SPANS}: it is the `origins` file of a block, and the `spans` file was expected")
    );
    let swapped = OriginsFile::open_unverified(ORIGINS, &sample.block.spans).unwrap_err();
    assert_eq!(
        swapped.to_string(),
        format!("{ORIGINS}: it is the `spans` file of a block, and the `origins` file was expected")
    );
    assert_named(
        &open_spans(&sample.block.summary.spans, &sample.block.origins).unwrap_err(),
        SPANS,
        "swapped",
    );
    assert_named(
        &open_origins(&sample.block.summary.origins, &sample.block.spans).unwrap_err(),
        ORIGINS,
        "swapped",
    );

    // Even if the summary were that of the other file.
    let (spans, origins) = (&sample.block.summary.spans, &sample.block.summary.origins);
    let summary = SpansSummary {
        bytes: origins.bytes,
        metadata_offset: origins.origins_offset,
        metadata_hash: origins.origins_hash,
        ..spans.clone()
    };
    let error = open_spans(&summary, &sample.block.origins).unwrap_err();
    assert!(matches!(error.wrong, Wrong::OtherFile { .. }), "{error}");
}

#[test]
fn should_refuse_the_files_of_another_block() {
    // The same but for one value of the same length, so that sizes may be equal too.
    let block_of = |service: &str| {
        let mut columns = SpanColumns::default();
        let value = Value::Str(service.to_owned());
        let resource_attributes = vec![Attribute { key: "service.name".to_owned(), value }];
        let origin = Arc::new(Origin { resource_attributes, ..Origin::default() });
        columns
            .push(&Span { name: service.to_owned(), origin, ..Span::default() })
            .expect("an ordinary span");
        Block::encode(&columns, 1).expect("encodes")
    };
    let one = block_of("abcdef");
    // Checksums in page headers take four bytes or five.
    let mut others = ["abcdeg", "abcdeh", "abcdei", "abcdej", "abcdek", "abcdel"].into_iter().map(block_of);
    let other = others.find(|other| other.spans.len() == one.spans.len()).expect("one of the same size");
    let error = open_spans(&one.summary.spans, &other.spans).unwrap_err();
    assert!(error.to_string().contains("another hash"), "{error}");
    let error = open_origins(&one.summary.origins, &other.origins).unwrap_err();
    assert_named(&error, ORIGINS, "another block");
    let sample = Sample::small();
    let error = open_spans(&one.summary.spans, &sample.block.spans).unwrap_err();
    assert!(error.to_string().contains("another size"), "{error}");
}

#[test]
fn should_refuse_wrong_summaries() {
    let sample = Sample::small();
    let right = &sample.block.summary.spans;
    let whole = &sample.block.spans;
    let edges =
        [0, 1, right.metadata_offset - 1, right.bytes - 1, right.bytes, right.bytes + 1, 1 << 40, u64::MAX];
    for edge in edges {
        for summary in [
            SpansSummary { metadata_offset: edge, ..right.clone() },
            SpansSummary { bytes: edge, ..right.clone() },
            SpansSummary { metadata_hash: edge, ..right.clone() },
            SpansSummary { rows: edge, ..right.clone() },
            // Length and hash fit, and the places do not.
            SpansSummary {
                bytes: edge,
                metadata_offset: edge.saturating_sub(right.bytes - right.metadata_offset),
                ..right.clone()
            },
        ] {
            if summary == *right {
                continue;
            }
            for given in [tail(whole, summary.metadata_offset), tail(whole, right.metadata_offset)] {
                let error = SpansFile::open(SPANS, &summary, &given).unwrap_err();
                assert_named(&error, SPANS, &format!("{summary:?}"));
            }
        }
    }
    let right = sample.block.summary.origins;
    let whole = &sample.block.origins;
    for edge in
        [0, 1, right.origins_offset - 1, right.bytes - 1, right.bytes, right.bytes + 1, 1 << 40, u64::MAX]
    {
        for summary in [
            OriginsSummary { origins_offset: edge, ..right },
            OriginsSummary { bytes: edge, ..right },
            OriginsSummary { origins_hash: edge, ..right },
            OriginsSummary { origins: edge, ..right },
            OriginsSummary {
                bytes: edge,
                origins_offset: edge.saturating_sub(right.bytes - right.origins_offset),
                ..right
            },
        ] {
            if summary == right {
                continue;
            }
            for given in [tail(whole, summary.origins_offset), tail(whole, right.origins_offset)] {
                let error = OriginsFile::open(ORIGINS, &summary, &given).unwrap_err();
                assert_named(&error, ORIGINS, &format!("{summary:?}"));
            }
        }
    }
}

/// The Parquet reader would reserve what is claimed, or descend as deep: both end the process.
#[test]
fn should_refuse_footers_that_claim_too_much() {
    let file = |fields: &[u8]| {
        let footer = [&[0x15, 2][..], fields].concat();
        Bytes::from([b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat())
    };
    // A root without columns, no rows, and two billion row groups.
    let groups = file(b"\x19\x1c\x48\x01s\x00\x16\x00\x19\xfc\xff\xff\xff\xff\x07");
    // 100,000 elements of a schema, each the child of the one before.
    let deep =
        file(&[&b"\x19\xfc\xa0\x8d\x06"[..], &b"\x35\x00\x18\x01s\x15\x02\x00".repeat(100_000)].concat());
    for file in [groups, deep] {
        for (said, object) in said_of(&file).iter().zip([SPANS, ORIGINS]) {
            assert_eq!(
                *said,
                format!(
                    "{object}: it is no Parquet file, or a damaged one: Parquet error: its footer claims more than it holds"
                )
            );
        }
    }
}

#[test]
fn should_refuse_page_indexes_that_claim_too_much() {
    let sample = Sample::small();
    let file = sample.block.spans_file().unwrap();
    let place = file.metadata().row_group(0).column(0).offset_index_offset().unwrap() as usize;
    let mut damaged = sample.block.spans.to_vec();
    // Two billion pages.
    damaged[place..place + 7].copy_from_slice(b"\x19\xfc\xff\xff\xff\xff\x07");
    let error = SpansFile::open_unverified(SPANS, &damaged.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{SPANS}: it is no Parquet file, or a damaged one: Parquet error: its page index claims more than it holds"
        )
    );
}
