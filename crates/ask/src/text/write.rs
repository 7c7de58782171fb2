//! From the tree to text. Parentheses stand wherever one joins parts within another, whether a reader needs them to
//! tell or not; those of one part, and of none, have forms of their own, so that nothing is lost.

use std::fmt;

use super::measure::{Measure, double_text};
use super::names::{field_name, level_name};
use super::quote;
use crate::field::FieldType;
use crate::filter::{Filter, Node, Predicate, Target, Test};
use crate::literal::{Literal, Operand};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            Node::And(parts) => write_joined(parts, "and", "true", f),
            Node::Or(parts) => write_joined(parts, "or", "false", f),
            Node::Not(inner) => {
                f.write_str("not ")?;
                write_part(inner, f)
            }
            Node::Some(of, inner) => write!(f, "some {of} ({inner})"),
            Node::Predicate(predicate) => write_predicate(predicate, f),
        }
    }
}

fn write_joined(parts: &[Filter], word: &str, none: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match parts {
        [] => f.write_str(none),
        [only] => write!(f, "{word} ({only})"),
        [first, others @ ..] => {
            write_part(first, f)?;
            others.iter().try_for_each(|part| {
                write!(f, " {word} ")?;
                write_part(part, f)
            })
        }
    }
}

fn write_part(part: &Filter, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match part.node() {
        Node::And(parts) | Node::Or(parts) if parts.len() > 1 => write!(f, "({part})"),
        _ => write!(f, "{part}"),
    }
}

fn write_predicate(predicate: &Predicate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let target = predicate.target();
    write_target(target, f)?;
    match predicate.test() {
        Test::Compare(comparison, operand) => {
            write!(f, " {comparison} ")?;
            write_literal(target, operand, f)
        }
        Test::In(operands) => {
            f.write_str(" in (")?;
            for (number, operand) in operands.iter().enumerate() {
                f.write_str(if number > 0 { ", " } else { "" })?;
                write_literal(target, operand, f)?;
            }
            f.write_str(")")
        }
        Test::Regex(pattern) => {
            f.write_str(" =~ ")?;
            quote::write(pattern.as_str(), f)
        }
        Test::Exists => f.write_str(" exists"),
    }
}

fn write_target(target: &Target, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match target {
        Target::Field(field) => f.write_str(&field_name(*field)),
        Target::Attribute { level, key } => {
            write!(f, "{}[", level_name(*level))?;
            quote::write(key, f)?;
            f.write_str("]")
        }
    }
}

fn write_literal(target: &Target, operand: &Operand, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // An id is a string by its place.
    let is_id = matches!(target, Target::Field(field) if matches!(field.field_type(), FieldType::Id));
    match operand.literal() {
        Literal::Str(text) if !is_id => {
            f.write_str("str ")?;
            quote::write(text, f)
        }
        Literal::Text(text) | Literal::Str(text) => quote::write(text, f),
        Literal::Int(int) => Measure::of(target).write(*int, f),
        Literal::Double(double) => f.write_str(&double_text(*double)),
        Literal::Bool(flag) => write!(f, "{flag}"),
    }
}
