use super::*;
use crate::prometheus::names::{Family, Part};

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn should_read_what_jaeger_and_grafana_ask() {
    for text in [
        // Jaeger's reader of metrics.
        "histogram_quantile(0.95, sum(rate(traces_span_metrics_duration_milliseconds_bucket{service_name =~ \"cart|shop\", span_kind =~ \"SPAN_KIND_SERVER\"}[10m])) by (service_name,span_name,le))",
        "sum(rate(traces_span_metrics_calls_total{service_name =~ \"cart\", span_kind =~ \"SPAN_KIND_SERVER\"}[10m])) by (service_name)",
        "sum(rate(traces_span_metrics_calls_total{service_name =~ \"a\", status_code = \"STATUS_CODE_ERROR\", span_kind =~ \"b\"}[10m])) by (service_name) / sum(rate(traces_span_metrics_calls_total{service_name =~ \"a\", span_kind =~ \"b\"}[10m])) by (service_name)",
        // Grafana's graph of services.
        "sum by (client, server) (rate(traces_service_graph_request_server_seconds_sum{}[3600s]))",
        "histogram_quantile(0.9, sum(rate(traces_service_graph_request_server_seconds_bucket{client=\"a\",}[1h])) by (le, client, server))",
        "topk(5, sum(rate(traces_spanmetrics_calls_total{span_kind=\"SPAN_KIND_SERVER\"}[1h30m])) by (span_name))",
        "topk(5, sum(rate(traces_spanmetrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}[1h])) by (span_name))",
        "sum without(le) (increase(traces_spanmetrics_latency_count[5m])) > 0",
        "1+1",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn should_bind_products_before_sums_before_comparisons() {
    let value = |text: &str| match parse(text).unwrap() {
        Expr::Binary { operator, left, right } => (operator, *left, *right),
        other => panic!("{other:?}"),
    };
    let (operator, left, _) = value("1 + 2 * 3 > 4 - 1");
    assert_eq!(operator, Binary::Greater);
    assert!(matches!(left, Expr::Binary { operator: Binary::Add, .. }));
    let (operator, left, right) = value("8 / 4 / 2");
    assert_eq!((operator, right), (Binary::Divide, Expr::Number(2.0)));
    assert!(matches!(left, Expr::Binary { operator: Binary::Divide, .. }));
    let (operator, _, right) = value("2 * (1 + 1e-3)");
    assert_eq!(operator, Binary::Multiply);
    assert!(matches!(right, Expr::Binary { operator: Binary::Add, .. }));
}

#[test]
fn should_read_selectors() {
    let text = "rate(traces_service_graph_request_failed_total{client!='a\\'b', server!~`x\\d`}[1d2h3ms])";
    let Expr::Rate(rate) = parse(text).unwrap() else { panic!("{text}") };
    assert_eq!((rate.metric.family, rate.metric.part), (Family::Calls, Part::Failed));
    assert_eq!((rate.range_millis, rate.is_per_second), (93_600_003, true));
    let matches = |number: usize, value: &str| rate.matchers[number].matches(value);
    assert!(!matches(0, "a'b") && matches(0, "a") && !matches(1, "x7") && matches(1, "x77"));
}

#[test]
fn should_refuse_by_name_what_is_not_answered() {
    for (text, says) in [
        ("", "at character 1: here stands the end"),
        ("up", "there is no metric `up`"),
        ("rate(up[5m])", "at character 6: there is no metric `up`"),
        ("rate(traces_spanmetrics_cals_total[5m])", "did you mean `traces_spanmetrics_calls_total`"),
        ("traces_spanmetrics_calls_total", "ask for `rate(traces_spanmetrics_calls_total[5m])`"),
        ("irate(traces_spanmetrics_calls_total[5m])", "`irate` is not answered"),
        ("sum(rate(traces_spanmetrics_calls_total[5m] offset 1h))", "`offset` is not answered"),
        ("rate(traces_spanmetrics_calls_total[5m]) or 1", "`or` is not answered"),
        ("1 > bool 2", "`bool` is not answered"),
        ("1 / on(service) 2", "`on` is not answered"),
        ("rate(traces_spanmetrics_calls_total[5m])[1h:]", "subqueries are not answered"),
        ("rate(traces_spanmetrics_calls_total[5x])", "`5x` is no duration"),
        ("rate(traces_spanmetrics_calls_total[0s])", "`0s` is no duration"),
        ("rate(traces_spanmetrics_calls_total{a=~\"(\"}[5m])", "at character 40: `(` is not a regular"),
        ("rate(traces_spanmetrics_calls_total{a=\"\\x\"}[5m])", "means nothing"),
        ("rate(traces_spanmetrics_calls_total{a=\"b}[5m])", "no \" at its end"),
        ("rate(traces_spanmetrics_latency_bucket{le=\"0.5\"}[5m])", "`le` is not chosen"),
        ("rate(traces_spanmetrics_calls_total{__name__=\"a\"}[5m])", "before the braces"),
        ("{a=\"b\"}", "name the metric"),
        ("histogram_quantile(0.5)", "takes 2 arguments, and 1 are given"),
        ("sum(1, 2)", "takes 1 arguments, and 2 are given"),
        ("(1", "`)` is expected"),
        ("1 1", "an operator, or the end"),
        ("1e", "`1e` is no number"),
    ] {
        assert!(problem(text).contains(says), "{text}: {}", problem(text));
    }
    let many = |matcher: &str| format!("rate(traces_spanmetrics_calls_total{{{}}}[5m])", matcher.repeat(65));
    assert!(problem(&many("a=~`\\w{40}`,")).contains("16 regular expressions"));
    assert!(problem(&many("a=`b`,")).contains("64 labels"));
    assert!(problem(&"(".repeat(10_000)).contains("levels deep"));
    assert!(problem(&"-".repeat(10_000)).contains("levels deep"));
    assert!(problem(&"1+".repeat(1_000)).contains("operators"));
    assert!(problem(&"1+".repeat(10_000)).contains("bytes"));
}
