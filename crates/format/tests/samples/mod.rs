//! Blocks of some spans, opened as a reader has them.

use bytes::Bytes;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::ranges::{Fetched, coalesce};
use siltstone_format::block::read::SpansFile;
use siltstone_format::block::write::{EncodedBlock, encode_block};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::BlockId;
use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use ulid::Ulid;

fn identity() -> BlockIdentity {
    BlockIdentity {
        block: BlockId(Ulid(1)),
        tenant: Tenant::single(),
        inputs: vec![BlockId(Ulid(2)), BlockId(Ulid(3))],
    }
}

pub(crate) fn encode(spans: &[Span]) -> EncodedBlock {
    let mut columns = SpanColumns::default();
    spans.iter().for_each(|span| columns.push(span).unwrap());
    encode_block(&columns, &identity()).unwrap()
}

pub(crate) struct Opened {
    pub(crate) spans: SpansFile,
    pub(crate) origins: OriginsFile,
    pub(crate) whole: Bytes,
}

pub(crate) fn open(block: EncodedBlock) -> Opened {
    let (whole, origins) = (Bytes::from(block.spans), Bytes::from(block.origins));
    let summary = &block.summary;
    let spans =
        SpansFile::open("spans", &summary.spans, &whole.slice(summary.spans.metadata_offset as usize..))
            .unwrap();
    let (origins_file, found) = OriginsFile::open_unverified("origins", &origins).unwrap();
    assert_eq!(&found, summary);
    let tail = origins.slice(summary.origins.origins_offset as usize..);
    let opened = OriginsFile::open("origins", &summary.origins, &tail).unwrap();
    assert_eq!(opened.len(), origins_file.len());
    Opened { spans, origins: opened, whole }
}

impl Opened {
    /// These ranges and nothing else.
    pub(crate) fn fetch(&self, ranges: Vec<std::ops::Range<u64>>) -> Fetched {
        let mut fetched = Fetched::default();
        for range in coalesce(ranges, 0) {
            fetched.add(range.start, self.whole.slice(range.start as usize..range.end as usize));
        }
        fetched
    }
}
