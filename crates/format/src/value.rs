//! Attribute values, and their exact form as text.
//!
//! A value is stored in a column of its own type where its key is common, and as
//! (type, text) everywhere else: in the overflow column, on events, links and
//! origins. The text is what a person or another program would expect, and it
//! gives the value back bit by bit:
//!
//! | type | text |
//! |---|---|
//! | `str` | itself |
//! | `int` | decimal |
//! | `double` | shortest decimal that gives the same bits, always with `.` or `e`; `inf`, `-inf`, `NaN`, `NaN(0x…)` for a NaN with other bits than the usual one |
//! | `bool` | `true`, `false` |
//! | `bytes` | base64 |
//! | `array`, `map` | JSON, see below |
//! | `empty` | nothing (a key without a value) |
//!
//! In JSON a double always has `.` or `e`, so it differs from an int. What JSON
//! lacks is an object with one reserved key: `{"$bytes": base64}`,
//! `{"$double": 16 hex digits}`. A key of a map that begins with `$` is written
//! with one `$` more. Order and repeated keys of a map are kept.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, Deserializer as _, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and maps that a value may have.
pub const MAX_NESTING: usize = 40;

/// The bits of the NaN that arithmetic gives; others carry a payload.
const USUAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// A value of any type that OTLP knows.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Empty,
    Str(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<Attribute>),
}

/// A key with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    pub key: String,
    pub value: Value,
}

/// What a value is; stored as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    Empty,
    Str,
    Int,
    Double,
    Bool,
    Bytes,
    Array,
    Map,
}

/// A stored (type, text) is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("there is no value type `{0}`")]
    UnknownType(String),
    #[error("`{text}` is not the text of a value of type {}", .kind.name())]
    Text { kind: ValueType, text: String },
}

impl ValueType {
    pub const ALL: [Self; 8] =
        [Self::Empty, Self::Str, Self::Int, Self::Double, Self::Bool, Self::Bytes, Self::Array, Self::Map];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Str => "str",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Array => "array",
            Self::Map => "map",
        }
    }

    pub fn from_name(name: &str) -> Result<Self, ValueError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| ValueError::UnknownType(name.to_owned()))
    }
}

/// Floats are equal by their bits: every NaN equals itself, and 0.0 is not -0.0.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Empty => ValueType::Empty,
            Self::Str(_) => ValueType::Str,
            Self::Int(_) => ValueType::Int,
            Self::Double(_) => ValueType::Double,
            Self::Bool(_) => ValueType::Bool,
            Self::Bytes(_) => ValueType::Bytes,
            Self::Array(_) => ValueType::Array,
            Self::Map(_) => ValueType::Map,
        }
    }

    /// Arrays and maps within arrays and maps; 0 for a plain value.
    pub fn nesting(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::nesting).max().unwrap_or(0),
            Self::Map(items) => 1 + items.iter().map(|item| item.value.nesting()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The exact text, see the module's table.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text);
        text
    }

    /// Appends the exact text.
    pub fn write_text(&self, out: &mut String) {
        match self {
            Self::Empty => {}
            Self::Str(value) => out.push_str(value),
            Self::Int(value) => write_int(*value, out),
            Self::Double(value) => write_double(*value, out),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Bytes(value) => write_base64(value, out),
            Self::Array(_) | Self::Map(_) => self.write_json(out),
        }
    }

    /// Gives the value back whose type and text these are.
    pub fn from_text(kind: ValueType, text: &str) -> Result<Self, ValueError> {
        let value = match kind {
            ValueType::Empty => text.is_empty().then_some(Self::Empty),
            ValueType::Str => Some(Self::Str(text.to_owned())),
            ValueType::Int => text.parse().ok().map(Self::Int),
            ValueType::Double => parse_double(text).map(Self::Double),
            ValueType::Bool => text.parse().ok().map(Self::Bool),
            ValueType::Bytes => BASE64.decode(text).ok().map(Self::Bytes),
            ValueType::Array | ValueType::Map => parse_json(text).filter(|value| value.value_type() == kind),
        };
        value.ok_or_else(|| ValueError::Text { kind, text: text.to_owned() })
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Str(value) => write_json_string(value, out),
            Self::Double(value) => write_json_double(*value, out),
            Self::Int(_) | Self::Bool(_) => self.write_text(out),
            Self::Bytes(value) => write_json_bytes(value, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Map(items) => write_json_map(items, out),
        }
    }
}

