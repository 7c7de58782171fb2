//! From sealed segments to committed flushes: encode, upload, commit, one segment after the other in each lane.
//!
//! Nothing here gives up: what a segment holds was acknowledged. A bucket that is away costs memory until the
//! blocks are moved to files, and then disk.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::commit::{CommitError, Fate};
use siltstone_catalog::log_entry::LogEntry;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::write::{EncodeError, EncodedBlock, encode_block};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use crate::backoff::Backoff;
use crate::buffer::Buffer;
use crate::lane::Lane;
use crate::planted::{Bug, planted};
use crate::segment::{Part, Segment};
use crate::service::Shared;
use crate::spool::{SpoolError, SpooledBlock};

/// Blocks of one flush that are written at the same time.
const PARALLEL_UPLOADS: usize = 4;

/// Attempts after which an entry that is still not part of the log is taken to stand behind a gap. They take
/// longer than any listing is late.
const MOST_MISSED: u32 = 7;

/// Why a flush is not committed yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    #[error("block {block} of tenant `{tenant}` cannot be encoded: {source}")]
    Encode { block: BlockId, tenant: Tenant, source: EncodeError },
    #[error("block {block} cannot be stored: {source}")]
    Upload { block: BlockId, source: object_store::Error },
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("a thread that encoded has ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Lane {
    /// Encodes what is sealed, until the queue is closed.
    pub(crate) async fn encode_all(self: Arc<Self>, shared: Arc<Shared>) {
        'segments: while let Some(segment) = self.sealed.next().await {
            let mut backoff = Backoff::new(&shared);
            while let Err(error) = shared.encode(&segment).await {
                if !backoff.failed("encoding a segment", &error).await {
                    break 'segments;
                }
            }
            self.encoded.push(segment);
        }
        // Whatever ended it: who commits must not wait for more.
        self.encoded.close();
    }

    /// Commits what is encoded, in order, until the queue is closed or the process must end.
    pub(crate) async fn commit_all(self: Arc<Self>, shared: Arc<Shared>) {
        while let Some(segment) = self.encoded.next().await {
            if !self.finish_one(&shared, &segment).await {
                return;
            }
        }
    }

    /// Commits a segment and forgets it. False: the process must end before it is done.
    pub(crate) async fn finish_one(&self, shared: &Arc<Shared>, segment: &Arc<Segment>) -> bool {
        if !self.commit_one(shared, segment).await {
            return false;
        }
        shared.roster.commit(segment);
        self.forget(shared, segment.logged).await;
        shared.committed(segment);
        true
    }

    /// False: the process must end before it is done.
    async fn commit_one(&self, shared: &Arc<Shared>, segment: &Arc<Segment>) -> bool {
        let mut backoff = Backoff::new(shared);
        let mut missed = 0;
        loop {
            let go_on = match self.commit(shared, segment).await {
                Ok(Fate::Committed) => return true,
                // An entry before it is not there, and nobody will bring it: a crash lost it before its spans
                // were acknowledged.
                Ok(Fate::Missing) if missed == MOST_MISSED => {
                    missed = 0;
                    self.go_on_as_another(shared, segment, 0).await.map(|()| None)
                }
                Ok(Fate::Missing) => {
                    missed += 1;
                    Ok(Some("an entry before it is not in the log yet"))
                }
                Ok(Fate::Fenced { root }) => {
                    self.go_on_as_another(shared, segment, root).await.map(|()| None)
                }
                Err(error) => Err(error),
            };
            let go_on = match go_on {
                Ok(None) => true,
                Ok(Some(why)) => backoff.failed("committing a flush", &why).await,
                Err(error) => {
                    shared.metrics.flush_failed();
                    shared.move_out(segment).await;
                    backoff.failed("committing a flush", &error).await
                }
            };
            if !go_on {
                return false;
            }
        }
    }

    async fn commit(&self, shared: &Shared, segment: &Arc<Segment>) -> Result<Fate, FlushError> {
        let Some(name) = shared.roster.name_of(segment) else { return Ok(Fate::Committed) };
        if segment.replayed && !segment.was_sent() {
            // An earlier incarnation may have done it.
            let fate = shared.catalog.resolve(name.writer, name.number).await?;
            if fate != Fate::Missing {
                return Ok(fate);
            }
        }
        let blocks = segment.blocks();
        segment.send();
        let uploads: Vec<_> = blocks.iter().map(|block| shared.upload(Arc::clone(block))).collect();
        stream::iter(uploads).buffer_unordered(PARALLEL_UPLOADS).try_collect::<Vec<()>>().await?;
        let known = match planted(Bug::NumberAtFlush) {
            true => shared.deletions.known().number,
            false => segment.known_deletions(),
        };
        let blocks = blocks.iter().map(|block| BlockEntry::accepted(block.summary.clone(), known)).collect();
        let entry = LogEntry { writer: name.writer, number: name.number, blocks };
        Ok(shared.catalog.commit(&entry, segment.opened()).await?)
    }

    /// The segment's writer is fenced: it gets another name, and its blocks other ids.
    async fn go_on_as_another(
        &self,
        shared: &Arc<Shared>,
        segment: &Arc<Segment>,
        root: u64,
    ) -> Result<(), FlushError> {
        if let Some(name) = shared.roster.name_of(segment) {
            tracing::warn!(writer = %name.writer, flush = name.number, root, "the writer was fenced");
            self.renew(shared, name.writer, root).await;
        }
        let named = shared.clock.elapsed();
        let mut renamed = Vec::new();
        for (tenant, part) in segment.all_parts() {
            if let Part::Block(block) = part {
                let columns = tokio::task::spawn_blocking(move || block.columns()).await??;
                let source = Source::Columns(Arc::new(columns));
                renamed.push((tenant.clone(), shared.encode_part(segment, &tenant, source).await?));
            }
        }
        // All or none: old blocks must not be believed to be as young as new ones.
        segment.start_again(named);
        for (tenant, block) in renamed {
            segment.put(tenant, block);
        }
        Ok(())
    }
}

