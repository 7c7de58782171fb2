//! One job from its inputs to the catalog: read, merge, write, publish.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::block_page::Section;
use siltstone_catalog::change::Merge;
use siltstone_catalog::expire::Decide;
use siltstone_catalog::kept::Kept;
use siltstone_catalog::publish::PublishError;
use siltstone_catalog::snapshot::SnapshotError;
use siltstone_format::block::AttributeCounts;
use siltstone_format::columns::OriginPool;
use siltstone_format::day::Day;
use siltstone_format::id::BlockId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use ulid::Ulid;

use crate::deletions::Deletions;
use crate::input::{Held, Input, InputError, PARALLEL_REQUESTS, Source};
use crate::merge::{MergeError, Merging};
use crate::outputs::{Output, OutputSizes, Outputs};
use crate::planted::{Bug, planted};
use crate::retain::Judged;
use crate::slices::Slices;

/// Inputs that become others, with all that the catalog says of them.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) tenant: Tenant,
    pub(crate) inputs: Vec<(Section, BlockEntry)>,
    pub(crate) cuts: Vec<u64>,
    pub(crate) deletions: Arc<Deletions>,
    /// How long its traces are kept, if the job decides it.
    pub(crate) judged: Option<Judged>,
}

/// What a job did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub blocks_read: u64,
    pub rows_read: u64,
    pub bytes_read: u64,
    pub blocks_written: u64,
    pub rows_written: u64,
    pub bytes_written: u64,
    /// Rows that said what another one said.
    pub collapsed: u64,
    /// Rows of deleted traces.
    pub deleted: u64,
    /// Rows of traces that are not kept any longer.
    pub expired: u64,
}

/// Why a job came to nothing. Its inputs are as they were; what it wrote is swept one day.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error("block {block} cannot be stored: {source}")]
    Upload { block: BlockId, source: object_store::Error },
    #[error(transparent)]
    Publish(Box<PublishError>),
    #[error(
        "{read} rows were read, and {written} written beside {collapsed} that said the same, {deleted} that were \
         deleted and {expired} that are not kept any longer: nothing is replaced"
    )]
    Miscounted { read: u64, written: u64, collapsed: u64, deleted: u64, expired: u64 },
    #[error("what was deleted cannot be told: {0}")]
    Deletions(Box<SnapshotError>),
    #[error(
        "pages of the catalog are missing that say what was deleted, and its inputs know different deletions: see \
         `siltstone check`"
    )]
    UnknownDeletions,
    #[error("it was told to stop")]
    Stopped,
    #[error("its thread has ended: {0}")]
    Thread(tokio::task::JoinError),
}

impl From<PublishError> for JobError {
    fn from(error: PublishError) -> Self {
        Self::Publish(Box::new(error))
    }
}

impl JobError {
    /// Whether somebody else has merged or deleted what this was about to replace.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Publish(error) if matches!(**error, PublishError::Refused(_)))
    }

    /// The input that no attempt can read, if that is why.
    pub fn unreadable_input(&self) -> Option<BlockId> {
        match self {
            Self::Merge(MergeError::Input(error)) if error.is_lasting() => Some(error.block),
            _ => None,
        }
    }
}

/// What one job may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobSizes {
    /// Memory of all that is held.
    pub(crate) memory_bytes: usize,
    /// Rows at which a block is full.
    pub(crate) block_rows: u64,
}

/// Bytes at which a block is full, whatever its rows.
const BLOCK_BYTES: usize = 64 << 20;

impl Work {
    /// What somebody else must not begin meanwhile, in a word.
    pub(crate) fn name(&self) -> String {
        let first = self.inputs.iter().map(|(_, block)| block.id()).min();
        format!("merge {} {}", self.tenant, first.map_or_else(String::new, |first| first.to_string()))
    }

