//! Whether the catalog keeps its promises: a walk over the whole bucket that names what
//! is wrong, what that means for answers, and what to do.
//!
//! - **C1** a root refers only to objects that exist.
//! - **C2** a block is in one place, and none stands beside one that it was merged into.
//! - **C3** a root is the one before, with the log folded in, inputs replaced by outputs,
//!   and what was given up taken away; nothing else.
//! - **F1** a block's files are what its entry says: [`siltstone_format::invariants`].
//!
//! Others publish and sweep meanwhile. So what looks wrong is looked at again with the
//! root that is the newest at the end: an object is missing only if that root refers to
//! it, and a stray only if that root does not. Memory grows with the number of objects,
//! about 200 bytes each; blocks are read one after the other.

// What is found, and what it means.
mod finding;
// What stands in the bucket.
mod survey;
// What a root refers to.
mod references;
// Roots and their order.
mod chain;
// Blocks, from the inside.
mod blocks;
// What stands in the bucket and nothing refers to; what is referred to and gone.
mod strays;
// Writers, log entries, clocks and leases.
mod others;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Report, Severity, Wrong};

use crate::bucket::StoreError;
use crate::catalog::Catalog;
use crate::listing::Listed;
use crate::load::{LoadError, Loaded};
use references::References;
use survey::Survey;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Listings, and the catalog's own objects.
    Catalog,
    /// Each block's metadata too: four small requests a block.
    Headers,
    /// Every byte of every block.
    Blocks,
}

/// What becomes of objects that nothing refers to and no sweep will look at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaks {
    Keep,
    Delete,
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    pub depth: Depth,
    pub leaks: Leaks,
}

/// The check itself failed; nothing is known of what it did not reach.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Walks of one check: each needs a sweep and a grace period to fail.
const MOST_WALKS: usize = 8;

impl Catalog {
    /// Walks the bucket and says what is wrong. It changes nothing, unless leaks are to be
    /// deleted.
    pub async fn check(&self, options: &CheckOptions) -> Result<Report, CheckError> {
        let mut report = Report::of(options.depth);
        let loaded = match self.load_patiently().await {
            Ok(loaded) => loaded,
            Err(LoadError::Empty) => return self.check_without_root(report, None).await,
            Err(LoadError::Damaged { number, damage }) => {
                return self.check_without_root(report, Some((number, damage))).await;
            }
            Err(error) => return Err(error.into()),
        };
        let (loaded, references) = self.walk(loaded, &mut report).await?;
        references.note_totals(&loaded, &mut report);
        let survey = Survey::take(&self.bucket, &mut report).await?;
        self.check_roots(&loaded, options.depth, &mut report).await?;
        self.check_log(&loaded, &mut report);
        self.check_clocks(&survey, &mut report);
        self.check_leases(&survey, &mut report).await?;
        let mut suspects = self.suspects(&references, &survey);
        survey.note_sizes(&references, options.depth, &mut report);
        if options.depth >= Depth::Headers {
            self.check_blocks(&loaded, &references, options.depth, &mut suspects, &mut report).await?;
        }
        let later = self.second_look(&loaded).await?;
        // What it says of pages was said before, by the first walk or by the next check.
        let (later, later_references) = self.walk(later, &mut Report::of(options.depth)).await?;
        self.check_missing(&suspects, &references, &later_references, &later, &mut report).await?;
        self.check_stranded(&loaded, &later, &mut report);
        let strays = strays::Both { first: &references, later: &later_references, loaded: &loaded };
        self.check_strays(&survey, &strays, options.leaks, &mut report).await?;
        report.finish();
        Ok(report)
    }

    /// The first root of a store may not be listed yet.
    async fn load_patiently(&self) -> Result<Loaded, LoadError> {
        match self.load().await {
            Err(LoadError::Empty) => {
                self.clock.sleep(self.windows.visibility).await;
                self.load().await
            }
            other => other,
        }
    }

    /// Walks the pages of a root. Pages that went because a newer root replaced them are
    /// looked for in that one.
    async fn walk(
        &self,
        mut loaded: Loaded,
        report: &mut Report,
    ) -> Result<(Loaded, References), CheckError> {
        for _ in 0..MOST_WALKS {
            let mut found = report.clone();
            let references = References::of(self, &loaded, &mut found).await?;
            if !references.lacks_pages || self.is_newest(&loaded).await? {
                *report = found;
                return Ok((loaded, references));
            }
            loaded = self.load().await?;
        }
        Err(LoadError::Unsteady.into())
    }

    async fn is_newest(&self, loaded: &Loaded) -> Result<bool, CheckError> {
        Ok(self.load().await?.root.number == loaded.root.number)
    }

    /// The catalog again. Where an entry looked as if one before it were missing, so much
    /// later that a listing shows the one before too.
    async fn second_look(&self, first: &Loaded) -> Result<Loaded, CheckError> {
        if others::stranded(first).next().is_some() {
            self.clock.sleep(self.windows.visibility).await;
        }
        Ok(self.load().await?)
    }

    /// Without a root nothing is known to belong to anything: only that is said.
    async fn check_without_root(
        &self,
        mut report: Report,
        damaged: Option<(u64, crate::message::Damage)>,
    ) -> Result<Report, CheckError> {
        let survey = Survey::take(&self.bucket, &mut report).await?;
        let listed = Listed::now(&self.bucket, &*self.clock).await?;
        let blocks = survey.blocks.len() as u64;
        match damaged {
            Some((number, damage)) => report.add(
                &siltstone_format::path::ObjectKey::Root { number },
                Wrong::RootUnreadable { damage, instead: None, newest: true },
            ),
            None if blocks > 0 || !listed.entries.is_empty() => {
                report.add(&"cat/root", Wrong::NoRoot { blocks })
            }
            None => {}
        }
        report.finish();
        Ok(report)
    }
}
