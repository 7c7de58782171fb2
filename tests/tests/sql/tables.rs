//! What the tables are to a person: columns, attributes in all places, plans that say what was read.

use std::sync::Arc;

use siltstone_format::span::Span;
use siltstone_format::tenant::Tenant;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use siltstone_tests::sql_rows::sql_rows as rows;
use siltstone_traffic::{Traffic, TrafficConfig};

use crate::clause::Column;

struct Scene {
    querier: Arc<Querier>,
    spans: Vec<Span>,
    /// The store must live as long as the querier asks it.
    _world: QueryWorld,
}

async fn scene() -> Scene {
    let config = TrafficConfig { spans: 3_000, seed: 3, ..TrafficConfig::default() };
    let spans: Vec<Span> =
        Traffic::new(config).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>()).collect();
    let world = QueryWorld::new().await;
    world.flush(&spans).await;
    world.merge(1_000).await;
    Scene { querier: world.querier(QueryLimits::default()), spans, _world: world }
}

fn text(rows: &[Vec<Option<String>>]) -> String {
    rows.iter().flatten().flatten().cloned().collect::<Vec<_>>().join("\n")
}

const METHOD: &str = "http.request.method";

#[tokio::test(flavor = "multi_thread")]
async fn attributes_mean_the_same_wherever_they_stand() {
    let Scene { querier, spans, _world } = scene().await;
    let methods: Vec<String> = spans.iter().filter_map(|span| Column::Span(METHOD).of(span)).collect();
    let gets = methods.iter().filter(|method| *method == "GET").count();
    let mut distinct: Vec<_> = methods.clone();
    distinct.sort();
    distinct.dedup();
    assert!(gets > 10 && distinct.len() > 1);
    let m = "span_attributes['http.request.method']";
    let count = [[Some(gets.to_string())]];
    for statement in [
        format!("SELECT count(*) FROM spans WHERE {m} = 'GET'"),
        format!("SELECT count(*) FILTER (WHERE {m} = 'GET') FROM spans"),
        format!("SELECT sum(CASE WHEN {m} = 'GET' THEN 1 ELSE 0 END) FROM spans"),
        format!("SELECT count(*) FROM (SELECT {m} AS m FROM spans) WHERE m = 'GET'"),
        format!("SELECT count(*) FROM (SELECT span_attributes AS a FROM spans) WHERE a['{METHOD}'] = 'GET'"),
        format!("WITH s AS (SELECT * FROM spans) SELECT count(*) FROM s WHERE {m} = 'GET'"),
        format!(
            "SELECT count(*) FROM spans a JOIN spans b USING (trace_id, span_id) WHERE a.{m} = 'GET' AND b.{m} = 'GET'"
        ),
        format!(
            "SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY {m} ORDER BY start_time) AS n, {m} AS m FROM spans) WHERE m = 'GET'"
        ),
        format!(
            "SELECT count(*) FROM spans WHERE {m} IN (SELECT DISTINCT {m} FROM spans WHERE {m} LIKE 'GE%')"
        ),
        format!(
            "SELECT count(*) FROM (SELECT {m} AS m FROM spans ORDER BY upper({m}) LIMIT 1000000) WHERE m = 'GET'"
        ),
        format!(
            "SELECT count(*) FROM (SELECT {m} AS m FROM spans WHERE {m} = 'GET' UNION ALL SELECT name FROM spans WHERE false)"
        ),
    ] {
        assert_eq!(rows(&querier, &statement).await, count, "{statement}");
    }
    let most = format!(
        "SELECT max(n) FROM (SELECT row_number() OVER (PARTITION BY {m}) AS n FROM spans WHERE {m} IS NOT NULL)"
    );
    let largest =
        distinct.iter().map(|one| methods.iter().filter(|method| *method == one).count()).max().unwrap();
    assert_eq!(rows(&querier, &most).await, [[Some(largest.to_string())]]);
    let found = rows(&querier, &format!("SELECT DISTINCT {m} FROM spans WHERE {m} IS NOT NULL")).await;
    assert_eq!(found, distinct.into_iter().map(|method| vec![Some(method)]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_read() {
    let Scene { querier, _world, .. } = scene().await;
    for (statement, columns) in [
        (
            "SELECT name, span_attributes['http.route'] FROM spans WHERE span_attributes['http.request.method'] = 'GET'",
            ["span_attributes[http.route]", "span_attributes[http.request.method]"],
        ),
        (
            "SELECT resource_attributes['k8s.pod.name'], upper(span_attributes['http.route']) AS r, count(*) FROM spans GROUP BY 1, 2",
            ["resource_attributes[k8s.pod.name]", "span_attributes[http.route]"],
        ),
        (
            "SELECT avg(CAST(span_attributes['http.response.status_code'] AS DOUBLE)) FROM spans WHERE span_attributes['http.response.status_code'] >= 500",
            ["span_attributes[http.response.status_code]", "number_ge"],
        ),
    ] {
        let plan = text(&rows(&querier, &format!("EXPLAIN {statement}")).await);
        let scan = plan.lines().find(|line| line.contains("SpansExec")).unwrap_or_else(|| panic!("{plan}"));
        let read = scan.split(']').collect::<String>();
        assert!(columns.iter().all(|column| plan.contains(column)), "{plan}");
        assert!(!read.contains("span_attributes,") && !read.contains("attributes="), "{scan}");
        assert!(!scan.contains("span_attributes,") && !scan.contains("span_attributes]"), "{scan}");
    }
    for (statement, is_counted) in [
        ("SELECT service_name, count(*) FROM spans GROUP BY 1", true),
        ("SELECT DISTINCT kind, name FROM spans WHERE start_time > '2020-01-01'", true),
        ("SELECT name, count(*) FROM spans WHERE start_time > '2020-01-01' GROUP BY 1 LIMIT 1", true),
        ("SELECT service_name, count(span_attributes['a']) FROM spans GROUP BY 1", false),
        ("SELECT service_name, count(*) FROM spans WHERE duration > 5 GROUP BY 1", false),
        ("SELECT service_name, count(*) FILTER (WHERE kind = 'server') FROM spans GROUP BY 1", false),
        ("SELECT service_name, count(DISTINCT name) FROM spans GROUP BY 1", true),
        ("SELECT kind, count(*) FROM (SELECT * FROM spans LIMIT 7) GROUP BY 1", false),
    ] {
        let plan = text(&rows(&querier, &format!("EXPLAIN {statement}")).await);
        assert_eq!(plan.contains(", counted"), is_counted, "{statement}\n{plan}");
    }
    // A filter may be wrong about one value in a hundred.
    let mut read = 0;
    for number in 0..20 {
        let statement =
            format!("SELECT count(*) FROM spans WHERE span_attributes['http.route'] = '/brew/{number}'");
        let plan = text(&rows(&querier, &format!("EXPLAIN ANALYZE {statement}")).await);
        let scan = plan.lines().find(|line| line.contains("SpansExec")).unwrap_or_else(|| panic!("{plan}"));
        for counter in ["requests=", "bytes=", "pruned_blocks=", "scanned_rows=0", "collapsed_spans=0"] {
            assert!(scan.contains(counter), "{counter} {scan}");
        }
        read += usize::from(!scan.contains("read_blocks=0"));
    }
    assert!(read <= 2, "{read} of 20 values that nobody has were looked for in blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_reads_a_few_rows_and_ids_read_a_few_pages() {
    let Scene { querier, spans, _world } = scene().await;
    assert_eq!(rows(&querier, "SELECT * FROM spans LIMIT 7").await.len(), 7);
    let trace = spans[40].trace_id;
    let right = spans.iter().filter(|span| span.trace_id == trace).count();
    let by_id = rows(&querier, &format!("SELECT span_id FROM spans WHERE trace_id = '{trace}'")).await;
    assert_eq!(by_id.len(), right);
    let plan =
        text(&rows(&querier, &format!("EXPLAIN SELECT span_id FROM spans WHERE trace_id = '{trace}'")).await);
    assert!(plan.contains("traces=1"), "{plan}");
    let nobody =
        rows(&querier, "SELECT span_id FROM spans WHERE trace_id = 'ABC' OR trace_id IN ('x')").await;
    assert!(nobody.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_links_and_maps_are_whole() {
    let Scene { querier, spans, _world } = scene().await;
    let events: usize = spans.iter().map(|span| span.events.len()).sum();
    assert!(events > 0);
    let found =
        rows(&querier, "SELECT sum(array_length(events)) FROM spans WHERE array_length(events) > 0").await;
    assert_eq!(found, [[Some(events.to_string())]]);
    let with_kind = rows(
        &querier,
        "SELECT count(*) FROM (SELECT unnest(events) AS e FROM spans) WHERE e['attributes']['exception.type'] IS NOT NULL",
    )
    .await;
    let right = spans
        .iter()
        .flat_map(|span| &span.events)
        .filter(|event| event.attributes.iter().any(|attribute| attribute.key == "exception.type"))
        .count();
    assert_eq!(with_kind, [[Some(right.to_string())]]);
    let keys: usize = spans.iter().map(|span| span.attributes.len()).sum();
    let found = rows(&querier, "SELECT sum(cardinality(span_attributes)) FROM spans").await;
    assert_eq!(found, [[Some(keys.to_string())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_explain_themselves() {
    let Scene { querier, _world, .. } = scene().await;
    let tables = text(&rows(&querier, "SHOW TABLES").await);
    assert!(tables.contains("spans"), "{tables}");
    let columns = text(&rows(&querier, "DESCRIBE spans").await);
    for column in ["trace_id", "start_time", "duration", "service_name", "span_attributes", "events"] {
        assert!(columns.contains(column), "{columns}");
    }
    let other: Tenant = "other".parse().unwrap();
    let mut answer = querier.sql(&other, "SELECT count(*) FROM spans").await.unwrap();
    let batch = answer.next().await.unwrap().unwrap();
    let count = datafusion::arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap();
    assert_eq!(count, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_nobody_has_is_named_with_what_may_be_meant() {
    let Scene { querier, _world, .. } = scene().await;
    for (clause, hint) in [
        (
            "span_attributes['http.request.metod'] = 'GET'",
            "`http.request.metod` has no column of span_attributes in the newest blocks: did you mean `http.request.method`?",
        ),
        (
            "resource_attributes['k8s.pod.names'] = 'x'",
            "`k8s.pod.names` has no column of resource_attributes in the newest blocks: did you mean `k8s.pod.name`?",
        ),
    ] {
        let statement = format!("SELECT count(*) FROM spans WHERE {clause}");
        let mut answer = querier.sql(&Tenant::single(), &statement).await.unwrap();
        while let Some(batch) = answer.next().await {
            batch.unwrap();
        }
        assert_eq!(answer.hints().await.unwrap(), [hint], "{clause}");
    }
    let known = "SELECT count(*) FROM spans WHERE span_attributes['http.request.method'] = 'BREW'";
    let mut answer = querier.sql(&Tenant::single(), known).await.unwrap();
    while answer.next().await.is_some() {}
    assert!(answer.hints().await.unwrap().is_empty());
}

/// A plan that does not know when it began cannot say what `now()` is.
#[tokio::test(flavor = "multi_thread")]
async fn now_is_one_moment_that_clauses_and_rows_agree_on() {
    let Scene { querier, spans, _world } = scene().await;
    let all = [[Some(spans.len().to_string())]];
    let count = |clause: &str| format!("SELECT count(*) FROM spans WHERE {clause}");
    // The spans are generated of a time that is over.
    assert_eq!(rows(&querier, &count("start_time < now()")).await, all);
    assert_eq!(rows(&querier, &count("start_time > now() - interval '200 years'")).await, all);
    let none = count("start_time > now() + interval '1 hour'");
    assert_eq!(rows(&querier, &none).await, [[Some("0".to_owned())]]);
    let plan = text(&rows(&querier, &format!("EXPLAIN {none}")).await);
    assert!(plan.contains("blocks=0"), "{plan}");
    let traces =
        rows(&querier, "SELECT count(*) FROM traces WHERE start_time > now() + interval '1 hour'").await;
    assert_eq!(traces, [[Some("0".to_owned())]]);
}
