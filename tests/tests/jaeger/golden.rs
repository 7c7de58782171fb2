//! Every endpoint's answers, letter by letter.

use crate::fixture::{LARGE, SHORT, shop};
use crate::requests::Http;

/// All spans of the fixture, in microseconds.
const TIMES: &str = "start=1699999999000000&end=1700000001000000";
/// The same as the other generation says it.
const TIMES_V3: &str =
    "query.startTimeMin=2023-11-14T22:13:19.000Z&query.startTimeMax=2023-11-14T22:13:21.000Z";

async fn told(http: &Http, paths: &[String]) -> String {
    let mut all = String::new();
    for path in paths {
        let (method, reply) = match path.strip_prefix("POST ") {
            Some(path) => ("POST", http.post(path, "").await),
            None => ("GET", http.get(path).await),
        };
        let path = path.trim_start_matches("POST ");
        all.push_str(&format!("{method} {path}\n{}\n\n", reply.to_string().trim_end()));
    }
    all
}

/// Answers to these.
async fn answers(paths: &[&str]) -> String {
    let fill = |path: &&str| {
        let path = path.replace("{TIMES}", TIMES).replace("{TIMES_V3}", TIMES_V3);
        path.replace("{LARGE}", LARGE).replace("{SHORT}", SHORT)
    };
    let paths: Vec<String> = paths.iter().map(fill).collect();
    told(&shop().await, &paths).await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_operations() {
    let paths = [
        "/api/services",
        "/api/services/shop/operations",
        "/api/services/team/cart/operations",
        "/api/services/team%2Fcart/operations",
        "/api/services/team%252Fcart/operations",
        "/api/services/OTLPResourceNoServiceName/operations",
        "/api/services/nobody/operations",
        "/api/services/shop",
        "/api/operations?service=shop",
        "/api/operations?service=shop&spanKind=client",
        "/api/operations?service=nobody",
        "/api/operations",
        "/api/operations?service=shop&spanKind=sever",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_in_all_its_parts() {
    insta::assert_snapshot!(answers(&["/api/traces/{LARGE}?prettyPrint=true"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_by_id() {
    let paths = [
        "/api/traces/{SHORT}",
        "/api/traces/AB",
        "/api/traces/ab?raw=true",
        "/api/traces/AAAAAAAAAAAAAAAAAAAAqw==",
        // The time of another age: milliseconds where microseconds are due, as Grafana sends them.
        "/api/traces/ab?start=1600000000000&end=1600000001000",
        "/api/traces/090a0b0c0d0e0f10",
        "/api/traces/000102030405060708090a0b0c0d0e0f10",
        "/api/traces/xyz",
        "/api/traces/ab?start=soon",
        "/api/traces/ab?end=1.5",
        "/api/traces/ab?raw=maybe",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_and_what_is_wrong_with_them() {
    let paths = [
        "/api/traces?service=OTLPResourceNoServiceName&{TIMES}",
        // In milliseconds.
        "/api/traces?service=OTLPResourceNoServiceName&start=1699999999000&end=1700000001000",
        "/api/traces?service=shop&operation=poll&{TIMES}",
        // The last two days.
        "/api/traces?service=shop",
        "/api/traces?traceID=ab&traceID=ffff",
        "/api/traces",
        "/api/traces?service=&operation=x",
        "/api/traces?service=shop&start=yesterday",
        "/api/traces?service=shop&end=-",
        "/api/traces?service=shop&limit=ten",
        "/api/traces?service=shop&limit=2147483648",
        "/api/traces?service=shop&minDuration=10",
        "/api/traces?service=shop&maxDuration=1fortnight",
        "/api/traces?service=shop&minDuration=2s&maxDuration=1s",
        "/api/traces?service=shop&tag=key",
        "/api/traces?service=shop&tags=%7B%22a%22%3A1%7D",
        "/api/traces?service=shop&tags=a%3Db",
        "/api/traces?service=shop&raw=2",
        "/api/traces?traceID=xyz",
        "/api/traces?traceID=000102030405060708090a0b0c0d0e0f10",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn archive() {
    let paths = [
        "POST /api/archive/{LARGE}",
        "POST /api/archive/AB?start=1600000000000&end=1600000001000",
        "POST /api/archive/ffff",
        "POST /api/archive/xyz",
        "POST /api/archive/000102030405060708090a0b0c0d0e0f10",
        "POST /api/archive/ab?start=soon",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies() {
    let paths = [
        "/api/dependencies?endTs=1700000001000&lookback=604800000",
        "/api/dependencies?endTs=1700000001000&lookback=604800000&service=team%2Fcart",
        "/api/dependencies?endTs=1700000001000&service=nobody",
        "/api/dependencies",
        "/api/dependencies?endTs=now",
        "/api/dependencies?lookback=1h",
        "/api/v3/dependencies?startTime=2023-11-14T00:00:00Z&endTime=2023-11-15T00:00:00Z",
        "/api/v3/dependencies?start_time=2023-11-15T00:00:00Z&end_time=2023-11-16T00:00:00Z",
        "/api/v3/dependencies?startTime=2023-11-14T00:00:00Z",
        "/api/v3/dependencies?startTime=14&endTime=15",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics() {
    const AT: &str = "endTs=1700000040000&lookback=60000&step=30000&ratePer=60000";
    let paths = [
        "/api/metrics/calls?service=shop&service=team%2Fcart&{AT}",
        "/api/metrics/calls?service=shop&spanKind=client&spanKind=server&groupByOperation=true&{AT}",
        "/api/metrics/latencies?service=team%2Fcart&quantile=0.95&{AT}",
        "/api/metrics/errors?service=team%2Fcart&{AT}",
        "/api/metrics/errors?service=shop&{AT}",
        "/api/metrics/errors?service=nobody&groupByOperation=t&{AT}",
        "/api/metrics/minstep",
        "/api/metrics/calls",
        "/api/metrics/latencies?service=shop",
        "/api/metrics/latencies?service=shop&quantile=2",
        "/api/metrics/calls?service=shop&step=x",
        "/api/metrics/calls?service=shop&ratePer=0",
        "/api/metrics/calls?service=shop&step=1",
        "/api/metrics/calls?service=shop&spanKind=sever",
        "/api/metrics/calls?service=shop&groupByOperation=yes",
        "/api/metrics/other?service=shop",
    ];
    let paths = paths.map(|path| path.replace("{AT}", AT));
    insta::assert_snapshot!(told(&shop().await, &paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_otlp() {
    let http = shop().await;
    let file = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
        "scopeSpans":[{"spans":[
            {"traceId":"00000000000000000000000000000002","spanId":"0000000000000001","name":"second",
             "startTimeUnixNano":"1700000000000001999","endTimeUnixNano":"1700000000000003998"},
            {"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","name":"first",
             "startTimeUnixNano":"5000","endTimeUnixNano":"4000"},
            {"traceId":"00000000000000000000000000000002","spanId":"0000000000000001","name":"second",
             "startTimeUnixNano":"1700000000000001999","endTimeUnixNano":"1700000000000003998"},
            {"traceId":"none"}]}]}]}"#;
    let mut all = String::new();
    for body in [file, "{}", "{\"resourceSpans\":7}", "not JSON"] {
        all.push_str(&format!(
            "{}\n\n",
            http.post("/api/transform", body.to_owned()).await.to_string().trim_end()
        ));
    }
    insta::assert_snapshot!(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there() {
    let paths = [
        "/api",
        "/api/",
        "/api/config",
        "/api/quality-metrics?service=shop",
        "/api/deep-dependencies",
        "/api/v3/x",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_names() {
    let paths = [
        "/api/v3/services",
        "/api/v3/operations?service=shop",
        "/api/v3/operations?service=shop&spanKind=SERVER",
        "/api/v3/operations?service=shop&span_kind=client",
        "/api/v3/operations?service=nobody",
        "/api/v3/operations",
        "/api/v3/operations?service=shop&spanKind=sever",
    ];
    insta::assert_snapshot!(answers(&paths).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_a_trace_in_all_its_parts() {
    insta::assert_snapshot!(answers(&["/api/v3/traces/{LARGE}?prettyPrint=true"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_traces_and_summaries() {
    let paths = [
        "/api/v3/traces/AB",
        // Nobody encoded the plus.
        "/api/v3/traces/ab?start_time=2023-11-14T22:13:20+02:00&end_time=2023-11-14T22:13:21 02:00&raw_traces=true",
        "/api/v3/traces/ffff",
        "/api/v3/traces/xyz",
        "/api/v3/traces/000102030405060708090a0b0c0d0e0f10",
        "/api/v3/traces/ab?startTime=1700000000000000",
        "/api/v3/traces/ab?rawTraces=maybe",
        "/api/v3/traces?query.serviceName=OTLPResourceNoServiceName&{TIMES_V3}",
        "/api/v3/traces?query.service_name=nobody&{TIMES_V3}",
        "/api/v3/traces?query.serviceName=shop",
        "/api/v3/traces?query.startTimeMin=2023-11-14T22:13:20Z&query.startTimeMax=2023-11-14T22:13:20Z",
        "/api/v3/traces?query.startTimeMin=14&query.startTimeMax=15",
        "/api/v3/traces?{TIMES_V3}&query.durationMin=5",
        "/api/v3/traces?{TIMES_V3}&query.durationMin=2s&query.durationMax=1s",
        "/api/v3/traces?{TIMES_V3}&query.searchDepth=many",
        "/api/v3/traces?{TIMES_V3}&query.attributes=%5B%5D",
        "/api/v3/traces?{TIMES_V3}&query.rawTraces=2",
        "/api/v3/trace-summaries?{TIMES_V3}",
        "/api/v3/trace-summaries?{TIMES_V3}&query.num_traces=1&query.attributes=%7B%22error%22%3A%22true%22%7D",
        "/api/v3/trace-summaries?{TIMES_V3}&query.serviceName=nobody",
        "/api/v3/trace-summaries?query.serviceName=shop",
    ];
    let paths = paths.map(|path| path.replace(" 02:00", "%2002:00"));
    insta::assert_snapshot!(answers(&paths.each_ref().map(String::as_str)).await);
}
