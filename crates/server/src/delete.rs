//! Deleting traces, by their ids or by a filter: first what that would be about, then for good.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use siltstone_ask::{Filter, Window};
use siltstone_catalog::Catalog;
use siltstone_catalog::block_entry::BlockEntry;
use siltstone_catalog::deletion::{Asked, DeletionRecord, MOST_TRACES, Request};
use siltstone_catalog::groups::Wanted;
use siltstone_catalog::snapshot::{Cover, Snapshot};
use siltstone_catalog::time::Clock;
use siltstone_format::filter::split_block::FilterKey;
use siltstone_format::id::{BlockId, ObjectId, TraceId};
use siltstone_format::tenant::Tenant;
use siltstone_querier::querier::Querier;
use tokio_util::task::TaskTracker;

use crate::parts::{StartError, failed, shared_with_catalog};
use crate::query::querier_without_ports;
use crate::receipt::receipt;
use crate::settings::Resolved;

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    pub tenant: Tenant,
    pub what: What,
    /// Without, it is only said what would be.
    pub confirmed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Traces(Vec<TraceId>),
    /// Whole traces of which one span matches and starts in the window.
    Matching {
        filter: Filter,
        window: Window,
    },
}

/// What was deleted, or would be.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) request: Request,
    /// Of each trace, how many blocks may hold spans of it; none: there are too many traces to ask.
    pub(crate) blocks_of: Vec<(TraceId, u64)>,
    /// Damaged pages of the catalog, whose blocks are not among them.
    pub(crate) unread: usize,
    pub(crate) done: Option<DeletionRecord>,
}

/// Whoever deletes.
pub struct Deleter {
    pub(crate) catalog: Arc<Catalog>,
    /// Resolves filters, and asks ingesters.
    pub(crate) querier: Arc<Querier>,
    /// Where an ingester of this machine has its log.
    pub(crate) data: PathBuf,
    /// Deletions that were begun for somebody who may have gone.
    under_way: TaskTracker,
}

/// Traces of which it is said one by one what is there.
const MOST_NAMED: usize = 100;

const WHAT_FOLLOWS: &str = "\
Nobody is shown these spans any more. For a day, spans that come under these trace ids are refused. Compactors take
what is stored out of blocks when they merge, and within about an hour out of those that are not merged any more; the
objects from before go an hour after that. Versions that the bucket keeps, and backups, are not within reach.
";

/// Deletes traces, or says what that would be about.
pub async fn delete(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    deletion: Deletion,
) -> Result<String, StartError> {
    Ok(deleter(settings, clock).await?.run(&deletion).await?.to_string())
}

async fn deleter(settings: &Resolved, clock: Arc<dyn Clock>) -> Result<Deleter, StartError> {
    let shared = shared_with_catalog(settings, clock).await?;
    let querier = querier_without_ports(settings, &shared)?;
    Ok(Deleter::new(shared.catalog, querier, settings.data.clone()))
}

/// Says what is left of what was deleted.
pub async fn deletion(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    id: Option<ObjectId>,
) -> Result<String, StartError> {
    let deleter = deleter(settings, clock).await?;
    let Some(id) = id else {
        let ids = deleter.catalog.deletion_ids().await.map_err(failed)?;
        return Ok(ids.iter().map(|id| format!("{id}\n")).collect());
    };
    match receipt(&deleter, id).await? {
        Some(receipt) => Ok(receipt.to_string()),
        None => Err(StartError(format!("there is no deletion {id}"))),
    }
}

impl Deleter {
    pub(crate) fn new(catalog: Arc<Catalog>, querier: Arc<Querier>, data: PathBuf) -> Self {
        Self { catalog, querier, data, under_way: TaskTracker::new() }
    }

