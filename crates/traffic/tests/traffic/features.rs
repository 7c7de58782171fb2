//! Everything unusual that real traces hold is there, and as rare as it should be.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use siltstone_traffic::{Shares, Traffic, TrafficConfig};

use crate::{Sent, batches, sent, string, value};

static SENT: LazyLock<Vec<Sent>> = LazyLock::new(|| sent(batches(200_000)));

fn count(condition: impl Fn(&Span) -> bool) -> usize {
    SENT.iter().filter(|sent| condition(&sent.span)).count()
}

fn spans_by_id() -> HashMap<&'static [u8], &'static Span> {
    SENT.iter().map(|sent| (sent.span.span_id.as_slice(), &sent.span)).collect()
}

#[test]
fn should_have_errors_with_stack_traces() {
    let errors = count(|span| span.status.as_ref().is_some_and(|status| status.code == 2));
    assert!((100..4_000).contains(&errors), "{errors}");
    let traces: Vec<&str> = SENT
        .iter()
        .flat_map(|sent| &sent.span.events)
        .filter(|event| event.name == "exception")
        .filter_map(|event| string(&event.attributes, "exception.stacktrace"))
        .collect();
    assert!(traces.len() > 50, "{}", traces.len());
    assert!(traces.iter().all(|trace| trace.lines().count() >= 7 && trace.len() > 300));
    assert!(count(|span| span.status.as_ref().is_some_and(|status| !status.message.is_empty())) > 50);
}

#[test]
fn should_have_retries_beside_the_call_that_failed() {
    let mut failed = HashSet::new();
    for Sent { span, .. } in SENT.iter() {
        if span.status.as_ref().is_some_and(|status| status.code == 2) {
            failed.insert((&span.parent_span_id, &span.name));
        }
    }
    let retries: Vec<&Span> = SENT
        .iter()
        .map(|sent| &sent.span)
        .filter(|span| {
            ["http.request.resend_count", "app.retry.count"]
                .iter()
                .any(|key| value(&span.attributes, key).is_some())
        })
        .collect();
    assert!(retries.len() > 50, "{}", retries.len());
    let paired = retries.iter().filter(|span| failed.contains(&(&span.parent_span_id, &span.name))).count();
    // The failed attempt is sent by the same pod, but may be the parent that went missing.
    assert!(paired as f64 > retries.len() as f64 * 0.95, "{paired} of {}", retries.len());
}

#[test]
fn should_link_consumers_to_producers() {
    let by_id = spans_by_id();
    let linked: Vec<&Span> =
        SENT.iter().map(|sent| &sent.span).filter(|span| !span.links.is_empty()).collect();
    assert!(linked.len() > 20, "{}", linked.len());
    assert!(linked.iter().any(|span| span.links.len() > 1));
    for span in linked {
        assert_eq!(span.kind, SpanKind::Consumer as i32);
        for producer in span.links.iter().filter_map(|link| by_id.get(link.span_id.as_slice())) {
            assert_eq!(producer.kind, SpanKind::Producer as i32);
            assert_ne!(producer.trace_id, span.trace_id);
        }
    }
}

#[test]
fn should_miss_the_root_or_a_parent_of_some_traces() {
    let by_id = spans_by_id();
    let mut traces: HashMap<&[u8], (bool, bool)> = HashMap::new();
    for Sent { span, .. } in SENT.iter() {
        let (has_root, has_orphan) = traces.entry(&span.trace_id).or_default();
        *has_root |= span.parent_span_id.is_empty();
        *has_orphan |= !span.parent_span_id.is_empty() && !by_id.contains_key(span.parent_span_id.as_slice());
    }
    let all = traces.len() as f64;
    let rootless = traces.values().filter(|(has_root, _)| !has_root).count() as f64;
    let torn = traces.values().filter(|(has_root, has_orphan)| *has_root && *has_orphan).count() as f64;
    assert!((0.002..0.015).contains(&(rootless / all)), "{rootless} of {all}");
    assert!((0.000_5..0.01).contains(&(torn / all)), "{torn} of {all}");
}

#[test]
fn should_have_clocks_that_are_wrong() {
    let by_id = spans_by_id();
    let before_parent = |span: &Span| {
        by_id
            .get(span.parent_span_id.as_slice())
            .is_some_and(|parent| span.start_time_unix_nano < parent.start_time_unix_nano)
    };
    let skewed = count(before_parent);
    assert!((200..SENT.len() / 20).contains(&skewed), "{skewed}");
    let shares = Shares { skewed_pods: 0.0, ..Shares::default() };
    let right = sent(Traffic::new(TrafficConfig { spans: 20_000, shares, ..TrafficConfig::default() }));
    let starts: HashMap<_, _> =
        right.iter().map(|sent| (&sent.span.span_id, sent.span.start_time_unix_nano)).collect();
    for Sent { span, .. } in &right {
        // A coarse clock may still round a start down by up to a microsecond.
        let parent = starts.get(&span.parent_span_id).copied().unwrap_or_default();
        assert!(span.start_time_unix_nano + 1_000 >= parent);
    }
}

#[test]
fn should_have_every_kind_and_system() {
    for kind in 1..=5 {
        assert!(count(|span| span.kind == kind) > 100, "kind {kind}");
    }
    for (key, wanted) in [
        ("db.system.name", "postgresql"),
        ("db.system.name", "redis"),
        ("db.system.name", "elasticsearch"),
        ("messaging.system", "kafka"),
        ("rpc.system", "grpc"),
        ("rpc.system", "aws-api"),
        ("http.request.method", "POST"),
    ] {
        assert!(count(|span| string(&span.attributes, key) == Some(wanted)) > 50, "{key} = {wanted}");
    }
}

#[test]
fn should_have_values_of_every_common_type_and_a_key_with_two() {
    let has = |key: &'static str, is: fn(&Value) -> bool| {
        count(|span| value(&span.attributes, key).is_some_and(is))
    };
    assert!(has("http.response.status_code", |value| matches!(value, Value::IntValue(_))) > 1_000);
    assert!(has("cache.hit", |value| matches!(value, Value::BoolValue(_))) > 1_000);
    assert!(has("app.queue.lag_seconds", |value| matches!(value, Value::DoubleValue(_))) > 100);
    assert!(has("http.request.header.x-forwarded-for", |value| matches!(value, Value::ArrayValue(_))) > 20);
    assert!(has("app.order.id", |value| matches!(value, Value::IntValue(_))) > 100);
    assert!(has("app.order.id", |value| matches!(value, Value::StringValue(_))) > 100);
}

#[test]
fn should_have_the_small_print_of_spans() {
    assert!(count(|span| !span.trace_state.is_empty()) > 100);
    assert!((1..500).contains(&count(|span| span.dropped_attributes_count > 0)));
    assert!(count(|span| span.end_time_unix_nano == span.start_time_unix_nano) > 20);
    assert_eq!(count(|span| span.end_time_unix_nano < span.start_time_unix_nano), 0);
    for flags in [0x1, 0x101, 0x301] {
        assert!(count(|span| span.flags == flags) > 100, "{flags:#x}");
    }
}

#[test]
fn should_have_requests_that_outlive_their_callers() {
    let by_id = spans_by_id();
    let outlived = count(|span| {
        span.kind == SpanKind::Server as i32
            && by_id.get(span.parent_span_id.as_slice()).is_some_and(|parent| {
                value(&parent.attributes, "error.type")
                    == Some(&Value::StringValue("DEADLINE_EXCEEDED".into()))
                    && span.end_time_unix_nano > parent.end_time_unix_nano
            })
    });
    assert!(outlived > 5, "{outlived}");
}
