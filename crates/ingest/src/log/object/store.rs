//! Pieces in the store: created once, whatever the answer was; listed, read and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use siltstone_catalog::bucket::Bucket;
use siltstone_catalog::time::StoreTime;
use siltstone_format::id::WriterId;
use siltstone_format::path::ObjectKey;

use super::piece::{self, Kind, Piece, PieceError, PieceName};
use crate::log::SegmentName;

/// A request failed, or its answer makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum PieceStoreError {
    #[error("the store did not {what} `{key}`: {source}")]
    Store { what: &'static str, key: String, source: Error },
    #[error("`{key}` ({bytes} bytes) cannot be used: {source}")]
    Piece { key: String, bytes: u64, source: PieceError },
    #[error("writer {0} cannot be sealed: it is alive and writes")]
    IsAlive(WriterId),
}

/// What stands under a name after an attempt to create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// What was to be created.
    This,
    /// An earlier attempt of the same writer, given up and landed late.
    Earlier(SegmentName),
    Seal,
    /// The store says that it exists, and that it does not: a conflict, or just deleted.
    Nothing,
}

/// A writer that has pieces in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundWriter {
    pub writer: WriterId,
    /// Their numbers, ascending.
    pub pieces: Vec<u64>,
    pub bytes: u64,
    /// When the last one landed.
    pub newest: StoreTime,
}

#[derive(Clone, Debug)]
pub(super) struct PieceStore {
    objects: Arc<dyn ObjectStore>,
}

impl PieceStore {
    pub(super) fn new(bucket: &Bucket) -> Self {
        Self { objects: Arc::clone(bucket.objects()) }
    }

    /// Creates a piece. "Exists" may be said of our own: the answer before was lost, or the client tried twice.
    pub(super) async fn create(&self, name: PieceName, bytes: &Bytes) -> Result<Stands, PieceStoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(bytes.clone());
        match self.objects.put_opts(&path(name), payload, options).await {
            Ok(_) => return Ok(Stands::This),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(source) => return Err(failed("create", name, source)),
        }
        let Some(found) = self.get(name).await? else { return Ok(Stands::Nothing) };
        if found == *bytes {
            return Ok(Stands::This);
        }
        match piece::kind(name, &found).map_err(|source| unusable(name, &found, source))? {
            Kind::Seal => Ok(Stands::Seal),
            Kind::Records(segment) => Ok(Stands::Earlier(segment)),
        }
    }

    /// None if it is not there any more.
    pub(super) async fn read(&self, name: PieceName) -> Result<Option<Piece>, PieceStoreError> {
        let Some(bytes) = self.get(name).await? else { return Ok(None) };
        piece::decode(name, &bytes).map(Some).map_err(|source| unusable(name, &bytes, source))
    }

    pub(super) async fn kind(&self, name: PieceName) -> Result<Option<Kind>, PieceStoreError> {
        let Some(bytes) = self.get(name).await? else { return Ok(None) };
        piece::kind(name, &bytes).map(Some).map_err(|source| unusable(name, &bytes, source))
    }

    async fn get(&self, name: PieceName) -> Result<Option<Bytes>, PieceStoreError> {
        let got = async { self.objects.get(&path(name)).await?.bytes().await };
        match got.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("read", name, source)),
        }
    }

    /// That it is not there is as well.
    pub(super) async fn delete(&self, name: PieceName) -> Result<(), PieceStoreError> {
        match self.objects.delete(&path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", name, source)),
        }
    }

    /// All pieces there are.
    pub(super) async fn writers(&self) -> Result<Vec<FoundWriter>, PieceStoreError> {
        let mut writers = BTreeMap::<WriterId, FoundWriter>::new();
        let mut objects = self.objects.list(Some(&Path::from("wal")));
        let cannot = |source| PieceStoreError::Store { what: "list", key: "wal/".to_owned(), source };
        while let Some(meta) = objects.try_next().await.map_err(cannot)? {
            let Ok(ObjectKey::LogSegment { writer, number }) = meta.location.as_ref().parse() else {
                continue;
            };
            let landed = StoreTime::of(&meta);
            let empty = || FoundWriter { writer, pieces: Vec::new(), bytes: 0, newest: landed };
            let found = writers.entry(writer).or_insert_with(empty);
            found.pieces.push(number);
            found.bytes += meta.size;
            found.newest = found.newest.max(landed);
        }
        writers.values_mut().for_each(|found| found.pieces.sort_unstable());
        Ok(writers.into_values().collect())
    }

    /// The numbers of one writer's pieces, ascending.
    pub(super) async fn numbers(&self, writer: WriterId) -> Result<Vec<u64>, PieceStoreError> {
        // Folders are listed, not beginnings of names: who has many writers has them for a short time.
        let writers = self.writers().await?;
        Ok(writers
            .into_iter()
            .find(|found| found.writer == writer)
            .map(|found| found.pieces)
            .unwrap_or_default())
    }
}

fn path(name: PieceName) -> Path {
    Path::from(key(name))
}

fn key(name: PieceName) -> String {
    ObjectKey::LogSegment { writer: name.writer, number: name.number }.to_string()
}

fn failed(what: &'static str, name: PieceName, source: Error) -> PieceStoreError {
    PieceStoreError::Store { what, key: key(name), source }
}

fn unusable(name: PieceName, bytes: &Bytes, source: PieceError) -> PieceStoreError {
    PieceStoreError::Piece { key: key(name), bytes: bytes.len() as u64, source }
}
