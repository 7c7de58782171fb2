//! The origins file: a block's origins, its filters, and its summary.
//!
//! ```text
//! "PAR1"
//! xxh3 of the filters     8 bytes, little endian
//! trace filter            whole buckets of 32 bytes
//! term filter             whole buckets of 32 bytes
//! one row group           a row an origin, ascending by id
//! page indexes, footer    key-values: identity, summary of the spans file, filters
//! "PAR1"
//! ```
//!
//! To other programs the filters are bytes that the footer does not mention. They
//! stand first, so that one request for the end of the file brings all origins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};

use super::chunk::{ChunkEncoder, EncodedChunk};
use super::decode::Raw;
use super::error::{ReadError, Wrong};
use super::identity::{BlockIdentity, text_of};
use super::leaf::{Entry, Leaf};
use super::levels::Levels;
use super::pick::pick_pages;
use super::ranges::{Fetched, Page};
use super::read::{Origins, key_values, leaves_of, page_range, parse_metadata, parse_unverified};
use super::rows::{number, text};
use super::schema::origins_schema;
use super::summary::{BlockSummary, FilterPlace, FiltersSummary, OriginsSummary, SpansSummary};
use super::values::{TextSource, Values};
use super::write::{EncodeError, SETTINGS, begin_file, end_file, write_groups};
use crate::columns::dictionary::Dictionary;
use crate::columns::{KnownOrigin, OriginPool, Rejected, SpanColumns};
use crate::filter::collect::Terms;
use crate::filter::size::{Rate, SizeClass};
use crate::filter::split_block::{FilterKey, SplitBlockFilter};
use crate::origin::{Entity, Origin};
use crate::value::{Attribute, Value, attributes_from_text, attributes_text};

const SPANS_SUMMARY: &str = "siltstone.spans";
const FILTERS_SUMMARY: &str = "siltstone.filters";

/// Where the filters begin: behind the magic and the hash.
const FILTERS_OFFSET: u64 = 12;

/// The origins of a block, each with an id within it.
///
/// ```text
/// id = family << 8 | member       family: service and scope, member: resource
/// ```
///
/// A trace's spans repeat families in patterns, while resources (pods) vary: in bytes
/// of their own both compress well, and better than any one number for the whole.
#[derive(Debug, Default)]
pub(crate) struct OriginTable {
    /// By their content.
    ids: HashMap<Arc<[u8]>, u32, foldhash::fast::RandomState>,
    origins: Vec<(u32, Arc<Origin>)>,
    /// The number of each resource within its service, so that a pod keeps its member in every scope.
    resources: BTreeMap<String, BTreeMap<Vec<u8>, u32>>,
    families: BTreeMap<Family, u32>,
    bytes: usize,
}

/// Service, scope, and how many full families of resources come before.
type Family = (String, Vec<u8>, u32);

const MEMBER_BITS: u32 = 8;

