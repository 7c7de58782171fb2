//! Listing: a walk through the directories in the order of the keys.
//!
//! A directory `a` is sorted as `a/`, because so begin the keys in it: `a`, `a-b`, `a/b`, `a0`. Of each
//! directory on the way down the names are held in memory, of nothing else anything.
//!
//! A listing is not a snapshot: what is put or deleted meanwhile may be in it or not. What vanishes between
//! being seen and being looked at is left out, and so is whatever cannot be an object of ours: symbolic
//! links, sockets, names that are not keys.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::{Path as Key, PathPart};
use object_store::{ListResult, ObjectMeta};

use super::Folder;
use super::blocking::Gate;
use super::failure::{Failure, Result};
use super::files::{Found, Kind};
use super::keys::{is_reserved, path_of};
use super::reading::meta_of;

/// How many entries are looked at in one go.
const LISTED_AT_ONCE: usize = 1_000;

/// A walk that goes on where it stopped.
#[derive(Debug)]
pub(super) struct Walk {
    folder: Arc<Folder>,
    /// From the top down: the directories that are being walked, with what is left of each.
    levels: Vec<Level>,
    /// Only keys after this one.
    offset: Option<Key>,
}

#[derive(Debug)]
struct Level {
    key: Key,
    left: std::vec::IntoIter<Found>,
}

impl Walk {
    /// Of everything below a prefix, which is a directory or nothing.
    pub(super) fn below(folder: Arc<Folder>, prefix: &Key, offset: Option<Key>) -> Result<Self> {
        let level = Level::of_prefix(&folder, prefix)?;
        Ok(Walk { folder, levels: Vec::from_iter(level), offset })
    }

