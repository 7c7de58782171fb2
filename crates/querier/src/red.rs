//! Rate, errors and durations of each operation in time steps, computed from the spans themselves.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Range;
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

/// The longest step of which both are multiples.
pub(crate) fn common_step(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// What steps in a range of time come to, while the range moves on.
pub(crate) struct Sliding<'a, At> {
    coming: Peekable<btree_map::Iter<'a, At, Red>>,
    going: Peekable<btree_map::Iter<'a, At, Red>>,
    sum: Red,
}

impl<'a, At: Ord> Sliding<'a, At> {
    /// By when the steps begin.
    pub(crate) fn over(steps: &'a BTreeMap<At, Red>) -> Self {
        Self { coming: steps.iter().peekable(), going: steps.iter().peekable(), sum: Red::default() }
    }

    /// Of steps that begin in a range, which begins and ends no earlier than the last one.
    pub(crate) fn within(&mut self, range: &Range<At>) -> &Red {
        while let Some((_, red)) = self.coming.next_if(|(start, _)| **start < range.end) {
            self.sum.merge(red);
        }
        while let Some((_, red)) = self.going.next_if(|(start, _)| **start < range.start) {
            self.sum.take_back(red);
        }
        &self.sum
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
