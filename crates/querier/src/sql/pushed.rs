//! What a scan of `spans` can use of a WHERE clause: a filter of our own, a time window, trace ids.
//!
//! DataFusion evaluates the clause again over what the scan puts out, but for bounds of `start_time`. So this may let
//! more rows through, and never fewer: what is not understood is left out of an `and`, and makes an `or` useless.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, TryCast};
use siltstone_ask::{Comparison, Field, Filter, Literal, MAX_DEPTH, Target, Window};
use siltstone_format::id::TraceId;

use super::attribute_of::attribute_of;
use super::number_functions::{CompareNumber, NumberKind, ReadNumber};
use super::schema::SpanColumn;

/// Below it every whole number is a double.
const LARGEST_EXACT: f64 = (1_u64 << 53) as f64;

/// Rows that a WHERE clause may be true for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pushed {
    pub(super) filter: Filter,
    /// Of the spans' starts.
    pub(super) window: Window,
    /// None: any trace.
    pub(super) traces: Option<BTreeSet<TraceId>>,
}

impl Pushed {
    /// Of clauses that must all be true.
    pub(super) fn of(clauses: &[Expr]) -> Self {
        let mut pushed = Self { filter: Filter::all(), window: Window::ALL, traces: None };
        let mut parts = Vec::new();
        for clause in clauses.iter().flat_map(|clause| chain_of(clause, Operator::And)) {
            pushed.add(clause, &mut parts);
        }
        // One that is too large to be built excludes nothing.
        pushed.filter = Filter::and(parts).unwrap_or_else(|_| Filter::all());
        pushed
    }

    fn add(&mut self, clause: &Expr, parts: &mut Vec<Filter>) {
        if let Expr::Between(between) = clause
            && !between.negated
        {
            for (op, bound) in [(Operator::GtEq, &between.low), (Operator::LtEq, &between.high)] {
                self.add(&Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), op, bound.clone())), parts);
            }
            return;
        }
        if let Some(window) = window_of(clause) {
            self.window = self.window.intersect(window);
        } else if let Some(traces) = traces_of(clause) {
            self.traces = Some(match self.traces.take() {
                Some(known) => known.intersection(&traces).copied().collect(),
                None => traces,
            });
        } else if let Some(filter) = filter_of(clause, 0) {
            parts.push(filter);
        }
    }
}

/// The operands of `a op b op c …`, however long that is.
fn chain_of(expr: &Expr, chained: Operator) -> Vec<&Expr> {
    let (mut operands, mut left) = (Vec::new(), vec![expr]);
    while let Some(expr) = left.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left: one, op, right: other }) if *op == chained => {
                left.extend([&**other, &**one]);
            }
            operand => operands.push(operand),
        }
    }
    operands
}

/// Column, operator and literal, whichever side they stand on.
fn comparison_of(expr: &Expr) -> Option<(&Expr, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    match (&**left, &**right) {
        (column, Expr::Literal(literal, _)) => Some((column, *op, literal)),
        (Expr::Literal(literal, _), column) => Some((column, op.swap()?, literal)),
        _ => None,
    }
}

fn column_of(expr: &Expr) -> Option<SpanColumn> {
    match expr {
        Expr::Column(column) => SpanColumn::of_name(&column.name),
        _ => None,
    }
}

/// The starts that a comparison leaves, and no others.
pub(super) fn window_of(expr: &Expr) -> Option<Window> {
    let (column, op, literal) = comparison_of(expr)?;
    let ScalarValue::TimestampNanosecond(Some(nanos), _) = literal else { return None };
    if column_of(column) != Some(SpanColumn::StartTime) {
        return None;
    }
    // Before 1970 no span starts.
    let at = u64::try_from(*nanos).unwrap_or(0);
    let (is_early, next) = (*nanos < 0, at.saturating_add(1));
    Some(match op {
        Operator::Eq if is_early => Window { start: 0, end: 0 },
        Operator::Eq => Window { start: at, end: next },
        Operator::Lt => Window { start: 0, end: at },
        Operator::LtEq if is_early => Window { start: 0, end: 0 },
        Operator::LtEq => Window { start: 0, end: next },
        Operator::Gt if is_early => Window::ALL,
        Operator::Gt => Window { start: next, ..Window::ALL },
        Operator::GtEq => Window { start: at, ..Window::ALL },
        _ => return None,
    })
}

