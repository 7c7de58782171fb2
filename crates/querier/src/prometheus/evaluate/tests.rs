use super::*;
use crate::prometheus::text::parse;

/// Calls of a second each, some of them errors, by labels and the second in which they begin.
fn counted(all: &[(&str, &str, u64, u64, u64)]) -> Counted {
    let mut counted = Counted::new();
    for (service, name, second, calls, errors) in all {
        let labels = [("service", *service), ("span_name", *name)];
        let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
        let mut red = Red { calls: *calls, errors: *errors, ..Red::default() };
        (0..*calls).for_each(|_| red.durations.add(1_000_000_000));
        red.sum_nanos = u128::from(*calls) * 1_000_000_000;
        counted.entry(labels).or_default().insert(second * 1_000_000_000 + 1, red);
    }
    counted
}

/// At 60, 70 and 80 seconds, what a query says of spans of these seconds.
fn value_of(text: &str, all: &[(&str, &str, u64, u64, u64)]) -> Result<Value, EvaluateError> {
    let expr = parse(text).unwrap();
    let counted = distinct(&expr)?.into_iter().map(|(rate, _)| (rate, Arc::new(counted(all)))).collect();
    let times = Times::between(60_000, 80_000, 10_000).unwrap();
    Evaluation { times, counted, left: 1_000_000 }.value(&expr)
}

const CALLS: [(&str, &str, u64, u64, u64); 4] = [
    ("cart", "add", 30, 4, 0),
    ("cart", "pay", 50, 2, 1),
    ("shop", "buy", 50, 8, 0),
    ("cart", "add", 70, 6, 6),
];

