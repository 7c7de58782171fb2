//! Why a call has no answer, as gRPC says it. The one place that knows codes.

use siltstone_format::tenant::UnclearTenant;
use tonic::{Code, Status};

use crate::archive::ArchiveError;
use crate::limits::LimitReached;
use crate::querier::QueryError;

pub(crate) fn of_query(error: &QueryError) -> Status {
    let code = match error {
        QueryError::Limit(LimitReached::Deadline(_)) => Code::DeadlineExceeded,
        QueryError::Limit(_) | QueryError::Memory(_) | QueryError::QueueFull(_) => Code::ResourceExhausted,
        // Asked again it may have an answer.
        QueryError::NotDone | QueryError::Expired => Code::Unavailable,
        QueryError::Open(_)
        | QueryError::Snapshot(_)
        | QueryError::Block(_)
        | QueryError::Value(_)
        | QueryError::Refused(_)
        | QueryError::Columns(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

pub(crate) fn of_archive(error: &ArchiveError) -> Status {
    match error {
        ArchiveError::NoTrace { .. } => Status::not_found(error.to_string()),
        ArchiveError::Query(error) => of_query(error),
        ArchiveError::Publish(_) => Status::internal(error.to_string()),
    }
}

pub(crate) fn of_tenant(unclear: &UnclearTenant) -> Status {
    let code = match unclear {
        UnclearTenant::None => Code::Unauthenticated,
        UnclearTenant::Two => Code::PermissionDenied,
        UnclearTenant::NotAscii | UnclearTenant::Name(_) => Code::InvalidArgument,
    };
    Status::new(code, unclear.to_string())
}

/// The question cannot be asked.
pub(crate) fn of_question(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn should_tell_what_may_be_asked_again_from_what_may_not() {
        let of_limit = |limit: LimitReached| of_query(&limit.into()).code();
        assert_eq!(of_limit(LimitReached::Deadline(Duration::from_secs(1))), Code::DeadlineExceeded);
        assert_eq!(of_limit(LimitReached::Spans(1)), Code::ResourceExhausted);
        assert_eq!(of_query(&QueryError::Expired).code(), Code::Unavailable);
        assert_eq!(of_query(&QueryError::Columns(String::new())).code(), Code::Internal);
    }

    #[test]
    fn should_say_what_is_wrong_with_a_tenant() {
        let name = "a/b".parse::<siltstone_format::tenant::Tenant>().unwrap_err();
        for (unclear, code) in [
            (UnclearTenant::None, Code::Unauthenticated),
            (UnclearTenant::Two, Code::PermissionDenied),
            (UnclearTenant::Name(name), Code::InvalidArgument),
        ] {
            assert_eq!(of_tenant(&unclear).code(), code);
        }
    }
}
