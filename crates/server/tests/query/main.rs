//! Queries through real ports: of the process that ingests, and of another one on the same store.

#![expect(clippy::unwrap_used, reason = "these are tests")]

// The program, and what is asked of it.
mod process;
// A real Jaeger before us.
mod jaeger;
// Merging, as a service and once.
mod merges;
// What a browser sees.
mod page;
// How long traces are kept.
mod retention;
// What spans take.
mod usage;

use serde_json::{Value, json};

use crate::process::Process;

#[expect(
    clippy::disallowed_methods,
    reason = "spans of long ago would be refused, and a process has the real clock"
)]
pub(crate) fn now_nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

fn export(spans: usize) -> String {
    export_from(spans, now_nanos())
}

pub(crate) fn export_from(spans: usize, start: u128) -> String {
    let span = |number: usize| {
        json!({
            "traceId": format!("{:032x}", 1 + number / 2), "spanId": format!("{:016x}", 1 + number),
            "name": "GET /", "kind": 2, "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + 5_000_000).to_string(),
            "attributes": [{"key": "http.response.status_code", "value": {"intValue": (200 + 100 * (number % 4)).to_string()}}],
        })
    };
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let spans: Vec<Value> = (0..spans).map(span).collect();
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string()
}

#[test]
fn spans_are_found_by_sql_at_once_in_this_process_and_in_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let all = Process::start("all", &folder.path().join("one"), &store);
    let (head, body) = all.ask("otlp_http", "POST /v1/traces", &export(100));
    assert!(head.contains(" 200"), "{head}\n{body}");
    let other = Process::start("query", &folder.path().join("two"), &store);
    assert!(other.listen["otlp_http"].is_null());
    for process in [&all, &other] {
        let counted = process.sql(
            "SELECT service_name, count(*) AS spans FROM spans \
             WHERE span_attributes['http.response.status_code'] >= 400 GROUP BY service_name",
        );
        assert_eq!(counted["rows"], json!([{"service_name": "shop", "spans": 50}]), "{counted}");
        assert_eq!(counted["partial"], json!([]));
        let traces = process.sql(
            "SELECT count(*) AS traces, sum(span_count) AS spans FROM traces \
             WHERE start_time > now() - interval '1 hour'",
        );
        assert_eq!(traces["rows"], json!([{"traces": 50, "spans": 100}]));
    }
    let (head, body) =
        all.ask("query", "GET /api/sql?format=csv&q=SELECT+kind,duration+FROM+spans+LIMIT+2", "");
    assert!(head.to_ascii_lowercase().contains("content-type: text/csv"), "{head}");
    assert_eq!(body, "kind,duration\nserver,5000000\nserver,5000000\n");
    // What curl makes of `--data`, and of `--data-urlencode`.
    for body in [
        "SELECT count(*) AS n FROM spans WHERE name = 'GET /'",
        "q=SELECT+count(*)+AS+n+FROM+spans&format=json",
    ] {
        let (_, body) = all.ask_as("application/x-www-form-urlencoded", "query", "POST /api/sql", body);
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["rows"], json!([{"n": 100}]), "{body}");
    }
    all.counts("siltstone_query_queries_total{outcome=\"answered\"} 5");
    for (request, statement, status, says) in [
        ("POST /api/sql", "SELECT service FROM spans", " 400", "service_name"),
        ("POST /api/sql", "DROP TABLE spans", " 400", "only read"),
        ("POST /api/sql", "", " 400", "no statement"),
        ("GET /api/sql?format=xml&q=SELECT+1", "", " 400", "xml"),
        ("GET /api/nothing", "", " 404", "page not found"),
    ] {
        let (head, body) = all.ask("query", request, statement);
        assert!(
            head.lines().next().unwrap().contains(status) && body.contains(says),
            "{statement}: {head}\n{body}"
        );
    }
    other.end();
    all.end();
    // Flushed and committed by the orderly end: without any ingester it is all there.
    let later = Process::start("query", &folder.path().join("three"), &store);
    assert_eq!(later.sql("SELECT count(*) AS n FROM spans")["rows"], json!([{"n": 100}]));
    later.end();
}
