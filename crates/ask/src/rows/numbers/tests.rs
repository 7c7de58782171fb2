use super::*;
use crate::literal::Literal;

const EXACT: i128 = 1 << 53;

fn literals() -> Vec<Literal> {
    let texts =
        ["72", "72.0", "72.5", "-0", "0.0", "x", "true", "NaN", "inf", "9007199254740993", "1e30", "-1e30"];
    let huge = ["18446744073709551615", "18446744073709551616", "-9223372036854775809"];
    let doubles = [0.0, -0.0, 72.0, 72.5, 1e30, -1e30, 9_007_199_254_740_992.0, f64::MAX, 5e-324];
    let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    (texts.iter().chain(&huge).map(|text| Literal::Text((*text).to_owned())))
        .chain([Literal::Str("72".to_owned()), Literal::Bool(true)])
        .chain([0, 72, -72, i64::MAX, i64::MIN, (1 << 53) + 1].map(Literal::Int))
        .chain(doubles.into_iter().chain(strange).map(Literal::Double))
        .collect()
}

fn tests() -> Vec<Test> {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let compared = literals().into_iter().flat_map(|literal| {
        [Eq, Ne, Lt, Le, Gt, Ge].map(|comparison| Test::Compare(comparison, Operand::new(literal.clone())))
    });
    let all = literals().into_iter().map(Operand::new).collect();
    compared.chain([Test::Exists, Test::In(Vec::new()), Test::In(all)]).collect()
}

#[test]
fn should_hold_for_the_ints_for_which_the_comparison_holds() {
    let middles = [0, 72, -72, EXACT, INTS.0, i128::from(i64::MIN), i128::from(i64::MAX), INTS.1];
    for test in tests() {
        let holds = of_ints(&test);
        for int in middles.into_iter().flat_map(|middle| middle - 3..=middle + 3) {
            if INTS.0 <= int && int <= INTS.1 {
                assert_eq!(holds(int), test.matches_scalar(Scalar::Int(int)), "{test:?} {int}");
            }
        }
    }
}

#[test]
fn should_hold_for_the_doubles_for_which_the_comparison_holds() {
    let middles = [0.0, 72.0, 72.5, -72.5, 1e30, -1e30, 9_007_199_254_740_992.0, f64::MAX, f64::MIN];
    let doubles = middles.into_iter().flat_map(|double: f64| [double.next_down(), double, double.next_up()]);
    let strange = [-0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let doubles: Vec<f64> = doubles.chain(strange).collect();
    for test in tests() {
        let holds = of_doubles(&test);
        for double in &doubles {
            assert_eq!(holds(*double), test.matches_scalar(Scalar::Double(*double)), "{test:?} {double:?}");
        }
    }
}
