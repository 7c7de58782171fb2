//! Origins: a resource with a scope, decoded once and from then on known again by their bytes.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use siltstone_format::columns::{OriginNumber, SpanColumns};
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::value::{Attribute, attributes_from_text};

use super::depth::Depth;
use super::fields::{entity, resource, scope};
use super::span::Faults;
use super::text::{utf8, write_checked_pair};
use super::wire::{Malformed, Wire};
use crate::export::SpanFault;

/// Bytes that a cache holds at most; then it begins anew.
const MOST_BYTES: usize = 8 << 20;
/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 64;

/// The message of a resource or a scope, and the schema url beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) schema_url: &'a [u8],
}

/// The origins of one [`SpanColumns`] by the bytes in which they were sent. Its hashes are seeded at random,
/// its size is bounded.
#[derive(Debug, Default)]
pub struct OriginCache {
    /// Resources with their schema urls. Numbers are never used twice, so that a scope's key stays true when
    /// the resource is forgotten.
    resources: HashMap<Box<[u8]>, u64, RandomState>,
    next_resource: u64,
    /// By the resource's number and the scope with its schema url.
    origins: HashMap<Box<[u8]>, OriginNumber, RandomState>,
    bytes: usize,
    most_bytes: usize,
    key: Vec<u8>,
}

/// What the origins of one request may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OriginLimits {
    pub(crate) attribute_bytes: usize,
    /// Bytes that may still be decoded. Each origin holds its resource, so one large resource with many small
    /// scopes would take far more memory than the request has bytes.
    pub(crate) decoded_bytes: usize,
}

/// Why there is no origin.
#[derive(Debug)]
pub(crate) enum OriginError {
    /// The message of this name is damaged.
    Malformed(&'static str),
    /// No span can have this origin.
    Unacceptable(SpanFault),
    /// More than the request may have decoded.
    TooLarge,
}

impl OriginCache {
    /// Columns without origins are new ones: whatever is known is of others.
    pub(crate) fn begin(&mut self, columns: &SpanColumns) {
        if columns.origins.is_empty() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.resources.clear();
        self.origins.clear();
        self.bytes = 0;
    }

    /// A number for a resource with its schema url.
    pub(crate) fn resource(&mut self, resource: Surroundings<'_>) -> u64 {
        self.key.clear();
        resource.append(&mut self.key);
        if let Some(number) = self.resources.get(self.key.as_slice()) {
            return *number;
        }
        self.make_room();
        let number = self.next_resource;
        self.next_resource += 1;
        self.resources.insert(self.key.as_slice().into(), number);
        number
    }

    /// The number of the origin of a resource and a scope.
    pub(crate) fn origin(
        &mut self,
        resource_number: u64,
        resource: Surroundings<'_>,
        scope: Surroundings<'_>,
        limits: &mut OriginLimits,
        columns: &mut SpanColumns,
    ) -> Result<OriginNumber, OriginError> {
        self.key.clear();
        self.key.extend_from_slice(&resource_number.to_le_bytes());
        scope.append(&mut self.key);
        if let Some(origin) = self.origins.get(self.key.as_slice()) {
            return Ok(*origin);
        }
        let sent = resource.bytes().saturating_add(scope.bytes());
        limits.decoded_bytes = limits.decoded_bytes.checked_sub(sent).ok_or(OriginError::TooLarge)?;
        let origin = decode(resource, scope, limits.attribute_bytes)?;
        let number = columns.origin(Arc::new(origin));
        self.make_room();
        self.origins.insert(self.key.as_slice().into(), number);
        Ok(number)
    }

    /// The most that it ever held: what counts its growth must not see it shrink.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.most_bytes + self.key.capacity()
    }

    /// For the entry whose key was just made.
    fn make_room(&mut self) {
        let wanted = self.key.len() + ENTRY_BYTES;
        if self.bytes + wanted > MOST_BYTES {
            self.forget();
        }
        self.bytes += wanted;
        self.most_bytes = self.most_bytes.max(self.bytes);
    }
}

impl Surroundings<'_> {
    fn bytes(&self) -> usize {
        self.schema_url.len() + self.message.len()
    }

    fn append(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&(self.schema_url.len() as u64).to_le_bytes());
        key.extend_from_slice(self.schema_url);
        key.extend_from_slice(self.message);
    }
}

