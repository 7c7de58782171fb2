//! What is stored and what it takes: by day and class, by service, by attribute. Everybody asks what costs.
//!
//! ```text
//! catalog ──▶ spans and bytes of each block, where it stands, how long it is kept
//! metadata of each block ──▶ bytes of each column
//! its services, and keys of attributes without a column ──▶ shares of its bytes
//! ```
//!
//! What is counted is what lies in the store: a span that is stored twice, or hidden until a merge takes it out, costs
//! as well. Every byte of a block's objects is counted once in each of the three. What is in no block yet is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use siltstone_ask::Keep;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::kept::Until;
use siltstone_catalog::snapshot::{Cover, Missing, Snapshot, SnapshotError};
use siltstone_catalog::tenant_page::PageRef;
use siltstone_format::block::error::ReadError;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, Origins, SpansFile};
use siltstone_format::block::spending::SpansPart;
use siltstone_format::columns::KnownOrigin;
use siltstone_format::day::Day;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::block::{BlockError, check};
use crate::gap::{Gap, gaps_of};
use crate::querier::{Answer, Querier, Query, QueryError};

/// Pages of the catalog whose blocks are looked at together: 8 MB of entries at most.
const PAGES_AT_ONCE: usize = 32;
/// Pages, and blocks, that are read at the same time. What a block's metadata becomes takes 4 MB at most.
const PARALLEL_READS: usize = 16;
/// Blocks that cannot be read and are named one by one.
const MOST_NAMED: usize = 100;

/// Whose, and of which days.
#[derive(Clone, Debug)]
pub struct UsageOf {
    pub tenant: Tenant,
    pub days: Days,
}

/// From one day to another one, both included. Blocks that are not merged yet count whole if a span of theirs may
/// start in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub first: Day,
    pub last: Day,
}

/// What some spans take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub spans: u64,
    pub bytes: u64,
}

/// What a part of spans takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartAmount {
    /// How often it is there: of most parts once a span at most.
    pub values: u64,
    pub bytes: u64,
}

/// What the bytes of blocks are spent on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Attributes of spans under one key. Those without a column of their own share the bytes of their list in
    /// proportion to their number.
    Attribute(String),
    /// Keys beyond those that can be counted apart.
    FurtherAttributes,
    /// A column that is always there, by its name.
    Column(String),
    Events,
    Links,
    /// Resources and scopes with their attributes.
    Origins,
    Filters,
    /// Page indexes and footers.
    Metadata,
}

/// What a tenant has in blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub blocks: u64,
    pub total: Amount,
    /// By where blocks stand, and until when they are kept, if that is decided.
    pub by_class: BTreeMap<(Section, Option<Until>), Amount>,
    /// A service has its share of a block's bytes by its spans.
    pub by_service: BTreeMap<String, Amount>,
    /// Services beyond those that can be counted apart.
    pub further_services: Amount,
    pub by_part: BTreeMap<Part, PartAmount>,
    /// Of blocks that cannot be read: in the total, by class, and in nothing else.
    pub unread: Amount,
}

/// Of one block.
struct OfBlock {
    services: BTreeMap<String, u64>,
    parts: Vec<(Part, PartAmount)>,
}

impl Querier {
    /// What a tenant's spans take in the store.
    pub async fn usage(&self, of: &UsageOf) -> Result<Answer<Usage>, QueryError> {
        self.within(&of.tenant, async |mut query| {
            let usage = query.usage(of).await?;
            Ok(query.answer(usage))
        })
        .await
    }
}

