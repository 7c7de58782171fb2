//! How long traces are kept.
//!
//! A day of a tenant is *decided* once it is older than the least that its rules keep. Which of its traces are kept
//! longer is told by all that is there of them: the blocks of the day, of the days before and after it, and of the
//! inbox (`part.rs`). Then its blocks are written anew, by how long their traces are kept, and without those whose
//! time has passed. From then on whole blocks go (`due.rs`).
//!
//! A merge is never told by one block alone how long a trace is kept, and what was not decided does not go.

use std::sync::Arc;

use siltstone_catalog::expire::Grounds;
use siltstone_catalog::kept::{Kept, Until};
use siltstone_format::day::Day;
use siltstone_format::id::TraceId;

// What goes, and which days are to be decided.
pub(crate) mod due;
// Which blocks tell of the traces of a day.
pub(crate) mod around;
// Which traces of a day are kept longer than others,
pub(crate) mod judge;
// as far as some blocks of it are concerned.
mod part;
// What would become of all of it.
pub mod outlook;
// The rules of a tenant, as they hold now.
mod rules;
// How long traces are kept.
mod verdicts;

#[cfg(test)]
pub(crate) mod tests;

pub use judge::JudgeError;
pub(crate) use rules::decided;
pub use rules::{Hours, Rules, RulesError};

use verdicts::Verdicts;

/// How long the traces of a job's inputs are kept.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    verdicts: Arc<Verdicts>,
    /// What all others get.
    least: Hours,
    /// Of the store; what is kept to this hour goes.
    pub(crate) hour: u32,
    /// The rules that it was decided by, and the archive marks of which all were looked at.
    policy: u64,
    marks: u64,
    pub(crate) grounds: Grounds,
}

impl Judged {
    pub(crate) fn until(&self, trace: &TraceId, day: Day) -> Until {
        self.verdicts.of(trace).map_or(self.least, |hours| hours.max(self.least)).until(day)
    }

    /// What is said of a block whose traces are all kept so long.
    pub(crate) fn kept(&self, until: Until) -> Kept {
        Kept { until, policy: self.policy, marks: self.marks }
    }
}