fn series(text: &str) -> Vec<(Vec<String>, Vec<Option<f64>>)> {
    match value_of(text, &CALLS).unwrap().plain() {
        Value::Series(series) => {
            series.into_iter().map(|one| (one.labels.into_values().collect(), one.points)).collect()
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn points(text: &str) -> Vec<Option<f64>> {
    let series = series(text);
    assert_eq!(series.len(), 1, "{text}: {series:?}");
    series.into_iter().next().unwrap().1
}

const TOTAL: &str = "traces_spanmetrics_calls_total[20s]";

#[test]
fn should_count_what_lies_in_the_range_before_each_point() {
    assert_eq!(points(&format!("sum(increase({TOTAL}))")), [Some(10.0), Some(10.0), Some(6.0)]);
    assert_eq!(points(&format!("sum(rate({TOTAL}))")), [Some(0.5), Some(0.5), Some(0.3)]);
    assert_eq!(
        series(&format!("sum by (service) (increase({TOTAL}))")),
        [
            (vec!["cart".to_owned()], vec![Some(2.0), Some(2.0), Some(6.0)]),
            (vec!["shop".to_owned()], vec![Some(8.0), Some(8.0), Some(0.0)]),
        ]
    );
    let all = series(&format!("increase({TOTAL})"));
    assert_eq!(
        all.iter().map(|(labels, _)| labels.join(" ")).collect::<Vec<_>>(),
        ["cart add", "cart pay", "shop buy"]
    );
    assert_eq!(
        points("sum(increase(traces_spanmetrics_latency_sum[20s]))"),
        [Some(10.0), Some(10.0), Some(6.0)]
    );
    assert_eq!(
        points("sum(increase(traces_span_metrics_duration_milliseconds_sum[20s]))")[0],
        Some(10_000.0)
    );
}

#[test]
fn should_aggregate_series_at_each_point() {
    let of = |operator: &str| points(&format!("{operator}(increase({TOTAL}))"));
    assert_eq!(of("min"), [Some(0.0), Some(0.0), Some(0.0)]);
    assert_eq!(of("max"), [Some(8.0), Some(8.0), Some(6.0)]);
    assert_eq!(of("avg"), [Some(10.0 / 3.0), Some(10.0 / 3.0), Some(2.0)]);
    assert_eq!((of("count"), of("group")), (vec![Some(3.0); 3], vec![Some(1.0); 3]));
    let without = series(&format!("sum without (span_name) (rate({TOTAL}))"));
    assert_eq!(without, series(&format!("sum by (service) (rate({TOTAL}))")));
    let most = series(&format!("topk(1, sum by (service) (increase({TOTAL})))"));
    assert_eq!(most[0], (vec!["cart".to_owned()], vec![None, None, Some(6.0)]));
    assert_eq!(most[1], (vec!["shop".to_owned()], vec![Some(8.0), Some(8.0), None]));
    let least = series(&format!("bottomk(1, sum by (service) (increase({TOTAL})))"));
    assert_eq!(least[0].1, [Some(2.0), Some(2.0), None]);
    assert!(series(&format!("topk(0, increase({TOTAL}))")).is_empty());
}

#[test]
fn should_combine_series_with_the_same_labels() {
    let total = format!("sum by (service) (increase({TOTAL}))");
    assert_eq!(series(&format!("{total} / {total}"))[0].1, vec![Some(1.0); 3]);
    let shop = series(&format!("{total} / {total}"))[1].1.clone();
    assert!(shop[2].is_some_and(f64::is_nan), "{shop:?}");
    assert!(series(&format!("{total} / sum(increase({TOTAL}))")).is_empty());
    assert_eq!(points(&format!("100 * sum(increase({TOTAL})) - 1"))[0], Some(999.0));
    assert_eq!(
        series(&format!("{total} > 7")),
        [(vec!["shop".to_owned()], vec![Some(8.0), Some(8.0), None])]
    );
    assert_eq!(series(&format!("7 < {total}")), series(&format!("{total} > 7")));
    assert_eq!(value_of("(1 + 2) * -3", &[]).unwrap(), Value::Number(-9.0));
}

#[test]
fn should_tell_quantiles_and_buckets() {
    let buckets = "traces_spanmetrics_latency_bucket[20s]";
    let half = points(&format!("histogram_quantile(0.5, sum by (le) (rate({buckets})))"));
    assert!(half.iter().all(|value| (value.unwrap() - 1.0).abs() < 0.0115), "{half:?}");
    let each = series(&format!("histogram_quantile(0.5, sum by (service, le) (rate({buckets})))"));
    assert!(
        each[1].1[2].is_some_and(f64::is_nan) && each[1].1[0].is_some_and(|value| value < 1.02),
        "{each:?}"
    );
    assert_eq!(
        points(&format!("histogram_quantile(1.5, sum by (le) (rate({buckets})))"))[0],
        Some(f64::INFINITY)
    );
    let all = series(&format!("sum by (le) (increase({buckets}))"));
    let bounds: Vec<&str> = all.iter().map(|(labels, _)| labels[0].as_str()).collect();
    assert_eq!(bounds, ["1.073741824", "+Inf"]);
    assert_eq!(all[0].1, [Some(10.0), Some(10.0), Some(6.0)]);
    assert_eq!(points(&format!("max(increase({buckets}))"))[0], Some(8.0));
}

#[test]
fn should_refuse_what_means_nothing() {
    for text in [
        format!("histogram_quantile(0.5, rate({TOTAL}))"),
        "histogram_quantile(0.5, sum(rate(traces_spanmetrics_latency_bucket[5m])))".to_owned(),
        format!("histogram_quantile(rate({TOTAL}), rate(traces_spanmetrics_latency_bucket[5m]))"),
        "sum(1)".to_owned(),
        "topk(1, 1)".to_owned(),
        "1 > 2".to_owned(),
    ] {
        assert!(value_of(&text, &CALLS).is_err(), "{text}");
    }
    let apart: Vec<String> =
        (0..9).map(|n| format!("rate(traces_spanmetrics_calls_total[{}s])", n + 1)).collect();
    assert!(matches!(value_of(&apart.join(" + "), &CALLS), Err(EvaluateError::TooManyCounted)));
    assert!(value_of(&apart[1..].join(" + "), &CALLS).is_ok());
    let many: Vec<(String, u64)> = (0..60_000).map(|number| (number.to_string(), number)).collect();
    let many: Vec<_> = many.iter().map(|(name, _)| ("cart", name.as_str(), 50, 1, 0)).collect();
    let buckets = "traces_spanmetrics_latency_bucket[20s]";
    let refused = value_of(&format!("histogram_quantile(0.5, rate({buckets}))"), &many).unwrap_err();
    assert!(refused.to_string().contains("longer step"), "{refused}");
    assert!(value_of(&format!("histogram_quantile(0.5, sum(rate({buckets})) by (le))"), &many).is_ok());
}
