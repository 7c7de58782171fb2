//! Requests that go on after the method of the store has returned: bodies, listings, deletions.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::{ENTRIES_PER_PAGE, Ledger, Ticket, locked};
use crate::operation::Operation;

/// A body whose request is complete when it was read to the end or dropped.
pub(super) fn counted_body(
    body: BoxStream<'static, Result<Bytes>>,
    ticket: Ticket,
    ledger: Arc<Ledger>,
) -> BoxStream<'static, Result<Bytes>> {
    let counted = body.inspect_ok(move |chunk| ledger.read(chunk.len()));
    holding(counted, Arc::new(Mutex::new(Some(ticket))))
}

/// The locations on their way to the store below. The first one begins the round, each counts.
pub(super) fn counted_deletes(
    locations: BoxStream<'static, Result<Path>>,
    round: Arc<Mutex<Option<Ticket>>>,
    ledger: Arc<Ledger>,
) -> BoxStream<'static, Result<Path>> {
    let note = move |location: &Path| {
        let mut round = locked(&round);
        let ticket = round.get_or_insert_with(|| ledger.round());
        ledger.note(Operation::Delete, location, ticket);
    };
    locations.inspect_ok(note).boxed()
}

/// A listing page by page. A page is there when its first entry is, or when the listing ends without one.
pub(super) fn counted_pages(
    entries: BoxStream<'static, Result<ObjectMeta>>,
    prefix: Option<&Path>,
    ledger: Arc<Ledger>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    struct Listing {
        entries: BoxStream<'static, Result<ObjectMeta>>,
        delivered: usize,
    }
    let prefix = prefix.cloned().unwrap_or_default();
    let listing = Listing { entries, delivered: 0 };
    let counted = stream::unfold(listing, move |mut listing| {
        let (ledger, prefix) = (Arc::clone(&ledger), prefix.clone());
        async move {
            if listing.delivered == 0 {
                let _first_page = ledger.begin(Operation::List, &prefix).await;
                let first = listing.entries.next().await?;
                listing.delivered = 1;
                return Some((first, listing));
            }
            let next = listing.entries.next().await?;
            if listing.delivered.is_multiple_of(ENTRIES_PER_PAGE) {
                drop(ledger.begin(Operation::List, &prefix).await);
            }
            listing.delivered += 1;
            Some((next, listing))
        }
    });
    counted.boxed()
}

/// The same stream, with a ticket that is given back when it ends or is dropped.
pub(super) fn holding<T: 'static>(
    stream: impl Stream<Item = T> + Send + 'static,
    ticket: Arc<Mutex<Option<Ticket>>>,
) -> BoxStream<'static, T> {
    Holding { stream: stream.boxed(), ticket }.boxed()
}

struct Holding<T> {
    stream: BoxStream<'static, T>,
    ticket: Arc<Mutex<Option<Ticket>>>,
}

impl<T> Stream for Holding<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let next = ready!(self.stream.poll_next_unpin(context));
        if next.is_none() {
            drop(locked(&self.ticket).take());
        }
        Poll::Ready(next)
    }
}
