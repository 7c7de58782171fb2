//! Reading an object. Its file never changes, so that a reader who has it open sees the same bytes to the
//! end, whatever is put or deleted under its name meanwhile.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use object_store::path::Path as Key;
use object_store::{
    Attributes, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, coalesce_ranges,
};

use super::Folder;
use super::blocking::Gate;
use super::failure::{Failure, Result};
use super::files::{Facts, Kind, ReadFile};
use super::keys::file_of;
use super::listing::is_gone;

/// How much of an object is read, and held, at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Ranges that are no further apart are read together: about what a disk reads ahead anyway.
const COALESCED_GAP_BYTES: u64 = 64 << 10;

/// An open object.
pub(super) struct Open {
    pub(super) file: Arc<dyn ReadFile>,
    pub(super) meta: ObjectMeta,
}

pub(super) async fn get(
    folder: Arc<Folder>,
    gate: &Gate,
    key: &Key,
    options: GetOptions,
) -> object_store::Result<GetResult> {
    let (wanted, reads) = (key.clone(), gate.clone());
    let buffer = match &options.range {
        // It may end far behind the object.
        Some(GetRange::Bounded(range)) => {
            buffer_for(&(range.start..range.end.min(range.start.saturating_add(CHUNK_BYTES))))
        }
        _ => Vec::new(),
    };
    gate.run(move || begin(&folder, reads, wanted, &options, buffer))
        .await
        .map_err(|failure| failure.about(key))
}

pub(super) async fn get_ranges(
    folder: Arc<Folder>,
    gate: &Gate,
    key: &Key,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>> {
    let wanted = key.clone();
    let open = gate.run(move || open(&folder, wanted)).await?;
    let ranges: Vec<Range<u64>> =
        ranges.iter().map(|range| within(&open.meta, &range.clone().into())).collect::<Result<_>>()?;
    let fetch = |range: Range<u64>| {
        let (file, key, buffer) = (Arc::clone(&open.file), key.clone(), buffer_for(&range));
        gate.run(move || read(file.as_ref(), &key, range, buffer))
    };
    coalesce_ranges(&ranges, fetch, COALESCED_GAP_BYTES).await
}

/// What is known of a file, as of an object.
pub(super) fn meta_of(key: Key, facts: &Facts) -> ObjectMeta {
    let since_epoch = facts.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Some file systems hold times that the calendar of `object_store` does not.
    let modified = SystemTime::UNIX_EPOCH + since_epoch.min(LATEST);
    ObjectMeta {
        location: key,
        last_modified: modified.into(),
        size: facts.size,
        e_tag: Some(e_tag(facts)),
        version: None,
    }
}

/// Around the year 9000.
const LATEST: Duration = Duration::from_secs(222_000_000_000);

/// Tells two objects under one name apart, unless the second has the same length, was written within the
/// same tick of the file system's clock (some milliseconds), and got the place of a file that was removed
/// meanwhile.
pub(super) fn e_tag(facts: &Facts) -> String {
    let since_epoch = facts.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{:x}", facts.inode, since_epoch.as_nanos(), facts.size)
}

/// The file of an object, which is there and is a file.
pub(super) fn find(folder: &Folder, path: &Path) -> Result<Facts> {
    let not_there = || Failure::NotThere { path: path.to_owned() };
    match folder.facts(path) {
        Ok(facts) if facts.kind == Kind::File => Ok(facts),
        Ok(_) => Err(not_there()),
        Err(error) if is_gone(&error) => Err(not_there()),
        Err(error) => Err(Failure::io("look at", path, error)),
    }
}

pub(super) fn open(folder: &Folder, key: Key) -> Result<Open> {
    let path = file_of(&folder.root, &key)?;
    // Opening a pipe would wait for its other end.
    find(folder, &path)?;
    let file = match folder.files.open_file(&path) {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Err(Failure::NotThere { path }),
        Err(error) => return Err(Failure::io("open", &path, error)),
    };
    let facts = file.facts().map_err(|error| Failure::io("look at", &path, error))?;
    Ok(Open { file: Arc::from(file), meta: meta_of(key, &facts) })
}

/// Checks what is asked for and reads the first chunk: most reads are done with that.
fn begin(folder: &Folder, gate: Gate, key: Key, options: &GetOptions, buffer: Vec<u8>) -> Result<GetResult> {
    if options.version.is_some() {
        let source = "a folder keeps no versions of an object".into();
        return Err(Failure::Store(object_store::Error::NotSupported { source }));
    }
    if options.head {
        let path = file_of(&folder.root, &key)?;
        let meta = meta_of(key, &find(folder, &path)?);
        options.check_preconditions(&meta)?;
        let range = 0..meta.size;
        return Ok(result(meta, range, stream::empty().boxed()));
    }
    let Open { file, meta } = open(folder, key.clone())?;
    options.check_preconditions(&meta)?;
    let range = match &options.range {
        Some(range) => within(&meta, range)?,
        None => 0..meta.size,
    };
    let first_end = range.end.min(range.start.saturating_add(CHUNK_BYTES));
    let first = read(file.as_ref(), &key, range.start..first_end, buffer)?;
    let rest = stream::try_unfold(first_end..range.end, move |left| {
        let (gate, file, key) = (gate.clone(), Arc::clone(&file), key.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let end = left.end.min(left.start.saturating_add(CHUNK_BYTES));
            let (about, buffer) = (key.clone(), buffer_for(&(left.start..end)));
            let chunk = gate.run(move || read(file.as_ref(), &key, left.start..end, buffer)).await;
            let chunk = chunk.map_err(|failure| failure.about(&about))?;
            Ok(Some((chunk, end..left.end)))
        }
    });
    let body = stream::once(async move { Ok(first) }).chain(rest).boxed();
    Ok(result(meta, range, body))
}

fn result(
    meta: ObjectMeta,
    range: Range<u64>,
    body: stream::BoxStream<'static, object_store::Result<Bytes>>,
) -> GetResult {
    GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes: Attributes::new() }
}

fn within(meta: &ObjectMeta, range: &GetRange) -> Result<Range<u64>> {
    range.as_range(meta.size).map_err(|invalid| Failure::Range(Box::new(invalid)))
}

/// Room for a range, made by the thread that asks for it: it is the one that frees it mostly. Threads that read are
/// many, and an allocator keeps for each what others have freed of its memory.
fn buffer_for(range: &Range<u64>) -> Vec<u8> {
    vec![0; range.end.saturating_sub(range.start) as usize]
}

pub(super) fn read(file: &dyn ReadFile, key: &Key, range: Range<u64>, mut buffer: Vec<u8>) -> Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start))
        .map_err(|too_long| Failure::Range(Box::new(too_long)))?;
    buffer.resize(length, 0);
    file.read_exact_at(&mut buffer, range.start)
        .map_err(|error| Failure::io("read", Path::new(key.as_ref()), error))?;
    if buffer.capacity() / 2 > length {
        // The object is much shorter than what was asked for.
        buffer.shrink_to_fit();
    }
    Ok(buffer.into())
}