/// Where the spans of a block come from.
enum Source {
    Buffer(Arc<RwLock<Buffer>>),
    Columns(Arc<SpanColumns>),
}

impl Source {
    fn encode(&self, identity: &BlockIdentity) -> Result<EncodedBlock, EncodeError> {
        match self {
            Self::Buffer(buffer) => {
                encode_block(buffer.read().unwrap_or_else(PoisonError::into_inner).columns(), identity)
            }
            Self::Columns(columns) => encode_block(columns, identity),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Buffer(buffer) => buffer.read().unwrap_or_else(PoisonError::into_inner).memory_bytes(),
            Self::Columns(columns) => columns.memory_bytes(),
        }
    }
}

impl Shared {
    /// Makes blocks of all columns of a segment.
    pub(crate) async fn encode(&self, segment: &Arc<Segment>) -> Result<(), FlushError> {
        for (tenant, part) in segment.all_parts() {
            let Part::Columns(buffer) = part else { continue };
            let (bytes, empty) = {
                let buffer = buffer.read().unwrap_or_else(PoisonError::into_inner);
                (buffer.memory_bytes(), buffer.columns().is_empty())
            };
            if empty {
                segment.remove(&tenant);
            } else {
                let block = self.encode_part(segment, &tenant, Source::Buffer(buffer)).await?;
                segment.put(tenant.clone(), block);
            }
            self.live_bytes.remove(&tenant, bytes);
        }
        segment.release();
        Ok(())
    }

    async fn encode_part(
        &self,
        segment: &Segment,
        tenant: &Tenant,
        source: Source,
    ) -> Result<Part, FlushError> {
        let _turn = self.encoders.acquire().await;
        segment.name_blocks(self.clock.elapsed());
        let block = BlockId(self.catalog.next_id());
        let identity = BlockIdentity { block, tenant: tenant.clone(), inputs: Vec::new() };
        // What encoding takes beside the columns: the order of rows, and pages before they are put together.
        let mut room = self.budget.empty();
        room.grow_anyway(source.memory_bytes() / 2);
        let encoded = tokio::task::spawn_blocking(move || source.encode(&identity)).await?;
        let encoded =
            encoded.map_err(|source| FlushError::Encode { block, tenant: tenant.clone(), source })?;
        drop(room);
        let mut room = self.budget.empty();
        room.grow_anyway(encoded.spans.len() + encoded.origins.len());
        Ok(Part::Block(Arc::new(SpooledBlock::new(encoded, room))))
    }

    async fn upload(&self, block: Arc<SpooledBlock>) -> Result<(), FlushError> {
        let id = block.summary.identity.block;
        let objects = match block.in_memory() {
            Some(objects) => objects,
            None => tokio::task::spawn_blocking(move || block.objects()).await??,
        };
        let store = self.catalog.bucket().objects();
        let put = |key: ObjectKey, bytes| async move {
            let path = Path::from(key.to_string());
            store.put(&path, PutPayload::from_bytes(bytes)).await
        };
        let spans = put(ObjectKey::Spans(id), objects.spans);
        let origins = put(ObjectKey::Origins(id), objects.origins);
        match futures::try_join!(spans, origins) {
            Ok(_) => Ok(()),
            Err(source) => Err(FlushError::Upload { block: id, source }),
        }
    }

    /// The bucket has failed: blocks that wait for it leave the memory.
    pub(crate) async fn move_out(&self, segment: &Segment) {
        for block in segment.blocks() {
            let spool = self.spool.clone();
            match tokio::task::spawn_blocking(move || spool.move_out(&block)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a block stays in memory"),
                Err(error) => tracing::warn!(%error, "a block stays in memory"),
            }
        }
    }

    /// A segment that has nothing, or whose spans somebody else has.
    pub(crate) fn let_go(&self, segment: &Arc<Segment>) {
        for (tenant, part) in segment.all_parts() {
            if let Part::Columns(buffer) = part {
                let bytes = buffer.read().unwrap_or_else(PoisonError::into_inner).memory_bytes();
                self.live_bytes.remove(&tenant, bytes);
            }
        }
        self.roster.remove(segment);
    }

    pub(crate) fn committed(&self, segment: &Segment) {
        for block in segment.blocks() {
            self.metrics.flushed(1, block.summary.spans.rows, block.bytes());
        }
    }
}

/// How old a segment may become before it is flushed.
pub(crate) async fn seal_by_age(lane: Arc<Lane>, shared: Arc<Shared>, longest: Duration) {
    loop {
        match lane.seal_by_age(&shared, longest).await {
            Some(rest) => {
                tokio::select! {
                    () = shared.clock.sleep(rest) => {}
                    () = shared.stop.cancelled() => return,
                }
            }
            None => {
                tokio::select! {
                    () = lane.opened.notified() => {}
                    () = shared.stop.cancelled() => return,
                }
            }
        }
    }
}
