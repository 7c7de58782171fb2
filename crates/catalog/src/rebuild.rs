//! A catalog from the blocks alone, when all roots are gone or damaged.
//!
//! ```text
//! lease → store time T0 → look at the log, twice → list blk/ → read every block's metadata
//!   → choose → write pages → create the root, if it is not there → is it the newest?
//!   → list blk/ again: is all there that was taken in? done
//! ```
//!
//! Every complete block is taken in, except one all of whose inputs are there too
//! (`rebuild/choose.rs`): so no span is lost that any block has, whoever wrote it and whether it
//! was committed or not. What a root knew and no block says is lost, and the report says
//! so: archive marks, days given up, and which deletions were applied. What was deleted, the records of deletions
//! say (`deletion.rs`); of all blocks it is hidden, whoever knew of it when they were accepted.
//! Where a root can be read and a rebuild is forced, because pages are damaged, marks and
//! cuts of tenants whose pages can be read are carried over, and what it gave up stays
//! given up. The root that is made follows that one by its number, as any other would: so
//! whatever is published meanwhile, a deletion above all, makes the rebuild fail.
//!
//! **Compactors and sweepers must be stopped.** A sweeper deletes what a root allowed it
//! to before that root was lost: of a merge, the inputs, for which its outputs are left out
//! here. The bucket is listed again at the end, and the report names what went and what
//! to do. A block that cannot be read is read twice, and the root lists it: no sweep takes
//! it for an orphan.
//!
//! **Why the root that is made is safe beside processes that know nothing of it**
//!
//! *Writers* do not look at roots: one may create an entry at any time and believe the
//! answer. So nobody is fenced. Blocks are listed after the log was, so blocks of all
//! entries seen there are complete and taken in; the root says of each such writer that
//! all entries seen are folded, and the next one is expected. An entry that lands later
//! is accepted as ever, but its blocks that were taken in already are passed over
//! ([`Root::taken`]): not lost, and not there twice. The log is looked at twice, more
//! than a listing's delay apart, because of two entries the listing may show the second
//! alone; it does not show that an hour later any more.
//!
//! A writer of which the log holds no entry is not known, since what it wrote is folded
//! and swept. Its next entry seems to wait for those before it: it stays in the log, the
//! floor stands still so that nothing of it is swept, `check` names it, and
//! [`Catalog::adopt`] lets it in.
//!
//! *The floor* is T0 less the grace for orphans. Every root before had a lower one,
//! because it landed before T0, so a flush or a merge that would have been refused is
//! refused; and what is young enough to be believed without a look lies above it, as
//! ever. Orphans below were or were not swept: nothing below counts as swept by us, so
//! no sweep looks there, and what was not taken in stays until `check` deletes it.
//!
//! *Merges* begun before find their inputs in the same sections, or are refused. One
//! whose output was decided about here is refused too, else it would be there twice.
//!
//! *Publishers* paused since before may create the root that follows a lost one. Where no
//! root can be read the number made here is a day's end in milliseconds since 1970, which no count of
//! publishes reaches: a root of the old chain stays below it for ever, and its publisher
//! does not find itself in the newest root. Two that rebuild on one day make the same
//! number, and only one of them creates it.
//!
//! *Marks* are numbered from T0 on: a merge begun before may say that it applied
//! deletions up to a number of the old chain, and those made from now on must be greater.
//!
//! *The version that is written* starts again from the oldest that this program reads:
//! every reader knows it, and a rebuild by a newer program must not begin a new one.

// What is in the store, read as far as a catalog needs it.
mod candidates;
// Which blocks make up the data.
mod choose;
// The pages and the root.
mod compose;
// Late entries of writers that the rebuilt catalog does not know.
mod adopt;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use siltstone_format::id::{BlockId, ObjectId};
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

pub use adopt::Adopted;

use crate::bucket::{Created, StoreError};
use crate::catalog::Catalog;
use crate::lease::Acquired;
use crate::listing::Listed;
use crate::load::{LoadError, Loaded};
use crate::root::Root;
use crate::time::StoreTime;
use candidates::Candidates;
use choose::choose;

/// Whether to rebuild although a root can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    No,
    /// What that root knows is carried over as far as its pages can be read.
    Yes,
}

/// Why the catalog was not rebuilt. Nothing was changed, but pages that nobody refers to.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "root {number} can be read: a rebuild may lose what only its pages know, deletions above all. \
         See `siltstone check`; `--force` if that is what you want"
    )]
    Readable { number: u64 },
    #[error("somebody is rebuilding this catalog; a crashed one is passed over in {} s", stale_in.as_secs())]
    Busy { stale_in: Duration },
    #[error("{key} was written by a later release: rebuild with that one, or a newer one ({why})")]
    LaterRelease { key: ObjectKey, why: String },
    #[error(
        "somebody else published meanwhile, and root {number} stands there: look at the catalog, \
         stop compactors and sweepers, and rebuild again"
    )]
    Overtaken { number: u64 },
}