/// The exact text of a list of attributes: a JSON object.
pub fn attributes_text(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    write_json_map(attributes, &mut text);
    text
}

/// Gives the attributes back whose text this is.
pub fn attributes_from_text(text: &str) -> Result<Vec<Attribute>, ValueError> {
    match Value::from_text(ValueType::Map, text)? {
        Value::Map(attributes) => Ok(attributes),
        _ => Err(ValueError::Text { kind: ValueType::Map, text: text.to_owned() }),
    }
}

/// Appends an integer's decimal form.
pub fn write_int(value: i64, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends a double's exact text.
pub fn write_double(value: f64, out: &mut String) {
    let _ = match value.to_bits() {
        USUAL_NAN => write!(out, "NaN"),
        bits if value.is_nan() => write!(out, "NaN(0x{bits:016x})"),
        _ => write!(out, "{value:?}"),
    };
}

fn parse_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::from_bits(USUAL_NAN)),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ => match text.strip_prefix("NaN(0x").and_then(|rest| rest.strip_suffix(')')) {
            Some(bits) => u64::from_str_radix(bits, 16).ok().map(f64::from_bits).filter(|v| v.is_nan()),
            None => text.parse().ok().filter(|value: &f64| value.is_finite()),
        },
    }
}

fn write_json_map(items: &[Attribute], out: &mut String) {
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        write_json_key(&item.key, out);
        item.value.write_json(out);
    }
    out.push('}');
}

/// Appends a key of a map with its colon.
pub fn write_json_key(key: &str, out: &mut String) {
    out.push('"');
    out.push_str(if key.starts_with('$') { "$" } else { "" });
    write_json_escaped(key, out);
    out.push_str("\":");
}

/// Appends a string within an array or a map.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    write_json_escaped(text, out);
    out.push('"');
}

