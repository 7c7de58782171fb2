//! What one query may use, by its tenant. Beyond it the query fails alone, and says which bound that was.

use std::collections::BTreeMap;
use std::time::Duration;

use siltstone_format::tenant::Tenant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// From the question to the answer.
    pub deadline: Duration,
    /// Bytes that are read from the store.
    pub bytes: u64,
    /// Traces that a search may have to compare before it knows which come first.
    pub traces: usize,
    /// Spans of an answer.
    pub spans: usize,
    /// Values, operations and steps that are counted apart.
    pub groups: usize,
    /// Bytes that sorts, groups and joins of an SQL statement may hold.
    pub memory: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            bytes: 64 << 30,
            traces: 100_000,
            spans: 2_000_000,
            groups: 1_000_000,
            memory: 512 << 20,
        }
    }
}

/// Limits of everybody, and what tenants have of their own.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub default: QueryLimits,
    pub tenants: BTreeMap<Tenant, OwnLimits>,
}

/// Limits of one tenant: what it does not name is as for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLimits {
    pub deadline: Option<Duration>,
    pub bytes: Option<u64>,
    pub traces: Option<usize>,
    pub spans: Option<usize>,
    pub groups: Option<usize>,
    pub memory: Option<usize>,
}

impl Limits {
    pub fn of(&self, tenant: &Tenant) -> QueryLimits {
        self.tenants.get(tenant).map_or(self.default, |own| own.or(&self.default))
    }
}

impl From<QueryLimits> for Limits {
    fn from(default: QueryLimits) -> Self {
        Self { default, tenants: BTreeMap::new() }
    }
}

impl OwnLimits {
    fn or(&self, default: &QueryLimits) -> QueryLimits {
        QueryLimits {
            deadline: self.deadline.unwrap_or(default.deadline),
            bytes: self.bytes.unwrap_or(default.bytes),
            traces: self.traces.unwrap_or(default.traces),
            spans: self.spans.unwrap_or(default.spans),
            groups: self.groups.unwrap_or(default.groups),
            memory: self.memory.unwrap_or(default.memory),
        }
    }
}

/// A bound that a query met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    #[error("the query took longer than {0:?} (`query.deadline`): ask for less time or more selectively")]
    Deadline(Duration),
    #[error(
        "the query would read more than {0} bytes (`limits.default.query_bytes`): ask for less time or more selectively"
    )]
    Bytes(u64),
    #[error(
        "more than {0} traces match (`query.traces`), too many to sort them by duration: ask more selectively"
    )]
    Traces(usize),
    #[error("the answer has more than {0} spans (`query.spans`): ask for fewer traces")]
    Spans(usize),
    #[error(
        "more than {0} values, operations or steps are counted (`query.groups`): ask more selectively, or for longer steps"
    )]
    Groups(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_inherit_every_limit_that_a_tenant_does_not_name() {
        let [careful, usual, other] =
            ["careful", "usual", "other"].map(|name| name.parse::<Tenant>().unwrap());
        let default = QueryLimits { bytes: 1_000, spans: 7, ..QueryLimits::default() };
        let few_bytes = OwnLimits { bytes: Some(10), ..OwnLimits::default() };
        let tenants = [(careful.clone(), few_bytes), (usual.clone(), OwnLimits::default())].into();
        let limits = Limits { default, tenants };
        assert_eq!(limits.of(&careful), QueryLimits { bytes: 10, ..default });
        assert_eq!((limits.of(&usual), limits.of(&other)), (default, default));
    }
}