    /// Does what was asked, and goes on with a deletion that nobody waits for any more: else it might be in force with
    /// nothing to tell of it.
    pub(crate) async fn run_to_its_end(self: &Arc<Self>, deletion: Deletion) -> Result<Outcome, StartError> {
        if !deletion.confirmed {
            return self.run(&deletion).await;
        }
        let deleter = Arc::clone(self);
        let running = self.under_way.spawn(async move {
            let outcome = deleter.run(&deletion).await;
            if let Err(error) = &outcome {
                tracing::warn!(target: "siltstone::audit", tenant = %deletion.tenant, %error, "a deletion failed");
            }
            outcome
        });
        running.await.unwrap_or_else(|error| Err(failed(error)))
    }

    /// Waits for deletions that were begun. To be called when no more are asked for.
    pub(crate) async fn finish(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    pub(crate) async fn run(&self, deletion: &Deletion) -> Result<Outcome, StartError> {
        let mut outcome = self.prepare(deletion).await?;
        let (tenant, traces) = (&deletion.tenant, outcome.request.traces.len());
        if !deletion.confirmed {
            tracing::info!(
                target: "siltstone::audit", %tenant, traces, asked = ?outcome.request.asked,
                "it was asked what a deletion would be about"
            );
            return Ok(outcome);
        }
        self.catalog.check_clock().await.map_err(failed)?;
        let done = self.catalog.delete(outcome.request.clone()).await.map_err(failed)?;
        tracing::info!(
            target: "siltstone::audit", deletion = %done.id, number = done.number, %tenant, traces,
            asked = ?outcome.request.asked, "traces were deleted"
        );
        outcome.done = Some(done);
        Ok(outcome)
    }

    /// Resolves what is asked for into traces.
    async fn prepare(&self, deletion: &Deletion) -> Result<Outcome, StartError> {
        let fresh = Cover { fresh: true, ..Cover::default() };
        let snapshot = self.catalog.snapshot(&fresh).await.map_err(failed)?;
        self.check_tenant(&snapshot, &deletion.tenant).await?;
        let (asked, traces) = match &deletion.what {
            What::Traces(traces) => (Asked::Traces, traces.clone()),
            What::Matching { filter, window } => {
                let asked = Asked::Matching {
                    filter: filter.to_string(),
                    from_unix_nano: window.start,
                    to_unix_nano: window.end,
                };
                (asked, self.matching(&deletion.tenant, filter, *window).await?)
            }
        };
        let mut request = Request { tenant: deletion.tenant.clone(), asked, traces, blocks: 0 };
        let (mut blocks_of, mut unread) = (Vec::new(), 0);
        let mut blocks: BTreeSet<BlockId> = BTreeSet::new();
        for trace in request.traces.iter().filter(|_| request.traces.len() <= MOST_NAMED) {
            let any_of = [vec![FilterKey::of_trace(trace)]];
            let wanted = Wanted::traces(&any_of);
            // What is in no block yet is not among them.
            let found = self.catalog.blocks_that_may_hold(&snapshot, &request.tenant, wanted).await;
            let found = found.map_err(failed)?;
            let of_trace = found.holding.iter().chain(&found.unasked);
            blocks_of.push((*trace, of_trace.clone().count() as u64));
            blocks.extend(of_trace.map(BlockEntry::id));
            unread = unread.max(found.missing.len());
        }
        request.blocks = blocks.len() as u64;
        Ok(Outcome { request, blocks_of, unread, done: None })
    }

    /// Whoever mistypes a tenant would be told that something was deleted, and it is not.
    async fn check_tenant(&self, snapshot: &Snapshot, tenant: &Tenant) -> Result<(), StartError> {
        if tenants_of(snapshot).contains(tenant) || self.is_live(tenant).await {
            return Ok(());
        }
        Err(StartError(format!(
            "the store has nothing of the tenant `{tenant}`, so nothing is deleted; it has {}",
            tenants_in(snapshot)
        )))
    }

    /// Whether a tenant that has no block yet has spans, or may have some that cannot be asked for.
    async fn is_live(&self, tenant: &Tenant) -> bool {
        match self.querier.matching_traces(tenant, &Filter::all(), Window::ALL, MOST_TRACES).await {
            Ok(found) => !(found.content.is_empty() && found.gaps.is_empty()),
            Err(_) => true,
        }
    }

    /// Traces that match now: all of them, or an error.
    async fn matching(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        window: Window,
    ) -> Result<Vec<TraceId>, StartError> {
        let found = self.querier.matching_traces(tenant, filter, window, MOST_TRACES).await;
        let found = found.map_err(|error| {
            StartError(format!("it cannot be told what matches, so nothing is deleted: {error}"))
        })?;
        match found.gaps.is_empty() {
            true => Ok(found.content),
            false => Err(StartError(format!(
                "it cannot be told what matches, so nothing is deleted: {}",
                found.gaps.join("; ")
            ))),
        }
    }
}

/// Those that have blocks.
pub(crate) fn tenants_of(snapshot: &Snapshot) -> BTreeSet<&Tenant> {
    let flushed = snapshot.entries.iter().flat_map(|entry| &entry.blocks).map(BlockEntry::tenant);
    snapshot.root.tenants.keys().chain(flushed).collect()
}

/// The same for people.
pub(crate) fn tenants_in(snapshot: &Snapshot) -> String {
    let tenants = tenants_of(snapshot);
    if tenants.is_empty() {
        return "no tenants yet".to_owned();
    }
    let some: Vec<String> = tenants.iter().take(20).map(|tenant| format!("`{tenant}`")).collect();
    format!("{} tenants: {}", tenants.len(), some.join(", "))
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = if self.done.is_some() { "deleted" } else { "would be deleted" };
        let unread = match self.unread {
            0 => String::new(),
            pages => format!(", and blocks that {pages} damaged pages of the catalog know"),
        };
        for (trace, blocks) in &self.blocks_of {
            writeln!(f, "{trace}\t{done}\t{blocks} blocks may hold spans of it{unread}")?;
        }
        if self.blocks_of.is_empty() {
            writeln!(f, "{} traces\t{done}", self.request.traces.len())?;
        }
        match &self.done {
            Some(record) => {
                writeln!(f, "{WHAT_FOLLOWS}`siltstone deletion {}` says what is left.", record.id)
            }
            None => writeln!(f, "Nothing was deleted. Say --yes to do it: there is no way back."),
        }
    }
}

