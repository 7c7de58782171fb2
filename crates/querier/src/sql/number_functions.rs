//! Texts read as numbers: by the rules of our own filters, so that both mean the same.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringViewArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use siltstone_ask::{Comparison, Literal};
use siltstone_format::number::{Number, as_number};

use super::pushed::number_of;

/// Compares a text, read as a number, with a number, exactly. Of a text that is none it says nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CompareNumber {
    comparison: Comparison,
    signature: Signature,
}

impl CompareNumber {
    pub(super) fn call(comparison: Comparison, attribute: Expr, number: ScalarValue) -> Expr {
        let function = Self { comparison, signature: Signature::any(2, Volatility::Immutable) };
        let function = Arc::new(ScalarUDF::new_from_impl(function));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![attribute, lit(number)]))
    }

    pub(super) fn comparison(&self) -> Comparison {
        self.comparison
    }

    fn holds(&self, text: &str, number: Number) -> Option<bool> {
        let order = as_number(text)?.compare(number)?;
        Some(match self.comparison {
            Comparison::Eq => order.is_eq(),
            Comparison::Ne => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::Le => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::Ge => order.is_ge(),
        })
    }
}

impl ScalarUDFImpl for CompareNumber {
    fn name(&self) -> &str {
        match self.comparison {
            Comparison::Eq => "number_eq",
            Comparison::Ne => "number_ne",
            Comparison::Lt => "number_lt",
            Comparison::Le => "number_le",
            Comparison::Gt => "number_gt",
            Comparison::Ge => "number_ge",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [texts, ColumnarValue::Scalar(number)] = &args.args[..] else {
            return exec_err!("a text is compared with a number that is no constant");
        };
        let Some(number) = as_exact(number) else {
            return exec_err!("a text is compared with {number}, which is no number");
        };
        let texts = texts.to_array(args.number_rows)?;
        let texts = text_views(&texts)?;
        // Neighbours often say the same.
        let mut last: Option<(&str, Option<bool>)> = None;
        let holds = texts.iter().map(|text| {
            let text = text?;
            match last {
                Some((known, held)) if known == text => held,
                _ => last.insert((text, self.holds(text, number))).1,
            }
        });
        Ok(ColumnarValue::Array(Arc::new(holds.collect::<BooleanArray>()) as ArrayRef))
    }
}

fn as_exact(number: &ScalarValue) -> Option<Number> {
    match number_of(number)? {
        Literal::Int(int) => Some(Number::Int(i128::from(int))),
        Literal::Double(double) => Some(Number::Double(double)),
        Literal::Text(_) | Literal::Str(_) | Literal::Bool(_) => None,
    }
}

/// A text as a number; nothing if it is none.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadNumber {
    kind: NumberKind,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NumberKind {
    /// Whole numbers of 64 bits; others are none.
    Int,
    Double,
}

impl ReadNumber {
    pub(super) fn call(kind: NumberKind, attribute: Expr) -> Expr {
        let function = Self { kind, signature: Signature::any(1, Volatility::Immutable) };
        let function = Arc::new(ScalarUDF::new_from_impl(function));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![attribute]))
    }

    pub(super) fn kind(&self) -> NumberKind {
        self.kind
    }
}

impl ScalarUDFImpl for ReadNumber {
    fn name(&self) -> &str {
        match self.kind {
            NumberKind::Int => "int_of",
            NumberKind::Double => "double_of",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            NumberKind::Int => DataType::Int64,
            NumberKind::Double => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [texts] = &args.args[..] else { return exec_err!("one text is read as a number") };
        let texts = texts.to_array(args.number_rows)?;
        let numbers = text_views(&texts)?.iter().map(|text| as_number(text?));
        Ok(ColumnarValue::Array(match self.kind {
            NumberKind::Int => Arc::new(numbers.map(as_int).collect::<Int64Array>()),
            NumberKind::Double => {
                let doubles = numbers.map(|number| number.map(Number::as_double));
                Arc::new(doubles.collect::<Float64Array>()) as ArrayRef
            }
        }))
    }
}

fn as_int(number: Option<Number>) -> Option<i64> {
    match number? {
        Number::Int(int) => i64::try_from(int).ok(),
        Number::Double(_) => None,
    }
}

fn text_views(texts: &ArrayRef) -> Result<&StringViewArray> {
    match texts.as_string_view_opt() {
        Some(views) => Ok(views),
        None => exec_err!("{} is read as a number, and is no text", texts.data_type()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_compare_numbers_exactly_and_say_nothing_of_other_texts() {
        let is =
            |comparison| CompareNumber { comparison, signature: Signature::any(2, Volatility::Immutable) };
        let int = Number::Int(9_007_199_254_740_993);
        assert_eq!(is(Comparison::Eq).holds("9007199254740993", int), Some(true));
        assert_eq!(is(Comparison::Gt).holds("9007199254740992.0", int), Some(false));
        assert_eq!(is(Comparison::Ne).holds("200", int), Some(true));
        for text in ["", "twelve", "NaN", "inf", "true", "[1]"] {
            assert_eq!(is(Comparison::Ne).holds(text, int), None, "{text}");
        }
    }
}
