//! Questions to the live spans of this process.
//!
//! Names and cover are taken of one moment; the spans are read after it, while requests and flushes go on: a
//! segment keeps what it had, whatever becomes of it.

use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use async_trait::async_trait;
use siltstone_ask::{Filter, Window};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};

use crate::buffer::{Buffer, FindError, find_matching};
use crate::segment::Part;
use crate::service::Shared;
use crate::spool::SpoolError;

/// Rows that are looked at before requests, or other tasks of the same thread, get a turn.
const ROWS_AT_ONCE: usize = 1024;

/// The ingester of this process, as readers see it.
#[derive(Clone)]
pub struct LocalLive {
    shared: Arc<Shared>,
}

impl LocalLive {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is found in each segment, of one moment.
    fn of_each_segment<E>(
        &self,
        tenant: &Tenant,
        find: impl Fn(&Part) -> Result<SpanColumns, E>,
    ) -> Result<Answer, E> {
        let moment = self.shared.roster.moment();
        let mut segments = Vec::new();
        for live in &moment.live {
            let Some(part) = live.segment.part(tenant) else { continue };
            let spans = find(&part)?;
            if !spans.is_empty() {
                segments.push(LiveSegment {
                    writer: live.name.writer,
                    number: live.name.number,
                    known_deletions: live.segment.known_deletions(),
                    spans: spans.into(),
                });
            }
        }
        Ok(Answer { segments, committed: moment.committed, min_root: moment.min_root, fresh: false })
    }

    /// None: it takes more than a moment, see [`find_at_once`].
    fn answer_at_once(&self, question: &Question) -> Option<Answer> {
        let Wanted::Traces(traces) = &question.wanted else { return None };
        self.of_each_segment(&question.tenant, |part| find_at_once(part, traces).ok_or(())).ok()
    }

    /// Blocks.
    fn answer(&self, question: &Question) -> Result<Answer, SpoolError> {
        self.of_each_segment(&question.tenant, |part| match &question.wanted {
            Wanted::Traces(traces) => find_traces(part, traces),
            Wanted::Matching { filter, window } => find_in_window(part, filter.as_ref(), *window),
        })
    }
}

#[async_trait]
impl LiveSource for LocalLive {
    fn name(&self) -> &str {
        "this process"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        if let Some(answer) = self.answer_at_once(question) {
            return Ok(answer);
        }
        let (this, question) = (self.clone(), question.clone());
        match tokio::task::spawn_blocking(move || this.answer(&question)).await {
            Ok(answered) => answered.map_err(|error| garbled(&error)),
            Err(error) => Err(garbled(&error)),
        }
    }
}

fn garbled(error: &dyn std::error::Error) -> LiveError {
    LiveError::Garbled { ingester: "this process".to_owned(), why: error.to_string() }
}

/// None: it takes files, or there is much to copy, or a request is just being added, however large it is.
fn find_at_once(part: &Part, traces: &[TraceId]) -> Option<SpanColumns> {
    let Part::Columns(buffer) = part else { return None };
    let buffer = match buffer.try_read() {
        Ok(buffer) => buffer,
        Err(TryLockError::Poisoned(buffer)) => buffer.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    // An error comes again where it can be told.
    buffer.find_few(traces, ROWS_AT_ONCE).ok()?
}

fn find_traces(part: &Part, traces: &[TraceId]) -> Result<SpanColumns, SpoolError> {
    let mut found = SpanColumns::default();
    match part {
        Part::Columns(buffer) => read(buffer).find_traces(traces, &mut found)?,
        Part::Block(block) => block.find_traces(traces, &mut found)?,
    }
    Ok(found)
}

fn find_in_window(part: &Part, filter: Option<&Filter>, window: Window) -> Result<SpanColumns, SpoolError> {
    let mut found = SpanColumns::default();
    match part {
        Part::Columns(buffer) => find_in_buffer(buffer, filter, window, &mut found)?,
        Part::Block(block) => block.find_matching(filter, window, &mut found)?,
    }
    Ok(found)
}

/// Rows are only ever added: those that were there at the first look are looked at, some at a time.
fn find_in_buffer(
    buffer: &RwLock<Buffer>,
    filter: Option<&Filter>,
    window: Window,
    found: &mut SpanColumns,
) -> Result<(), FindError> {
    let rows = read(buffer).columns().len();
    for first in (0..rows).step_by(ROWS_AT_ONCE) {
        let some = first..(first + ROWS_AT_ONCE).min(rows);
        find_matching(read(buffer).columns(), some, filter, window, found)?;
    }
    Ok(())
}

fn read(buffer: &RwLock<Buffer>) -> std::sync::RwLockReadGuard<'_, Buffer> {
    buffer.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use siltstone_testkit::corpus::build::{request, span};

    use super::*;
    use crate::decode::Rules;

    fn buffer(spans: usize) -> Arc<RwLock<Buffer>> {
        let mut buffer = Buffer::default();
        let sent = request("shop", (0..spans).map(|_| span(1, 1, "a")).collect());
        buffer.decode(&sent.encode_to_vec(), &Rules::NONE).unwrap();
        Arc::new(RwLock::new(buffer))
    }

    #[test]
    fn should_keep_no_thread_from_its_tasks_for_what_takes_longer() {
        let few = buffer(ROWS_AT_ONCE);
        let trace = few.read().unwrap().columns().trace_ids[0];
        let find = |buffer: &Arc<RwLock<Buffer>>| find_at_once(&Part::Columns(Arc::clone(buffer)), &[trace]);
        assert_eq!(find(&few).map(|found| found.len()), Some(ROWS_AT_ONCE));
        assert!(find(&buffer(ROWS_AT_ONCE + 1)).is_none(), "many spans");
        let writing = few.write().unwrap();
        assert!(find(&few).is_none(), "a request is being added");
        drop(writing);
        assert!(find(&few).is_some());
    }
}
