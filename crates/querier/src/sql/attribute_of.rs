//! How `span_attributes['k']` is known again in a plan, before and after it has become a physical one.

use std::sync::Arc;

use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::schema::{Holder, SpanColumn};

/// Whose attribute under which key a logical expression is.
pub(super) fn attribute_of(expr: &Expr) -> Option<(Holder, &str)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [Expr::Column(map), Expr::Literal(key, _)] = &call.args[..] else { return None };
    if !call.func.inner().is::<GetFieldFunc>() {
        return None;
    }
    Some((holder_of(&map.name)?, key.try_as_str().flatten()?))
}

/// The same of a physical one; the map is told by its place in the input.
pub(super) fn physical_attribute_of(expr: &Arc<dyn PhysicalExpr>) -> Option<(&Column, &str)> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    let [map, key] = call.args() else { return None };
    if !call.fun().inner().is::<GetFieldFunc>() {
        return None;
    }
    let key = key.downcast_ref::<Literal>()?;
    Some((map.downcast_ref::<Column>()?, key.value().try_as_str().flatten()?))
}

fn holder_of(column: &str) -> Option<Holder> {
    match SpanColumn::of_name(column)? {
        SpanColumn::Attributes(holder) => Some(holder),
        _ => None,
    }
}
