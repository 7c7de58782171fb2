use opentelemetry_proto::tonic::collector::trace::v1 as otlp;
use siltstone_format::tenant::Tenant;

use super::*;
use crate::export::{Refusals, SpanFault};
use crate::limits::LimitExceeded;

fn limit(retry_after: Option<Duration>) -> Failure {
    Failure::Refused(Refused::Limit(LimitExceeded {
        tenant: Tenant::single().to_string(),
        limit: "limits.bytes_per_second",
        value: 5,
        advice: "raise it".to_owned(),
        retry_after,
    }))
}

fn overloaded() -> Failure {
    let retry_after = Duration::from_millis(1_200);
    Failure::Refused(Refused::Overloaded { what: "memory is full".to_owned(), retry_after })
}

fn unavailable() -> Failure {
    let retry_after = Duration::from_millis(10);
    Failure::Refused(Refused::Unavailable { what: "the disk is full".to_owned(), retry_after })
}

fn malformed() -> Failure {
    Failure::Refused(Refused::Malformed("it is cut off".to_owned()))
}

#[test]
fn should_answer_with_the_codes_of_the_specification() {
    let too_large = Failure::TooLarge { what: "x", setting: "y", limit: 3 };
    for (failure, status, code, seconds) in [
        (malformed(), 400, Code::InvalidArgument, None),
        (limit(None), 400, Code::ResourceExhausted, None),
        (limit(Some(Duration::from_secs(7))), 429, Code::ResourceExhausted, Some(7)),
        (overloaded(), 429, Code::ResourceExhausted, Some(2)),
        (unavailable(), 503, Code::Unavailable, Some(1)),
        (Failure::TooSlow(Duration::from_secs(30)), 503, Code::Unavailable, Some(1)),
        (too_large, 413, Code::ResourceExhausted, None),
        (Failure::Refused(Refused::TooLarge(String::new())), 413, Code::ResourceExhausted, None),
        (Failure::Broken(String::new()), 400, Code::InvalidArgument, None),
        (Failure::UnknownEncoding(String::new()), 415, Code::Unimplemented, None),
        (Failure::UnknownMediaType(String::new()), 415, Code::InvalidArgument, None),
        (Failure::UnknownPath(String::new()), 404, Code::Unimplemented, None),
        (Failure::Method(String::new()), 405, Code::Unimplemented, None),
        (Failure::NoTenant(String::new()), 401, Code::Unauthenticated, None),
        (Failure::BadTenant(String::new()), 400, Code::InvalidArgument, None),
    ] {
        assert_eq!(failure.http_status().as_u16(), status, "{failure:?}");
        assert_eq!(failure.code(), code, "{failure:?}");
        let header = failure.retry_after_header().map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!(header, seconds, "{failure:?}");
        let status = failure.grpc_status();
        assert_eq!((status.code(), status.message()), (code, failure.to_string().as_str()));
        let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert_eq!(retry, seconds.map(Duration::from_secs), "{failure:?}");
    }
}

#[test]
fn should_write_the_same_status_as_protobuf_and_as_json() {
    for failure in [malformed(), overloaded(), unavailable()] {
        let status = tonic_types::Status::decode(failure.protobuf()).unwrap();
        assert_eq!((status.code, &status.message), (i32::from(failure.code()), &failure.to_string()));
        let json: serde_json::Value = serde_json::from_slice(&failure.json()).unwrap();
        assert_eq!(json["code"], status.code);
        assert_eq!(json["message"], status.message);
        assert_eq!(status.details.len(), usize::from(failure.retry_after().is_some()));
        for detail in &status.details {
            assert_eq!(json["details"][0]["@type"], detail.type_url);
        }
    }
    let json: serde_json::Value = serde_json::from_slice(&overloaded().json()).unwrap();
    assert_eq!(json["details"][0]["retryDelay"], "2s");
}

#[test]
fn should_answer_nothing_when_all_was_taken() {
    let accepted = Accepted { spans: 5, ..Accepted::default() };
    assert_eq!(taken_protobuf(&accepted), Bytes::new());
    assert_eq!(taken_json(&accepted), Bytes::from_static(b"{}"));
}

#[test]
fn should_say_how_many_spans_were_refused_and_why() {
    let mut refused = Refusals::default();
    refused.add(SpanFault::TooOld);
    refused.add(SpanFault::TraceId);
    refused.add(SpanFault::TooOld);
    assert_eq!(refused.to_string(), "trace_id: 1, too_old: 2");
    let accepted = Accepted { spans: 5, refused, message: "two are too old".to_owned() };
    let decoded = otlp::ExportTraceServiceResponse::decode(taken_protobuf(&accepted)).unwrap();
    let partial = decoded.partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (3, "two are too old"));
    let json: serde_json::Value = serde_json::from_slice(&taken_json(&accepted)).unwrap();
    assert_eq!(json["partialSuccess"]["rejectedSpans"], "3");
    assert_eq!(json["partialSuccess"]["errorMessage"], "two are too old");
}
