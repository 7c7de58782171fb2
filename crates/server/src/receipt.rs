//! What is left of what was deleted, looked up when it is asked.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;
use siltstone_ask::Window;
use siltstone_catalog::Catalog;
use siltstone_catalog::deletion::{Asked, DeletionRecord};
use siltstone_catalog::snapshot::Cover;
use siltstone_compactor::erase::{Left, left_of};
use siltstone_format::id::{ObjectId, WriterId};
use siltstone_ingest::bucket_live::BucketLive;
use siltstone_ingest::log::object::Pieces;
use siltstone_ingest::set_aside::{SetAside, set_aside};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::LiveSource;
use siltstone_querier::jaeger::time::write_rfc3339;
use tokio::task::spawn_blocking;

use crate::delete::Deleter;
use crate::ingest::{LOG, SPOOL};
use crate::parts::{StartError, failed};

/// A deletion as it stands.
#[derive(Debug)]
pub(crate) struct Receipt {
    record: DeletionRecord,
    /// Since when nobody is shown the spans: the number of the deletion in the newest root.
    number: Option<u64>,
    root: u64,
    /// What blocks still have of them, flushes that are not folded included.
    blocks: Left,
    /// The same of logs in the bucket; what cannot be read there.
    logged_spans: Result<u64, String>,
    /// The same of what ingesters hold and have in their own logs; who could not be asked.
    unflushed_spans: Result<u64, String>,
    /// What this machine could not read of its log. Nobody can tell whose it is.
    set_aside: Result<SetAside, String>,
    /// Blocks that were replaced or given up, and whose objects are not swept yet; of all tenants.
    unswept: u64,
}

const OUT_OF_SIGHT: [&str; 4] = [
    "versions that the bucket keeps, and backups of it",
    "caches of processes that answer queries: they hold what was read before, and nobody is shown it",
    "disks of other machines: files of a log that was flushed and is being deleted, and what a damaged log has set aside",
    "answers and exports that somebody has received before",
];

/// None: there is no such deletion.
pub(crate) async fn receipt(deleter: &Deleter, id: ObjectId) -> Result<Option<Receipt>, StartError> {
    let catalog = &deleter.catalog;
    let Some(record) = catalog.deletion(id).await.map_err(failed)? else { return Ok(None) };
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.map_err(failed)?;
    let number = catalog.number_of(&snapshot, &record).await.map_err(failed)?;
    let (tenant, traces) = (&record.request.tenant, record.request.traces.as_slice());
    // One that is not in force hides nothing: all that is there counts.
    let before = number.unwrap_or(u64::MAX);
    // What is flushed meanwhile stands in blocks that are looked at afterwards.
    let unflushed_spans = unflushed(deleter, &record, before).await;
    let logged_spans = logged(catalog, &record, before).await;
    let snapshot = catalog.snapshot(&fresh).await.map_err(failed)?;
    let blocks = left_of(catalog, &snapshot, tenant, traces, before).await.map_err(failed)?;
    let (log, spool) = (deleter.data.join(LOG), deleter.data.join(SPOOL));
    let set_aside = spawn_blocking(move || set_aside(&log, &spool)).await.map_err(failed)?;
    let set_aside = set_aside.map_err(|error| error.to_string());
    let unswept = snapshot.root.retired.iter().map(|retired| retired.blocks.len() as u64).sum();
    tracing::info!(target: "siltstone::audit", deletion = %id, %tenant, "a receipt was asked for");
    let root = snapshot.root.number;
    Ok(Some(Receipt { record, number, root, blocks, logged_spans, unflushed_spans, set_aside, unswept }))
}

/// Spans that ingesters have accepted without knowing of the deletion, and not flushed.
async fn unflushed(deleter: &Deleter, record: &DeletionRecord, before: u64) -> Result<u64, String> {
    let request = &record.request;
    let found = deleter.querier.unflushed(&request.tenant, &request.traces, before).await;
    let found = found.map_err(|error| error.to_string())?;
    if found.gaps.is_empty() { Ok(found.content) } else { Err(found.gaps.join("; ")) }
}

/// Spans in pieces of logs in the bucket, whose writers did not know the deletion.
async fn logged(catalog: &Catalog, record: &DeletionRecord, before: u64) -> Result<u64, String> {
    let written = Pieces::new(catalog.bucket()).list_writers().await.map_err(|error| error.to_string())?;
    let writers: BTreeSet<WriterId> = written.into_iter().map(|written| written.writer).collect();
    if writers.is_empty() {
        return Ok(0);
    }
    let log = BucketLive::new(catalog.bucket(), "the log in the bucket", writers);
    let (tenant, wanted) = (record.request.tenant.clone(), Wanted::Traces(record.request.traces.clone()));
    let answer = log.ask(&Question { tenant, wanted }).await.map_err(|error| error.to_string())?;
    let unknowing = answer.segments.iter().filter(|segment| segment.known_deletions < before);
    Ok(unknowing.map(|segment| segment.spans.len() as u64).sum())
}

