//! Which blocks stand in the store, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use siltstone_format::block::error::{ReadError, Wrong};
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::summary::BlockSummary;
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;

use super::choose::Chosen;
use super::{RebuildError, Rebuilt};
use crate::bucket::{Bucket, StoreError, failed, path};
use crate::catalog::Catalog;
use crate::root::Root;

/// Blocks whose metadata is read at the same time.
const PARALLEL: usize = 16;

/// The complete blocks. It holds what the whole catalog will: some hundred bytes a block.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) blocks: BTreeMap<BlockId, BlockSummary>,
    /// Complete, and not to be read.
    pub(super) unread: BTreeSet<BlockId>,
    /// A block of a version that this program does not know.
    pub(super) later_release: Option<(ObjectKey, String)>,
}

/// What became of reading one.
enum Read {
    Complete(Box<BlockSummary>),
    /// One of its objects went meanwhile.
    Gone,
    Wrong(ReadError),
}

impl Candidates {
    pub(super) async fn find(catalog: &Catalog, report: &mut Rebuilt) -> Result<Self, RebuildError> {
        let there = Standing::list(&catalog.bucket).await?;
        report.incomplete = there.blocks(false).collect();
        let complete: Vec<BlockId> = there.blocks(true).collect();
        let mut found = Self::default();
        let mut read =
            stream::iter(complete)
                .map(|block| async move {
                    Ok::<_, StoreError>((block, read_twice(&catalog.bucket, block).await?))
                })
                .buffered(PARALLEL);
        while let Some((block, read)) = read.try_next().await? {
            match read {
                Read::Complete(summary) => {
                    found.blocks.insert(block, *summary);
                }
                Read::Gone => {}
                Read::Wrong(error) => {
                    if matches!(error.wrong, Wrong::Version { .. }) {
                        found.later_release = Some((ObjectKey::Spans(block), error.to_string()));
                    }
                    found.unread.insert(block);
                    report.unreadable.insert(block, error.to_string());
                }
            }
        }
        Ok(found)
    }

    /// Leaves out what a root that can be read has given up.
    pub(super) fn leave_out_given_up(&mut self, root: &Root) {
        let given_up: BTreeSet<BlockId> =
            root.retired.iter().flat_map(|retired| retired.blocks.iter().copied()).collect();
        self.blocks.retain(|block, summary| {
            let cut = root.tenants.get(&summary.identity.tenant).and_then(|tenant| tenant.cut);
            let last_day = Day::of_unix_nano(summary.spans.max_start_unix_nano);
            !given_up.contains(block) && cut.is_none_or(|cut| last_day >= cut)
        });
    }

    /// Blocks that were taken in and are not there any more, each with those that were left
    /// out for it and are.
    pub(super) async fn gone(
        &self,
        bucket: &Bucket,
        chosen: &Chosen,
    ) -> Result<BTreeMap<BlockId, Vec<BlockId>>, StoreError> {
        let there = Standing::list(bucket).await?;
        let taken_in = self.blocks.keys().filter(|block| !chosen.covered.contains(block));
        let gone = taken_in.filter(|block| !there.is_complete(block));
        let mut gone: BTreeMap<BlockId, Vec<BlockId>> = gone.map(|block| (*block, Vec::new())).collect();
        for block in chosen.covered.iter().filter(|block| there.is_complete(block)) {
            for input in self.blocks.get(block).iter().flat_map(|summary| &summary.identity.inputs) {
                if let Some(left_out) = gone.get_mut(input) {
                    left_out.push(*block);
                }
            }
        }
        Ok(gone)
    }

    pub(super) fn inputs(&self) -> BTreeMap<BlockId, Vec<BlockId>> {
        self.blocks.iter().map(|(block, summary)| (*block, summary.identity.inputs.clone())).collect()
    }

    /// Reads blocks whole, one after the other, and gives those that are not what they
    /// say.
    pub(super) async fn prove(
        &self,
        bucket: &Bucket,
        blocks: &BTreeSet<BlockId>,
    ) -> Result<BTreeMap<BlockId, String>, StoreError> {
        let mut harmed = BTreeMap::new();
        for block in blocks {
            let Some(summary) = self.blocks.get(block) else { continue };
            let spans = bucket.get(&ObjectKey::Spans(*block)).await?;
            let origins = bucket.get(&ObjectKey::Origins(*block)).await?;
            let Some((spans, origins)) = spans.zip(origins) else {
                harmed.insert(*block, "one of its objects is gone".to_owned());
                continue;
            };
            if let Err(violation) = check_f1(&WholeBlock { summary, spans: &spans, origins: &origins }) {
                harmed.insert(*block, violation.to_string());
            }
        }
        Ok(harmed)
    }
}