impl Query<'_> {
    async fn usage(&mut self, of: &UsageOf) -> Result<Usage, QueryError> {
        let catalog = &self.querier.catalog;
        let snapshot = catalog.snapshot(&Cover { fresh: true, ..Cover::default() }).await.map_err(failed)?;
        self.gaps.extend(gaps_of(&snapshot).map(|gap| gap.to_string()));
        let standing = catalog.standing(&snapshot, &of.tenant).await.map_err(failed)?;
        self.lacks(standing.missing);

        let mut usage = Usage::default();
        let mut unread = Vec::new();
        let flushed = standing.flushed.into_iter().map(|block| (Section::Inbox, block));
        self.add_blocks(&mut usage, &mut unread, flushed.collect(), of.days, &snapshot).await?;
        let pages: Vec<PageRef> = standing.pages.into_iter().filter(|page| of.days.may_have(page)).collect();
        for pages in pages.chunks(PAGES_AT_ONCE) {
            let blocks = self.blocks_of_pages(&of.tenant, pages, &snapshot).await?;
            self.add_blocks(&mut usage, &mut unread, blocks, of.days, &snapshot).await?;
        }
        self.gaps.extend(unread.iter().take(MOST_NAMED).cloned());
        if let Some(more) = unread.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            self.gaps.push(format!("{more} more blocks cannot be read"));
        }
        Ok(usage)
    }

    /// The blocks of some pages of the catalog, with where they stand.
    async fn blocks_of_pages(
        &mut self,
        tenant: &Tenant,
        pages: &[PageRef],
        snapshot: &Snapshot,
    ) -> Result<Vec<(Section, BlockEntry)>, QueryError> {
        let catalog = &self.querier.catalog;
        let reads: Vec<_> = pages.iter().map(|page| catalog.blocks_of(tenant, page)).collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL_READS);
        let (mut blocks, mut missing) = (Vec::new(), Vec::new());
        while let Some(read) = reads.next().await {
            match read {
                Ok(page) => blocks.extend(page.blocks.iter().map(|block| (page.section, block.clone()))),
                Err(SnapshotError::Damaged { key, damage }) => missing.push(Missing { key, why: damage }),
                Err(SnapshotError::Gone { .. }) if self.is_over(snapshot) => return Err(QueryError::Expired),
                Err(error) => return Err(failed(error)),
            }
        }
        drop(reads);
        self.lacks(missing);
        Ok(blocks)
    }

    async fn add_blocks(
        &self,
        usage: &mut Usage,
        unread: &mut Vec<String>,
        mut blocks: Vec<(Section, BlockEntry)>,
        days: Days,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        blocks.retain(|(section, block)| days.hold(*section, block));
        self.cost.considered(blocks.len());
        let reads: Vec<_> = blocks.iter().map(|(_, block)| self.usage_of_block(block)).collect();
        let mut reads = stream::iter(reads).buffered(PARALLEL_READS);
        for (section, block) in &blocks {
            let Some(read) = reads.next().await else { break };
            let read = match read {
                Ok(read) => Some(read),
                Err(QueryError::Block(error)) => {
                    if matches!(error, BlockError::Gone { .. }) && self.is_over(snapshot) {
                        return Err(QueryError::Expired);
                    }
                    unread.push(Gap::Block { block: block.id(), why: error }.to_string());
                    None
                }
                Err(error) => return Err(error),
            };
            usage.add(*section, block, read, self.limits.groups);
        }
        Ok(())
    }

    /// Two requests, and one or two for each row group.
    async fn usage_of_block(&self, entry: &BlockEntry) -> Result<OfBlock, QueryError> {
        let blocks = &self.querier.blocks;
        let metadata = blocks.metadata_once(entry, self.purse()).await?;
        self.cost.read_block();
        let summary = entry.summary.spans.clone();
        let key = ObjectKey::Spans(entry.id());
        let opened = self.work(move || SpansFile::open(&key.to_string(), &summary, &metadata)).await?;
        let file = Arc::new(opened?);
        check(file.identity(), entry, &ObjectKey::Spans(entry.id()))?;

        let services = Parts { services: true, ..Parts::default() };
        let groups: Vec<GroupRows> = file.groups().collect();
        let mut wanted = file.ranges_of(&groups, &services);
        wanted.extend(groups.iter().flat_map(|rows| file.spilled_keys_ranges(rows.group)));
        let fetched = blocks.fetch_once(entry.id(), wanted, self.purse()).await?;
        let bytes = entry.summary.spans.bytes;
        let mut read = self.work(move || OfBlock::read(&file, bytes, &services, &fetched)).await??;
        let origins = entry.summary.origins.bytes;
        let filters = &entry.summary.filters;
        let filters = (filters.traces.class.bytes() + filters.terms.class.bytes()) as u64;
        let filters = PartAmount { values: 0, bytes: filters.min(origins) };
        let origins = PartAmount { values: entry.summary.origins.origins, bytes: origins - filters.bytes };
        read.parts.extend([(Part::Filters, filters), (Part::Origins, origins)]);
        Ok(read)
    }

    /// What is gone by now is no broken promise.
    fn is_over(&self, snapshot: &Snapshot) -> bool {
        self.querier.clock.elapsed() > snapshot.expires()
    }
}

