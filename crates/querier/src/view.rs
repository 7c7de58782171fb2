//! Live spans and blocks of one moment: the hand-over between ingesters and catalog.
//!
//! ```text
//! 1  ask all ingesters
//! 2  take a snapshot that knows what they have committed
//! 3  a segment of a fenced writer: its spans get another name just now, so back to 1
//! 4  drop the segments whose flush the snapshot has, by writer and number
//! ```
//!
//! So each span that was acknowledged before the view was opened is in one of the two, and in one only. An
//! ingester that does not answer is named in [`View::partial`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{StreamExt, stream};
use siltstone_catalog::Catalog;
use siltstone_catalog::snapshot::{Cover, Snapshot, SnapshotError};
use siltstone_catalog::time::Clock;
use siltstone_format::id::WriterId;
use siltstone_live::answer::{Answer, LiveSegment};
use siltstone_live::question::Question;
use siltstone_live::source::{LiveError, LiveSource};

use crate::gap::{Gap, gaps_of};
use crate::planted::{Bug, planted};

/// Longest that one ingester is waited for.
const LIVE_DEADLINE: Duration = Duration::from_secs(15);
/// Ingesters that are asked at the same time.
const PARALLEL_ASKS: usize = 64;
/// How often ingesters are asked until none has a fenced writer. One that was fenced learns of it by its
/// commit, which is under way, and waits for nobody.
const MOST_ASKS: u32 = 8;
/// Before they are asked again; twice as long each time, 13 s in all.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What a query reads.
#[derive(Debug)]
pub struct View {
    /// What the live spans were asked for: no other question can be answered from here.
    pub question: Question,
    pub snapshot: Arc<Snapshot>,
    /// Segments that the snapshot lacks.
    pub live: Vec<LiveSegment>,
    /// What an answer from here may lack.
    pub partial: Vec<Gap>,
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Snapshot(Box<SnapshotError>),
    #[error(
        "an ingester goes on to offer spans of writer {writer}, which is fenced: it cannot be told whether they \
         are in the catalog under another name. Is the ingester able to write to the store?"
    )]
    Stale { writer: WriterId },
}

impl From<SnapshotError> for ViewError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(Box::new(error))
    }
}

/// What all ingesters said.
#[derive(Default)]
struct Live {
    segments: BTreeMap<(WriterId, u64), LiveSegment>,
    cover: Cover,
    absent: Vec<Gap>,
}

impl View {
    /// Asks everybody. A span that is acknowledged from now on may be in the view.
    pub async fn open(
        catalog: &Catalog,
        clock: &dyn Clock,
        sources: &[Arc<dyn LiveSource>],
        question: &Question,
    ) -> Result<Self, ViewError> {
        let mut asks = 0;
        loop {
            let (live, snapshot) = ask(catalog, clock, sources, question).await?;
            let stale = live.segments.keys().find(|(writer, number)| snapshot.is_stale(*writer, *number));
            let Some((writer, _)) = stale.filter(|_| !planted(Bug::NoSecondLive)) else {
                return Ok(Self::of(live, snapshot, question));
            };
            asks += 1;
            if asks == MOST_ASKS {
                return Err(ViewError::Stale { writer: *writer });
            }
            clock.sleep(FIRST_PAUSE * (1 << (asks - 1))).await;
        }
    }

    fn of(live: Live, snapshot: Arc<Snapshot>, question: &Question) -> Self {
        let mut partial = live.absent;
        partial.extend(gaps_of(&snapshot));
        let segments = live.segments.into_values();
        let live = segments.filter(|segment| !has(&snapshot, segment)).collect();
        Self { question: question.clone(), snapshot, live, partial }
    }
}

fn has(snapshot: &Snapshot, segment: &LiveSegment) -> bool {
    let (writer, number) = (segment.writer, segment.number);
    if planted(Bug::DropByEntry) {
        return snapshot.entries.iter().any(|entry| (entry.writer, entry.number) == (writer, number));
    }
    snapshot.holds(writer, number) && !planted(Bug::DropNothing)
}

async fn ask(
    catalog: &Catalog,
    clock: &dyn Clock,
    sources: &[Arc<dyn LiveSource>],
    question: &Question,
) -> Result<(Live, Arc<Snapshot>), SnapshotError> {
    if planted(Bug::LiveLast) {
        let snapshot = catalog.snapshot(&Cover::default()).await?;
        return Ok((ask_all(clock, sources, question).await, snapshot));
    }
    let live = ask_all(clock, sources, question).await;
    let cover = if planted(Bug::NoCover) { Cover::default() } else { live.cover.clone() };
    let snapshot = catalog.snapshot(&cover).await?;
    Ok((live, snapshot))
}

async fn ask_all(clock: &dyn Clock, sources: &[Arc<dyn LiveSource>], question: &Question) -> Live {
    let mut live = Live::default();
    let asks: Vec<_> = sources
        .iter()
        .map(|source| async move { (source.name(), ask_one(clock, &**source, question).await) })
        .collect();
    let mut answers = stream::iter(asks).buffered(PARALLEL_ASKS);
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok(answer) => live.add(answer),
            Err(why) => {
                live.absent.push(Gap::Ingester { name: name.to_owned(), why });
                // It may have committed all, and gone.
                live.cover.fresh = !planted(Bug::NoFreshLook);
            }
        }
    }
    live
}

async fn ask_one(
    clock: &dyn Clock,
    source: &dyn LiveSource,
    question: &Question,
) -> Result<Answer, LiveError> {
    match select(source.ask(question), clock.sleep(LIVE_DEADLINE)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(LiveError::Unreachable {
            ingester: source.name().to_owned(),
            why: format!("no answer within {LIVE_DEADLINE:?}"),
        }),
    }
}

impl Live {
    fn add(&mut self, answer: Answer) {
        for (writer, next) in answer.committed {
            let known = self.cover.committed.entry(writer).or_default();
            *known = next.max(*known);
        }
        self.cover.min_root = self.cover.min_root.max(answer.min_root);
        self.cover.fresh |= answer.fresh;
        for segment in answer.segments {
            match self.segments.entry((segment.writer, segment.number)) {
                Entry::Vacant(place) => drop(place.insert(segment)),
                // One ingester that was asked in two ways: segments only grow.
                Entry::Occupied(mut known) if known.get().spans.len() < segment.spans.len() => {
                    known.insert(segment);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