/// What a rebuild made, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub root: u64,
    pub tenants: u64,
    pub blocks: u64,
    pub rows: u64,
    /// The root whose marks and cuts were carried over.
    pub carried: Option<u64>,
    /// Tenants whose marks were not, or not all, because a page cannot be read.
    pub without_marks: Vec<Tenant>,
    /// Deletions that their records alone told.
    pub deletions: u64,
    /// Records of deletions that cannot be read, and why.
    pub unreadable_deletions: BTreeMap<ObjectId, String>,
    /// Blocks left out because all that they were made of is there.
    pub covered: Vec<BlockId>,
    /// Blocks taken in beside one that they were, or may have been, merged into.
    pub doubled: Vec<BlockId>,
    /// Blocks of which only one object is there.
    pub incomplete: Vec<BlockId>,
    /// Blocks that cannot be read, and why.
    pub unreadable: BTreeMap<BlockId, String>,
    /// Taken in, and gone since: somebody deletes meanwhile. Of each, the blocks that were
    /// left out for it and are there.
    pub gone: BTreeMap<BlockId, Vec<BlockId>>,
    /// Taken in, and known to be damaged.
    pub harmed: BTreeMap<BlockId, String>,
    /// Entries in the log that name a block that is not there, or not complete: it was
    /// merged away, or it is lost.
    pub entries_without_block: u64,
    /// Entries in the log that cannot be read; their blocks were found without them.
    pub damaged_entries: u64,
}

const JOB: &str = "rebuild the catalog";
/// Longer than a rebuild of millions of blocks takes.
const LEASE: Duration = Duration::from_secs(6 * 3600);

impl Catalog {
    /// Makes a catalog from the blocks in the store, and publishes it.
    pub async fn rebuild(&self, force: Force) -> Result<Rebuilt, RebuildError> {
        let base = self.refuse_if_readable(force).await?;
        let lease = match self.acquire_lease(JOB, LEASE).await? {
            Acquired::Ours(lease) => lease,
            Acquired::Busy { stale_in, .. } => return Err(RebuildError::Busy { stale_in }),
        };
        let rebuilt = self.rebuild_alone(base.as_ref()).await;
        // That it stays behind harms nobody.
        let _ = self.release_lease(&lease).await;
        rebuilt
    }

