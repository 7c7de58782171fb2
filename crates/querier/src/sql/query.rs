//! One statement on its way: what all of its scans share.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use siltstone_format::tenant::Tenant;
use tokio::runtime::Handle;

use crate::cost::CostReport;
use crate::querier::{Querier, Query, Turn};

pub(super) struct SqlQuery {
    pub(super) querier: Arc<Querier>,
    pub(super) tenant: Tenant,
    /// Where sockets are served: plans run elsewhere.
    pub(super) sockets: Handle,
    /// It runs for as long as anything of it is there.
    pub(super) turn: Turn,
    gaps: Mutex<Vec<String>>,
    /// Rows that its scans have put out.
    rows: AtomicUsize,
}

impl SqlQuery {
    pub(super) fn new(querier: Arc<Querier>, tenant: Tenant, sockets: Handle, turn: Turn) -> Self {
        Self { querier, tenant, sockets, turn, gaps: Mutex::default(), rows: AtomicUsize::new(0) }
    }

    /// To ask something as a part of this statement.
    pub(super) fn asking(&self) -> Query<'_> {
        Query {
            querier: &self.querier,
            limits: self.turn.limits,
            cost: Arc::clone(&self.turn.cost),
            gaps: Vec::new(),
        }
    }

    pub(super) fn has_rows(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whether no scan has put out any row by now.
    pub(super) fn found_nothing(&self) -> bool {
        self.rows.load(Ordering::Relaxed) == 0
    }

    /// The answer lacks something.
    pub(super) fn lacks(&self, gaps: Vec<String>) {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner).extend(gaps);
    }

    pub(super) fn gaps(&self) -> Vec<String> {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gaps.sort();
        gaps.dedup();
        gaps
    }

    pub(super) fn cost(&self) -> CostReport {
        self.turn.cost.report()
    }
}

impl fmt::Debug for SqlQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlQuery").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
