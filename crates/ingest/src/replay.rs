//! What an earlier incarnation left in its log becomes segments again: encoded at once, committed as before.

use std::sync::Arc;

use siltstone_format::id::WriterId;

use crate::buffer::Buffer;
use crate::export::Accepted;
use crate::house;
use crate::lane::Lane;
use crate::log::wal::{Found, FoundSegment, Wal};
use crate::log::{Durability, Record, SegmentName};
use crate::seen::Look;
use crate::segment::Segment;
use crate::service::{Shared, StartError};
use crate::set_aside::undecodable;

impl Shared {
    /// Takes up all segments of the log, in the order of their names.
    pub(crate) async fn replay(self: &Arc<Self>, lane: &Lane) -> Result<(), StartError> {
        match self.log() {
            Durability::Wal { wal, found } => {
                for (index, segment) in found.iter().enumerate() {
                    let next = found.get(index + 1).map(|next| next.name.writer);
                    self.replay_segment(wal, *segment, next, lane).await?;
                    if self.budget.used() > self.budget.limit() / 2 {
                        self.commit_replayed(lane).await;
                    }
                }
                Ok(())
            }
            // Whose writers are dead is not known at the start; readers find what they left.
            Durability::Object(_) => Ok(()),
        }
    }

    async fn replay_segment(
        &self,
        wal: &Wal,
        found: FoundSegment,
        next: Option<WriterId>,
        lane: &Lane,
    ) -> Result<(), StartError> {
        let segment = Arc::new(Segment::replayed(found.name, self.budget.empty()));
        let mut records = 0u64;
        let mut reading = wal.read(found.name);
        loop {
            // Reading blocks, a record at a time.
            let (given_back, read) = tokio::task::spawn_blocking(move || {
                let read = reading.next();
                (reading, read)
            })
            .await
            .map_err(|error| StartError::Replay(error.to_string()))?;
            reading = given_back;
            let Some(read) = read else { break };
            match read.map_err(|error| StartError::Replay(error.to_string()))? {
                Found::Record(record) => {
                    records += 1;
                    self.replay_record(&segment, record).await;
                }
                Found::Torn(stretch) => {
                    tracing::info!(
                        file = %stretch.file.display(), offset = stretch.offset, bytes = stretch.length,
                        "the log ends in the midst of a record that was never acknowledged"
                    );
                }
                Found::Damaged(aside) => {
                    self.metrics.replay_failed(aside.stretch.length);
                    tracing::error!(
                        file = %aside.stretch.file.display(), offset = aside.stretch.offset,
                        bytes = aside.stretch.length, kept = ?aside.kept,
                        "a part of the log is damaged; spans are lost unless it can be repaired"
                    );
                }
            }
        }
        let is_last_of_writer = next != Some(found.name.writer);
        if records == 0 && is_last_of_writer {
            lane.log.forget(found.name);
            return Ok(());
        }
        self.encode(&segment).await.map_err(|error| StartError::Replay(error.to_string()))?;
        self.roster.add(found.name, Arc::clone(&segment));
        self.move_out(&segment).await;
        lane.encoded.push(segment);
        Ok(())
    }

    /// The disk had no room for the blocks, and memory must have some for what comes: the store is waited for.
    async fn commit_replayed(self: &Arc<Self>, lane: &Lane) {
        tracing::warn!(
            "blocks of the log fill the memory, and cannot be moved to the disk: they are committed first"
        );
        if !house::make_catalog(self).await {
            return;
        }
        while let Some(segment) = lane.encoded.take() {
            if !lane.finish_one(self, &segment).await {
                return;
            }
        }
    }

    /// Gives whether it could be decoded.
    pub(crate) async fn replay_record(&self, segment: &Segment, record: Record) -> bool {
        segment.limit_known_deletions(record.known_deletions);
        let buffer = segment.columns(&record.tenant);
        let (replayed, grown) = {
            let mut buffer = buffer.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            let before = buffer.memory_bytes();
            let replayed = Buffer::replay(&mut buffer, &record.body, &record.refused);
            (replayed, buffer.memory_bytes().saturating_sub(before))
        };
        segment.grow(self.budget.empty(), grown);
        self.live_bytes.add(&record.tenant, grown);
        match replayed {
            Ok(spans) => {
                segment.add_spans(spans);
                self.metrics.replayed(1, spans);
                // A sender that was not answered sends it again.
                if let Look::First(turn) = self.seen().look(&record.tenant, &record.body).await {
                    turn.done(&Accepted { spans, ..Accepted::default() });
                }
                true
            }
            Err(error) => {
                self.metrics.replay_failed(record.body.len() as u64);
                self.set_aside(segment.logged, &record);
                tracing::error!(
                    %error, writer = %segment.logged.writer, segment = segment.logged.number,
                    "an accepted request cannot be decoded any more; it is set aside"
                );
                false
            }
        }
    }

    /// Keeps the bytes of a request for whoever wants to look.
    fn set_aside(&self, segment: SegmentName, record: &Record) {
        let Some(spool) = &self.config.spool else { return };
        let folder = undecodable(spool);
        let name = format!("{}-{}-{}.otlp", segment.writer, segment.number, record.arrived_unix_millis);
        let kept =
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(&name), &record.body));
        if let Err(error) = kept {
            tracing::error!(%error, folder = %folder.display(), "it could not be kept either");
        }
    }
}
