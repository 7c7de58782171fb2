//! Metrics that there are, under the names that senders of them have.

use siltstone_ask::closest;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Spans, by service, name, kind and status.
    Spans,
    /// Calls between services, by who called and who was called.
    Calls,
}

/// What is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Total,
    Failed,
    Sum,
    Buckets,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) family: Family,
    pub(super) part: Part,
    /// Of durations, in what they are given.
    pub(super) nanos_of_unit: f64,
}

const MILLISECOND: f64 = 1e6;
const SECOND: f64 = 1e9;

const COUNTERS: [(&str, Family, Part); 5] = [
    ("traces_spanmetrics_calls_total", Family::Spans, Part::Total),
    ("traces_span_metrics_calls_total", Family::Spans, Part::Total),
    ("traces_span_metrics_calls", Family::Spans, Part::Total),
    ("traces_service_graph_request_total", Family::Calls, Part::Total),
    ("traces_service_graph_request_failed_total", Family::Calls, Part::Failed),
];

const DURATIONS: [(&str, Family, f64); 5] = [
    ("traces_spanmetrics_latency", Family::Spans, SECOND),
    ("traces_span_metrics_duration_milliseconds", Family::Spans, MILLISECOND),
    ("traces_span_metrics_duration_seconds", Family::Spans, SECOND),
    ("traces_span_metrics_duration", Family::Spans, MILLISECOND),
    ("traces_service_graph_request_server_seconds", Family::Calls, SECOND),
];

const PARTS: [(&str, Part); 3] = [("_bucket", Part::Buckets), ("_sum", Part::Sum), ("_count", Part::Total)];

impl Metric {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let counter = COUNTERS.iter().find(|(known, ..)| *known == name);
        if let Some((_, family, part)) = counter {
            return Some(Self { family: *family, part: *part, nanos_of_unit: SECOND });
        }
        DURATIONS.iter().find_map(|(known, family, nanos_of_unit)| {
            let suffix = name.strip_prefix(known)?;
            let (_, part) = PARTS.iter().find(|(known, _)| *known == suffix)?;
            Some(Self { family: *family, part: *part, nanos_of_unit: *nanos_of_unit })
        })
    }
}

/// All names, for whoever has mistaken one.
pub(super) fn all() -> Vec<String> {
    let counters = COUNTERS.iter().map(|(name, ..)| (*name).to_owned());
    let durations = DURATIONS
        .iter()
        .flat_map(|(name, ..)| PARTS.iter().map(move |(suffix, _)| format!("{name}{suffix}")));
    counters.chain(durations).collect()
}

/// Counters, and histograms without the names of their parts.
pub(super) fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    let counters = COUNTERS.iter().map(|(name, ..)| (*name, "counter"));
    counters.chain(DURATIONS.iter().map(|(name, ..)| (*name, "histogram")))
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::Spans, Self::Calls];

    /// Labels that its series may have.
    pub(super) fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["service", "service_name", "span_kind", "span_name", "status_code"],
            Self::Calls => &["client", "connection_type", "server"],
        }
    }
}

/// What is said to whoever asks for another one.
pub(super) fn unknown(name: &str) -> String {
    let all = all();
    match closest(name, all.iter().map(String::as_str)) {
        Some(meant) => format!("there is no metric `{name}`: did you mean `{meant}`?"),
        None => format!("there is no metric `{name}`; there are {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_know_each_name_that_it_says_it_knows() {
        for name in all() {
            assert!(Metric::of_name(&name).is_some(), "{name}");
        }
        let latency = Metric::of_name("traces_span_metrics_duration_milliseconds_bucket").unwrap();
        assert_eq!(
            (latency.family, latency.part, latency.nanos_of_unit),
            (Family::Spans, Part::Buckets, 1e6)
        );
        assert_eq!(Metric::of_name("traces_spanmetrics_latency"), None);
        assert!(
            unknown("traces_spanmetric_calls_total")
                .contains("did you mean `traces_spanmetrics_calls_total`")
        );
        assert!(unknown("up").contains("there are traces_spanmetrics_calls_total, "));
    }
}
