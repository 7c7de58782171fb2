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

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
use siltstone_format::columns::SpanColumns;

use super::arrays::{ArrayError, array_of};
use super::exec::SpansExec;
use super::output::Output;
use super::schema::{Holder, SpanColumn};

/// A table of places for groups has so many at most, and not many more than there are rows; else places are looked up.
const LARGEST_TABLE: usize = 1 << 20;
const PLACES_OF_ROW: usize = 16;

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
    fn of(&self, row: u32) -> u32 {
        match self {
            Self::Unsigned(numbers) => numbers[row as usize],
            Self::Signed(numbers) => numbers[row as usize].cast_unsigned(),
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
    let numbers: Vec<Numbers<'_>> = outputs.iter().filter_map(|output| numbers_of(output, columns)).collect();
    let groups = Groups::of(&numbers, rows);
    let mut arrays: Vec<ArrayRef> = outputs
        .iter()
        .map(|output| array_of(output, columns)(&groups.first_rows))
        .collect::<Result<_, _>>()?;
    let count: ArrayRef = Arc::new(Int64Array::from(groups.counts));
    arrays.extend(std::iter::repeat_n(count, counts));
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}

/// Rows that have the same numbers.
struct Groups {
    /// Of each group, ascending.
    first_rows: Vec<u32>,
    counts: Vec<i64>,
}

impl Groups {
    fn of(numbers: &[Numbers<'_>], rows: &[u32]) -> Self {
        // One column after the other cuts groups into smaller ones.
        let mut group_of = vec![0; rows.len()];
        let mut first_rows: Vec<u32> = rows.first().copied().into_iter().collect();
        for numbers in numbers {
            let largest = rows.iter().map(|row| numbers.of(*row)).max().unwrap_or(0);
            let most = rows.len().saturating_mul(PLACES_OF_ROW).min(LARGEST_TABLE);
            let mut places = Places::new(first_rows.len(), largest, most);
            first_rows.clear();
            for (group, row) in group_of.iter_mut().zip(rows) {
                let next = first_rows.len() as u32;
                *group = places.place(*group, numbers.of(*row), next);
                if *group == next {
                    first_rows.push(*row);
                }
            }
        }
        let mut counts = vec![0; first_rows.len()];
        group_of.iter().for_each(|group| counts[*group as usize] += 1);
        Self { first_rows, counts }
    }
}

/// Which group is meant by one that is cut, and a number.
enum Places {
    Table { width: usize, places: Vec<u32> },
    LookedUp(HashMap<(u32, u32), u32>),
}

impl Places {
    const NONE: u32 = u32::MAX;

    fn new(groups: usize, largest: u32, most: usize) -> Self {
        let width = largest as usize + 1;
        match groups.checked_mul(width).filter(|places| *places <= most) {
            Some(places) => Self::Table { width, places: vec![Self::NONE; places] },
            None => Self::LookedUp(HashMap::new()),
        }
    }

    /// The known one, else the next one.
    fn place(&mut self, group: u32, number: u32, next: u32) -> u32 {
        let place = match self {
            Self::Table { width, places } => &mut places[group as usize * *width + number as usize],
            Self::LookedUp(places) => match places.entry((group, number)) {
                Entry::Occupied(known) => return *known.get(),
                Entry::Vacant(new) => new.insert(Self::NONE),
            },
        };
        if *place == Self::NONE {
            *place = next;
        }
        *place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_count_rows_with_the_same_numbers_in_the_order_of_their_first() {
        let names = [7, 7, 3, 7, 3, 9];
        for kinds in [[1, 2, 1, 1, 1, 1], [i32::MIN, -1, 5, i32::MIN, 5, 5]] {
            let numbers = [Numbers::Unsigned(&names), Numbers::Signed(&kinds)];
            let all = Groups::of(&numbers, &[0, 1, 2, 3, 4, 5]);
            assert_eq!((all.first_rows, all.counts), (vec![0, 1, 2, 5], vec![2, 1, 2, 1]));
            let some = Groups::of(&numbers[..1], &[1, 2, 4]);
            assert_eq!((some.first_rows, some.counts), (vec![1, 2], vec![1, 2]));
        }
        assert!(Groups::of(&[Numbers::Unsigned(&names)], &[]).counts.is_empty());
    }
}
