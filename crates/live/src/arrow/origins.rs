//! Origins as batches, and back.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use siltstone_format::origin::{Entity, Origin};
use siltstone_format::value::attributes_text;

use super::read::{Columns, attributes, utf8};
use super::schema::Table;
use super::{BATCH_BYTES, BatchError};

/// The entities of a resource as JSON: schema url, kind, id keys, description keys of each.
type Entities = Vec<(String, String, Vec<String>, Vec<String>)>;

/// All origins, in order.
pub(crate) fn origins_batches(
    origins: &[Arc<Origin>],
) -> impl Iterator<Item = Result<RecordBatch, BatchError>> + '_ {
    let mut rest = origins;
    std::iter::from_fn(move || {
        let (first, _) = rest.split_first()?;
        let mut builder = OriginsBuilder::default();
        let mut pushed = builder.push(first);
        rest = &rest[1..];
        while let (true, Some((next, after))) = (pushed.is_ok() && !builder.is_full(), rest.split_first()) {
            pushed = builder.push(next);
            rest = after;
        }
        Some(pushed.and_then(|()| builder.finish()))
    })
}

/// The origins of a batch.
pub(crate) fn origins_of(batch: &RecordBatch) -> Result<Vec<Origin>, BatchError> {
    let mut columns = Columns::of(batch.columns());
    let resource_attributes = columns.binary()?;
    let resource_dropped = columns.unsigned()?;
    let resource_url = columns.binary()?;
    let entities = columns.binary()?;
    let scope_name = columns.binary()?;
    let scope_version = columns.binary()?;
    let scope_attributes = columns.binary()?;
    let scope_dropped = columns.unsigned()?;
    let scope_url = columns.binary()?;
    (0..batch.num_rows())
        .map(|row| {
            let text = |bytes| utf8(bytes).map(str::to_owned);
            Ok(Origin {
                resource_attributes: attributes(resource_attributes.value(row))?,
                resource_dropped_attributes_count: resource_dropped.value(row),
                resource_schema_url: text(resource_url.value(row))?,
                entities: entities_of(entities.value(row))?,
                scope_name: text(scope_name.value(row))?,
                scope_version: text(scope_version.value(row))?,
                scope_attributes: attributes(scope_attributes.value(row))?,
                scope_dropped_attributes_count: scope_dropped.value(row),
                scope_schema_url: text(scope_url.value(row))?,
            })
        })
        .collect()
}

#[derive(Default)]
struct OriginsBuilder {
    /// Resource attributes and url, entities; scope name, version, attributes, url.
    texts: [BinaryBuilder; 7],
    resource_dropped: UInt32Builder,
    scope_dropped: UInt32Builder,
    bytes: usize,
}

impl OriginsBuilder {
    fn push(&mut self, origin: &Origin) -> Result<(), BatchError> {
        let texts = [
            attributes_text(&origin.resource_attributes),
            origin.resource_schema_url.clone(),
            entities_text(&origin.entities)?,
            origin.scope_name.clone(),
            origin.scope_version.clone(),
            attributes_text(&origin.scope_attributes),
            origin.scope_schema_url.clone(),
        ];
        for (builder, text) in self.texts.iter_mut().zip(&texts) {
            builder.append_value(text);
            self.bytes += text.len();
        }
        self.resource_dropped.append_value(origin.resource_dropped_attributes_count);
        self.scope_dropped.append_value(origin.scope_dropped_attributes_count);
        self.bytes += 40;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    fn finish(mut self) -> Result<RecordBatch, BatchError> {
        let [resource_attributes, resource_url, entities, name, version, scope_attributes, scope_url] =
            self.texts.map(|mut texts| Arc::new(texts.finish()) as ArrayRef);
        let columns = vec![
            resource_attributes,
            Arc::new(self.resource_dropped.finish()),
            resource_url,
            entities,
            name,
            version,
            scope_attributes,
            Arc::new(self.scope_dropped.finish()),
            scope_url,
        ];
        Ok(RecordBatch::try_new(Table::Origins.schema().clone(), columns)?)
    }
}

fn entities_text(entities: &[Entity]) -> Result<String, BatchError> {
    if entities.is_empty() {
        return Ok(String::new());
    }
    let parts: Entities = entities
        .iter()
        .map(|entity| {
            let Entity { schema_url, kind, id_keys, description_keys } = entity.clone();
            (schema_url, kind, id_keys, description_keys)
        })
        .collect();
    Ok(serde_json::to_string(&parts)?)
}

fn entities_of(text: &[u8]) -> Result<Vec<Entity>, BatchError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Entities = serde_json::from_slice(text)?;
    let entity = |(schema_url, kind, id_keys, description_keys)| Entity {
        schema_url,
        kind,
        id_keys,
        description_keys,
    };
    Ok(parts.into_iter().map(entity).collect())
}
