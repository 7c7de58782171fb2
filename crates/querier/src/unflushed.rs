//! Spans of some traces that are in no block yet, those that nobody is shown too: what is left of them in logs.

use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;
use siltstone_live::question::{Question, Wanted};

use crate::querier::{Answer, Querier, QueryError};

/// Of more traces at a time a question is too long.
const AT_A_TIME: usize = 10_000;

impl Querier {
    /// How many spans ingesters hold of these traces that they accepted before they knew a deletion of this number.
    pub async fn unflushed(
        &self,
        tenant: &Tenant,
        traces: &[TraceId],
        number: u64,
    ) -> Result<Answer<u64>, QueryError> {
        let unflushed = self.within(tenant, |mut query| async move {
            let mut spans = 0;
            for some in traces.chunks(AT_A_TIME) {
                let wanted = Wanted::Traces(some.to_vec());
                let view = query.open(&Question { tenant: tenant.clone(), wanted }).await?;
                let unknowing = view.live.iter().filter(|segment| segment.known_deletions < number);
                spans += unknowing.map(|segment| segment.spans.len() as u64).sum::<u64>();
            }
            Ok(query.answer(spans))
        });
        unflushed.await
    }
}
