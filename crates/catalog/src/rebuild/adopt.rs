//! Entries of writers that the catalog does not know, or knows too little of: after a
//! rebuild a writer's first entry seems to wait for those before it, which are folded
//! and swept.
//!
//! Of a writer that is not fenced, entry n is created only after n - 1 is known to have
//! landed. So where a second look, later than any delay of a listing, still shows no
//! n - 1, it was there and is swept: it was folded, its blocks were found by the rebuild,
//! and the writer goes on from n.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use siltstone_format::id::WriterId;

use crate::accept::{EntryName, is_fenced};
use crate::catalog::Catalog;
use crate::draft::Draft;
use crate::load::Loaded;
use crate::publish::{Change, ChangeError, PublishError};

/// Writers that were let in, and the entry from which on each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    pub writers: BTreeMap<WriterId, u64>,
    /// Writers that were not: between their entries some are missing, which no rebuild
    /// explains. Of each, the entries with which a run without a gap begins. Nothing of
    /// it is folded or swept; restore what is missing.
    pub with_gaps: BTreeMap<WriterId, Vec<u64>>,
}

impl Catalog {
    /// Lets in entries that wait for some that a lost catalog had folded. Only after a
    /// rebuild: elsewhere a gap means that somebody deletes log entries. That is also what
    /// a second gap of one writer means, so such a writer is named and not let in: the
    /// entries before it would be passed over for good.
    pub async fn adopt(&self) -> Result<Adopted, PublishError> {
        let adopted = waiting(&self.load().await?);
        if adopted.writers.is_empty() {
            return Ok(adopted);
        }
        self.clock.sleep(self.windows.visibility + std::time::Duration::from_secs(1)).await;
        self.publish(&Adopt { waiting: adopted.writers.clone() }).await?;
        self.fold().await?;
        Ok(adopted)
    }
}

/// For each writer that waits, where its entries without a gap begin.
fn waiting(loaded: &Loaded) -> Adopted {
    let mut begins: BTreeMap<WriterId, Vec<u64>> = BTreeMap::new();
    let mut before: Option<EntryName> = None;
    for (writer, number) in loaded.listed.entries.keys().copied() {
        let follows = before == number.checked_sub(1).map(|one_less| (writer, one_less));
        before = Some((writer, number));
        let expected = loaded.accepted.seen.get(&writer).copied().unwrap_or(0);
        if number > expected && !follows {
            begins.entry(writer).or_default().push(number);
        }
    }
    begins.retain(|writer, _| {
        let state = loaded.accepted.writers.get(writer);
        !state.is_some_and(|state| state.fenced) && !is_fenced(&loaded.root, *writer)
    });
    let mut found = Adopted::default();
    for (writer, begins) in begins {
        match begins.as_slice() {
            [begin] => {
                found.writers.insert(writer, *begin);
            }
            _ => {
                found.with_gaps.insert(writer, begins);
            }
        }
    }
    found
}

struct Adopt {
    waiting: BTreeMap<WriterId, u64>,
}

impl Change for Adopt {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let again = waiting(draft.base_loaded()).writers;
            for (writer, begin) in &self.waiting {
                // Seen twice. What has changed meanwhile is looked at by the next call.
                if again.get(writer) == Some(begin) {
                    draft.writer_mut(*writer).next = *begin;
                }
            }
            Ok(())
        }
        .boxed()
    }
}
