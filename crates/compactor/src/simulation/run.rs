//! One whole run: trouble first, then everybody comes back and the truth is read.

use std::time::Duration;

use futures::FutureExt;
use siltstone_catalog::check::{CheckOptions, Depth, Leaks, Severity};
use siltstone_testkit::schedule::{Process, Violation};

use super::stage::{COMPACTORS, Outcome, Stage, compact, make_catalog, merge_all};
use super::world::{Pace, Site};
use super::{deleter, reader, writer};

const WRITERS: usize = 2;
const READER: usize = COMPACTORS + WRITERS;
const DELETER: usize = READER + 1;
const SLOTS: usize = DELETER + 1;
const TROUBLED_STEPS: usize = 4_000;

pub(super) fn simulate(seed: u64) -> Outcome {
    let mut stage = Stage::new(seed, Pace::SECONDS, SLOTS);
    let violation = whole(&mut stage).err();
    stage.outcome(violation)
}

fn process(slot: usize, site: Site) -> Process<'static> {
    match slot {
        0..COMPACTORS => compact(site).boxed_local(),
        READER => reader::run(site, 3).boxed_local(),
        DELETER => deleter::run(site, 2).boxed_local(),
        _ => writer::run(site, 12).boxed_local(),
    }
}

fn whole(stage: &mut Stage) -> Result<(), Violation> {
    stage.alone(make_catalog)?;
    (0..SLOTS).for_each(|slot| stage.start(slot, process));
    stage.trouble(TROUBLED_STEPS, process, |_, _| ())?;
    peace(stage)
}

/// Nothing fails any more: what is late lands, and one compactor after the other does what is left.
fn peace(stage: &mut Stage) -> Result<(), Violation> {
    stage.calm_down()?;
    stage.alone(merge_all)?;
    stage.alone(|site| reader::run(site, 1))?;
    stage.alone(reader::check_all_is_merged)?;
    for _ in 0..8 {
        stage.clock.advance(Duration::from_secs(21));
        stage.alone(merge_all)?;
    }
    stage.alone(|site| check(site, Leaks::Keep))?;
    stage.alone(|site| reader::run(site, 1))
}

pub(super) async fn check(site: Site, leaks: Leaks) -> Result<(), Violation> {
    let options = CheckOptions { depth: Depth::Blocks, leaks };
    let report = site.catalog.check(&options).await.map_err(|error| error.to_string())?;
    // Who is killed leaves things behind, such as leases, and what lands long after is a leak; but nothing is wrong.
    match report.findings.iter().find(|finding| finding.severity > Severity::Waste) {
        Some(finding) => Err(format!("the catalog does not hold together: {finding}")),
        None => Ok(()),
    }
}
