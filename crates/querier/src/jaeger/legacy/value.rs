//! Tags: a key, a type, and a value as far as JSON has it.

use siltstone_format::value::{Attribute, Value};

use crate::jaeger::json::{write_base64, write_double, write_list, write_safe_int, write_text};

/// Tags as a list.
pub(super) struct Tags<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Tags<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        Self { out, is_empty: true }
    }

    pub(super) fn end(self) {
        self.out.push(b']');
    }

    pub(super) fn attribute(&mut self, attribute: &Attribute) {
        self.value(&attribute.key, &attribute.value);
    }

    pub(super) fn value(&mut self, key: &str, value: &Value) {
        match value {
            Value::Str(text) => self.text(key, text),
            Value::Int(int) => self.typed(key, "int64", |out| write_safe_int(*int, out)),
            Value::Double(double) => self.typed(key, "float64", |out| write_double(*double, out)),
            Value::Bool(flag) => self.flag(key, *flag),
            Value::Bytes(bytes) => self.typed(key, "binary", |out| write_base64(bytes, out)),
            Value::Empty => self.text(key, ""),
            Value::Array(_) | Value::Map(_) => self.text(key, &json_text(value)),
        }
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.typed(key, "string", |out| write_text(text, out));
    }

    pub(super) fn text_if_any(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.text(key, text);
        }
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.typed(key, "bool", |out| out.extend_from_slice(if flag { b"true" } else { b"false" }));
    }

    fn typed(&mut self, key: &str, kind: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"{\"key\":");
        write_text(key, self.out);
        self.out.extend_from_slice(b",\"type\":\"");
        self.out.extend_from_slice(kind.as_bytes());
        self.out.extend_from_slice(b"\",\"value\":");
        write(self.out);
        self.out.push(b'}');
    }
}

/// A list or a map as a text that is JSON.
pub(super) fn json_text(value: &Value) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Values are nested 40 deep at most, so this ends soon.
fn write_json(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Str(text) => write_text(text, out),
        Value::Int(int) => crate::jaeger::json::write_shown(int, out),
        Value::Double(double) => write_double(*double, out),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Bytes(bytes) => write_base64(bytes, out),
        Value::Array(items) => write_list(items, out, write_json),
        Value::Map(entries) => {
            out.push(b'{');
            for (place, entry) in entries.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_text(&entry.key, out);
                out.push(b':');
                write_json(&entry.value, out);
            }
            out.push(b'}');
        }
    }
}