impl OriginTable {
    /// The id of each origin of some columns.
    pub(crate) fn add(&mut self, columns: &SpanColumns) -> Result<Vec<u32>, Rejected> {
        let known = |canonical: &Arc<[u8]>| self.ids.contains_key(canonical);
        let all = columns.canonical_origins.iter().zip(&columns.origins);
        let new: Vec<_> = all.filter(|(canonical, _)| !known(canonical)).collect();
        self.number_resources(new.iter().map(|(_, origin)| &***origin));
        // What comes together is numbered by its content, so that ids do not depend on its order.
        let mut placed = Vec::with_capacity(new.len());
        for (canonical, origin) in new {
            let service = origin.service_name();
            let resources = self.resources.get(&service);
            let number = resources.and_then(|known| known.get(&origin.canonical_resource()));
            let number = number.copied().unwrap_or_default();
            let family = (service, origin.canonical_scope(), number >> MEMBER_BITS);
            placed.push((family, number & ((1 << MEMBER_BITS) - 1), canonical, origin));
        }
        placed.sort_by(|one: &(Family, u32, _, _), other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        for (family, member, canonical, origin) in placed {
            let next = self.families.len() as u32;
            let family = *self.families.entry(family).or_insert(next);
            if family >= 1 << (32 - MEMBER_BITS) {
                return Err(Rejected::Full);
            }
            let id = family << MEMBER_BITS | member;
            if self.ids.insert(Arc::clone(canonical), id).is_none() {
                self.origins.push((id, Arc::clone(origin)));
                self.bytes += canonical.len();
            }
        }
        columns
            .canonical_origins
            .iter()
            .map(|origin| self.ids.get(origin).copied().ok_or(Rejected::Full))
            .collect()
    }

    /// Gives resources that are new in their service the next numbers.
    fn number_resources<'o>(&mut self, origins: impl Iterator<Item = &'o Origin>) {
        let mut new: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for origin in origins {
            new.entry(origin.service_name()).or_default().insert(origin.canonical_resource());
        }
        for (service, resources) in new {
            let known = self.resources.entry(service).or_default();
            for resource in resources {
                let next = known.len() as u32;
                known.entry(resource).or_insert(next);
            }
        }
    }

    /// Memory of the contents, about: an origin is held spelled out and as its parts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes * 4
    }

    /// Ascending by id.
    fn into_sorted(mut self) -> Vec<(u32, Arc<Origin>)> {
        self.origins.sort_unstable_by_key(|(id, _)| *id);
        self.origins
    }
}

/// What the file is made of, beside the summary of the spans file.
pub(crate) struct OriginsFileContents<'a> {
    pub(crate) origins: OriginTable,
    /// Each trace once.
    pub(crate) traces: &'a [FilterKey],
    pub(crate) terms: Terms,
}

impl OriginsFileContents<'_> {
    /// Builds the filters and writes the file.
    pub(crate) fn write(
        self,
        spans: SpansSummary,
        identity: BlockIdentity,
    ) -> Result<(Vec<u8>, BlockSummary), EncodeError> {
        let mut traces = SplitBlockFilter::new(SizeClass::for_keys(spans.traces, Rate::OneInThousand));
        self.traces.iter().for_each(|key| traces.insert(*key));
        let (terms, left_out) = self.terms.into_filter(spans.bytes);
        let traces_place = FilterPlace { offset: FILTERS_OFFSET, class: traces.class() };
        let terms_place = FilterPlace { offset: traces_place.range().end, class: terms.class() };

        let mut prefix = vec![0; 8];
        prefix.extend_from_slice(traces.as_bytes());
        prefix.extend_from_slice(terms.as_bytes());
        let hash = xxhash_rust::xxh3::xxh3_64(&prefix[8..]);
        prefix[..8].copy_from_slice(&hash.to_le_bytes());
        let filters = FiltersSummary { traces: traces_place, terms: terms_place, hash, left_out };

        let schema = origins_schema()?;
        let origins = self.origins.into_sorted();
        let encoder = OriginsEncoder {
            origins: &origins,
            schema: &schema,
            chunks: ChunkEncoder::new(),
            done: Vec::new(),
        };
        let mut stored = identity.key_values("origins");
        stored.push(KeyValue::new(SPANS_SUMMARY.to_owned(), serde_json::to_string(&spans)?));
        stored.push(KeyValue::new(FILTERS_SUMMARY.to_owned(), serde_json::to_string(&filters)?));
        let origins_offset = filters.terms.range().end;
        let mut file = begin_file(Vec::new(), &schema, stored)?;
        file.write_all(&prefix).map_err(ParquetError::from)?;
        write_groups(&mut file, encoder.encode()?, 1)?;
        let file = end_file(file)?;
        let summary = OriginsSummary {
            origins: origins.len() as u64,
            bytes: file.bytes.len() as u64,
            origins_offset,
            origins_hash: xxhash_rust::xxh3::xxh3_64(&file.bytes[origins_offset as usize..]),
        };
        Ok((file.bytes, BlockSummary { identity, spans, origins: summary, filters }))
    }
}

