//! Spans that are stored and must not be seen: of deleted traces, and of days that are given up.

use std::collections::HashSet;
use std::sync::Arc;

use siltstone_ask::Rows;
use siltstone_catalog::mark::{Mark, MarkTarget};
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;

use crate::scan::without_hidden;
use crate::view::View;

/// What hides spans from the tenant of a view.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    deletes: Vec<(Mark, TraceId)>,
    cut: Option<Day>,
}

/// The same for rows that know the deletions up to a number.
#[derive(Debug, Default)]
pub(crate) struct HiddenHere {
    traces: HashSet<TraceId>,
    cut: Option<Day>,
}

/// A deletion that cannot be applied, so that there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("traces were deleted by a filter (mark {number}), which this reader cannot apply")]
pub struct FilterMark {
    pub number: u64,
}

/// Rows that live nowhere but in an ingester know no deletion.
pub(crate) const NEVER_CLEANED: u64 = 0;

impl Hidden {
    pub(crate) fn of(view: &View, marks: &[Mark]) -> Result<Self, FilterMark> {
        let tenant = view.snapshot.root.tenants.get(&view.question.tenant);
        let deletes =
            marks.iter().filter(|mark| mark.hides_from(NEVER_CLEANED)).map(|mark| match &mark.target {
                MarkTarget::Trace(trace) => Ok((mark.clone(), *trace)),
                MarkTarget::Filter { .. } => Err(FilterMark { number: mark.number }),
            });
        Ok(Self { deletes: deletes.collect::<Result<_, _>>()?, cut: tenant.and_then(|tenant| tenant.cut) })
    }

    pub(crate) fn at(&self, clean_through: u64) -> HiddenHere {
        let hiding = self.deletes.iter().filter(|(mark, _)| mark.hides_from(clean_through));
        HiddenHere { traces: hiding.map(|(_, trace)| *trace).collect(), cut: self.cut }
    }
}

/// Rows of one block, or of live spans, that do not count as they stand there.
pub(crate) struct Unseen {
    pub(crate) hidden: HiddenHere,
    /// They are read whole, and collapsed.
    pub(crate) doubtful: Arc<HashSet<TraceId>>,
}

impl Unseen {
    pub(crate) fn is_nothing(&self) -> bool {
        self.hidden.is_nothing() && self.doubtful.is_empty()
    }

    /// What must be read of rows to tell, beside other parts.
    pub(crate) fn with_parts(&self, parts: Parts) -> Parts {
        Parts {
            starts: parts.starts || !self.hidden.is_nothing(),
            trace_ids: parts.trace_ids || !self.is_nothing(),
            ..parts
        }
    }

    /// Those of some rows that count.
    pub(crate) fn seen_of(&self, rows: &Rows, columns: &SpanColumns) -> Vec<u32> {
        let mut seen = without_hidden(rows, columns, &self.hidden);
        if !self.doubtful.is_empty() {
            seen.retain(|row| !self.doubtful.contains(&columns.trace_ids[*row as usize]));
        }
        seen
    }
}

impl HiddenHere {
    pub(crate) fn hides(&self, trace: &TraceId, start_unix_nano: u64) -> bool {
        (!self.traces.is_empty() && self.traces.contains(trace))
            || self.cut.is_some_and(|cut| Day::of_unix_nano(start_unix_nano) < cut)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.traces.is_empty() && self.cut.is_none()
    }
}