impl Receipt {
    /// Nothing is left that can be seen from here.
    fn is_gone(&self) -> bool {
        self.number.is_some()
            && self.blocks.is_nothing()
            && self.logged_spans == Ok(0)
            && self.unflushed_spans == Ok(0)
            && self.set_aside == Ok(SetAside::default())
            && self.unswept == 0
    }

    pub(crate) fn as_json(&self) -> serde_json::Value {
        let request = &self.record.request;
        let matching = match &request.asked {
            Asked::Traces => serde_json::Value::Null,
            Asked::Matching { filter, from_unix_nano, to_unix_nano } => json!({
                "filter": filter, "from_unix_nano": from_unix_nano, "to_unix_nano": to_unix_nano,
            }),
        };
        json!({
            "id": self.record.id.to_string(),
            "tenant": request.tenant.as_str(),
            "requested_unix_millis": self.record.at.0,
            "traces": request.traces.len(),
            "matching": matching,
            "hidden": self.number.is_some(),
            "number": self.number,
            "root": self.root,
            "blocks_left": self.blocks.blocks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "blocks_unread": self.blocks.unread.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "pages_unread": self.blocks.missing,
            "logged_spans_left": self.logged_spans.as_ref().ok(),
            "log_unread": self.logged_spans.as_ref().err(),
            "unflushed_spans_left": self.unflushed_spans.as_ref().ok(),
            "unflushed_unread": self.unflushed_spans.as_ref().err(),
            "set_aside_files": self.set_aside.as_ref().ok().map(|aside| aside.files),
            "set_aside_bytes": self.set_aside.as_ref().ok().map(|aside| aside.bytes),
            "set_aside_unread": self.set_aside.as_ref().err(),
            "unswept_blocks": self.unswept,
            "unswept_blocks_of": "all tenants",
            "gone": self.is_gone(),
            "out_of_sight": OUT_OF_SIGHT,
        })
    }
}

/// When spans started, as far as that is bounded.
struct Between(u64, u64);

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(from, to) = *self;
        if from > Window::ALL.start {
            write!(f, ", started at {} or later", time(from))?;
        }
        if to < Window::ALL.end {
            write!(f, ", started before {}", time(to))?;
        }
        Ok(())
    }
}

fn time(unix_nano: u64) -> String {
    let mut text = String::new();
    write_rfc3339(unix_nano, &mut text);
    text
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.record.request;
        let (id, tenant, traces, at) =
            (self.record.id, &request.tenant, request.traces.len(), self.record.at.0);
        writeln!(f, "deletion {id}: {traces} traces of tenant `{tenant}`")?;
        if let Asked::Matching { filter, from_unix_nano, to_unix_nano } = &request.asked {
            writeln!(f, "matched\t{filter}{}", Between(*from_unix_nano, *to_unix_nano))?;
        }
        writeln!(f, "requested\tat {} by the store's clock", time(at.saturating_mul(1_000_000)))?;
        match self.number {
            Some(number) => writeln!(f, "hidden\tyes, as number {number}; looked up in root {}", self.root)?,
            None => writeln!(f, "hidden\tNO: it was never published. Delete again")?,
        }
        match (self.blocks.blocks.len(), self.blocks.unread.len(), self.blocks.missing) {
            (0, 0, 0) => writeln!(f, "blocks\tgone from all")?,
            (left, unread, pages) => writeln!(
                f,
                "blocks\t{left} still have rows of them, {unread} cannot be read, {pages} damaged pages of the \
                 catalog know others"
            )?,
        }
        match &self.logged_spans {
            Ok(0) => writeln!(f, "logs in the bucket\tgone from all")?,
            Ok(spans) => writeln!(f, "logs in the bucket\t{spans} spans are not flushed or not deleted yet")?,
            Err(why) => writeln!(f, "logs in the bucket\tcannot be told: {why}")?,
        }
        match &self.unflushed_spans {
            Ok(0) => writeln!(f, "ingesters and their logs\tgone from all")?,
            Ok(spans) => writeln!(f, "ingesters and their logs\t{spans} spans are not flushed yet")?,
            Err(why) => writeln!(f, "ingesters and their logs\tcannot be told: {why}")?,
        }
        match &self.set_aside {
            Ok(SetAside { files: 0, .. }) => writeln!(f, "set aside on this machine\tnothing")?,
            Ok(SetAside { files, bytes }) => writeln!(
                f,
                "set aside on this machine\t{files} files with {bytes} bytes that nobody can read, and which may have \
                 some: look at `{LOG}/damaged` and `undecodable` in the data folder, and delete them"
            )?,
            Err(why) => writeln!(f, "set aside on this machine\tcannot be told: {why}")?,
        }
        match self.unswept {
            0 => writeln!(f, "replaced objects\tswept")?,
            blocks => writeln!(
                f,
                "replaced objects\t{blocks} blocks, of all tenants and deletions, are not swept yet; which of \
                     them held some is not known"
            )?,
        }
        writeln!(f, "gone\t{}", if self.is_gone() { "yes" } else { "not yet" })?;
        OUT_OF_SIGHT.iter().try_for_each(|what| writeln!(f, "out of sight\t{what}"))
    }
}