struct OriginsEncoder<'a> {
    origins: &'a [(u32, Arc<Origin>)],
    schema: &'a parquet::schema::types::SchemaDescriptor,
    chunks: ChunkEncoder,
    done: Vec<Vec<EncodedChunk>>,
}

impl OriginsEncoder<'_> {
    fn encode(mut self) -> Result<Vec<Vec<EncodedChunk>>, EncodeError> {
        let origins: Vec<&Origin> = self.origins.iter().map(|(_, origin)| &**origin).collect();
        let rows = origins.len();
        let ids = self.origins.iter().map(|(id, _)| *id).collect();
        self.column(Levels::Required { rows }, &Values::Unsigned32(ids))?;
        self.texts(origins.iter().map(|origin| origin.service_name()))?;
        self.texts(origins.iter().map(|origin| attributes_text(&origin.resource_attributes)))?;
        self.counts(origins.iter().map(|origin| origin.resource_dropped_attributes_count))?;
        self.texts(origins.iter().map(|origin| origin.resource_schema_url.clone()))?;
        self.texts(origins.iter().map(|origin| entities_text(&origin.entities)))?;
        self.texts(origins.iter().map(|origin| origin.scope_name.clone()))?;
        self.texts(origins.iter().map(|origin| origin.scope_version.clone()))?;
        self.texts(origins.iter().map(|origin| attributes_text(&origin.scope_attributes)))?;
        self.counts(origins.iter().map(|origin| origin.scope_dropped_attributes_count))?;
        self.texts(origins.iter().map(|origin| origin.scope_schema_url.clone()))?;
        Ok(self.done)
    }

    fn column(&mut self, levels: Levels<'_>, values: &Values<'_>) -> Result<(), EncodeError> {
        let column = self.schema.column(self.done.len());
        self.done.push(vec![self.chunks.encode(&column, SETTINGS, levels, values)?]);
        Ok(())
    }

    fn texts(&mut self, texts: impl ExactSizeIterator<Item = String>) -> Result<(), EncodeError> {
        let rows = texts.len();
        let mut dictionary = Dictionary::default();
        let numbers = texts.map(|text| dictionary.intern(text.as_bytes())).collect::<Result<_, _>>()?;
        let values = Values::Texts { texts: TextSource::Dictionary(&dictionary), numbers };
        self.column(Levels::Required { rows }, &values)
    }

    fn counts(&mut self, counts: impl ExactSizeIterator<Item = u32>) -> Result<(), EncodeError> {
        let rows = counts.len();
        self.column(Levels::Required { rows }, &Values::Unsigned32(counts.collect()))
    }
}

/// Entities are rare and still changing in OTLP, so they are one text: a JSON array
/// of [schema url, type, [id keys], [description keys]], or nothing.
fn entities_text(entities: &[Entity]) -> String {
    if entities.is_empty() {
        return String::new();
    }
    let text = |text: &String| Value::Str(text.clone());
    let array = entities.iter().map(|entity| {
        let keys = |keys: &[String]| Value::Array(keys.iter().map(text).collect());
        Value::Array(vec![
            text(&entity.schema_url),
            text(&entity.kind),
            keys(&entity.id_keys),
            keys(&entity.description_keys),
        ])
    });
    Value::Array(array.collect()).text()
}

fn entities_of(stored: &str) -> Option<Vec<Entity>> {
    if stored.is_empty() {
        return Some(Vec::new());
    }
    let text = |value: &Value| if let Value::Str(text) = value { Some(text.clone()) } else { None };
    let keys = |value: &Value| match value {
        Value::Array(keys) => keys.iter().map(text).collect(),
        _ => None,
    };
    let Ok(Value::Array(entities)) = Value::from_text(crate::value::ValueType::Array, stored) else {
        return None;
    };
    let entity = |value: &Value| match value {
        Value::Array(parts) => match parts.as_slice() {
            [url, kind, ids, descriptions] => Some(Entity {
                schema_url: text(url)?,
                kind: text(kind)?,
                id_keys: keys(ids)?,
                description_keys: keys(descriptions)?,
            }),
            _ => None,
        },
        _ => None,
    };
    entities.iter().map(entity).collect()
}

