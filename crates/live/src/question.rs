//! What can be asked of live spans.

use siltstone_ask::{Filter, Window};
use siltstone_format::id::TraceId;
use siltstone_format::tenant::Tenant;

/// A question to one tenant's live spans.
#[derive(Clone, Debug)]
pub struct Question {
    pub tenant: Tenant,
    pub wanted: Wanted,
}

/// Which spans are wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// All spans of these traces.
    Traces(Vec<TraceId>),
    /// Spans that start in the window and match. A trace may have others, live or not.
    Matching { filter: Option<Filter>, window: Window },
}