    pub(super) fn next(&mut self) -> Result<Option<ObjectMeta>> {
        while let Some(level) = self.levels.last_mut() {
            let Some((found, key)) = level.next() else {
                self.levels.pop();
                continue;
            };
            match found.kind {
                Kind::Directory if !self.is_before_offset(&key) => {
                    self.levels.extend(Level::read(&self.folder, key)?);
                }
                Kind::File if self.offset.as_ref().is_none_or(|offset| key > *offset) => {
                    if let Some(meta) = look_at(&self.folder, key)? {
                        return Ok(Some(meta));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether no key in this directory comes after the offset.
    fn is_before_offset(&self, directory: &Key) -> bool {
        let Some(offset) = &self.offset else { return false };
        let first = format!("{directory}/");
        first.as_str() <= offset.as_ref() && !offset.as_ref().starts_with(&first)
    }
}

impl Level {
    /// Where a listing begins. None if no directory is there.
    fn of_prefix(folder: &Folder, prefix: &Key) -> Result<Option<Self>> {
        // Where no object can be, none is listed.
        let Ok(path) = path_of(&folder.root, prefix) else { return Ok(None) };
        if prefix.is_root() {
            return Self::read(folder, prefix.clone());
        }
        match folder.facts(&path) {
            Ok(facts) if facts.kind == Kind::Directory => Self::read(folder, prefix.clone()),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(Failure::io("look at", &path, error)),
        }
    }

    /// None if it is not a directory any more.
    fn read(folder: &Folder, key: Key) -> Result<Option<Self>> {
        let Ok(path) = path_of(&folder.root, &key) else { return Ok(None) };
        let found: io::Result<Vec<Found>> = folder.files.read_dir(&path).and_then(Iterator::collect);
        let mut found = match found {
            Ok(found) => found,
            Err(error) if is_gone(&error) && !key.is_root() => return Ok(None),
            Err(error) => return Err(Failure::io("list", &path, error)),
        };
        if key.is_root() {
            found.retain(|entry| !is_reserved(&entry.name));
        }
        found.sort_unstable_by(|one, other| sort_text(one).cmp(sort_text(other)));
        Ok(Some(Level { key, left: found.into_iter() }))
    }

    /// The next entry whose name can be part of a key.
    fn next(&mut self) -> Option<(Found, Key)> {
        self.left.by_ref().find_map(|found| {
            let part = PathPart::parse(&found.name).ok()?;
            let key = self.key.clone().join(part);
            Some((found, key))
        })
    }
}

/// Everything below a prefix and after an offset.
pub(super) fn list(
    folder: Arc<Folder>,
    gate: Gate,
    prefix: Key,
    offset: Option<Key>,
) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
    let about = prefix.clone();
    let pages = stream::try_unfold(Page::First { folder, prefix, offset }, move |page| {
        let (gate, about) = (gate.clone(), about.clone());
        async move {
            let read = gate.run(move || page.read()).await.map_err(|failure| failure.about(&about))?;
            let entries = |metas: Vec<ObjectMeta>| stream::iter(metas.into_iter().map(Ok));
            Ok::<_, object_store::Error>(read.map(|(metas, next)| (entries(metas), next)))
        }
    });
    pages.try_flatten().boxed()
}

/// What is listed in one go.
enum Page {
    First { folder: Arc<Folder>, prefix: Key, offset: Option<Key> },
    Next(Walk),
    End,
}

impl Page {
    fn read(self) -> Result<Option<(Vec<ObjectMeta>, Page)>> {
        let mut walk = match self {
            Page::First { folder, prefix, offset } => Walk::below(folder, &prefix, offset)?,
            Page::Next(walk) => walk,
            Page::End => return Ok(None),
        };
        let mut metas = Vec::new();
        while metas.len() < LISTED_AT_ONCE {
            match walk.next()? {
                Some(meta) => metas.push(meta),
                None => return Ok(Some((metas, Page::End))),
            }
        }
        Ok(Some((metas, Page::Next(walk))))
    }
}

/// One level: the objects directly below a prefix, and the prefixes that have objects below them.
pub(super) fn list_level(folder: &Arc<Folder>, prefix: &Key) -> Result<ListResult> {
    let mut listed = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    let Some(mut level) = Level::of_prefix(folder, prefix)? else { return Ok(listed) };
    while let Some((found, key)) = level.next() {
        match found.kind {
            Kind::File => listed.objects.extend(look_at(folder, key)?),
            // Directories stay when their last object is deleted.
            Kind::Directory if has_objects_below(folder, &key)? => listed.common_prefixes.push(key),
            Kind::Directory | Kind::Foreign => {}
        }
    }
    Ok(listed)
}

/// Reads a directory only as far as the first object in it, since it may hold millions.
fn has_objects_below(folder: &Folder, key: &Key) -> Result<bool> {
    let Ok(path) = path_of(&folder.root, key) else { return Ok(false) };
    let entries = match folder.files.read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(false),
        Err(error) => return Err(Failure::io("list", &path, error)),
    };
    for found in entries {
        let found = found.map_err(|error| Failure::io("list", &path, error))?;
        let Ok(part) = PathPart::parse(&found.name) else { continue };
        match found.kind {
            Kind::File => return Ok(true),
            Kind::Directory if has_objects_below(folder, &key.clone().join(part))? => return Ok(true),
            Kind::Directory | Kind::Foreign => {}
        }
    }
    Ok(false)
}

/// None if it is gone, or something else by now.
fn look_at(folder: &Folder, key: Key) -> Result<Option<ObjectMeta>> {
    let Ok(path) = path_of(&folder.root, &key) else { return Ok(None) };
    match folder.files.facts(&path) {
        Ok(facts) if facts.kind == Kind::File => Ok(Some(meta_of(key, &facts))),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Failure::io("look at", &path, error)),
    }
}

/// The text by which an entry is sorted among the others of its directory.
fn sort_text(found: &Found) -> impl Iterator<Item = u8> + '_ {
    found.name.bytes().chain((found.kind == Kind::Directory).then_some(b'/'))
}

/// Nothing is there: not the name itself, or not the directories above it.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