/// The origins of a block, read.
#[derive(Clone, Debug)]
pub struct OriginsFile {
    identity: BlockIdentity,
    origins: HashMap<u32, KnownOrigin, foldhash::fast::RandomState>,
    own_bytes: usize,
    stored: Vec<KeyValue>,
}

impl Origins for OriginsFile {
    fn origin(&self, id: u32) -> Option<KnownOrigin> {
        self.origins.get(&id).cloned()
    }
}

impl OriginsFile {
    /// Opens a file by the bytes from `summary.origins_offset` to its end.
    pub fn open(object: &str, summary: &OriginsSummary, tail: &Bytes) -> Result<Self, ReadError> {
        let wrong = |what| ReadError::new(object, Wrong::Damaged(what));
        if summary.bytes.checked_sub(summary.origins_offset) != Some(tail.len() as u64) {
            return Err(wrong("it has another size than its catalog entry says"));
        }
        if xxhash_rust::xxh3::xxh3_64(tail) != summary.origins_hash {
            return Err(wrong("its origins have another hash than its catalog entry says"));
        }
        let metadata = parse_metadata(tail, summary.bytes).map_err(|wrong| ReadError::new(object, wrong))?;
        let file = Self::parse(object, metadata, summary.origins_offset, tail)?;
        if file.len() as u64 != summary.origins {
            return Err(wrong("it has another number of origins than its catalog entry says"));
        }
        Ok(file)
    }

    /// Opens a whole file without an entry that vouches for it, and gives the summary
    /// that its entry would have: so a catalog is made from blocks alone.
    pub fn open_unverified(object: &str, whole: &Bytes) -> Result<(Self, BlockSummary), ReadError> {
        let wrong = |what| ReadError::new(object, Wrong::Damaged(what));
        let metadata = parse_unverified(whole).map_err(|wrong| ReadError::new(object, wrong))?;
        let file = Self::parse(object, metadata, 0, whole)?;
        let spans = stored_json(object, &file.stored, SPANS_SUMMARY)?;
        let filters: FiltersSummary = stored_json(object, &file.stored, FILTERS_SUMMARY)?;
        let (traces, terms) = (filters.traces.range(), filters.terms.range());
        let filter_bytes =
            traces.end.checked_sub(traces.start).and_then(|_| whole.get(12..terms.end as usize));
        let filter_bytes = filter_bytes.ok_or_else(|| wrong("its filters lie outside of it"))?;
        if traces.start != FILTERS_OFFSET || traces.end != terms.start {
            return Err(wrong("its filters do not lie where they should"));
        }
        let stored_hash = whole.get(4..12).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        if stored_hash != Some(filters.hash) || filters.hash != xxhash_rust::xxh3::xxh3_64(filter_bytes) {
            return Err(wrong("its filters have another hash than it says"));
        }
        let origins = OriginsSummary {
            origins: file.origins.len() as u64,
            bytes: whole.len() as u64,
            origins_offset: terms.end,
            origins_hash: xxhash_rust::xxh3::xxh3_64(&whole[terms.end as usize..]),
        };
        let summary = BlockSummary { identity: file.identity.clone(), spans, origins, filters };
        Ok((file, summary))
    }

    pub fn identity(&self) -> &BlockIdentity {
        &self.identity
    }

    /// Lets what other blocks have too lie in memory once.
    pub fn share(&mut self, pool: &mut OriginPool) {
        pool.make_room();
        for origin in self.origins.values_mut() {
            if let Some(shared) = pool.shared(origin) {
                self.own_bytes -= origin.memory_bytes();
                *origin = shared;
            }
        }
    }

