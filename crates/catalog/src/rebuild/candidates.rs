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
        let complete = list(&catalog.bucket, report).await?;
        let mut found = Self::default();
        let mut read = stream::iter(complete)
            .map(|block| async move { Ok::<_, StoreError>((block, read(&catalog.bucket, block).await?)) })
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

/// The blocks of which both objects are there.
async fn list(bucket: &Bucket, report: &mut Rebuilt) -> Result<Vec<BlockId>, StoreError> {
    let mut found: BTreeMap<BlockId, u8> = BTreeMap::new();
    let mut objects = bucket.objects().list(Some(&Path::from("blk")));
    while let Some(meta) = objects.try_next().await.map_err(|source| failed("list", &"blk", source))? {
        if let Ok(ObjectKey::Spans(block) | ObjectKey::Origins(block)) = meta.location.as_ref().parse() {
            *found.entry(block).or_default() += 1;
        }
    }
    let is_whole = |count: &u8| *count == 2;
    report.incomplete = found.iter().filter(|(_, count)| !is_whole(count)).map(|(block, _)| *block).collect();
    Ok(found.into_iter().filter(|(_, count)| is_whole(count)).map(|(block, _)| block).collect())
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
