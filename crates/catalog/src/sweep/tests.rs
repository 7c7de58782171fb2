//! What a sweep does around its deletes.

use std::time::Duration;

use siltstone_format::tenant::Tenant;
use siltstone_testkit::{Fault, FaultPlan, Operation, Rule};

use crate::sweep::SweepMode;
use crate::test_world::{TestWorld, TestWriter, spans};

/// A store with entries, roots and pages that nobody needs any more.
fn world_with_garbage() -> (TestWorld, crate::Catalog) {
    let (world, catalog) = TestWorld::with_catalog();
    let (tenant, mut writer) = (Tenant::single(), TestWriter::new(&catalog));
    for number in 0..3 {
        writer.flush(&world, &catalog, &[(&tenant, &spans(number..number + 1, 0))]);
        world.fold(&catalog).unwrap();
    }
    world.pass(Duration::from_secs(2 * 3600));
    (world, catalog)
}

#[test]
fn should_delete_nothing_before_the_newest_root_is_known_to_be_durable() {
    let (world, catalog) = world_with_garbage();
    let before = world.keys("");
    let disk_fails = Rule::new(Fault::ErrorBefore).on(Operation::Put).under("cat/root");
    world.store.set_plan(FaultPlan::script([disk_fails]));
    assert!(world.finish(catalog.sweep(SweepMode::Delete)).is_err());
    assert_eq!(world.keys(""), before);

    world.store.set_plan(FaultPlan::none());
    let swept = world.finish(catalog.sweep(SweepMode::Delete)).unwrap();
    assert!(!swept.log_entries.is_empty() && !swept.roots.is_empty(), "{swept:?}");
}
