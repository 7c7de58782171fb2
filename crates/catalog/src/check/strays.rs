//! What is referred to and is not there, and what is there and is not referred to.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use siltstone_format::path::ObjectKey;
use ulid::Ulid;

use super::finding::{Report, Wrong};
use super::references::References;
use super::survey::{Standing, Survey};
use super::{CheckError, Leaks};
use crate::bucket::PARALLEL_GETS;
use crate::bucket::{Bucket, StoreError, failed, path};
use crate::catalog::Catalog;
use crate::load::Loaded;
use crate::sweep::{keys_of_block, keys_of_retired};
use crate::time::{StoreTime, drawn_at};

/// What is referred to before and after the bucket was listed.
pub(super) struct Both<'a> {
    pub(super) first: &'a References,
    pub(super) later: &'a References,
    pub(super) loaded: &'a Loaded,
}

impl Both<'_> {
    fn hold(&self, key: &ObjectKey) -> bool {
        [self.first, self.later].iter().any(|seen| seen.holds(key) || seen.retired.contains(key))
    }
}

/// So much longer than it must something that was given up may stay.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

impl Catalog {
    /// Keys that are referred to and that the listing did not show.
    pub(super) fn suspects(&self, references: &References, survey: &Survey) -> BTreeSet<ObjectKey> {
        let blocks = references.blocks.keys().flat_map(|block| keys_of_block(*block));
        let all = blocks.chain(references.others.keys().cloned());
        all.filter(|key| !survey.holds(key)).collect()
    }

    /// Those of them to which the newest root still refers, and that are still not there.
    pub(super) async fn check_missing(
        &self,
        suspects: &BTreeSet<ObjectKey>,
        first: &References,
        later: &References,
        newest: &Loaded,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        let mut looked = stream::iter(suspects.iter().filter(|key| later.holds(key)))
            .map(|key| async move { Ok::<_, StoreError>((key, exists(&self.bucket, key).await?)) })
            .buffered(PARALLEL_GETS);
        while let Some((key, exists)) = looked.try_next().await? {
            if let (false, Some(tenant)) = (exists, first.tenant_of(key)) {
                report.add(key, Wrong::Gone { tenant: tenant.clone() });
            }
        }
        drop(looked);
        self.check_retired(newest, report).await
    }

    /// What was given up stays for the readers' grace, and not much longer.
    async fn check_retired(&self, newest: &Loaded, report: &mut Report) -> Result<(), CheckError> {
        let grace = self.windows.read_grace;
        let mut overdue: Vec<ObjectKey> = Vec::new();
        for retired in &newest.root.retired {
            let Some(at) = retired.at else { continue };
            if at.plus(grace) <= newest.root_at {
                if at.plus(grace).plus(SWEEP_EVERY) <= newest.root_at {
                    overdue.extend(keys_of_retired(retired));
                }
                continue;
            }
            let keys = keys_of_retired(retired);
            let mut looked = stream::iter(&keys)
                .map(|key| async move { Ok::<_, StoreError>((key, exists(&self.bucket, key).await?)) })
                .buffered(PARALLEL_GETS);
            while let Some((key, exists)) = looked.try_next().await? {
                if !exists {
                    report.add(key, Wrong::GoneTooSoon);
                }
            }
        }
        if let Some(first) = overdue.first() {
            report.add(first, Wrong::NotSwept { objects: overdue.len() as u64 });
        }
        Ok(())
    }

    pub(super) async fn check_strays(
        &self,
        survey: &Survey,
        both: &Both<'_>,
        leaks: Leaks,
        report: &mut Report,
    ) -> Result<(), CheckError> {
        if both.first.is_incomplete || both.later.is_incomplete {
            report.add(&"man", Wrong::StraysUnknown);
            return Ok(());
        }
        let mut strays = Strays::new(self, survey, both.loaded);
        for (block, found) in &survey.blocks {
            if both.loaded.root.unread.contains(block) {
                report.add(&ObjectKey::Spans(*block), Wrong::LeftOut);
                continue;
            }
            let keys = keys_of_block(*block);
            if keys.iter().any(|key| both.hold(key)) {
                continue;
            }
            let [spans, origins] = keys;
            match (found.spans, found.origins) {
                (Some(there), None) => strays.add_half(block.0, spans, there, origins, report),
                (None, Some(there)) => strays.add_half(block.0, origins, there, spans, report),
                (spans_there, origins_there) => {
                    for (key, there) in [(spans, spans_there), (origins, origins_there)] {
                        if let Some(there) = there {
                            strays.add(block.0, key, there);
                        }
                    }
                }
            }
        }
        let pages = survey.pages.iter().map(|(id, there)| (id.0, ObjectKey::Page(*id), there));
        let groups = survey.groups.iter().map(|(id, there)| (id.0, ObjectKey::FilterGroup(*id), there));
        for (id, key, there) in pages.chain(groups).filter(|(_, key, _)| !both.hold(key)) {
            strays.add(id, key, *there);
        }
        if leaks == Leaks::Delete {
            for key in strays.leaks.keys() {
                self.bucket.delete(key).await?;
            }
        }
        strays.tell(leaks, report);
        Ok(())
    }
}

/// Strays by what becomes of them.
struct Strays {
    swept: StoreTime,
    /// Named later, work may be under way.
    settled: StoreTime,
    /// When the root landed that nothing here belongs to.
    root_at: StoreTime,
    leaks: BTreeMap<ObjectKey, u64>,
    orphans: BTreeMap<ObjectKey, u64>,
}

impl Strays {
    fn new(catalog: &Catalog, survey: &Survey, loaded: &Loaded) -> Self {
        let windows = &catalog.windows;
        let settled = survey.newest.minus(windows.commit + windows.clock_error);
        let (swept, root_at) = (loaded.root.swept, loaded.root_at);
        Self { swept, settled, root_at, leaks: BTreeMap::new(), orphans: BTreeMap::new() }
    }

    /// What is named below the swept floor can become part of nothing any more.
    fn is_leak(&self, id: Ulid, there: Standing) -> bool {
        drawn_at(id) < self.swept && there.landed < self.root_at
    }

    fn add(&mut self, id: Ulid, key: ObjectKey, there: Standing) {
        if self.is_leak(id, there) {
            self.leaks.insert(key, there.bytes);
        } else if drawn_at(id) < self.settled {
            self.orphans.insert(key, there.bytes);
        }
    }

    fn add_half(
        &mut self,
        id: Ulid,
        key: ObjectKey,
        there: Standing,
        missing: ObjectKey,
        report: &mut Report,
    ) {
        if self.is_leak(id, there) || drawn_at(id) < self.settled {
            report.add(&key, Wrong::Incomplete { missing });
        }
        if self.is_leak(id, there) {
            self.leaks.insert(key, there.bytes);
        }
    }

    fn tell(&self, leaks: Leaks, report: &mut Report) {
        for (key, bytes) in &self.leaks {
            report.add(key, Wrong::Leak { bytes: *bytes, deleted: leaks == Leaks::Delete });
        }
        if let Some(first) = self.orphans.keys().next() {
            let (objects, bytes) = (self.orphans.len() as u64, self.orphans.values().sum());
            report.add(first, Wrong::Orphans { objects, bytes });
        }
    }
}

async fn exists(bucket: &Bucket, key: &ObjectKey) -> Result<bool, StoreError> {
    match bucket.objects().head(&path(key)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(source) => Err(failed("look at", key, source)),
    }
}
