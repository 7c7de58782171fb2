//! Who calls whom: calls, errors and durations between services, and from them to databases, queues and others.
//!
//! Computed on whole traces, slice by slice: the caller of a span may have started before the window, and may lie in
//! another block.

use std::collections::BTreeMap;

use siltstone_ask::Window;
use siltstone_ask::calls::{Calls, of_slice, parts};
use siltstone_format::tenant::Tenant;

use crate::limits::LimitReached;
use crate::querier::{Answer, Querier, Query, QueryError};
use crate::red::{Red, Steps};

pub use siltstone_ask::calls::{Edge, EdgeKind};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    pub edges: BTreeMap<Edge, Red>,
    /// By service, spans that name a parent which is not there: nobody knows who called them.
    pub without_parent: BTreeMap<String, u64>,
}

impl Querier {
    /// Calls of which the span starts in the window: the callee's, or the caller's if the callee sends none.
    pub async fn dependencies(
        &self,
        tenant: &Tenant,
        window: Window,
    ) -> Result<Answer<Dependencies>, QueryError> {
        self.within(tenant, async |mut query| {
            let Calls { edges, without_parent } =
                query.dependencies_in_steps(tenant, window, Steps::ONE).await?;
            let edges = edges.into_iter().map(|((edge, _), red)| (edge, red)).collect();
            Ok(query.answer(Dependencies { edges, without_parent }))
        })
        .await
    }
}

impl Query<'_> {
    /// The same by the step in which that span starts.
    pub(crate) async fn dependencies_in_steps(
        &mut self,
        tenant: &Tenant,
        window: Window,
        steps: Steps,
    ) -> Result<Calls, QueryError> {
        let mut walk = self.whole_traces(tenant, window, parts()).await?;
        let mut all = Calls::default();
        while let Some(slice) = self.next_slice(&mut walk).await? {
            all.add(self.work(move || of_slice(&slice, window, steps)).await??);
            if all.edges.len() + all.without_parent.len() > self.limits.groups {
                return Err(LimitReached::Groups(self.limits.groups).into());
            }
        }
        Ok(all)
    }
}
