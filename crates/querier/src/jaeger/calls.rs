//! Calls between services, as Jaeger counts them: by who called and who was called, whatever lay between.

use std::collections::BTreeMap;

use siltstone_ask::Window;
use siltstone_format::tenant::Tenant;

use crate::dependencies::{Edge, EdgeKind};
use crate::jaeger::ask::shown_service;
use crate::querier::{Answer, Querier, QueryError};

/// By caller and callee. `times`: from the first to the last, both inclusive.
pub async fn calls_between_services(
    querier: &Querier,
    tenant: &Tenant,
    [start, last]: [u64; 2],
) -> Result<Answer<BTreeMap<(String, String), u64>>, QueryError> {
    let window = Window { start, end: last.saturating_add(1) };
    let Answer { content, gaps, cost } = querier.dependencies(tenant, window).await?;
    let mut calls = BTreeMap::<(String, String), u64>::new();
    for (edge, red) in content.edges {
        if let Some(pair) = services_of(&edge) {
            *calls.entry(pair).or_default() += red.calls;
        }
    }
    Ok(Answer { content: calls, gaps, cost })
}

/// None if nobody is known who was called: a database, a queue that nobody reads, a peer without spans.
fn services_of(edge: &Edge) -> Option<(String, String)> {
    let is_service = match &edge.kind {
        EdgeKind::Service => true,
        EdgeKind::Messaging { system } => *system != edge.callee,
        EdgeKind::Database | EdgeKind::Peer => false,
    };
    is_service.then(|| (shown_service(&edge.caller).to_owned(), shown_service(&edge.callee).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_leave_out_what_sends_no_spans() {
        let pair = |callee: &str, kind| {
            let edge = Edge { caller: "cart".to_owned(), callee: callee.to_owned(), kind };
            services_of(&edge).map(|(_, callee)| callee)
        };
        let through = |system: &str| EdgeKind::Messaging { system: system.to_owned() };
        assert_eq!(pair("shop", EdgeKind::Service).as_deref(), Some("shop"));
        assert_eq!(pair("", EdgeKind::Service).as_deref(), Some("OTLPResourceNoServiceName"));
        assert_eq!(pair("shop", through("kafka")).as_deref(), Some("shop"));
        assert_eq!(pair("kafka", through("kafka")), None);
        assert_eq!((pair("mysql", EdgeKind::Database), pair("x", EdgeKind::Peer)), (None, None));
    }
}
