//! Blocks from the inside: sizes, metadata, identities, and F1.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::read::SpansFile;
use siltstone_format::id::BlockId;
use siltstone_format::invariants::{WholeBlock, check_f1};
use siltstone_format::path::ObjectKey;

use super::finding::{Report, Wrong};
use super::references::References;
use super::{CheckError, Depth};
use crate::block_entry::BlockEntry;
use crate::bucket::{Bucket, StoreError, failed, path};
use crate::catalog::Catalog;
use crate::draft::read_block_page;
use crate::load::Loaded;

/// Blocks whose metadata is read at the same time.
const PARALLEL_HEADERS: usize = 16;

/// What one block turned out to be.
enum Looked {
    /// The blocks that it was made of.
    Well(Vec<BlockId>),
    Gone(ObjectKey),
    Wrong(ObjectKey, Wrong),
}

impl Catalog {
    /// Looks into every block that is referred to, page by page. Pages that went meanwhile
    /// are passed over: what they listed stands elsewhere, or was given up.
    pub(super) async fn check_blocks(
        &self,
        loaded: &Loaded,
        references: &References,
        depth: Depth,
        suspects: &mut BTreeSet<ObjectKey>,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        for (tenant, section, id) in &references.pages {
            if let Ok(page) = read_block_page(&self.bucket, *id, tenant, *section).await {
                self.check_some(&page.blocks, references, depth, suspects, report).await?;
            }
        }
        for entry in &loaded.accepted.visible {
            self.check_some(&entry.blocks, references, depth, suspects, report).await?;
        }
        Ok(())
    }

    async fn check_some(
        &self,
        blocks: &[BlockEntry],
        references: &References,
        depth: Depth,
        suspects: &mut BTreeSet<ObjectKey>,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        // Whole blocks are large: one at a time.
        let at_once = if depth == Depth::Blocks { 1 } else { PARALLEL_HEADERS };
        let mut looked = stream::iter(blocks)
            .map(|block| async move {
                let looked = match depth {
                    Depth::Blocks => look_into(&self.bucket, block).await?,
                    Depth::Headers | Depth::Catalog => look_at(&self.bucket, block).await?,
                };
                Ok::<_, StoreError>((block, looked))
            })
            .buffered(at_once);
        while let Some((block, looked)) = looked.try_next().await? {
            match looked {
                Looked::Well(inputs) => note_inputs(block, &inputs, references, report),
                Looked::Gone(key) => {
                    suspects.insert(key);
                }
                Looked::Wrong(key, wrong) => report.add(&key, wrong),
            }
        }
        Ok(())
    }
}

fn note_inputs(block: &BlockEntry, inputs: &[BlockId], references: &References, report: &mut Report) {
    for input in inputs {
        let Some(beside) = references.blocks.get(input) else { continue };
        let same_set = block.disjoint_set.is_some() && block.disjoint_set == beside.disjoint_set;
        report.add(&ObjectKey::Spans(block.id()), Wrong::InputBeside { input: *input, same_set });
    }
}

/// The blocks that one was made of. None: it is gone, or cannot be read, which is told
/// elsewhere.
pub(super) async fn inputs_of(
    bucket: &Bucket,
    block: &BlockEntry,
) -> Result<Option<Vec<BlockId>>, StoreError> {
    Ok(match look_at(bucket, block).await? {
        Looked::Well(inputs) => Some(inputs),
        Looked::Gone(_) | Looked::Wrong(..) => None,
    })
}

/// Reads both files' metadata, which the entry has the hashes of.
async fn look_at(bucket: &Bucket, block: &BlockEntry) -> Result<Looked, StoreError> {
    let (id, summary) = (block.id(), &block.summary);
    let key = ObjectKey::Spans(id);
    let range = summary.spans.metadata_offset..summary.spans.bytes;
    let inputs = match read_range(bucket, &key, range).await? {
        Part::Gone => return Ok(Looked::Gone(key)),
        Part::Size(found) => return Ok(wrong_size(key, found, summary.spans.bytes)),
        Part::Bytes(tail) => match SpansFile::open(&key.to_string(), &summary.spans, &tail) {
            Ok(file) => {
                let identity = file.identity();
                if (identity.block, &identity.tenant) != (id, block.tenant()) {
                    let why =
                        format!("it says that it is block {} of tenant {}", identity.block, identity.tenant);
                    return Ok(Looked::Wrong(key, Wrong::Header { why }));
                }
                identity.inputs.clone()
            }
            Err(error) => return Ok(Looked::Wrong(key, Wrong::Header { why: error.to_string() })),
        },
    };
    let key = ObjectKey::Origins(id);
    let range = summary.origins.origins_offset..summary.origins.bytes;
    match read_range(bucket, &key, range).await? {
        Part::Gone => Ok(Looked::Gone(key)),
        Part::Size(found) => Ok(wrong_size(key, found, summary.origins.bytes)),
        Part::Bytes(tail) => Ok(match OriginsFile::open(&key.to_string(), &summary.origins, &tail) {
            Ok(_) => Looked::Well(inputs),
            Err(error) => Looked::Wrong(key, Wrong::Header { why: error.to_string() }),
        }),
    }
}

fn wrong_size(key: ObjectKey, found: u64, said: u64) -> Looked {
    Looked::Wrong(key, Wrong::Size { found, said })
}

/// Reads the whole block and proves F1.
async fn look_into(bucket: &Bucket, block: &BlockEntry) -> Result<Looked, StoreError> {
    let headers = look_at(bucket, block).await?;
    let Looked::Well(inputs) = headers else { return Ok(headers) };
    let (spans_key, origins_key) = (ObjectKey::Spans(block.id()), ObjectKey::Origins(block.id()));
    let Some(spans) = bucket.get(&spans_key).await? else { return Ok(Looked::Gone(spans_key)) };
    let Some(origins) = bucket.get(&origins_key).await? else { return Ok(Looked::Gone(origins_key)) };
    let mut summary = block.summary.clone();
    // An entry does not say what a block was made of.
    summary.identity.inputs.clone_from(&inputs);
    Ok(match check_f1(&WholeBlock { summary: &summary, spans: &spans, origins: &origins }) {
        Ok(_) => Looked::Well(inputs),
        Err(violation) => Looked::Wrong(spans_key, Wrong::Content { why: violation.to_string() }),
    })
}

/// Part of an object.
enum Part {
    Bytes(Bytes),
    /// The object has another size than the range was made for.
    Size(u64),
    Gone,
}

/// The bytes of a range that ends where the object must.
async fn read_range(bucket: &Bucket, key: &ObjectKey, range: Range<u64>) -> Result<Part, StoreError> {
    let meta = match bucket.objects().head(&path(key)).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(Part::Gone),
        Err(source) => return Err(failed("look at", key, source)),
    };
    if meta.size != range.end || range.start >= range.end {
        return Ok(Part::Size(meta.size));
    }
    match bucket.objects().get_range(&path(key), range).await {
        Ok(bytes) => Ok(Part::Bytes(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(Part::Gone),
        Err(source) => Err(failed("read", key, source)),
    }
}
