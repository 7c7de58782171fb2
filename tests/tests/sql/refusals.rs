//! What is refused, and what the refusal says.

use std::sync::Arc;
use std::time::Duration;

use siltstone_format::tenant::Tenant;
use siltstone_querier::limits::QueryLimits;
use siltstone_querier::querier::Querier;
use siltstone_querier::sql::SqlError;
use siltstone_tests::decode::request_spans;
use siltstone_tests::query_world::QueryWorld;
use siltstone_traffic::{Traffic, TrafficConfig};

async fn world() -> QueryWorld {
    let config = TrafficConfig { spans: 20_000, seed: 4, ..TrafficConfig::default() };
    let spans: Vec<_> =
        Traffic::new(config).flat_map(|batch| request_spans(&batch.request).collect::<Vec<_>>()).collect();
    let world = QueryWorld::new().await;
    world.flush(&spans).await;
    world.merge(100_000).await;
    world
}

async fn error_of(querier: &Arc<Querier>, statement: &str) -> SqlError {
    let mut answer = match querier.sql(&Tenant::single(), statement).await {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    while let Some(batch) = answer.next().await {
        if let Err(error) = batch {
            return error;
        }
    }
    panic!("{statement}: no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_is_possible() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    for statement in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE spans",
        "INSERT INTO spans SELECT * FROM spans",
        "DELETE FROM spans",
        "UPDATE spans SET name = 'x'",
        "COPY spans TO '/tmp/stolen.csv'",
        "SET datafusion.execution.target_partitions = 1",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "EXPLAIN ANALYZE INSERT INTO spans SELECT * FROM spans",
    ] {
        let error = error_of(&querier, statement).await;
        assert!(
            matches!(error, SqlError::NotReading { .. } | SqlError::Statement(_)),
            "{statement}: {error:?}"
        );
    }
    for statement in
        ["SELECT * FROM '/etc/passwd'", "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT 2", ""]
    {
        let error = error_of(&querier, statement).await;
        assert!(matches!(error, SqlError::Statement(_)), "{statement}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_was_meant() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    for (statement, hint) in [
        ("SELECT service FROM spans", "service_name"),
        ("SELECT durations FROM spans", "duration"),
        ("SELECT * FROM span", "spans"),
        ("SELECT lenth(name) FROM spans", "length"),
        ("SELEC 1", "SELEC"),
        ("SELECT service_name, count(*) FROM spans", "GROUP BY"),
    ] {
        let error = error_of(&querier, statement).await.to_string();
        assert!(error.contains(hint), "{statement}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_is_met_is_named() {
    let world = world().await;
    let few_bytes = world.querier(QueryLimits { bytes: 1_000, ..QueryLimits::default() });
    let error = error_of(&few_bytes, "SELECT name FROM spans").await.to_string();
    assert!(error.contains("query_bytes"), "{error}");
    let little_memory = world.querier(QueryLimits { memory: 200_000, ..QueryLimits::default() });
    let error = error_of(&little_memory, "SELECT name FROM spans ORDER BY span_id").await.to_string();
    assert!(error.contains("query.memory"), "{error}");
    let no_time = world.querier(QueryLimits { deadline: Duration::ZERO, ..QueryLimits::default() });
    let error = error_of(&no_time, "SELECT name FROM spans").await.to_string();
    assert!(error.contains("query.deadline"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_long_statements_are_refused_or_answered_and_nothing_else() {
    let world = world().await;
    let querier = world.querier(QueryLimits::default());
    let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(matches!(error_of(&querier, &nested).await, SqlError::Statement(_)));
    let alternatives =
        |many| format!("SELECT count(*) FROM spans WHERE {}", vec!["name = 'x'"; many].join(" OR "));
    assert!(querier.sql(&Tenant::single(), &alternatives(300)).await.is_ok());
    assert!(matches!(error_of(&querier, &alternatives(30_000)).await, SqlError::TooDeep { .. }));
    let many: Vec<String> = (0..10_000).map(|number| format!("'{number:032x}'")).collect();
    let by_ids = format!("SELECT count(*) FROM spans WHERE trace_id IN ({})", many.join(", "));
    assert!(querier.sql(&Tenant::single(), &by_ids).await.is_ok());
}
