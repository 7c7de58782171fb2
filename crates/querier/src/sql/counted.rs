//! Rows that are grouped by texts with numbers, and counted, where they are read: `SELECT service_name, count(*) …
//! GROUP BY service_name` and `SELECT DISTINCT name …`.
//!
//! ```text
//! AggregateExec: mode=Partial, by columns of few texts, counts only  ─┐
//!   SpansExec: rows                                                   ┴▶ SpansExec: groups with counts
//! ```
//!
//! DataFusion looks the text of every row up in a table. What is read has numbers in the place of texts, and these are
//! places in a table. Groups come once of each part that is read: DataFusion adds them up as it does its own.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use siltstone_ask::Groups;
use siltstone_format::columns::SpanColumns;

use super::arrays::{ArrayError, array_of};
use super::exec::SpansExec;
use super::output::Output;
use super::schema::{Holder, SpanColumn};

/// Lets scans count, wherever a plan does nothing else with their rows.
#[derive(Debug)]
pub(super) struct CountWhereRead;

impl PhysicalOptimizerRule for CountWhereRead {
    fn name(&self) -> &'static str {
        "CountWhereRead"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let count = |node: Arc<dyn ExecutionPlan>| {
            let counting = node.downcast_ref::<AggregateExec>().and_then(counting_scan);
            Ok(match counting {
                Some(scan) => Transformed::yes(Arc::new(scan) as _),
                None => Transformed::no(node),
            })
        };
        plan.transform_up(count).data()
    }
}

/// The scan that does all of what an aggregation does.
fn counting_scan(aggregate: &AggregateExec) -> Option<SpansExec> {
    let (by, counts) = (aggregate.group_expr(), aggregate.aggr_expr());
    let has_filter = aggregate.filter_expr().iter().any(Option::is_some);
    if *aggregate.mode() != AggregateMode::Partial || !by.is_single() || by.is_empty() || has_filter {
        return None;
    }
    let scan = aggregate.input().downcast_ref::<SpansExec>()?;
    if !counts.iter().all(|aggregate| counts_rows(aggregate)) {
        return None;
    }
    let groups = by.expr().iter().map(|(expr, _)| scan.output_of(expr).filter(has_numbers));
    scan.counting(groups.collect::<Option<_>>()?, counts.len(), aggregate.schema())
}

/// `count(*)`, which is `count(1)`.
fn counts_rows(aggregate: &AggregateFunctionExpr) -> bool {
    let exprs = aggregate.expressions();
    let is_there = |literal: &Literal| !literal.value().is_null();
    let is_of_all = exprs.iter().all(|expr| expr.downcast_ref::<Literal>().is_some_and(is_there));
    aggregate.fun().name() == "count" && !aggregate.is_distinct() && is_of_all
}

/// What stands for a row's text.
enum Numbers<'a> {
    Unsigned(&'a [u32]),
    Signed(&'a [i32]),
}

impl Numbers<'_> {
    fn cut(&self, groups: &mut Groups<'_>) {
        match self {
            Self::Unsigned(numbers) => groups.cut(|row| u64::from(numbers[row])),
            Self::Signed(numbers) => groups.cut(|row| u64::from(numbers[row].cast_unsigned())),
        }
    }
}

fn has_numbers(output: &Output) -> bool {
    numbers_of(output, &SpanColumns::default()).is_some()
}

/// Rows with one number have one text; others may have the same text.
fn numbers_of<'a>(output: &Output, columns: &'a SpanColumns) -> Option<Numbers<'a>> {
    Some(match output {
        Output::Column(SpanColumn::ServiceName) => Numbers::Unsigned(columns.services().1),
        Output::Column(SpanColumn::Name) => Numbers::Unsigned(&columns.names_of_rows),
        Output::Column(SpanColumn::Kind) => Numbers::Signed(&columns.kinds),
        Output::Column(SpanColumn::StatusCode) => Numbers::Signed(&columns.status_codes),
        Output::Column(SpanColumn::ScopeName | SpanColumn::ScopeVersion)
        | Output::Attribute { holder: Holder::Resource | Holder::Scope, .. } => {
            Numbers::Unsigned(&columns.origins_of_rows)
        }
        _ => return None,
    })
}

/// Each group of some ascending rows, with so many columns that say how many rows it has.
pub(super) fn counted(
    outputs: &[Output],
    counts: usize,
    schema: &SchemaRef,
    columns: &SpanColumns,
    rows: &[u32],
) -> Result<RecordBatch, ArrayError> {
    let mut groups = Groups::of(rows);
    outputs
        .iter()
        .filter_map(|output| numbers_of(output, columns))
        .for_each(|numbers| numbers.cut(&mut groups));
    let mut arrays: Vec<ArrayRef> = outputs
        .iter()
        .map(|output| array_of(output, columns)(groups.first_rows()))
        .collect::<Result<_, _>>()?;
    let mut of_groups = vec![0; groups.first_rows().len()];
    groups.of_rows().iter().for_each(|group| of_groups[*group as usize] += 1);
    let count: ArrayRef = Arc::new(Int64Array::from(of_groups));
    arrays.extend(std::iter::repeat_n(count, counts));
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}
