//! The processes of a trace: what its spans say of their resources, each once.

use std::collections::HashMap;
use std::sync::Arc;

use siltstone_format::origin::{Origin, SERVICE_NAME};
use siltstone_format::value::{Attribute, Value};

use super::value::Tags;
use crate::jaeger::ask::shown_service;
use crate::jaeger::json::{write_shown, write_text};
use crate::jaeger::origins::WrittenOrigins;

/// Numbered from 1 in the order in which spans need them.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// By what is written of them.
    numbers: HashMap<Vec<u8>, usize>,
    /// All of them, as they stand in a trace.
    written: Vec<u8>,
    /// Of the origins of one piece, by their place in memory.
    here: HashMap<usize, usize>,
}

impl Processes {
    /// Spans of another piece come: the origins of the last one may be gone from their places.
    pub(super) fn next_piece(&mut self) {
        self.here.clear();
    }

    pub(super) fn number(&mut self, origin: &Arc<Origin>, origins: &mut WrittenOrigins) -> usize {
        let place = Arc::as_ptr(origin).addr();
        if let Some(number) = self.here.get(&place) {
            return *number;
        }
        let process = origins.of(origin, write_process);
        let next = self.numbers.len() + 1;
        let number = match self.numbers.get(process) {
            Some(number) => *number,
            None => {
                self.written.extend_from_slice(if next == 1 { b"\"p" } else { b",\"p" });
                write_shown(next, &mut self.written);
                self.written.extend_from_slice(b"\":");
                self.written.extend_from_slice(process);
                self.numbers.insert(process.to_owned(), next);
                next
            }
        };
        self.here.insert(place, number);
        number
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.written);
        out.push(b'}');
    }
}

/// Tags are sorted by key: the order of a resource's attributes carries no meaning.
fn write_process(origin: &Origin, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"serviceName\":");
    write_text(shown_service(&origin.service_name()), out);
    out.extend_from_slice(b",\"tags\":");
    let mut attributes: Vec<&Attribute> =
        origin.resource_attributes.iter().filter(|attribute| !names_service(attribute)).collect();
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    let mut tags = Tags::begin(out);
    attributes.into_iter().for_each(|attribute| tags.attribute(attribute));
    tags.end();
    out.push(b'}');
}

/// Only a text names a service.
fn names_service(attribute: &Attribute) -> bool {
    attribute.key == SERVICE_NAME && matches!(attribute.value, Value::Str(_))
}
