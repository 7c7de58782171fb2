//! Somebody who checks the bucket while everybody is at work: what is well must not be
//! found to be wrong.

use siltstone_testkit::schedule::Violation;

use super::world::Site;
use crate::check::{CheckOptions, Depth, Leaks, Severity, Wrong};

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for _ in 0..rounds {
        site.rest(3_000).await;
        let leaks = if site.draw(2) == 0 { Leaks::Keep } else { Leaks::Delete };
        let options = CheckOptions { depth: Depth::Catalog, leaks };
        // A request that fails ends this check; another one follows.
        let Ok(report) = site.catalog.check(&options).await else { continue };
        site.world.borrow_mut().counts.checks += 1;
        // The blocks here are no real ones, so their sizes are not what is said.
        let wrong = report.findings.iter().find(|finding| {
            finding.severity >= Severity::Partial && !matches!(finding.wrong, Wrong::Size { .. })
        });
        if let Some(finding) = wrong {
            return Err(format!("a check finds: {finding}"));
        }
    }
    Ok(())
}
