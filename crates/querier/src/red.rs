//! Rate, errors and durations of each operation in time steps, computed from the spans themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use siltstone_ask::red::{of_rows, parts};
use siltstone_format::columns::SpanColumns;

use crate::counts::Of;
use crate::querier::{Answer, Querier, Query, QueryError};
use crate::tally::{Counting, Sum};

pub use siltstone_ask::red::{Operation, Outcome, Red, Step, Steps};

impl Sum for Red {
    fn add(&mut self, more: Self) {
        self.merge(&more);
    }
}

impl Querier {
    /// Calls, errors and durations by operation and step. Steps without spans are not there.
    pub async fn red(&self, of: &Of, step_nanos: u64) -> Result<Answer<BTreeMap<Step, Red>>, QueryError> {
        self.within(&of.tenant, async |mut query| {
            let found = query.count_red(of, Steps::of(step_nanos), false).await?;
            Ok(query.answer(found.into_iter().map(|(outcome, red)| (outcome.step, red)).collect()))
        })
        .await
    }
}

impl Query<'_> {
    /// The same by status as well.
    pub(crate) async fn red_by_status(
        &mut self,
        of: &Of,
        steps: Steps,
    ) -> Result<BTreeMap<Outcome, Red>, QueryError> {
        self.count_red(of, steps, true).await
    }

    async fn count_red(
        &mut self,
        of: &Of,
        steps: Steps,
        by_status: bool,
    ) -> Result<BTreeMap<Outcome, Red>, QueryError> {
        let of_rows =
            Arc::new(move |columns: &SpanColumns, rows: &[u32]| Ok(of_rows(columns, rows, steps, by_status)));
        let Of { tenant, filter, window } = of.clone();
        self.count(Counting { tenant, filter, window, once: true, parts: parts(), of_rows }).await
    }
}