    /// Memory that is held for it alone: not the origins that it shares.
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// All origins with their ids, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Origin>)> {
        self.origins.iter().map(|(id, known)| (*id, &known.origin))
    }

    pub fn len(&self) -> usize {
        self.origins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    fn parse(object: &str, metadata: ParquetMetaData, offset: u64, tail: &Bytes) -> Result<Self, ReadError> {
        let wrong = |wrong| ReadError::new(object, wrong);
        let stored = key_values(&metadata).to_vec();
        let identity = BlockIdentity::read(object, "origins", &stored)?;
        let expected = origins_schema().map_err(|error| wrong(error.into()))?;
        if metadata.file_metadata().schema_descr().root_schema() != expected.root_schema() {
            return Err(wrong(Wrong::Damaged("its columns are not those of its version")));
        }
        let leaves = leaves_of(&metadata).map_err(wrong)?;
        let [leaves] = leaves.as_slice() else {
            return Err(wrong(Wrong::Damaged("it has not one row group")));
        };
        let mut fetched = Fetched::default();
        fetched.add(offset, tail.clone());
        let reader = OriginsReader { object, metadata: &metadata, leaves, fetched };
        let origins = reader.read()?;
        let of_origins: usize = origins.values().map(KnownOrigin::memory_bytes).sum();
        Ok(Self { identity, own_bytes: origins.allocation_size() + of_origins, origins, stored })
    }
}

fn stored_json<T: serde::de::DeserializeOwned>(
    object: &str,
    stored: &[KeyValue],
    key: &'static str,
) -> Result<T, ReadError> {
    let text = text_of(stored, key).ok_or_else(|| ReadError::new(object, Wrong::NotOurs { missing: key }))?;
    serde_json::from_str(text)
        .map_err(|_| ReadError::new(object, Wrong::Damaged("its summary cannot be read")))
}

struct OriginsReader<'a> {
    object: &'a str,
    metadata: &'a ParquetMetaData,
    leaves: &'a [Leaf],
    fetched: Fetched,
}

