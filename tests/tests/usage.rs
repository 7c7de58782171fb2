//! What spans take in the store: numbers that add up to what the catalog has, agree with counts of decoded spans, and
//! cost few requests.

#![expect(clippy::unwrap_used, reason = "a test that fails says so by a panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::change::Merge;
use siltstone_catalog::kept::{Kept, Until};
use siltstone_catalog::snapshot::Cover;
use siltstone_format::day::Day;
use siltstone_format::origin::SERVICE_NAME;
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_format::value::{Attribute, Value};
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Answer;
use siltstone_querier::usage::{Amount, Days, Part, Usage, UsageOf};
use siltstone_tests::decode::request_spans;
use siltstone_tests::merging::{read_block, write_block};
use siltstone_tests::query_world::QueryWorld;
use siltstone_traffic::{Traffic, TrafficConfig};

/// Spans of a day and a half, by start: some with a key that few have, fewer with one that no column is made for.
fn spans(count: usize) -> Vec<Span> {
    let config = TrafficConfig {
        spans: count,
        span_rate: count as f64 / 130_000.0,
        seed: 5,
        ..TrafficConfig::default()
    };
    let mut spans: Vec<Span> =
        Traffic::new(config).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>()).collect();
    spans.sort_by_key(|span| span.start_unix_nano);
    for (number, span) in spans.iter_mut().enumerate() {
        let mut add = |key: &str, value| span.attributes.push(Attribute { key: key.to_owned(), value });
        if number % 20 == 0 {
            add("common", Value::Int(number as i64));
        }
        if number % 70 == 0 {
            add("common", Value::Str(format!("as text {number}")));
            add("spilled", Value::Bytes(vec![number as u8; 100]));
        }
        if number % 500 == 0 {
            add("rare", Value::Str("here".to_owned()));
            add("rare", Value::Str("twice".to_owned()));
        }
    }
    spans
}

/// A merged block, kept so long.
async fn lay(world: &QueryWorld, spans: &[Span], until: Option<Until>) {
    let tenant = Tenant::single();
    let summary = write_block(&world.catalog, &tenant, spans, Vec::new()).await;
    let day = Day::of_unix_nano(summary.spans.min_start_unix_nano);
    let mut entry = BlockEntry::merged(summary, 0, world.catalog.next_id());
    entry.kept = until.map(|until| Kept { until, policy: 1, marks: 0 });
    let merge = Merge { tenant, inputs: Vec::new(), outputs: vec![(day, entry)] };
    world.catalog.publish(&merge).await.unwrap();
}

/// Merged blocks of two days and several classes, a block of the inbox, and a flush that is not folded.
async fn world() -> (QueryWorld, Vec<Span>) {
    let world = QueryWorld::new().await;
    let spans = spans(5_000);
    let pieces: Vec<&[Span]> = spans.chunks(600).collect();
    let (last, merged) = pieces.split_last().unwrap();
    let (inbox, merged) = merged.split_last().unwrap();
    for (number, piece) in merged.iter().enumerate() {
        let until =
            [None, Some(Until::Never), Some(Until::Hour(500_000)), Some(Until::Hour(500_024))][number % 4];
        lay(&world, piece, until).await;
    }
    world.flush(inbox).await;
    world.catalog.fold().await.unwrap();
    world.flush(last).await;
    (world, spans)
}

async fn usage_of(world: &QueryWorld, days: Days, limits: QueryLimits) -> Answer<Usage> {
    world.querier(limits).usage(&UsageOf { tenant: Tenant::single(), days }).await.unwrap()
}

async fn usage(world: &QueryWorld) -> Answer<Usage> {
    usage_of(world, Days::ALL, QueryLimits::default()).await
}

fn sum<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> Amount {
    amounts.into_iter().fold(Amount::default(), |sum, amount| Amount {
        spans: sum.spans + amount.spans,
        bytes: sum.bytes + amount.bytes,
    })
}

fn minus(one: Amount, other: Amount) -> Amount {
    Amount { spans: one.spans - other.spans, bytes: one.bytes - other.bytes }
}

fn of_blocks<'a>(blocks: impl IntoIterator<Item = &'a BlockEntry>) -> Amount {
    blocks.into_iter().fold(Amount::default(), |sum, block| Amount {
        spans: sum.spans + block.summary.spans.rows,
        bytes: sum.bytes + block.bytes(),
    })
}