fn decode(
    resource: Surroundings<'_>,
    scope: Surroundings<'_>,
    attribute_bytes: usize,
) -> Result<Origin, OriginError> {
    let mut reader = OriginReader {
        attribute_bytes,
        faults: Faults::default(),
        attributes: String::new(),
        origin: Origin::default(),
    };
    reader.resource(resource).map_err(|Malformed| OriginError::Malformed("Resource"))?;
    reader.scope(scope).map_err(|Malformed| OriginError::Malformed("InstrumentationScope"))?;
    match reader.faults.worst() {
        None => Ok(reader.origin),
        Some(fault) => Err(OriginError::Unacceptable(fault)),
    }
}

/// Reads the messages of one origin. What is wrong with texts and values is noted; only damage ends it.
struct OriginReader {
    attribute_bytes: usize,
    faults: Faults,
    /// Text of the attributes so far.
    attributes: String,
    origin: Origin,
}

impl OriginReader {
    fn resource(&mut self, sent: Surroundings<'_>) -> Result<(), Malformed> {
        let depth = Depth::REQUEST.down(2);
        self.origin.resource_schema_url = self.text(sent.schema_url);
        self.attributes.clear();
        let mut wire = Wire::new(sent.message);
        while !wire.is_empty() {
            match wire.key()? {
                resource::ATTRIBUTE => self.attribute(wire.bytes()?, depth)?,
                resource::DROPPED_ATTRIBUTES => {
                    self.origin.resource_dropped_attributes_count = wire.varint()? as u32;
                }
                resource::ENTITY => self.entity(wire.bytes()?, depth.down(1))?,
                other => wire.skip(other, resource::ALL, depth)?,
            }
        }
        self.origin.resource_attributes = self.attributes()?;
        Ok(())
    }

    fn scope(&mut self, sent: Surroundings<'_>) -> Result<(), Malformed> {
        let depth = Depth::REQUEST.down(3);
        self.origin.scope_schema_url = self.text(sent.schema_url);
        self.attributes.clear();
        let mut wire = Wire::new(sent.message);
        while !wire.is_empty() {
            match wire.key()? {
                scope::NAME => self.origin.scope_name = self.text(wire.bytes()?),
                scope::VERSION => self.origin.scope_version = self.text(wire.bytes()?),
                scope::ATTRIBUTE => self.attribute(wire.bytes()?, depth)?,
                scope::DROPPED_ATTRIBUTES => {
                    self.origin.scope_dropped_attributes_count = wire.varint()? as u32
                }
                other => wire.skip(other, scope::ALL, depth)?,
            }
        }
        self.origin.scope_attributes = self.attributes()?;
        Ok(())
    }

    fn entity(&mut self, message: &[u8], depth: Depth) -> Result<(), Malformed> {
        let mut read = Entity::default();
        let mut wire = Wire::new(message);
        while !wire.is_empty() {
            match wire.key()? {
                entity::SCHEMA_URL => read.schema_url = self.text(wire.bytes()?),
                entity::KIND => read.kind = self.text(wire.bytes()?),
                entity::ID_KEY => read.id_keys.push(self.text(wire.bytes()?)),
                entity::DESCRIPTION_KEY => read.description_keys.push(self.text(wire.bytes()?)),
                other => wire.skip(other, entity::ALL, depth)?,
            }
        }
        self.origin.entities.push(read);
        Ok(())
    }

    fn text(&mut self, bytes: &[u8]) -> String {
        match utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(fault) => {
                self.faults.note(fault);
                String::new()
            }
        }
    }

    fn attribute(&mut self, message: &[u8], depth: Depth) -> Result<(), Malformed> {
        if self.attributes.is_empty() {
            self.attributes.push('{');
        }
        let written = write_checked_pair(message, self.attribute_bytes, depth.down(1), &mut self.attributes);
        match written {
            Ok(()) => Ok(()),
            Err(SpanFault::Malformed) => Err(Malformed),
            Err(fault) => {
                self.faults.note(fault);
                Ok(())
            }
        }
    }

    /// The attributes so far. After a fault their text is not whole, and nobody wants them.
    fn attributes(&mut self) -> Result<Vec<Attribute>, Malformed> {
        if self.attributes.is_empty() || self.faults.worst().is_some() {
            return Ok(Vec::new());
        }
        self.attributes.push('}');
        attributes_from_text(&self.attributes).map_err(|_| Malformed)
    }
}