impl OriginsReader<'_> {
    fn read(&self) -> Result<HashMap<u32, KnownOrigin, foldhash::fast::RandomState>, ReadError> {
        let ids = self.column(0, number)?;
        // Column 1 is the service name, which the attributes tell.
        let resources = self.column(2, attributes)?;
        let resource_dropped = self.column(3, number)?;
        let resource_urls = self.column(4, owned)?;
        let entities =
            self.column(5, |value| entities_of(&owned(value)?).ok_or("entities that cannot be read"))?;
        let names = self.column(6, owned)?;
        let versions = self.column(7, owned)?;
        let scopes = self.column(8, attributes)?;
        let scope_dropped = self.column(9, number)?;
        let scope_urls = self.column(10, owned)?;
        let mut origins = HashMap::default();
        for (row, id) in ids.iter().enumerate() {
            let origin = Origin {
                resource_attributes: resources[row].clone(),
                resource_dropped_attributes_count: resource_dropped[row],
                resource_schema_url: resource_urls[row].clone(),
                entities: entities[row].clone(),
                scope_name: names[row].clone(),
                scope_version: versions[row].clone(),
                scope_attributes: scopes[row].clone(),
                scope_dropped_attributes_count: scope_dropped[row],
                scope_schema_url: scope_urls[row].clone(),
            };
            if origins.insert(*id, origin.into()).is_some() {
                return Err(self.damage(0, "an origin id that stands twice"));
            }
        }
        Ok(origins)
    }

    fn column<T>(
        &self,
        column: usize,
        read: impl Fn(Option<Raw<'_>>) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, ReadError> {
        let mut values = Vec::new();
        self.entries(column, |entry| {
            values.push(read(entry.value)?);
            Ok(())
        })?;
        Ok(values)
    }

    fn entries(
        &self,
        column: usize,
        mut each: impl FnMut(Entry<'_>) -> Result<(), &'static str>,
    ) -> Result<(), ReadError> {
        let leaf = &self.leaves[column];
        let rows = self.metadata.row_group(0).num_rows().unsigned_abs() as usize;
        let get = |range| self.fetched.get(&range).map_err(|wrong| ReadError::new(self.object, wrong));
        let damage = |what| self.damage(column, what);
        let dictionary = match &leaf.dictionary_range {
            Some(range) => Some(leaf.dictionary(&get(range.clone())?).map_err(damage)?),
            None => None,
        };
        let index = self.metadata.offset_index().and_then(|index| index.first()?.get(column));
        let locations = index.map_or(&[][..], |index| index.page_locations().as_slice());
        for pick in pick_pages(locations, rows, std::iter::once(0..rows), 0) {
            let page = Page::Stored(get(page_range(pick.page))?, None);
            leaf.read_page(&page, pick.rows, &pick.pieces, dictionary.as_ref(), &mut each).map_err(damage)?;
        }
        Ok(())
    }

    fn damage(&self, column: usize, what: &'static str) -> ReadError {
        let column = self.metadata.file_metadata().schema_descr().column(column).path().string();
        ReadError::new(self.object, Wrong::Page { column, group: 0, what })
    }
}

fn attributes(value: Option<Raw<'_>>) -> Result<Vec<Attribute>, &'static str> {
    attributes_from_text(&owned(value)?).map_err(|_| "attributes that cannot be read")
}

fn owned(value: Option<Raw<'_>>) -> Result<String, &'static str> {
    let text = std::str::from_utf8(text(value)?).map_err(|_| "a text that is not UTF-8")?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(service: &str, pod: u32, scope: &str) -> Origin {
        let text = |key: &str, value: String| Attribute { key: key.to_owned(), value: Value::Str(value) };
        let resource_attributes =
            vec![text("service.name", service.to_owned()), text("pod", format!("{pod:05}"))];
        Origin { resource_attributes, scope_name: scope.to_owned(), ..Origin::default() }
    }

    fn ids(table: &mut OriginTable, origins: impl IntoIterator<Item = Origin>) -> Vec<u32> {
        let mut columns = SpanColumns::default();
        for origin in origins {
            columns.origin(Arc::new(origin));
        }
        table.add(&columns).unwrap()
    }

    #[test]
    fn should_number_families_and_their_members() {
        let origins = [origin("b", 1, "x"), origin("a", 2, "x"), origin("a", 1, "y"), origin("a", 2, "y")];
        assert_eq!(ids(&mut OriginTable::default(), origins.clone()), [0x200, 0x001, 0x100, 0x101]);
        let reversed = origins.into_iter().rev();
        assert_eq!(ids(&mut OriginTable::default(), reversed), [0x101, 0x100, 0x001, 0x200]);
    }

    #[test]
    fn should_go_on_numbering_where_origins_come_later() {
        let mut table = OriginTable::default();
        let first = ids(&mut table, [origin("b", 1, "x"), origin("a", 2, "x")]);
        let more = ids(&mut table, [origin("a", 1, "x"), origin("b", 1, "x"), origin("a", 2, "y")]);
        assert_eq!((first.as_slice(), more.as_slice()), (&[0x100, 0x000][..], &[0x001, 0x100, 0x200][..]));
        assert_eq!(table.into_sorted().len(), 4);
    }

    #[test]
    fn should_give_more_than_256_resources_of_a_service_ids_of_their_own() {
        let origins = (0..1_000).map(|pod| origin("a", pod, "x"));
        let ids = ids(&mut OriginTable::default(), origins);
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 1_000);
        assert_eq!(ids.iter().max(), Some(&(3 << 8 | 231)));
    }

    #[test]
    fn should_keep_entities() {
        let entities = vec![Entity {
            schema_url: "u".to_owned(),
            kind: "host".to_owned(),
            id_keys: vec!["host.id".to_owned()],
            description_keys: vec![],
        }];
        assert_eq!(entities_of(&entities_text(&entities)), Some(entities));
        assert_eq!(entities_of(""), Some(vec![]));
        assert_eq!(entities_of("[1]"), None);
    }
}