fn failed(error: SnapshotError) -> QueryError {
    QueryError::Snapshot(Box::new(error))
}

impl Days {
    pub const ALL: Self = Self { first: Day(0), last: Day(u32::MAX) };

    fn contain(self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }

    /// Whether a block of a page may count.
    fn may_have(self, page: &PageRef) -> bool {
        match page.section {
            Section::Day(day) => self.contain(day),
            Section::Inbox => true,
        }
    }

    /// Whether a block counts.
    fn hold(self, section: Section, block: &BlockEntry) -> bool {
        match section {
            Section::Day(day) => self.contain(day),
            Section::Inbox => {
                let first = Day::of_unix_nano(block.summary.spans.min_start_unix_nano);
                first <= self.last && self.first <= block.last_day()
            }
        }
    }
}

impl OfBlock {
    fn read(file: &SpansFile, bytes: u64, services: &Parts, fetched: &Fetched) -> Result<Self, ReadError> {
        let mut read = Self { services: BTreeMap::new(), parts: Vec::new() };
        let mut overflow = BTreeMap::<String, u64>::new();
        for rows in file.groups() {
            let group = rows.group;
            let columns = file.read_parts(&[rows], services, fetched, &NoOrigins)?;
            let (names, of_rows) = columns.services();
            let mut counts = vec![0; names.len()];
            of_rows.iter().for_each(|name| counts[*name as usize] += 1);
            for (name, count) in names.into_iter().zip(counts) {
                *read.services.entry(name.into_owned()).or_default() += count;
            }
            for (key, count) in file.spilled_keys(group, fetched)? {
                *overflow.entry(key).or_default() += count;
            }
        }
        let mut of_overflow = 0;
        for (part, spent) in file.spending(bytes)? {
            let part = match part {
                SpansPart::Column(name) => Part::Column(name.to_owned()),
                SpansPart::Attribute(key) => Part::Attribute(key.to_owned()),
                SpansPart::Events => Part::Events,
                SpansPart::Links => Part::Links,
                SpansPart::Metadata => Part::Metadata,
                SpansPart::Overflow => {
                    of_overflow += spent.bytes;
                    continue;
                }
            };
            read.parts.push((part, PartAmount { values: spent.values, bytes: spent.bytes }));
        }
        if overflow.is_empty() {
            // A list that is empty in all rows takes some bytes too.
            read.parts
                .push((Part::Column("overflow".to_owned()), PartAmount { values: 0, bytes: of_overflow }));
        }
        let shares = shares(of_overflow, overflow.values().copied());
        let of_keys = overflow.into_iter().zip(shares);
        read.parts.extend(
            of_keys.map(|((key, values), bytes)| (Part::Attribute(key), PartAmount { values, bytes })),
        );
        Ok(read)
    }
}

/// Only services are read, which are no part of origins.
struct NoOrigins;

impl Origins for NoOrigins {
    fn origin(&self, _: u32) -> Option<KnownOrigin> {
        None
    }
}

