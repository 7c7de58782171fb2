//! Spans that are stored and must not be seen: of deleted traces, and of days that are given up.

use std::collections::HashSet;
use std::sync::Arc;

use siltstone_ask::Rows;
use siltstone_catalog::deleted::DeletedTraces;
use siltstone_format::block::parts::Parts;
use siltstone_format::columns::SpanColumns;
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;

use crate::scan::without_hidden;
use crate::view::View;

/// What hides spans from the tenant of a view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    deleted: Arc<DeletedTraces>,
    cut: Option<Day>,
}

/// The same for rows that know the deletions up to a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct HiddenHere {
    hidden: Hidden,
    known: u64,
}

impl Hidden {
    pub(crate) fn of(view: &View, deleted: &Arc<DeletedTraces>) -> Self {
        let tenant = view.snapshot.root.tenants.get(&view.question.tenant);
        Self { deleted: Arc::clone(deleted), cut: tenant.and_then(|tenant| tenant.cut) }
    }

    pub(crate) fn at(&self, known: u64) -> HiddenHere {
        HiddenHere { hidden: self.clone(), known }
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
        self.hidden.deleted.hides(trace, self.known)
            || self.hidden.cut.is_some_and(|cut| Day::of_unix_nano(start_unix_nano) < cut)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        !self.hidden.deleted.hides_any(self.known) && self.hidden.cut.is_none()
    }
}
