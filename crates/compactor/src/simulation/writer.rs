//! A writer: flushes of a few spans, one after the other. One that is killed forgets what it had begun.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use rand::Rng;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::commit::Fate;
use siltstone_catalog::log_entry::LogEntry;
use siltstone_catalog::snapshot::Cover;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{BlockId, WriterId};
use siltstone_format::path::ObjectKey;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;

use super::world::{Site, span};

pub(super) async fn run(site: Site, flushes: u64) -> Result<(), Violation> {
    let (mut writer, mut number) = (WriterId(site.catalog.next_id()), 0);
    let mut known = 0;
    for _ in 0..flushes {
        site.rest(2_500).await;
        known = learn(&site, known).await;
        let spans = next_spans(&site, known);
        loop {
            let encoded: Vec<Span> = spans.iter().map(|number| span(*number)).collect();
            match flush(&site, &[(Tenant::single(), encoded)], known, (writer, number)).await {
                Fate::Committed => break,
                // A flush that is late is asked for again under the same name.
                Fate::Missing => {}
                Fate::Fenced { .. } => (writer, number) = (WriterId(site.catalog.next_id()), 0),
            }
        }
        number += 1;
        let mut world = site.world.borrow_mut();
        for span in spans {
            let best = world.committed.entry(span).or_default();
            *best = known.max(*best);
        }
        world.counts.flushes += 1;
    }
    Ok(())
}

/// The number of the newest deletion, if it is asked for; whoever accepts spans may know less for long.
async fn learn(site: &Site, known: u64) -> u64 {
    if site.rng.borrow_mut().random_bool(0.5) {
        return known;
    }
    let snapshot = site.catalog.snapshot(&Cover::default()).await;
    snapshot.map_or(known, |snapshot| snapshot.root.mark_number)
}

/// New numbers, and now and then some that were sent before.
fn next_spans(site: &Site, known: u64) -> Vec<u64> {
    let (count, again) = {
        let mut rng = site.rng.borrow_mut();
        (rng.random_range(1..30), rng.random_range(0..40))
    };
    let mut world = site.world.borrow_mut();
    let first = world.next_number;
    world.next_number += count;
    let old = (again..again + 3).filter(|number| again < 20 && *number < first);
    let spans: Vec<u64> = (first..first + count).chain(old).collect();
    for number in &spans {
        world.attempts.entry(*number).or_default().push(known);
    }
    spans
}

/// Commits spans of some tenants as one flush, of which the deletions up to this number are known.
pub(super) async fn flush(
    site: &Site,
    spans: &[(Tenant, Vec<Span>)],
    known: u64,
    (writer, number): (WriterId, u64),
) -> Fate {
    let opened = site.clock.monotonic();
    let mut blocks = Vec::new();
    for (tenant, spans) in spans {
        let summary = loop {
            match write(site, tenant, spans).await {
                Ok(summary) => break summary,
                Err(_) => site.rest(300).await,
            }
        };
        blocks.push(BlockEntry::accepted(summary, known));
    }
    let entry = LogEntry { writer, number, blocks };
    loop {
        match site.catalog.commit(&entry, Some(opened)).await {
            Ok(fate) => return fate,
            Err(_) => site.rest(300).await,
        }
    }
}

async fn write(site: &Site, tenant: &Tenant, spans: &[Span]) -> Result<BlockSummary, object_store::Error> {
    let mut columns = SpanColumns::default();
    spans.iter().for_each(|span| columns.push(span).expect("fits"));
    let block = BlockId(site.catalog.next_id());
    let identity = BlockIdentity { block, tenant: tenant.clone(), inputs: Vec::new() };
    let encoded = encode_block(&columns, &identity).expect("encodes");
    for (key, content) in
        [(ObjectKey::Spans(block), encoded.spans), (ObjectKey::Origins(block), encoded.origins)]
    {
        site.store.put(&Path::from(key.to_string()), PutPayload::from(content)).await?;
    }
    Ok(encoded.summary)
}
