//! Attributes as numbers. An attribute is a text in SQL; compared with a number it is read as one, and a text that
//! is none is not compared at all: `span_attributes['http.response.status_code'] >= 500` means what it seems to.
//!
//! This must be known before DataFusion makes both sides one type, which would be text.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, not, try_cast};
use datafusion::optimizer::AnalyzerRule;
use siltstone_ask::Comparison;

use super::number_functions::{CompareNumber, NumberKind, ReadNumber};
use super::pushed::{comparison_by, number_of};
use super::schema::attributes_type;

/// Reads attributes as numbers where numbers are wanted.
#[derive(Debug)]
pub(super) struct AttributesAsNumbers;

impl AnalyzerRule for AttributesAsNumbers {
    fn name(&self) -> &str {
        "attributes_as_numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| Ok(rewrite(expr, &schema)))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        });
        Ok(rewritten?.data)
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let rewritten = match &expr {
        Expr::Cast(cast) if is_attribute(&cast.expr, schema) => {
            let to = cast.field.data_type();
            let attribute = || (*cast.expr).clone();
            match to {
                DataType::Int64 => Some(ReadNumber::call(NumberKind::Int, attribute())),
                DataType::Float64 => Some(ReadNumber::call(NumberKind::Double, attribute())),
                to if to.is_integer() => {
                    Some(try_cast(ReadNumber::call(NumberKind::Int, attribute()), to.clone()))
                }
                to if to.is_numeric() => {
                    Some(try_cast(ReadNumber::call(NumberKind::Double, attribute()), to.clone()))
                }
                to if to.is_string() => None,
                to => Some(try_cast(attribute(), to.clone())),
            }
        }
        Expr::BinaryExpr(binary) => rewrite_binary(binary, schema),
        Expr::InList(InList { expr, list, negated }) if is_attribute(expr, schema) => {
            let numbers: Option<Vec<ScalarValue>> = list.iter().map(number_literal).collect();
            let equal = |number| CompareNumber::call(Comparison::Eq, (**expr).clone(), number);
            let any = numbers.and_then(|numbers| numbers.into_iter().map(equal).reduce(Expr::or));
            any.map(|any| if *negated { not(any) } else { any })
        }
        Expr::Between(Between { expr, negated, low, high }) if is_attribute(expr, schema) => {
            number_literal(low).zip(number_literal(high)).map(|(low, high)| {
                let from = CompareNumber::call(Comparison::Ge, (**expr).clone(), low);
                let both = from.and(CompareNumber::call(Comparison::Le, (**expr).clone(), high));
                if *negated { not(both) } else { both }
            })
        }
        _ => None,
    };
    rewritten.map_or_else(|| Transformed::no(expr), Transformed::yes)
}

fn rewrite_binary(binary: &BinaryExpr, schema: &DFSchema) -> Option<Expr> {
    let BinaryExpr { left, op, right } = binary;
    let of_sides = [&**left, &**right].map(|side| is_attribute(side, schema));
    match of_sides {
        [false, false] => return None,
        [true, false] => {
            if let Some((number, comparison)) = number_literal(right).zip(comparison_by(*op)) {
                return Some(CompareNumber::call(comparison, (**left).clone(), number));
            }
        }
        [false, true] => {
            if let Some((number, comparison)) = number_literal(left).zip(op.swap().and_then(comparison_by)) {
                return Some(CompareNumber::call(comparison, (**right).clone(), number));
            }
        }
        [true, true] => {}
    }
    let is_numeric = |side: &Expr| side.get_type(schema).is_ok_and(|kind| kind.is_numeric());
    let wants_numbers = op.is_numerical_operators()
        || (comparison_by(*op).is_some() && (is_numeric(left) || is_numeric(right)));
    wants_numbers.then(|| {
        let [left, right] = [(left, of_sides[0]), (right, of_sides[1])].map(|(side, is_attribute)| {
            if is_attribute {
                Box::new(ReadNumber::call(NumberKind::Double, (**side).clone()))
            } else {
                side.clone()
            }
        });
        Expr::BinaryExpr(BinaryExpr { left, op: *op, right })
    })
}

/// A constant that is a number.
fn number_literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(literal, _) => number_of(literal).is_some().then(|| literal.clone()),
        Expr::Negative(inner) => number_literal(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}

/// Whether an expression is `map['key']` of a map of attributes, whatever that is called by now.
fn is_attribute(expr: &Expr, schema: &DFSchema) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    let [map, Expr::Literal(..)] = &call.args[..] else { return false };
    call.func.inner().is::<GetFieldFunc>() && map.get_type(schema).is_ok_and(|kind| kind == attributes_type())
}
