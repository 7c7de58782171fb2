//! Questions to the live spans of this process.
//!
//! Names and cover are taken of one moment; the spans are read after it, while requests and flushes go on: a
//! segment keeps what it had, whatever becomes of it.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use siltstone_ask::{Filter, Window};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::TraceId;
use siltstone_format::value::ValueError;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};

use crate::buffer::{Buffer, find_matching};
use crate::segment::Part;
use crate::service::Shared;
use crate::spool::SpoolError;

/// Rows that are looked at before requests get a turn.
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

    fn answer(&self, question: &Question) -> Result<Answer, SpoolError> {
        let moment = self.shared.roster.moment();
        let mut segments = Vec::new();
        for live in &moment.live {
            let Some(part) = live.segment.part(&question.tenant) else { continue };
            let spans = match &question.wanted {
                Wanted::Traces(traces) => find_traces(&part, traces)?,
                Wanted::Matching { filter, window } => find_in_window(&part, filter.as_ref(), *window)?,
            };
            if !spans.is_empty() {
                segments.push(LiveSegment { writer: live.name.writer, number: live.name.number, spans });
            }
        }
        Ok(Answer { segments, committed: moment.committed, min_root: moment.min_root, fresh: false })
    }

    /// Whether an answer takes files or more than a moment.
    fn is_long(&self, question: &Question) -> bool {
        match question.wanted {
            Wanted::Matching { .. } => true,
            Wanted::Traces(_) => self
                .shared
                .roster
                .moment()
                .live
                .iter()
                .any(|live| matches!(live.segment.part(&question.tenant), Some(Part::Block(_)))),
        }
    }
}

#[async_trait]
impl LiveSource for LocalLive {
    fn name(&self) -> &str {
        "this process"
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        let answered = if self.is_long(question) {
            let (this, question) = (self.clone(), question.clone());
            match tokio::task::spawn_blocking(move || this.answer(&question)).await {
                Ok(answered) => answered,
                Err(error) => return Err(garbled(&error)),
            }
        } else {
            self.answer(question)
        };
        answered.map_err(|error| garbled(&error))
    }
}

fn garbled(error: &dyn std::error::Error) -> LiveError {
    LiveError::Garbled { ingester: "this process".to_owned(), why: error.to_string() }
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
) -> Result<(), ValueError> {
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
