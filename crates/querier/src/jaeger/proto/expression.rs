//! `jaeger.expression.v1`.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Expression {
    #[prost(oneof = "Term", tags = "1, 2, 3, 4, 5, 6")]
    pub term: Option<Term>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Term {
    #[prost(message, tag = "1")]
    Attr(AttributeReference),
    #[prost(message, tag = "2")]
    Field(FieldReference),
    #[prost(message, tag = "3")]
    Nested(NestedReference),
    #[prost(message, tag = "4")]
    Scalar(Scalar),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Call(Call),
}

#[derive(Clone, PartialEq, Message)]
pub struct AttributeReference {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub level: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct FieldReference {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub level: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct NestedReference {
    #[prost(string, tag = "1")]
    pub level: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scalar {
    #[prost(string, tag = "1")]
    pub value: String,
    #[prost(string, tag = "2")]
    pub r#type: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
    #[prost(string, tag = "2")]
    pub r#type: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Call {
    #[prost(string, tag = "1")]
    pub op: String,
    #[prost(message, repeated, tag = "2")]
    pub args: Vec<Expression>,
}
