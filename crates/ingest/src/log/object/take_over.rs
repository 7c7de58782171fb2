//! Taking over a writer that is taken for dead: it is sealed, then its pieces are read and flushed.
//!
//! A live writer creates piece p+1 only after p has landed, and never deletes its newest piece. So whoever has
//! put a seal at s and then lists nothing behind s knows that the writer's next piece would be s: it meets the
//! seal and acknowledges nothing any more. A seal that a race put further down (where the writer had deleted)
//! stays without effect, and another one is put. A gap between pieces says nothing: below it they were
//! committed and deleted.

use siltstone_catalog::bucket::Bucket;
use siltstone_format::id::WriterId;

use super::piece::{Kind, Piece, PieceError, PieceName, encode_seal};
use super::store::{FoundWriter, PieceStore, PieceStoreError, Stands};
use crate::log::{Record, SegmentName};

/// A writer that is not dead may be faster each time, but not for ever.
const MOST_ATTEMPTS: usize = 100;

/// The pieces of all writers, for whoever looks after the dead.
#[derive(Clone, Debug)]
pub struct Pieces {
    store: PieceStore,
}

/// A writer that will never acknowledge anything again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedWriter {
    pub writer: WriterId,
    /// Pieces that hold records, in order, and perhaps seals without effect among them.
    pub pieces: Vec<u64>,
    pub seal: u64,
}

/// What one piece holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceRecords {
    pub segment: SegmentName,
    pub records: Vec<Record>,
}

impl Pieces {
    pub fn new(bucket: &Bucket) -> Self {
        Self { store: PieceStore::new(bucket) }
    }

    /// Everybody who has pieces, the sealed ones too. One listing.
    pub async fn list_writers(&self) -> Result<Vec<FoundWriter>, PieceStoreError> {
        self.store.writers().await
    }

    /// What a piece holds; none if it is a seal, or gone.
    pub async fn read(&self, writer: WriterId, number: u64) -> Result<Option<PieceRecords>, PieceStoreError> {
        Ok(match self.store.read(PieceName { writer, number }).await? {
            Some(Piece::Records { segment, records }) => Some(PieceRecords { segment, records }),
            Some(Piece::Seal) | None => None,
        })
    }

    /// Ends a writer. May be repeated, and by several at once. An error leaves open whether it is sealed.
    pub async fn seal(&self, writer: WriterId) -> Result<SealedWriter, PieceStoreError> {
        let mut seal = self.first_free(writer).await?;
        for _ in 0..MOST_ATTEMPTS {
            let name = PieceName { writer, number: seal };
            match self.store.create(name, &encode_seal(name)).await? {
                Stands::This | Stands::Seal => {}
                // The writer was faster.
                Stands::Earlier(_) => {
                    seal = seal.saturating_add(1);
                    continue;
                }
                Stands::Nothing => continue,
            }
            let numbers = self.store.numbers(writer).await?;
            match numbers.last() {
                Some(last) if *last > seal => seal = self.first_free(writer).await?,
                _ => {
                    let pieces = numbers.into_iter().filter(|number| *number < seal).collect();
                    return Ok(SealedWriter { writer, pieces, seal });
                }
            }
        }
        Err(PieceStoreError::IsAlive(writer))
    }

    /// Behind the newest piece; at the newest, if that is a seal.
    async fn first_free(&self, writer: WriterId) -> Result<u64, PieceStoreError> {
        let numbers = self.store.numbers(writer).await?;
        let Some(&newest) = numbers.last() else { return Ok(0) };
        let is_seal = match self.store.kind(PieceName { writer, number: newest }).await {
            Ok(kind) => kind == Some(Kind::Seal),
            // If it was a seal, its writer can neither read it nor put anything there: it ends before this one too.
            Err(PieceStoreError::Piece { source: PieceError::Damaged(_), .. }) => false,
            Err(error) => return Err(error),
        };
        Ok(if is_seal { newest } else { newest.saturating_add(1) })
    }

    /// Deletes the pieces of a sealed writer once what they hold is committed. The seal stays: it is what stops
    /// the writer, should it come back.
    pub async fn delete(&self, sealed: &SealedWriter) -> Result<(), PieceStoreError> {
        for number in &sealed.pieces {
            self.store.delete(PieceName { writer: sealed.writer, number: *number }).await?;
        }
        Ok(())
    }

    /// Deletes a seal. Only for a writer that cannot come back: one that the catalog refuses, by its age.
    pub async fn delete_seal(&self, sealed: &SealedWriter) -> Result<(), PieceStoreError> {
        self.store.delete(PieceName { writer: sealed.writer, number: sealed.seal }).await
    }
}