    pub(crate) async fn run(&self, catalog: &Arc<Catalog>, sizes: &JobSizes) -> Result<Done, JobError> {
        let mut merging = self.begin(catalog, sizes).await?;
        let mut done = Done {
            blocks_read: self.inputs.len() as u64,
            bytes_read: self.inputs.iter().map(|(_, block)| block.bytes()).sum(),
            ..Done::default()
        };
        let clean_through = self.deletions.known_to_merged(self.inputs.iter().map(|(_, block)| block));
        let clean_through = clean_through.ok_or(JobError::UnknownDeletions)?;
        let set = self.disjoint_set().unwrap_or_else(|| catalog.next_id());
        let of_inputs = self.kept_of_inputs();
        let mut outputs: Vec<(Day, BlockEntry)> = Vec::new();
        while let Some(full) = merging.next().await? {
            for output in full {
                let mut entry = BlockEntry::merged(output.block.summary.clone(), clean_through, set);
                entry.kept = match (&self.judged, output.until) {
                    (Some(judged), Some(until)) => Some(judged.kept(until)),
                    _ => of_inputs,
                };
                done.blocks_written += 1;
                done.rows_written += entry.summary.spans.rows;
                done.bytes_written += entry.bytes();
                outputs.push((output.day, entry));
                upload(catalog, output).await?;
            }
        }
        (done.rows_read, done.deleted, done.expired) = (merging.rows, merging.deleted, merging.expired);
        done.collapsed = merging.outputs.collapsed;
        self.check(&done)?;
        let blocks: Vec<BlockId> = outputs.iter().map(|(_, entry)| entry.id()).collect();
        let merge = self.change(outputs);
        let published = match &self.judged {
            Some(judged) if !planted(Bug::DecideUnchecked) => {
                let grounds = judged.grounds.clone();
                // The other jobs of the same decision may take it for known.
                grounds.known.iter().for_each(|known| known.add_blocks(blocks.iter().copied()));
                catalog.publish(&Decide { merge, grounds }).await
            }
            _ => catalog.publish(&merge).await,
        };
        if published.is_err() && planted(Bug::LoserDeletes) {
            delete(catalog, &blocks).await;
        }
        published?;
        Ok(done)
    }

    /// A block that is written anew shares as little with others as before.
    fn disjoint_set(&self) -> Option<Ulid> {
        match self.inputs.as_slice() {
            [(_, alone)] => alone.disjoint_set,
            _ => None,
        }
    }

    /// What was decided about all of the inputs alike. Where it was not, it is decided again.
    fn kept_of_inputs(&self) -> Option<Kept> {
        let mut kept = self.inputs.iter().map(|(_, block)| block.kept);
        let first = kept.next()??;
        kept.try_fold(first, |all, kept| {
            kept.filter(|kept| kept.until == all.until).map(|kept| all.and(kept))
        })
    }

    async fn begin(&self, catalog: &Arc<Catalog>, sizes: &JobSizes) -> Result<Merging, MergeError> {
        // A third for what is read, as it is stored and as columns; the rest for what is written.
        let each = sizes.memory_bytes / 6 / self.inputs.len().max(1);
        let held = Held { window_bytes: each, ahead_bytes: each };
        let source = Source::new(catalog.bucket().objects());
        let inputs = self.open(&source, held).await?;
        let counts = self.count_attributes(&inputs).await?;
        let spans = || self.inputs.iter().map(|(_, block)| &block.summary.spans);
        let rows: u64 = spans().map(|spans| spans.rows).sum();
        let slices = Slices::new(
            self.cuts.clone(),
            spans().map(|spans| spans.min_start_unix_nano).min().unwrap_or(0),
            spans().map(|spans| spans.max_start_unix_nano).max().unwrap_or(0),
        )
        .judged_by(self.judged.clone());
        let block_rows = sizes.block_rows;
        let sizes =
            OutputSizes { block_rows, block_bytes: BLOCK_BYTES, held_bytes: sizes.memory_bytes / 3 * 2 };
        let layout = counts.layout(rows, block_rows);
        let ids = self.inputs.iter().map(|(_, block)| block.id()).collect();
        let next_id = Arc::clone(catalog);
        let next_id = Arc::new(move || BlockId(next_id.next_id()));
        let outputs = Outputs::new(self.tenant.clone(), ids, layout, sizes, next_id);
        let deleted = self.inputs.iter().map(|(_, block)| self.deletions.of_block(block));
        Ok(Merging::new(inputs.into_iter().zip(deleted).collect(), slices, outputs))
    }

