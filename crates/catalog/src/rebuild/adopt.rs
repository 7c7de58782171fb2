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

use crate::accept::is_fenced;
use crate::catalog::Catalog;
use crate::draft::Draft;
use crate::load::Loaded;
use crate::publish::{Change, ChangeError, PublishError};

/// Writers that were let in, and the entry from which on each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    pub writers: BTreeMap<WriterId, u64>,
}

impl Catalog {
    /// Lets in entries that wait for some that a lost catalog had folded. Only after a
    /// rebuild: elsewhere a gap means that somebody deletes log entries.
    pub async fn adopt(&self) -> Result<Adopted, PublishError> {
        let waiting = waiting(&self.load().await?);
        if waiting.is_empty() {
            return Ok(Adopted::default());
        }
        self.clock.sleep(self.windows.visibility + std::time::Duration::from_secs(1)).await;
        self.publish(&Adopt { waiting: waiting.clone() }).await?;
        self.fold().await?;
        Ok(Adopted { writers: waiting })
    }
}

/// For each writer that waits, where its last entries without a gap begin.
fn waiting(loaded: &Loaded) -> BTreeMap<WriterId, u64> {
    let mut runs: BTreeMap<WriterId, (u64, u64)> = BTreeMap::new();
    for (writer, number) in loaded.listed.entries.keys() {
        match runs.get_mut(writer) {
            Some((_, next)) if *next == *number => *next += 1,
            _ => {
                runs.insert(*writer, (*number, number.saturating_add(1)));
            }
        }
    }
    runs.retain(|writer, (begin, _)| {
        let state = loaded.accepted.writers.get(writer);
        let expected = loaded.accepted.seen.get(writer).copied().unwrap_or(0);
        let void = state.is_some_and(|state| state.fenced) || is_fenced(&loaded.root, *writer);
        !void && *begin > expected
    });
    runs.into_iter().map(|(writer, (begin, _))| (writer, begin)).collect()
}

struct Adopt {
    waiting: BTreeMap<WriterId, u64>,
}

impl Change for Adopt {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let again = waiting(draft.base_loaded());
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