/// The traces that a comparison leaves.
fn traces_of(expr: &Expr) -> Option<BTreeSet<TraceId>> {
    let (column, literals): (&Expr, Vec<&ScalarValue>) = match expr {
        Expr::InList(InList { expr, list, negated: false }) => (expr, literals_of(list)?),
        other => match comparison_of(other)? {
            (column, Operator::Eq, literal) => (column, vec![literal]),
            _ => return None,
        },
    };
    if column_of(column) != Some(SpanColumn::TraceId) {
        return None;
    }
    // What is no id, or not as the column writes it, equals none.
    let id_of = |literal: &&ScalarValue| {
        let text = literal.try_as_str().flatten()?;
        let id: TraceId = text.parse().ok()?;
        (id.to_string() == text).then_some(id)
    };
    Some(literals.iter().filter_map(id_of).collect())
}

fn literals_of(list: &[Expr]) -> Option<Vec<&ScalarValue>> {
    list.iter().map(literal_in).collect()
}

fn literal_in(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(literal, _) => Some(literal),
        _ => None,
    }
}

/// A filter that every row passes for which the expression is true. What is nested deeper than our own filters may
/// be is of no use to them.
fn filter_of(expr: &Expr, depth: usize) -> Option<Filter> {
    if depth > MAX_DEPTH {
        return None;
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
            let parts = chain_of(expr, Operator::And).into_iter();
            let parts: Vec<Filter> = parts.filter_map(|part| filter_of(part, depth + 1)).collect();
            if parts.is_empty() { None } else { Filter::and(parts).ok() }
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let parts = chain_of(expr, Operator::Or).into_iter();
            let parts: Option<Vec<Filter>> = parts.map(|part| filter_of(part, depth + 1)).collect();
            Filter::or(parts?).ok()
        }
        Expr::IsNotNull(inner) => Some(Filter::exists(attribute_target(inner)?)),
        Expr::Like(like) if !like.negated => Some(Filter::exists(attribute_target(&like.expr)?)),
        Expr::InList(InList { expr, list, negated: false }) => {
            let target = target_of(expr)?;
            let literals: Option<Vec<Literal>> =
                literals_of(list)?.into_iter().map(|literal| literal_of(&target, literal)).collect();
            Filter::one_of(target, literals?).ok()
        }
        Expr::ScalarFunction(call) => {
            let compare = call.func.inner().downcast_ref::<CompareNumber>()?;
            let [attribute, Expr::Literal(literal, _)] = &call.args[..] else { return None };
            number_compared(attribute_target(attribute)?, compare.comparison(), number_of(literal)?)
        }
        other => {
            let (column, op, literal) = comparison_of(other)?;
            compared(column, op, literal)
        }
    }
}

fn number_compared(target: Target, comparison: Comparison, literal: Literal) -> Option<Filter> {
    match literal {
        // Beyond, texts are rounded to doubles there, and not here.
        Literal::Double(double) if double.abs() >= LARGEST_EXACT => Some(Filter::exists(target)),
        // SQL looks at the first of several values, our own filters at all of them.
        _ if comparison == Comparison::Ne => Some(Filter::exists(target)),
        literal => Filter::compare(target, comparison, literal).ok(),
    }
}