    /// Opens a few inputs at a time: before they are shared, the origins of each take megabytes.
    async fn open(&self, source: &Source, held: Held) -> Result<Vec<Input>, InputError> {
        let opens: Vec<_> = self.inputs.iter().map(|(_, block)| Input::open(source, block, held)).collect();
        let mut opens = stream::iter(opens).buffered(PARALLEL_REQUESTS);
        let (mut inputs, mut pool) = (Vec::new(), OriginPool::default());
        while let Some(mut input) = opens.try_next().await? {
            input.share_origins(&mut pool);
            inputs.push(input);
        }
        Ok(inputs)
    }

    async fn count_attributes(&self, inputs: &[Input]) -> Result<AttributeCounts, InputError> {
        let mut counts = AttributeCounts::default();
        inputs.iter().for_each(|input| input.count_columns(&mut counts));
        let keys: Vec<_> = inputs.iter().flat_map(Input::overflow_keys).collect();
        let mut keys = stream::iter(keys).buffered(PARALLEL_REQUESTS);
        while let Some(keys) = keys.try_next().await? {
            keys.count(&mut counts)?;
        }
        Ok(counts)
    }

    /// That no row was lost: the last look before the inputs are given up.
    fn check(&self, done: &Done) -> Result<(), JobError> {
        let said: u64 = self.inputs.iter().map(|(_, block)| block.summary.spans.rows).sum();
        if planted(Bug::LoseWindow) || planted(Bug::CollapseById) {
            return Ok(());
        }
        let Done { rows_read, rows_written: written, collapsed, deleted, expired, .. } = *done;
        if said != rows_read || rows_read != written + collapsed + deleted + expired {
            return Err(JobError::Miscounted {
                read: rows_read.min(said),
                written,
                collapsed,
                deleted,
                expired,
            });
        }
        Ok(())
    }

    fn change(&self, outputs: Vec<(Day, BlockEntry)>) -> Merge {
        let mut inputs: BTreeMap<Section, Vec<BlockId>> = BTreeMap::new();
        for (section, block) in &self.inputs {
            inputs.entry(*section).or_default().push(block.id());
        }
        if planted(Bug::ForgetInput)
            && let Some(blocks) = inputs.values_mut().find(|blocks| blocks.len() > 1)
        {
            blocks.pop();
        }
        Merge { tenant: self.tenant.clone(), inputs: inputs.into_iter().collect(), outputs }
    }
}

/// What a loser must not do: its merge may have been published although it was told otherwise.
async fn delete(catalog: &Catalog, blocks: &[BlockId]) {
    for block in blocks {
        let _ = catalog.bucket().objects().delete(&Path::from(ObjectKey::Spans(*block).to_string())).await;
    }
}

/// Stores a block to which nothing refers yet.
async fn upload(catalog: &Catalog, output: Output) -> Result<(), JobError> {
    let block = output.block.summary.identity.block;
    let objects = catalog.bucket().objects();
    let put = async |key: ObjectKey, content: Vec<u8>| match objects
        .put(&Path::from(key.to_string()), PutPayload::from(content))
        .await
    {
        Ok(_) => Ok(()),
        Err(_) if planted(Bug::BelieveUploads) => Ok(()),
        Err(source) => Err(JobError::Upload { block, source }),
    };
    put(ObjectKey::Spans(block), output.block.spans).await?;
    put(ObjectKey::Origins(block), output.block.origins).await
}
