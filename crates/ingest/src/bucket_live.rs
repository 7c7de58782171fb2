//! Questions to the log of an ingester that cannot be asked itself: its pieces in the bucket are read.
//!
//! The answer bears the names under which these spans will be committed, by whoever does it. Pieces of a flush
//! that is committed meanwhile may be gone: the answer wants a snapshot that is taken after it. One piece at a
//! time is in memory, beside what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use siltstone_catalog::bucket::Bucket;
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::WriterId;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::from_bucket::BucketLogs;
use siltstone_live::question::{Question, Wanted};
use siltstone_live::source::{LiveError, LiveSource};

use crate::buffer::{Buffer, find_matching};
use crate::log::object::{PieceRecords, PieceStoreError, Pieces};

/// Less than that is searched at once.
const INLINE_BYTES: usize = 1 << 16;

/// The logs of a bucket, for readers.
pub struct BucketReader {
    pieces: Pieces,
}

/// What some writers have in the bucket and not in the catalog.
pub struct BucketLive {
    name: String,
    pieces: Pieces,
    writers: BTreeSet<WriterId>,
}

impl BucketReader {
    pub fn new(bucket: &Bucket) -> Self {
        Self { pieces: Pieces::new(bucket) }
    }
}

impl BucketLogs for BucketReader {
    fn of(&self, name: &str, writers: &BTreeSet<WriterId>) -> Arc<dyn LiveSource> {
        let (name, pieces) = (name.to_owned(), self.pieces.clone());
        Arc::new(BucketLive { name, pieces, writers: writers.clone() })
    }
}

impl BucketLive {
    /// The name is for messages.
    pub fn new(bucket: &Bucket, name: impl Into<String>, writers: BTreeSet<WriterId>) -> Self {
        Self { name: name.into(), pieces: Pieces::new(bucket), writers }
    }

    fn unreadable(&self, error: &PieceStoreError) -> LiveError {
        let (ingester, why) = (self.name.clone(), error.to_string());
        match error {
            PieceStoreError::Piece { .. } => LiveError::Garbled { ingester, why },
            _ => LiveError::Unreachable { ingester, why },
        }
    }
}

#[async_trait]
impl LiveSource for BucketLive {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        let mut found = BTreeMap::<(WriterId, u64), SpanColumns>::new();
        let mut known = BTreeMap::<(WriterId, u64), u64>::new();
        let mut written = self.pieces.list_writers().await.map_err(|error| self.unreadable(&error))?;
        written.retain(|written| self.writers.contains(&written.writer));
        let mut names = Vec::new();
        for written in written {
            names.extend(written.pieces.into_iter().map(|number| (written.writer, number)));
        }
        for (writer, number) in names {
            let piece = self.pieces.read(writer, number).await.map_err(|error| self.unreadable(&error))?;
            let Some(piece) = piece else { continue };
            let spans = found.remove(&(writer, piece.segment.number)).unwrap_or_default();
            let name = (writer, piece.segment.number);
            for record in &piece.records {
                let least = known.entry(name).or_insert(u64::MAX);
                *least = record.known_deletions.min(*least);
            }
            let bytes: usize = piece.records.iter().map(|record| record.body.len()).sum();
            let searched = if bytes <= INLINE_BYTES {
                search(&piece, question, spans)
            } else {
                let question = question.clone();
                let searching = tokio::task::spawn_blocking(move || search(&piece, &question, spans));
                searching.await.map_err(|error| error.to_string()).and_then(|searched| searched)
            };
            let garbled = |why| LiveError::Garbled { ingester: self.name.clone(), why };
            found.insert(name, searched.map_err(garbled)?);
        }
        let found = found.into_iter().filter(|(_, spans)| !spans.is_empty());
        let segments = found
            .map(|((writer, number), spans)| LiveSegment {
                writer,
                number,
                known_deletions: known.get(&(writer, number)).copied().unwrap_or(0),
                spans: spans.into(),
            })
            .collect();
        Ok(Answer { segments, fresh: true, ..Answer::default() })
    }
}

/// Adds what a piece has to what was found of its flush.
fn search(piece: &PieceRecords, question: &Question, mut found: SpanColumns) -> Result<SpanColumns, String> {
    let mut buffer = Buffer::default();
    for record in piece.records.iter().filter(|record| record.tenant == question.tenant) {
        if let Err(error) = buffer.replay(&record.body, &record.refused) {
            // So does whoever commits it.
            tracing::error!(%error, segment = %piece.segment, "an accepted request cannot be decoded any more");
        }
    }
    let searched = match &question.wanted {
        Wanted::Traces(traces) => buffer.find_traces(traces, &mut found),
        Wanted::Matching { filter, window } => {
            let rows = 0..buffer.columns().len();
            find_matching(buffer.columns(), rows, filter.as_ref(), *window, &mut found)
        }
    };
    searched.map(|()| found).map_err(|error| error.to_string())
}