    /// A root that can be read, if that is no reason to stop.
    async fn refuse_if_readable(&self, force: Force) -> Result<Option<Loaded>, RebuildError> {
        match self.load().await {
            Ok(loaded) if force == Force::No => Err(RebuildError::Readable { number: loaded.root.number }),
            Ok(loaded) => Ok(Some(loaded)),
            Err(LoadError::Empty | LoadError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn rebuild_alone(&self, base: Option<&Loaded>) -> Result<Rebuilt, RebuildError> {
        let began = self.probe_store_time().await?;
        let log = self.look_at_log_twice().await?;
        let mut report = Rebuilt::default();
        let mut candidates = Candidates::find(self, &mut report).await?;
        if let Some((key, why)) = candidates.later_release.take() {
            return Err(RebuildError::LaterRelease { key, why });
        }
        if let Some(base) = base {
            candidates.leave_out_given_up(&base.root);
        }
        let mut chosen = choose(&candidates.inputs());
        // A block is left out for others only if those are whole.
        let harmed = candidates.prove(&self.bucket, &chosen.carrying).await?;
        if !harmed.is_empty() {
            let mut sound = candidates.inputs();
            sound.retain(|block, _| !harmed.contains_key(block));
            chosen = choose(&sound);
            report.harmed = harmed;
        }
        let root = self.compose_root(began, &log, base, &candidates, &chosen, &mut report).await?;
        self.publish_rebuilt(&root, base).await?;
        report.root = root.number;
        report.gone = candidates.gone(&self.bucket, &chosen).await?;
        Ok(report)
    }

    /// The union of two looks, so far apart that the second shows all that was there when
    /// the first began.
    async fn look_at_log_twice(&self) -> Result<Listed, RebuildError> {
        let first = Listed::now(&self.bucket, &*self.clock).await?;
        self.clock.sleep(self.windows.visibility + Duration::from_secs(1)).await;
        let mut log = Listed::now(&self.bucket, &*self.clock).await?;
        log.entries.extend(first.entries);
        log.roots.extend(first.roots);
        Ok(log)
    }

    /// Creates the root unless somebody has made one meanwhile.
    async fn publish_rebuilt(&self, root: &Root, base: Option<&Loaded>) -> Result<(), RebuildError> {
        let number = root.number;
        match (self.refuse_if_readable(Force::Yes).await?, base) {
            (None, None) => {}
            (Some(now), Some(base)) if is_same(&now, base) => {}
            (Some(now), _) => return Err(RebuildError::Overtaken { number: now.root.number }),
            (None, Some(base)) => return Err(RebuildError::Overtaken { number: base.root.number }),
        }
        let created = self.bucket.create(&ObjectKey::Root { number }, root.encode()).await;
        // As ever, the answer proves nothing: the newest root does.
        match (self.load().await, created) {
            (Ok(loaded), _) if loaded.root.was_published_by(root.nonce) => Ok(()),
            (Ok(_), _) | (Err(_), Ok(Created::Exists)) => Err(RebuildError::Overtaken { number }),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(Created::Ours)) => Err(error.into()),
        }
    }
}

/// Whether two looks saw the same newest root, and the same damage.
fn is_same(one: &Loaded, other: &Loaded) -> bool {
    (one.root.number, one.root.nonce) == (other.root.number, other.root.nonce)
        && one.damaged_root == other.damaged_root
}

/// The number of a root that is made at a time. Over the newest root it is the next one, so
/// that it is created only if nobody publishes meanwhile. Where the newest root cannot be
/// read, it is the end of the day in milliseconds, or behind the last root that is there.
pub(crate) fn root_number(began: StoreTime, log: &Listed, base: Option<&Loaded>) -> u64 {
    const DAY_MILLIS: u64 = 24 * 3600 * 1000;
    if let Some(base) = base.filter(|base| base.damaged_root.is_none()) {
        return base.root.number.saturating_add(1);
    }
    let day_s_end = (began.0 / DAY_MILLIS + 1).saturating_mul(DAY_MILLIS);
    let last = log.roots.last_key_value().map_or(0, |(number, _)| *number);
    day_s_end.max(last.saturating_add(1))
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, tenants, blocks, rows, .. } = self;
        writeln!(f, "root {root} was made: {tenants} tenants, {blocks} blocks, {rows} spans")?;
        writeln!(f)?;
        if let Some(carried) = self.carried {
            writeln!(f, "Marks and days given up were carried over from root {carried}.")?;
        }
        let without: Vec<&str> = self.without_marks.iter().map(Tenant::as_str).collect();
        if self.carried.is_none() || !without.is_empty() {
            let of = if without.is_empty() { String::new() } else { format!(" of {}", without.join(", ")) };
            writeln!(f, "NOT RECOVERED{of}, because only roots or pages that are lost knew it:")?;
            writeln!(f, "- deletions that have no record (`del/`), as earlier releases made them:")?;
            writeln!(f, "  TRACES THAT WERE DELETED MAY BE FOUND AGAIN. Delete them again.")?;
            writeln!(f, "- archive marks: archived traces expire like any other. Archive them again.")?;
        }
        if self.carried.is_none() {
            writeln!(f, "- days given up by retention may be found again until retention runs.")?;
        }
        if self.deletions > 0 {
            writeln!(f, "{} deletions are in force again, as their records say.", self.deletions)?;
        }
        for (id, why) in &self.unreadable_deletions {
            writeln!(
                f,
                "NOT RECOVERED: what deletion {id} was about: {why}. RESTORE ITS RECORD, and rebuild again"
            )?;
        }
        writeln!(f, "Filter groups are built anew; until then searches read more.")?;
        for (count, what) in [
            (self.covered.len(), "blocks were left out: all that they were made of is there"),
            (
                self.doubled.len(),
                "blocks stand beside one that they may have been merged into: same spans collapse",
            ),
            (self.incomplete.len(), "blocks are not complete: uploads that were given up, or half deleted"),
            (
                self.damaged_entries as usize,
                "log entries cannot be read; their blocks were found without them",
            ),
            (self.entries_without_block as usize, "log entries name a block that is merged away, or lost"),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what}")?;
            }
        }
        for (block, why) in &self.unreadable {
            writeln!(f, "LOST unless it is restored: block {block}: {why}")?;
        }
        for (block, left_out) in &self.gone {
            let left_out: Vec<String> = left_out.iter().map(BlockId::to_string).collect();
            let where_else = match left_out.as_slice() {
                [] => "nothing else has its spans".to_owned(),
                ids => format!("its spans are in {}, left out for it", ids.join(", ")),
            };
            writeln!(f, "GONE since it was taken in: block {block}: {where_else}")?;
        }
        if !self.gone.is_empty() {
            writeln!(
                f,
                "Somebody is deleting. STOP ALL COMPACTORS AND SWEEPERS, and run \
                 `siltstone rebuild --force` at once: it takes in what was left out."
            )?;
        }
        for (block, why) in &self.harmed {
            writeln!(f, "DAMAGED, taken in all the same: block {block}: {why}")?;
        }
        write!(f, "Run `siltstone check --depth headers` now, and `siltstone rebuild --adopt` in an hour.")
    }
}
