//! What EXPLAIN ANALYZE shows of a scan, beside DataFusion's own numbers.

use std::sync::Arc;

use datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};

use crate::cost::CostReport;

/// The cost is the whole statement's, whichever scan shows it.
pub(super) fn with_cost(
    mut metrics: MetricsSet,
    cost: &CostReport,
    pruned_blocks: Option<u64>,
) -> MetricsSet {
    let counters = [
        ("requests", cost.requests),
        ("bytes", cost.bytes),
        ("read_blocks", cost.blocks_read),
        ("scanned_rows", cost.rows_scanned),
        ("collapsed_spans", cost.collapsed),
    ];
    for (name, value) in counters.into_iter().chain(pruned_blocks.map(|blocks| ("pruned_blocks", blocks))) {
        let count = Count::new();
        count.add(usize::try_from(value).unwrap_or(usize::MAX));
        metrics.push(Arc::new(Metric::new(MetricValue::Count { name: name.into(), count }, None)));
    }
    metrics
}
