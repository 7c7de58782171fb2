//! What a sender is told about spans that were refused while their neighbours were taken.

use std::fmt::Write;

use siltstone_format::tenant::Tenant;

use crate::export::{Refusals, SpanFault};
use crate::limits::{LimitExceeded, Limits};

/// One sentence for each fault; empty if nothing was refused.
pub(crate) fn explain(tenant: &Tenant, limits: &Limits, refused: &Refusals) -> String {
    let mut text = String::new();
    for (fault, count) in refused.iter() {
        let separator = if text.is_empty() { "" } else { "; " };
        let spans = if count == 1 { "span" } else { "spans" };
        // A `String` takes all that is written to it.
        let _ = write!(text, "{separator}{count} {spans}: {}", sentence(tenant, limits, fault));
    }
    text
}

fn sentence(tenant: &Tenant, limits: &Limits, fault: SpanFault) -> String {
    let limit = |name, value: u64| LimitExceeded::new(tenant, name, value, None).to_string();
    match fault {
        SpanFault::Malformed => "not a span by the protocol".to_owned(),
        SpanFault::TraceId => "a trace id must have 16 bytes that are not all zero".to_owned(),
        SpanFault::SpanId => "a span id must have 8 bytes that are not all zero".to_owned(),
        SpanFault::ParentSpanId => "a parent span id must have 8 bytes, or be empty".to_owned(),
        SpanFault::LinkId => "the ids of a link must have 16 and 8 bytes".to_owned(),
        SpanFault::NotUtf8 => "a text is not UTF-8".to_owned(),
        SpanFault::TooDeep => {
            format!("a value is nested deeper than {} levels", siltstone_format::value::MAX_NESTING)
        }
        SpanFault::TooOld => {
            let keep = limits.longest_keep.map_or(0, |keep| keep.as_secs());
            format!("started before all that is kept: {}", limit("longest_keep", keep))
        }
        SpanFault::TooNew => "started more than a day from now; is the sender's clock right?".to_owned(),
        SpanFault::AttributeTooLarge => limit("attribute_bytes", limits.attribute_bytes as u64),
        SpanFault::TooManySpans => limit("spans_per_request", limits.spans_per_request as u64),
        SpanFault::Deleted => "their trace was deleted less than a day ago".to_owned(),
        SpanFault::TooManyParts => {
            "the request has more events, links and different attributes than memory for one \
            (a twelfth of ingest.memory): send fewer spans at once"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_say_how_many_why_and_what_to_set() {
        let mut refused = Refusals::default();
        let limits = Limits { attribute_bytes: 100, ..Limits::default() };
        let tenant = Tenant::single();
        assert_eq!(explain(&tenant, &limits, &refused), "");
        refused.add(SpanFault::TraceId);
        refused.add(SpanFault::AttributeTooLarge);
        refused.add(SpanFault::AttributeTooLarge);
        let text = explain(&tenant, &limits, &refused);
        assert!(text.starts_with("1 span: a trace id must"), "{text}");
        assert!(
            text.contains("; 2 spans: tenant `default` is over its limit attribute_bytes = 100"),
            "{text}"
        );
        assert!(text.contains("limits.default.attribute_bytes"), "{text}");
    }
}