#[cfg(test)]
mod tests {
    use siltstone_format::span::Span;
    use siltstone_querier::limits::QueryLimits;
    use siltstone_testkit::Operation;
    use siltstone_tests::query_world::QueryWorld;

    use super::*;

    #[tokio::test]
    async fn should_finish_a_deletion_that_nobody_waits_for() {
        let world = QueryWorld::new().await;
        let trace = TraceId([7; 16]);
        world.flush(&[Span { trace_id: trace, ..Span::default() }]).await;
        let deleter = Arc::new(Deleter::new(
            Arc::clone(&world.catalog),
            world.querier(QueryLimits::default()),
            PathBuf::new(),
        ));
        let what = What::Traces(vec![trace]);
        let deletion = Deletion { tenant: Tenant::single(), what, confirmed: true };
        let is_being_recorded = || {
            let requests = world.store.requests();
            let puts = requests.iter().filter(|request| request.operation == Operation::Put);
            puts.map(|put| put.location.as_ref()).any(|location| location.starts_with("del/"))
        };
        let begun = async {
            while !is_being_recorded() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = begun => {}
            outcome = deleter.run_to_its_end(deletion) => panic!("it was done before: {outcome:?}"),
        }
        deleter.finish().await;
        let ids = world.catalog.deletion_ids().await.unwrap();
        let record = world.catalog.deletion(ids[0]).await.unwrap().unwrap();
        assert_eq!((ids.len(), record.number), (1, Some(1)));
    }
}