/// By day and class, by service and by part: the same, and what the catalog says.
fn assert_adds_up(usage: &Usage, blocks: &[BlockEntry]) {
    assert_eq!((usage.blocks, usage.total), (blocks.len() as u64, of_blocks(blocks)));
    assert_eq!(sum(usage.by_class.values()), usage.total);
    let read = minus(usage.total, usage.unread);
    let services = usage.by_service.values().chain([&usage.further_services]);
    assert_eq!(sum(services), read);
    assert_eq!(usage.by_part.values().map(|amount| amount.bytes).sum::<u64>(), read.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_add_up_to_what_the_catalog_has() {
    let (world, _) = world().await;
    let blocks = world.blocks().await;
    let answer = usage(&world).await;
    assert!(answer.gaps.is_empty(), "{:?}", answer.gaps);
    assert_adds_up(&answer.content, &blocks);

    let mut right = BTreeMap::<(Section, Option<Until>), Amount>::new();
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = world.catalog.snapshot(&fresh).await.unwrap();
    let mut folded = Vec::new();
    for page in world.catalog.pages(&snapshot, &Tenant::single()).await.unwrap() {
        let of_page = world.catalog.blocks_of(&Tenant::single(), &page).await.unwrap();
        folded.extend(of_page.blocks.iter().map(|block| (page.section, block.clone())));
    }
    assert_eq!(folded.len() + 1, blocks.len());
    let flushed = blocks.iter().filter(|block| !folded.iter().any(|(_, folded)| folded.id() == block.id()));
    let flushed: Vec<_> = flushed.map(|block| (Section::Inbox, block.clone())).collect();
    for (section, block) in folded.into_iter().chain(flushed) {
        let amount = right.entry((section, block.kept.map(|kept| kept.until))).or_default();
        *amount = sum([&*amount, &of_blocks([&block])]);
    }
    assert_eq!(answer.content.by_class, right);
    // Two days, of which each has several classes, and the inbox.
    let sections: Vec<Section> = right.keys().map(|(section, _)| *section).collect();
    assert!(
        sections.iter().filter(|section| **section == sections[sections.len() - 1]).count() > 1,
        "{right:?}"
    );
    assert!(sections.contains(&Section::Inbox), "{right:?}");
}

fn service(span: &Span) -> String {
    let named = span.origin.resource_attributes.iter().find(|attribute| attribute.key == SERVICE_NAME);
    named.map_or(String::new(), |attribute| attribute.value.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_count_spans_of_services_and_values_of_attributes_as_decoded_spans_say() {
    let (world, spans) = world().await;
    let (mut services, mut values) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    let (mut events, mut links) = (0, 0);
    let mut rows = 0;
    for block in world.blocks().await {
        for span in read_block(&world.catalog, &block.summary).await {
            rows += 1;
            *services.entry(service(&span)).or_default() += 1;
            span.attributes.iter().for_each(|one| *values.entry(one.key.clone()).or_default() += 1);
            events += span.events.len() as u64;
            links += span.links.len() as u64;
        }
    }
    assert!(services.len() > 5 && rows > spans.len() * 9 / 10, "{services:?}");
    let usage = usage(&world).await.content;
    let found = |(name, amount): (&String, &Amount)| (name.clone(), amount.spans);
    assert_eq!(usage.by_service.iter().map(found).collect::<BTreeMap<_, _>>(), services);
    let attributes = usage.by_part.iter().filter_map(|(part, amount)| match part {
        Part::Attribute(key) => Some((key.clone(), amount.values)),
        _ => None,
    });
    assert_eq!(attributes.collect::<BTreeMap<_, _>>(), values);
    assert!(
        values["rare"] > 10 && values["spilled"] > 50 && values["common"] > values["spilled"],
        "{values:?}"
    );
    let count = |part: Part| usage.by_part[&part].values;
    assert_eq!((count(Part::Events), count(Part::Links)), (events, links));
    assert_eq!(count(Part::Column("trace_id".to_owned())), rows as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_take_the_bytes_of_columns_that_any_reader_of_parquet_sees() {
    let (world, _) = world().await;
    let (mut columns, mut objects) = (BTreeMap::<String, u64>::new(), 0);
    for block in world.blocks().await {
        let path = Path::from(ObjectKey::Spans(block.id()).to_string());
        let object: Bytes = world.store.get(&path).await.unwrap().bytes().await.unwrap();
        objects += object.len() as u64;
        let metadata: ParquetMetaData = ParquetMetaDataReader::new().parse_and_finish(&object).unwrap();
        for chunk in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let name = chunk.column_path().parts()[0].clone();
            *columns.entry(name).or_default() += chunk.compressed_size().unsigned_abs();
        }
    }
    let usage = usage(&world).await.content;
    let bytes = |part: Part| usage.by_part.get(&part).map_or(0, |amount| amount.bytes);
    for (part, column) in [
        (Part::Column("trace_id".to_owned()), "trace_id"),
        (Part::Column("service_name".to_owned()), "service_name"),
        (Part::Events, "events"),
        (Part::Links, "links"),
    ] {
        assert_eq!(bytes(part), columns[column], "{column}");
    }
    let of_columns = columns["attr.int.common"] + columns.get("attr.str.common").copied().unwrap_or(0);
    let common = bytes(Part::Attribute("common".to_owned()));
    assert!((of_columns..of_columns + columns["overflow"]).contains(&common), "{common} {of_columns}");
    let of_attributes: u64 = usage
        .by_part
        .iter()
        .filter_map(|(part, amount)| matches!(part, Part::Attribute(_)).then_some(amount.bytes))
        .sum();
    let right: u64 =
        columns.iter().filter_map(|(name, bytes)| name.starts_with("attr.").then_some(bytes)).sum();
    let of_overflow = columns["overflow"] - bytes(Part::Column("overflow".to_owned()));
    assert_eq!(of_attributes, right + of_overflow);
    assert!(bytes(Part::Attribute("spilled".to_owned())) > 0);
    assert_eq!(bytes(Part::Metadata), objects - columns.values().sum::<u64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_ask_for_metadata_once_and_for_no_other_columns() {
    let world = QueryWorld::new().await;
    let spans = spans(40_000);
    for piece in spans.chunks(20_000) {
        lay(&world, piece, None).await;
    }
    let blocks = world.blocks().await;
    let querier = world.querier(QueryLimits::default());
    let of = UsageOf { tenant: Tenant::single(), days: Days::ALL };
    world.store.reset();
    querier.usage(&of).await.unwrap();
    let counts = world.store.snapshot();
    let requests = world.store.requests();
    for block in &blocks {
        let of_block = |key: ObjectKey| {
            requests.iter().filter(|request| request.location.as_ref() == key.to_string()).count()
        };
        let (of_spans, of_origins) =
            (of_block(ObjectKey::Spans(block.id())), of_block(ObjectKey::Origins(block.id())));
        // Metadata; services, and keys that have no column.
        assert!((2..=3).contains(&of_spans) && of_origins == 0, "{of_spans} {of_origins}");
    }
    println!("{} blocks: {counts}", blocks.len());
    let all = of_blocks(&blocks).bytes;
    let metadata: u64 =
        blocks.iter().map(|block| block.summary.spans.bytes - block.summary.spans.metadata_offset).sum();
    assert!(
        counts.bytes_read - metadata < all / 20,
        "{} of {all}, {metadata} of metadata",
        counts.bytes_read
    );
    // Log and roots, the root, the tenant's page, the pages of all days at once; metadata, and columns.
    assert!(counts.depth <= 7, "{counts}");

    // A second look takes the catalog's pages from memory.
    let first = counts.total();
    world.store.reset();
    querier.usage(&of).await.unwrap();
    assert!(world.store.snapshot().total() < first, "{first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_name_blocks_that_are_damaged_or_gone_and_count_them_apart() {
    let (world, _) = world().await;
    let blocks = world.blocks().await;
    let whole = usage(&world).await.content;
    let path = |block: &BlockEntry| Path::from(ObjectKey::Spans(block.id()).to_string());
    world.store.delete(&path(&blocks[0])).await.unwrap();
    let damaged = world.store.get(&path(&blocks[2])).await.unwrap().bytes().await.unwrap();
    let mut damaged = damaged.to_vec();
    let end = damaged.len() - 30;
    damaged[end] ^= 1;
    world.store.put(&path(&blocks[2]), PutPayload::from(damaged)).await.unwrap();
    // Its columns lie within what is left, its metadata does not.
    let cut = world.store.get(&path(&blocks[4])).await.unwrap().bytes().await.unwrap();
    world.store.put(&path(&blocks[4]), PutPayload::from(cut.slice(..cut.len() / 2))).await.unwrap();

    let answer = usage(&world).await;
    let bad = [&blocks[0], &blocks[2], &blocks[4]];
    assert_eq!(answer.gaps.len(), 3, "{:?}", answer.gaps);
    for block in bad {
        let name = block.id().to_string();
        assert!(
            answer.gaps.iter().any(|gap| gap.contains(&name) && gap.contains("cannot be read")),
            "{:?}",
            answer.gaps
        );
    }
    assert_eq!(answer.content.unread, of_blocks(bad));
    assert_eq!((answer.content.total, &answer.content.by_class), (whole.total, &whole.by_class));
    assert_adds_up(&answer.content, &blocks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_name_pages_of_the_catalog_that_cannot_be_read() {
    let (world, _) = world().await;
    let blocks = world.blocks().await;
    let snapshot = world.catalog.snapshot(&Cover { fresh: true, ..Cover::default() }).await.unwrap();
    let pages = world.catalog.pages(&snapshot, &Tenant::single()).await.unwrap();
    let page = pages.iter().find(|page| page.section != Section::Inbox).unwrap();
    let key = ObjectKey::Page(page.id).to_string();
    world.store.put(&Path::from(key.as_str()), PutPayload::from_static(b"damaged")).await.unwrap();
    let answer = usage(&world).await;
    assert!(answer.gaps.len() == 1 && answer.gaps[0].contains(&key), "{:?}", answer.gaps);
    assert_eq!(answer.content.total.spans, of_blocks(&blocks).spans - page.rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_count_the_days_that_are_asked_for_and_leave_out_live_spans() {
    let (world, spans) = world().await;
    let all = usage(&world).await.content;
    world.live.accept(spans[..100].to_vec());
    assert_eq!(usage(&world).await.content, all);
    let days: Vec<Day> = all
        .by_class
        .keys()
        .filter_map(|(section, _)| match section {
            Section::Day(day) => Some(*day),
            Section::Inbox => None,
        })
        .collect();
    let (first, last) = (days[0], days[days.len() - 1]);
    assert_eq!(last.0, first.0 + 1);
    let only =
        async |first, last| usage_of(&world, Days { first, last }, QueryLimits::default()).await.content;
    let of_first = only(first, first).await;
    // Blocks that are not merged are of later ones.
    assert!(of_first.by_class.keys().all(|(section, _)| *section == Section::Day(first)), "{of_first:?}");
    let of_last = only(last, Days::ALL.last).await;
    assert!(of_last.by_class.keys().any(|(section, _)| *section == Section::Inbox), "{of_last:?}");
    assert_eq!(sum([&of_first.total, &of_last.total]), all.total);
    assert_eq!(only(Day(0), Day(first.0 - 1)).await, Usage::default());
    assert_eq!(only(last, first).await.total, Amount::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_count_names_beyond_the_bound_together() {
    let (world, _) = world().await;
    let blocks = world.blocks().await;
    let all = usage(&world).await.content;
    let limits = QueryLimits { groups: 3, ..QueryLimits::default() };
    let few = usage_of(&world, Days::ALL, limits).await.content;
    assert_adds_up(&few, &blocks);
    assert_eq!(few.by_service.len(), 3);
    assert_eq!(few.further_services.spans, all.total.spans - sum(few.by_service.values()).spans);
    let attributes = few.by_part.keys().filter(|part| matches!(part, Part::Attribute(_))).count();
    assert!(attributes <= 3 && few.by_part.contains_key(&Part::FurtherAttributes), "{few:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_say_when_it_would_take_too_long() {
    let (world, _) = world().await;
    let limits = QueryLimits { deadline: Duration::ZERO, ..QueryLimits::default() };
    let of = UsageOf { tenant: Tenant::single(), days: Days::ALL };
    let error = world.querier(limits).usage(&of).await.unwrap_err();
    assert!(error.to_string().contains("query.deadline"), "{error}");
}