/// Appends a double within an array or a map.
pub fn write_json_double(value: f64, out: &mut String) {
    if value.is_finite() {
        return write_double(value, out);
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{{\"$double\":\"{:016x}\"}}", value.to_bits());
}

/// Appends bytes within an array or a map.
pub fn write_json_bytes(value: &[u8], out: &mut String) {
    out.push_str("{\"$bytes\":\"");
    write_base64(value, out);
    out.push_str("\"}");
}

/// Appends the exact text of bytes.
pub fn write_base64(value: &[u8], out: &mut String) {
    BASE64.encode_string(value, out);
}

fn write_json_escaped(text: &str, out: &mut String) {
    // What is escaped is ASCII, so runs between lie between characters.
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'\n' => out.push_str("\\n"),
            control if control < b' ' => {
                let _ = write!(out, "\\u{control:04x}");
            }
            quoted => {
                out.push('\\');
                out.push(char::from(quoted));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn parse_json(text: &str) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = deserializer.deserialize_any(JsonVisitor).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

impl<'de> de::Deserialize<'de> for Value {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// Builds a [`Value`] from JSON, keeping order and repeated keys of objects.
struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Empty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom("an integer over 63 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = items.next_entry::<String, Value>()? {
            map.push(Attribute { key, value });
        }
        if let [Attribute { key, value: Value::Str(text) }] = map.as_slice() {
            let special = match key.as_str() {
                "$bytes" => Some(BASE64.decode(text).ok().map(Value::Bytes)),
                "$double" => {
                    Some(u64::from_str_radix(text, 16).ok().map(|b| Value::Double(f64::from_bits(b))))
                }
                _ => None,
            };
            if let Some(special) = special {
                return special.ok_or_else(|| de::Error::custom("a damaged `$` value"));
            }
        }
        for item in &mut map {
            if let Some(rest) = item.key.strip_prefix('$') {
                if !rest.starts_with('$') {
                    return Err(de::Error::custom("an unknown `$` key"));
                }
                item.key = rest.to_owned();
            }
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(key: &str, value: Value) -> Attribute {
        Attribute { key: key.to_owned(), value }
    }

    fn round_trips(value: Value) {
        let text = value.text();
        assert_eq!(Value::from_text(value.value_type(), &text).unwrap(), value, "{text}");
    }

    #[test]
    fn should_give_back_every_plain_value() {
        for text in ["", "a", "ä\0\"\\\n", "72.5"] {
            round_trips(Value::Str(text.to_owned()));
        }
        for int in [0, -1, i64::MIN, i64::MAX] {
            round_trips(Value::Int(int));
        }
        for bits in
            [0, 1 << 63, USUAL_NAN, USUAL_NAN | 1, 0xfff8_0000_0000_0000, 1, u64::MAX, 0x7ff0_0000_0000_0000]
        {
            round_trips(Value::Double(f64::from_bits(bits)));
        }
        for double in [1.0, -0.0, 0.1 + 0.2, 1e300, 5e-324, f64::MAX, f64::NEG_INFINITY] {
            round_trips(Value::Double(double));
        }
        round_trips(Value::Bool(true));
        round_trips(Value::Bytes(vec![]));
        round_trips(Value::Bytes(vec![0, 255, 128]));
        round_trips(Value::Empty);
    }

    #[test]
    fn should_give_back_nested_values_with_what_json_lacks() {
        round_trips(Value::Array(vec![]));
        round_trips(Value::Map(vec![]));
        round_trips(Value::Array(vec![
            Value::Int(1),
            Value::Double(1.0),
            Value::Double(-0.0),
            Value::Double(f64::NAN),
            Value::Double(f64::INFINITY),
            Value::Bytes(vec![1, 2]),
            Value::Empty,
            Value::Int(i64::MIN),
            Value::Str("$bytes\u{1}".to_owned()),
        ]));
        for key in ["$bytes", "$double", "$", "$$", "", "a"] {
            round_trips(Value::Map(vec![attribute(key, Value::Str("AAAA".to_owned()))]));
        }
        round_trips(Value::Map(vec![
            attribute("b", Value::Int(1)),
            attribute("a", Value::Map(vec![attribute("$x", Value::Array(vec![Value::Map(vec![])]))])),
            attribute("b", Value::Int(2)),
        ]));
    }

    #[test]
    fn should_write_json_that_a_person_reads() {
        let value = Value::Map(vec![
            attribute("a", Value::Array(vec![Value::Str("x\n".to_owned()), Value::Double(2.0)])),
            attribute("b", Value::Empty),
        ]);
        assert_eq!(value.text(), r#"{"a":["x\n",2.0],"b":null}"#);
    }

    #[test]
    fn should_refuse_text_of_another_type() {
        for (kind, text) in [
            (ValueType::Int, "1.0"),
            (ValueType::Double, "nan"),
            (ValueType::Double, "NaN(0x0000000000000001)"),
            (ValueType::Bool, "yes"),
            (ValueType::Bytes, "***"),
            (ValueType::Array, "{}"),
            (ValueType::Map, "{\"$odd\":1}"),
            (ValueType::Map, "{\"a\":1} x"),
            (ValueType::Empty, "x"),
        ] {
            assert!(Value::from_text(kind, text).is_err(), "{text}");
        }
        assert!(ValueType::from_name("strs").is_err());
    }

    #[test]
    fn should_survive_the_deepest_nesting_that_is_allowed() {
        let deep = (0..MAX_NESTING).fold(Value::Int(1), |inner, _| Value::Array(vec![inner]));
        assert_eq!(deep.nesting(), MAX_NESTING);
        round_trips(deep);
    }
}