/// What is read as a number, if a comparison of it means the same there. Casts between whole numbers lose some of
/// them, and change none; other casts round.
fn read_as_number(expr: &Expr) -> Option<Target> {
    let (mut inner, mut is_cast) = (expr, false);
    while let Expr::TryCast(TryCast { expr, field }) | Expr::Cast(Cast { expr, field }) = inner {
        if !field.data_type().is_integer() {
            return None;
        }
        (inner, is_cast) = (expr, true);
    }
    let Expr::ScalarFunction(call) = inner else { return None };
    let read = call.func.inner().downcast_ref::<ReadNumber>()?;
    let is_exact = !is_cast || read.kind() == NumberKind::Int;
    is_exact.then(|| attribute_target(call.args.first()?)).flatten()
}

fn compared(column: &Expr, op: Operator, literal: &ScalarValue) -> Option<Filter> {
    if let Some(target) = read_as_number(column) {
        return match (comparison_by(op), number_of(literal)) {
            (Some(comparison), Some(literal)) => number_compared(target, comparison, literal),
            _ => None,
        };
    }
    let target = target_of(column)?;
    let is_attribute = matches!(target, Target::Attribute { .. });
    if op == Operator::NotEq && is_attribute {
        // SQL looks at the first of several values, our own filters at all of them.
        return Some(Filter::exists(target));
    }
    let comparison = comparison_by(op).filter(|comparison| *comparison != Comparison::Ne)?;
    let is_text = literal.try_as_str().is_some();
    if comparison.is_order() && is_text {
        // The order of texts is not that of what they stand for.
        return is_attribute.then(|| Filter::exists(target));
    }
    let literal = literal_of(&target, literal)?;
    Filter::compare(target, comparison, literal).ok()
}

pub(super) fn comparison_by(op: Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::Ne,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::Le,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::Ge,
        _ => return None,
    })
}

fn attribute_target(expr: &Expr) -> Option<Target> {
    let (holder, key) = attribute_of(expr)?;
    Some(Target::attribute(holder.level(), key))
}

/// What our own filters call a column, if a comparison of it means the same there.
fn target_of(expr: &Expr) -> Option<Target> {
    let field = match column_of(expr) {
        None => return attribute_target(expr),
        Some(SpanColumn::SpanId) => Field::SpanId,
        Some(SpanColumn::ParentSpanId) => Field::ParentSpanId,
        Some(SpanColumn::Duration) => Field::Duration,
        Some(SpanColumn::ServiceName) => Field::ServiceName,
        Some(SpanColumn::Name) => Field::Name,
        Some(SpanColumn::Kind) => Field::Kind,
        Some(SpanColumn::StatusCode) => Field::StatusCode,
        Some(SpanColumn::StatusMessage) => Field::StatusMessage,
        Some(SpanColumn::TraceState) => Field::TraceState,
        Some(SpanColumn::ScopeName) => Field::ScopeName,
        Some(SpanColumn::ScopeVersion) => Field::ScopeVersion,
        Some(_) => return None,
    };
    Some(field.into())
}

/// What equals the literal in SQL equals this.
fn literal_of(target: &Target, literal: &ScalarValue) -> Option<Literal> {
    if *target == Target::Field(Field::Duration) {
        return number_of(literal);
    }
    let text = literal.try_as_str().flatten()?;
    match target {
        Target::Field(_) => Some(Literal::Text(text.to_owned())),
        // Arrays, maps and bytes have a text in SQL, and NaN too; in our own filters they equal no text.
        Target::Attribute { .. } => {
            let is_composed = text.starts_with(['[', '{']);
            let is_odd_double = text.parse::<f64>().is_ok_and(|number| !number.is_finite());
            (!is_composed && !is_odd_double).then(|| Literal::Text(text.to_owned()))
        }
    }
}

/// A number as our own filters compare it.
pub(super) fn number_of(literal: &ScalarValue) -> Option<Literal> {
    Some(match literal {
        ScalarValue::Int8(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int16(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int32(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Literal::Int(*value),
        ScalarValue::UInt8(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::UInt16(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::UInt32(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::UInt64(Some(value)) => Literal::Int(i64::try_from(*value).ok()?),
        ScalarValue::Float32(Some(value)) => Literal::Double(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => Literal::Double(*value),
        _ => return None,
    })
}
