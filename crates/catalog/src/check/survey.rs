//! What stands in the bucket: one listing of everything outside of log and roots, and
//! the foreign keys among those.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use ulid::Ulid;

use super::finding::{Report, Wrong};
use super::references::References;
use super::{CheckError, Depth};
use crate::bucket::{Bucket, failed};
use crate::time::{StoreTime, drawn_at};

/// An object as the listing shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) bytes: u64,
    pub(super) landed: StoreTime,
}

/// What there is of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockObjects {
    pub(super) spans: Option<Standing>,
    pub(super) origins: Option<Standing>,
}

/// The bucket.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) blocks: BTreeMap<BlockId, BlockObjects>,
    pub(super) pages: BTreeMap<ObjectId, Standing>,
    pub(super) groups: BTreeMap<ObjectId, Standing>,
    pub(super) leases: Vec<ObjectId>,
    pub(super) probes: Vec<(ObjectKey, StoreTime)>,
    /// The latest time that the store gave anything.
    pub(super) newest: StoreTime,
    /// The objects whose names are furthest from when they landed.
    pub(super) ahead: Option<(Duration, ObjectKey)>,
    pub(super) behind: Option<(Duration, ObjectKey)>,
}

impl Survey {
    pub(super) async fn take(bucket: &Bucket, report: &mut Report) -> Result<Self, CheckError> {
        let mut survey = Self::default();
        let mut objects = bucket.objects().list(None);
        while let Some(meta) = objects.try_next().await.map_err(|source| failed("list", &"all", source))? {
            report.objects += 1;
            let standing = Standing { bytes: meta.size, landed: StoreTime::of(&meta) };
            survey.newest = survey.newest.max(standing.landed);
            match meta.location.as_ref().parse::<ObjectKey>() {
                Ok(key) => survey.add(key, standing),
                Err(_) => report.add(&meta.location, Wrong::Foreign),
            }
        }
        Ok(survey)
    }

    fn add(&mut self, key: ObjectKey, standing: Standing) {
        match key {
            ObjectKey::Spans(block) => {
                self.blocks.entry(block).or_default().spans = Some(standing);
                self.note_time(block.0, standing, key);
            }
            ObjectKey::Origins(block) => {
                self.blocks.entry(block).or_default().origins = Some(standing);
                self.note_time(block.0, standing, key);
            }
            ObjectKey::Page(id) => {
                self.pages.insert(id, standing);
                self.note_time(id.0, standing, key);
            }
            ObjectKey::FilterGroup(id) => {
                self.groups.insert(id, standing);
                self.note_time(id.0, standing, key);
            }
            ObjectKey::Lease(id) => self.leases.push(id),
            ObjectKey::ClockProbe(_) => self.probes.push((key, standing.landed)),
            ObjectKey::LogEntry { .. }
            | ObjectKey::Root { .. }
            | ObjectKey::LogSegment { .. }
            | ObjectKey::Ingester(_)
            | ObjectKey::Deletion(_) => {}
        }
    }

    fn note_time(&mut self, id: Ulid, standing: Standing, key: ObjectKey) {
        let (drawn, landed) = (drawn_at(id).0, standing.landed.0);
        let ahead = Duration::from_millis(drawn.saturating_sub(landed));
        if self.ahead.as_ref().is_none_or(|(worst, _)| ahead > *worst) {
            self.ahead = Some((ahead, key.clone()));
        }
        let behind = Duration::from_millis(landed.saturating_sub(drawn));
        if self.behind.as_ref().is_none_or(|(worst, _)| behind > *worst) {
            self.behind = Some((behind, key));
        }
    }

    /// Blocks whose objects have other sizes than their entries say. Where metadata is
    /// read, that is seen there.
    pub(super) fn note_sizes(&self, references: &References, depth: Depth, report: &mut Report) {
        if depth > Depth::Catalog {
            return;
        }
        for (block, known) in &references.blocks {
            let Some(found) = self.blocks.get(block) else { continue };
            for (key, found, said) in [
                (ObjectKey::Spans(*block), found.spans, known.spans_bytes),
                (ObjectKey::Origins(*block), found.origins, known.origins_bytes),
            ] {
                if let Some(found) = found.filter(|found| found.bytes != said) {
                    report.add(&key, Wrong::Size { found: found.bytes, said });
                }
            }
        }
    }

    pub(super) fn holds(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::Spans(block) => self.blocks.get(block).is_some_and(|found| found.spans.is_some()),
            ObjectKey::Origins(block) => self.blocks.get(block).is_some_and(|found| found.origins.is_some()),
            ObjectKey::Page(id) => self.pages.contains_key(id),
            ObjectKey::FilterGroup(id) => self.groups.contains_key(id),
            ObjectKey::Lease(id) => self.leases.contains(id),
            // Others than these are not surveyed.
            ObjectKey::LogEntry { .. }
            | ObjectKey::Root { .. }
            | ObjectKey::ClockProbe(_)
            | ObjectKey::LogSegment { .. }
            | ObjectKey::Ingester(_)
            | ObjectKey::Deletion(_) => true,
        }
    }
}
