//! What an object of the catalog holds, by itself: for people who look into a bucket, and
//! for tests that throw anything at the reader.

use bytes::Bytes;

use crate::block_page::BlockPage;
use crate::deleted::TracePage;
use crate::deletion::DeletionRecord;
use crate::groups::GroupIndex;
use crate::lease::LeaseRecord;
use crate::log_entry::LogEntry;
use crate::mark::{self, Mark};
use crate::message::{self, Damage, Kind};
use crate::root::Root;
use crate::tenant_page::TenantPage;

/// An object, read without a name that says what it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Inspected {
    LogEntry(LogEntry),
    Root(Box<Root>),
    TenantPage(Box<TenantPage>),
    BlockPage(BlockPage),
    Marks(Vec<Mark>),
    Traces(TracePage),
    GroupIndex(GroupIndex),
    Lease(LeaseRecord),
    Deletion(DeletionRecord),
}

/// Reads an object of any kind.
pub fn inspect(object: &Bytes) -> Result<Inspected, Damage> {
    Ok(match message::kind_of(object)? {
        kind if kind == Kind::LogEntry as u32 => Inspected::LogEntry(LogEntry::decode_any(object)?),
        kind if kind == Kind::Root as u32 => Inspected::Root(Box::new(Root::decode_any(object)?)),
        kind if kind == Kind::TenantPage as u32 => {
            Inspected::TenantPage(Box::new(TenantPage::decode_any(object)?))
        }
        kind if kind == Kind::BlockPage as u32 => Inspected::BlockPage(BlockPage::decode_any(object)?),
        kind if kind == Kind::MarkPage as u32 => Inspected::Marks(mark::decode_page(object)?),
        kind if kind == Kind::TracePage as u32 => Inspected::Traces(TracePage::decode(object)?),
        kind if kind == Kind::GroupIndex as u32 => Inspected::GroupIndex(GroupIndex::decode_any(object)?),
        kind if kind == Kind::Lease as u32 => Inspected::Lease(LeaseRecord::decode(object)?),
        kind if kind == Kind::Deletion as u32 => Inspected::Deletion(DeletionRecord::decode_any(object)?),
        other => return Err(Damage::OtherKind(other)),
    })
}

impl Inspected {
    /// The object as it would be written again.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::LogEntry(entry) => entry.encode(),
            Self::Root(root) => root.encode(),
            Self::TenantPage(page) => page.encode(),
            Self::BlockPage(page) => page.encode(),
            Self::Marks(marks) => mark::encode_page(marks),
            Self::Traces(page) => page.encode(),
            Self::GroupIndex(index) => index.encode(),
            Self::Lease(lease) => lease.encode(),
            Self::Deletion(deletion) => deletion.encode(),
        }
    }
}