/// Which objects of which blocks are there.
#[derive(Default)]
struct Standing {
    objects: BTreeMap<BlockId, Objects>,
}

#[derive(Clone, Copy, Default)]
struct Objects {
    spans: bool,
    origins: bool,
}

impl Standing {
    async fn list(bucket: &Bucket) -> Result<Self, StoreError> {
        let mut there = Self::default();
        let mut objects = bucket.objects().list(Some(&Path::from("blk")));
        while let Some(meta) = objects.try_next().await.map_err(|source| failed("list", &"blk", source))? {
            if let Ok(key) = meta.location.as_ref().parse() {
                there.add(&key);
            }
        }
        Ok(there)
    }

    /// A listing may show one object twice.
    fn add(&mut self, key: &ObjectKey) {
        match key {
            ObjectKey::Spans(block) => self.objects.entry(*block).or_default().spans = true,
            ObjectKey::Origins(block) => self.objects.entry(*block).or_default().origins = true,
            _ => {}
        }
    }

    fn is_complete(&self, block: &BlockId) -> bool {
        self.objects.get(block).is_some_and(|objects| objects.spans && objects.origins)
    }

    fn blocks(&self, complete: bool) -> impl Iterator<Item = BlockId> {
        self.objects.keys().copied().filter(move |block| self.is_complete(block) == complete)
    }
}

/// One bad transfer must not cost a block: what is wrong is read again before it is
/// believed.
async fn read_twice(bucket: &Bucket, block: BlockId) -> Result<Read, StoreError> {
    match read(bucket, block).await? {
        Read::Wrong(_) => read(bucket, block).await,
        well => Ok(well),
    }
}

/// Reads the origins file, which has the summary, and the metadata of the spans file,
/// which must be what the summary says.
async fn read(bucket: &Bucket, block: BlockId) -> Result<Read, StoreError> {
    let (spans_key, origins_key) = (ObjectKey::Spans(block), ObjectKey::Origins(block));
    let Some(origins) = bucket.get(&origins_key).await? else { return Ok(Read::Gone) };
    let summary = match OriginsFile::open_unverified(&origins_key.to_string(), &origins) {
        Ok((_, summary)) => summary,
        Err(error) => return Ok(Read::Wrong(error)),
    };
    let damaged =
        |what| Ok(Read::Wrong(ReadError { object: spans_key.to_string(), wrong: Wrong::Damaged(what) }));
    let range = summary.spans.metadata_offset..summary.spans.bytes;
    if range.start >= range.end {
        return damaged("its summary gives its metadata no place");
    }
    let tail = match bucket.objects().get_range(&path(&spans_key), range).await {
        Ok(tail) => tail,
        Err(object_store::Error::NotFound { .. }) => return Ok(Read::Gone),
        // A file that is shorter than its summary says has no such range; the store's own
        // failures are not told apart from that, and end the rebuild rather than a block.
        Err(source) => match bucket.objects().head(&path(&spans_key)).await {
            Ok(meta) if meta.size < summary.spans.bytes => return damaged("it is cut off"),
            _ => return Err(failed("read", &spans_key, source)),
        },
    };
    match SpansFile::open(&spans_key.to_string(), &summary.spans, &tail) {
        Ok(file) if file.identity() == &summary.identity && summary.identity.block == block => {
            Ok(Read::Complete(Box::new(summary)))
        }
        Ok(_) => damaged("its two files are not of one block, or of this one"),
        Err(error) => Ok(Read::Wrong(error)),
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    #[test]
    fn should_take_a_block_for_complete_if_both_objects_are_there_and_not_one_twice() {
        let (half, whole) = (BlockId(Ulid(1)), BlockId(Ulid(2)));
        let mut there = Standing::default();
        for key in [ObjectKey::Spans(half), ObjectKey::Spans(half), ObjectKey::Origins(whole)] {
            there.add(&key);
        }
        there.add(&ObjectKey::Spans(whole));
        assert_eq!(there.blocks(true).collect::<Vec<_>>(), [whole]);
        assert_eq!(there.blocks(false).collect::<Vec<_>>(), [half]);
    }
}
