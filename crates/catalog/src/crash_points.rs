//! A crash at every single request of a commit, a fold, a merge and a sweep: whether that request took effect or not, what was accepted is there when
//! others go on, once, and the bucket is whole.

use std::time::Duration;

use siltstone_format::tenant::Tenant;
use siltstone_testkit::{Fault, FaultPlan, Rule};

use crate::Catalog;
use crate::block_page::Section;
use crate::change::Merge;
use crate::check::{CheckOptions, Depth, Leaks, Severity};
use crate::commit::Fate;
use crate::log_entry::LogEntry;
use crate::sweep::SweepMode;
use crate::test_world::{TestWorld, TestWriter, numbers, spans};

/// Three flushes merged, one folded, one in the log, and one whose blocks are written and
/// that nobody has committed.
struct Before {
    world: TestWorld,
    catalog: Catalog,
    open: LogEntry,
    merge: Merge,
}

impl Before {
    fn new() -> Self {
        let (world, catalog) = TestWorld::with_catalog();
        let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
        let mut flush = |number: u64| {
            writer.flush(&world, &catalog, &[(&tenant, &spans(number * 10..number * 10 + 10, 0))])
        };
        for number in 0..3 {
            flush(number);
        }
        world.fold(&catalog).unwrap();
        let inputs = world.section(&catalog, &tenant, Section::Inbox);
        world.merge(&catalog, &tenant, &inputs);
        flush(3);
        world.fold(&catalog).unwrap();
        // What was retired so far is due, and time has been seen to pass.
        world.pass(Duration::from_secs(2 * 3600));
        world.touch(&catalog);
        flush(4);
        let inputs = world.section(&catalog, &tenant, Section::Inbox);
        let merge = world.prepare_merge(&catalog, &tenant, &inputs);
        let open = writer.write(&world, &catalog, &[(&tenant, &spans(50..60, 0))]);
        Self { world, catalog, open, merge }
    }

    /// All requests from the n-th on fail; the n-th takes effect first, or does not.
    fn crash_at(&self, request: u64, last: Fault) {
        let dead = Rule::new(Fault::ErrorBefore).from_nth(request + 1);
        self.world.store.set_plan(FaultPlan::script([Rule::new(last).nth(request), dead]));
    }

    /// Others go on, and the writer comes back with its log.
    fn recover(&self, what: &str) {
        let (world, tenant) = (&self.world, Tenant::single());
        world.store.set_plan(FaultPlan::none());
        let other = world.process();
        let fate = world.finish(other.commit(&self.open, None)).unwrap();
        assert_eq!(fate, Fate::Committed, "{what}");
        assert_eq!(world.found(&other, &tenant), numbers(&[(0, 60)]), "{what}");
        world.sweep_all(&other, 3);
        assert_eq!(world.found(&other, &tenant), numbers(&[(0, 60)]), "{what}");
        let options = CheckOptions { depth: Depth::Blocks, leaks: Leaks::Keep };
        let report = world.finish(other.check(&options)).unwrap();
        assert!(report.findings.iter().all(|found| found.severity == Severity::Note), "{what}: {report}");
    }
}

/// The process does its work and dies at every one of its requests in turn.
fn crash_everywhere(work: impl Fn(&Before) -> bool) {
    let mut crashes = 0;
    for last in [Fault::ErrorBefore, Fault::ErrorAfter] {
        for request in 1.. {
            let before = Before::new();
            let sent = before.world.requests();
            before.crash_at(request, last);
            let done = work(&before);
            let sent = before.world.requests() - sent;
            before.recover(&format!("{last:?} at request {request}"));
            if (sent as u64) < request {
                assert!(done, "it failed although nothing went wrong");
                break;
            }
            crashes += 1;
        }
    }
    println!("{crashes} crashes");
    assert!(crashes > 4, "{crashes} crashes");
}

#[test]
fn should_survive_a_crash_at_every_request_of_a_commit() {
    // Of an earlier incarnation, so that it is looked up, too.
    crash_everywhere(|before| before.world.finish(before.catalog.commit(&before.open, None)).is_ok());
}

#[test]
fn should_survive_a_crash_at_every_request_of_a_fold() {
    crash_everywhere(|before| before.world.fold(&before.catalog).is_ok());
}

#[test]
fn should_survive_a_crash_at_every_request_of_a_merge() {
    crash_everywhere(|before| before.world.finish(before.catalog.publish(&before.merge)).is_ok());
}

#[test]
fn should_survive_a_crash_at_every_request_of_a_sweep() {
    crash_everywhere(|before| before.world.finish(before.catalog.sweep(SweepMode::Delete)).is_ok());
}
