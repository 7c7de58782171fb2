//! Writers and their log entries, clocks, leases.

use siltstone_format::path::ObjectKey;

use super::CheckError;
use super::finding::{Report, Wrong};
use super::survey::Survey;
use crate::accept::{EntryName, is_fenced};
use crate::catalog::Catalog;
use crate::lease::LeaseRecord;
use crate::load::Loaded;
use crate::time::StoreTime;

/// Entries of writers in good standing that one look saw and that are not part of the
/// data: one before them is missing.
pub(super) fn stranded(loaded: &Loaded) -> impl Iterator<Item = (EntryName, u64)> {
    loaded.listed.entries.keys().filter_map(|name| {
        let (writer, number) = *name;
        let expected = loaded.accepted.seen.get(&writer).copied().unwrap_or(0);
        let refused = loaded.accepted.writers.get(&writer).is_some_and(|state| state.fenced);
        let waits = number > expected && !refused && !is_fenced(&loaded.root, writer);
        waits.then_some((*name, expected))
    })
}

impl Catalog {
    pub(super) fn check_log(&self, loaded: &Loaded, report: &mut Report) {
        for entry in &loaded.accepted.damaged {
            let key = ObjectKey::LogEntry { writer: entry.writer, number: entry.number };
            report.add(&key, Wrong::EntryUnreadable { damage: entry.damage.clone() });
        }
    }

    /// Entries that wait in both looks: no listing is as late as that.
    pub(super) fn check_stranded(&self, first: &Loaded, later: &Loaded, report: &mut Report) {
        let before: Vec<EntryName> = stranded(first).map(|(name, _)| name).collect();
        for ((writer, number), expected) in stranded(later).filter(|(name, _)| before.contains(name)) {
            report.add(&ObjectKey::LogEntry { writer, number }, Wrong::Stranded { expected });
        }
    }

    pub(super) fn check_clocks(&self, survey: &Survey, report: &mut Report) {
        let allowed = self.windows.clock_error;
        if let Some((off, key)) = survey.ahead.as_ref().filter(|(off, _)| *off > allowed) {
            report.add(key, Wrong::Clock { off: *off, ahead: true });
        }
        // A block may be named for as long as a commit takes before it lands.
        let longest = allowed + self.windows.commit;
        if let Some((off, key)) = survey.behind.as_ref().filter(|(off, _)| *off > longest) {
            report.add(key, Wrong::Clock { off: *off, ahead: false });
        }
        for (key, landed) in &survey.probes {
            if landed.plus(longest) < survey.newest {
                report.add(key, Wrong::LeftProbe);
            }
        }
        let ours = StoreTime(self.clock.wall_millis());
        if ours.plus(allowed) < survey.newest {
            let off = std::time::Duration::from_millis(survey.newest.0 - ours.0);
            report.add(&"this machine", Wrong::Clock { off, ahead: false });
        }
    }

    pub(super) async fn check_leases(&self, survey: &Survey, report: &mut Report) -> Result<(), CheckError> {
        for id in &survey.leases {
            let key = ObjectKey::Lease(*id);
            match self.read_lease(&key).await? {
                Some((Ok(LeaseRecord { job, lasts, .. }), landed)) if landed.plus(lasts) < survey.newest => {
                    report.add(&key, Wrong::StaleLease { job });
                }
                Some((Err(damage), _)) => report.add(&key, Wrong::LeaseUnreadable { damage }),
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}
