//! Where spans come from: one resource with one instrumentation scope.

use crate::value::{Attribute, Value};

/// The attribute that names a service.
pub const SERVICE_NAME: &str = "service.name";

/// A resource and a scope, as they stand around spans in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub resource_attributes: Vec<Attribute>,
    pub resource_dropped_attributes_count: u32,
    pub resource_schema_url: String,
    pub entities: Vec<Entity>,
    pub scope_name: String,
    pub scope_version: String,
    pub scope_attributes: Vec<Attribute>,
    pub scope_dropped_attributes_count: u32,
    pub scope_schema_url: String,
}

/// A reference from a resource to an entity that it describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    pub schema_url: String,
    pub kind: String,
    pub id_keys: Vec<String>,
    pub description_keys: Vec<String>,
}

impl Origin {
    /// The service, or nothing if the resource does not say. Only a string names it;
    /// of several, the first in the order of bytes, because the order of attributes is
    /// not part of an origin.
    pub fn service_name(&self) -> String {
        let named = self.resource_attributes.iter().filter(|attribute| attribute.key == SERVICE_NAME);
        let names = named.filter_map(|attribute| match &attribute.value {
            Value::Str(name) => Some(name.as_str()),
            _ => None,
        });
        names.min().unwrap_or_default().to_owned()
    }

    /// The content in an order that does not depend on how it was sent.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = self.canonical_resource();
        out.extend(self.canonical_scope());
        out
    }

    /// The part of the content that is the resource.
    pub fn canonical_resource(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_attribute_set(&self.resource_attributes, &mut out);
        out.extend_from_slice(&self.resource_dropped_attributes_count.to_le_bytes());
        write_text(&self.resource_schema_url, &mut out);
        write_count(self.entities.len(), &mut out);
        for entity in &self.entities {
            write_text(&entity.schema_url, &mut out);
            write_text(&entity.kind, &mut out);
            for keys in [&entity.id_keys, &entity.description_keys] {
                write_count(keys.len(), &mut out);
                keys.iter().for_each(|key| write_text(key, &mut out));
            }
        }
        out
    }

    /// The part of the content that is the instrumentation scope.
    pub fn canonical_scope(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_text(&self.scope_name, &mut out);
        write_text(&self.scope_version, &mut out);
        write_attribute_set(&self.scope_attributes, &mut out);
        out.extend_from_slice(&self.scope_dropped_attributes_count.to_le_bytes());
        write_text(&self.scope_schema_url, &mut out);
        out
    }
}

/// Appends attributes as a multiset: equal sets give equal bytes.
pub(crate) fn write_attribute_set(attributes: &[Attribute], out: &mut Vec<u8>) {
    let mut encoded: Vec<Vec<u8>> = attributes
        .iter()
        .map(|attribute| {
            let mut one = Vec::new();
            write_text(&attribute.key, &mut one);
            write_value(&attribute.value, &mut one);
            one
        })
        .collect();
    encoded.sort_unstable();
    write_count(encoded.len(), out);
    encoded.iter().for_each(|one| out.extend_from_slice(one));
}

pub(crate) fn write_value(value: &Value, out: &mut Vec<u8>) {
    out.push(value.value_type() as u8);
    match value {
        Value::Double(double) => out.extend_from_slice(&double.to_bits().to_le_bytes()),
        other => write_text(&other.text(), out),
    }
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str, value: &str) -> Attribute {
        Attribute { key: key.to_owned(), value: Value::Str(value.to_owned()) }
    }

    #[test]
    fn should_ignore_the_order_of_attributes_but_not_their_number() {
        let of = |attributes| Origin { resource_attributes: attributes, ..Origin::default() };
        let ab = of(vec![text("a", "1"), text("b", "2")]);
        let ba = of(vec![text("b", "2"), text("a", "1")]);
        let aab = of(vec![text("a", "1"), text("a", "1"), text("b", "2")]);
        assert_eq!(ab.canonical(), ba.canonical());
        assert_ne!(ab.canonical(), aab.canonical());
    }

    #[test]
    fn should_tell_resource_from_scope_and_key_from_value() {
        let resource = Origin { resource_attributes: vec![text("a", "b")], ..Origin::default() };
        let scope = Origin { scope_attributes: vec![text("a", "b")], ..Origin::default() };
        let joined = Origin { resource_attributes: vec![text("ab", "")], ..Origin::default() };
        assert_ne!(resource.canonical(), scope.canonical());
        assert_ne!(resource.canonical(), joined.canonical());
    }

    #[test]
    fn should_name_the_service_by_the_first_string_in_the_order_of_bytes() {
        let of = |resource_attributes| Origin { resource_attributes, ..Origin::default() }.service_name();
        let name = |value: &str| text(SERVICE_NAME, value);
        let number = || Attribute { key: SERVICE_NAME.to_owned(), value: Value::Int(7) };
        assert_eq!(of(vec![name("cart")]), "cart");
        assert_eq!(of(vec![name("shop"), number(), name("cart")]), "cart");
        assert_eq!(of(vec![name("cart"), name("Shop")]), "Shop");
        assert_eq!(of(vec![text("name", "a"), number()]), "");
        assert_eq!(of(Vec::new()), "");
    }
}