/// Parts of a whole in proportion to weights. They add up to it; without any weight the first one has all.
fn shares(whole: u64, weights: impl Iterator<Item = u64> + Clone) -> Vec<u64> {
    let all: u128 = weights.clone().map(u128::from).sum();
    // Without it a product of very large numbers would not fit.
    let shift = (u128::BITS - all.leading_zeros()).saturating_sub(u64::BITS);
    let (mut before, mut given) = (0u128, 0);
    let share = |weight: u64| {
        before += u128::from(weight);
        let product = u128::from(whole) * (before >> shift);
        // No more than the whole, so it fits.
        let until = product.checked_div(all >> shift).map_or(whole, |until| until as u64);
        let share = until - given;
        given = until;
        share
    };
    weights.map(share).collect()
}

impl Amount {
    fn add(&mut self, spans: u64, bytes: u64) {
        self.spans += spans;
        self.bytes += bytes;
    }
}

impl PartAmount {
    fn add(&mut self, more: Self) {
        self.values += more.values;
        self.bytes += more.bytes;
    }
}

impl Usage {
    /// Adds one block; none: it cannot be read. So many names are counted apart.
    fn add(&mut self, section: Section, block: &BlockEntry, read: Option<OfBlock>, most_names: usize) {
        let (spans, bytes) = (block.summary.spans.rows, block.bytes());
        self.blocks += 1;
        self.total.add(spans, bytes);
        let class = (section, block.kept.map(|kept| kept.until));
        self.by_class.entry(class).or_default().add(spans, bytes);
        let Some(OfBlock { services, parts }) = read else {
            self.unread.add(spans, bytes);
            return;
        };
        let shares = shares(bytes, services.values().copied());
        for ((service, spans), bytes) in services.into_iter().zip(shares) {
            let is_known = self.by_service.len() < most_names || self.by_service.contains_key(&service);
            match is_known {
                true => self.by_service.entry(service).or_default().add(spans, bytes),
                false => self.further_services.add(spans, bytes),
            }
        }
        for (part, amount) in parts {
            let is_known = self.by_part.len() < most_names || self.by_part.contains_key(&part);
            let part =
                if is_known || !matches!(part, Part::Attribute(_)) { part } else { Part::FurtherAttributes };
            self.by_part.entry(part).or_default().add(amount);
        }
    }
}

/// How long blocks are kept that stand in a section, counted from the end of their day. None: that is not decided.
pub fn class_of(section: Section, until: Option<Until>) -> Option<Keep> {
    if until? == Until::Never {
        return Some(Keep::Forever);
    }
    // What is not merged has no day.
    let hours = until?.in_hours_after(section.day()?)?;
    Some(Keep::For(Duration::from_secs(u64::from(hours) * 3_600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_share_a_whole_without_a_rest() {
        assert_eq!(shares(10, [1, 1, 1].into_iter()), [3, 3, 4]);
        assert_eq!(shares(7, [0, 5, 0].into_iter()), [0, 7, 0]);
        assert_eq!(shares(u64::MAX, [u64::MAX, u64::MAX].into_iter()).iter().sum::<u64>(), u64::MAX);
        assert_eq!(shares(5, [0, 0].into_iter()), [5, 0]);
        assert!(shares(5, std::iter::empty()).is_empty());
    }

    #[test]
    fn should_say_how_long_a_class_is_kept_after_its_day() {
        let day = Day(20_000);
        let hour = (day.0 + 1 + 90) * 24;
        let class = |section, until| class_of(section, until).map(|keep| keep.to_string());
        assert_eq!(class(Section::Day(day), Some(Until::Hour(hour))).as_deref(), Some("90d"));
        assert_eq!(class(Section::Day(day), Some(Until::Hour(hour + 1))).as_deref(), Some("2161h"));
        assert_eq!(class(Section::Inbox, Some(Until::Never)).as_deref(), Some("forever"));
        assert_eq!(class(Section::Inbox, Some(Until::Hour(hour))), None);
        assert_eq!(class(Section::Day(day), None), None);
    }
}
