use siltstone_format::day::Day;
use siltstone_format::id::{BlockId, TraceId};
use siltstone_format::tenant::Tenant;

use super::*;
use crate::block_entry::BlockEntry;
use crate::change::AddMark;
use crate::kept::{Kept, Until};
use crate::mark::{MAX_PAGE_MARKS, MarkTarget};
use crate::publish::PublishError;
use crate::rebuild::Force;
use crate::test_world::{START_UNIX_NANOS, TestWorld, TestWriter, numbers, spans};

const RULES: &str = "keep 7d; keep 90d where status = error";

fn rules(rules: Option<&str>, reapply: bool) -> SetRetention {
    let rules = rules.map(str::to_owned);
    SetRetention { tenant: Tenant::single(), rules, reapply, at_unix_millis: 5 }
}

fn mark(kind: MarkKind, trace: u8) -> AddMark {
    AddMark { tenant: Tenant::single(), kind, target: MarkTarget::Trace(TraceId([trace; 16])) }
}

fn own(world: &TestWorld, catalog: &Catalog) -> Option<Policy> {
    let snapshot = world.snapshot(catalog);
    world.finish(catalog.retention(&snapshot, &Tenant::single())).unwrap()
}

fn grounds(world: &TestWorld, catalog: &Catalog) -> Grounds {
    let policy = own(world, catalog).map_or(0, |policy| policy.number);
    Grounds { policy, marks: world.snapshot(catalog).root.mark_number, known: None }
}

/// Spans of one day in a merged block.
fn merged(world: &TestWorld, catalog: &Catalog) -> (Section, BlockEntry) {
    let tenant = Tenant::single();
    TestWriter::new(catalog).flush(world, catalog, &[(&tenant, &spans(0..20, 0))]);
    world.fold(catalog).unwrap();
    world.merge(catalog, &tenant, &world.section(catalog, &tenant, Section::Inbox));
    let section = Section::Day(Day::of_unix_nano(START_UNIX_NANOS));
    world.section(catalog, &tenant, section).remove(0)
}

fn expire(block: &(Section, BlockEntry), grounds: Grounds) -> Expire {
    Expire { tenant: Tenant::single(), blocks: vec![(block.0, vec![block.1.id()])], grounds }
}

fn refusal<T: std::fmt::Debug>(published: Result<T, PublishError>) -> String {
    match published {
        Err(PublishError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn should_number_rules_and_keep_them_over_merges_and_a_rebuild() {
    let (world, catalog) = TestWorld::with_catalog();
    assert_eq!(own(&world, &catalog), None);
    let set = |change: SetRetention| world.finish(catalog.publish(&change)).unwrap();
    set(rules(Some(RULES), false));
    let first = own(&world, &catalog).unwrap();
    assert_eq!((first.rules.as_str(), first.since_unix_millis, first.reapplied), (RULES, 5, 0));
    set(rules(Some(RULES), false));
    assert_eq!(own(&world, &catalog).unwrap(), first);
    merged(&world, &catalog);
    set(rules(Some(RULES), true));
    let again = own(&world, &catalog).unwrap();
    assert!(again.number > first.number && again.reapplied == again.number);
    set(rules(None, false));
    let none = own(&world, &catalog).unwrap();
    assert!(none.rules.is_empty() && none.number > again.number && none.reapplied == again.reapplied);
    world.finish(catalog.rebuild(Force::Yes)).unwrap();
    assert_eq!(own(&world, &world.process()).unwrap(), none);
}

#[test]
fn should_give_up_blocks_on_grounds_that_hold() {
    let (world, catalog) = TestWorld::with_catalog();
    world.finish(catalog.publish(&rules(Some(RULES), false))).unwrap();
    let block = merged(&world, &catalog);
    world.finish(catalog.publish(&mark(MarkKind::Archive, 1))).unwrap();
    let change = expire(&block, grounds(&world, &catalog));
    // A deletion keeps nothing.
    world.finish(catalog.publish(&mark(MarkKind::Delete, 2))).unwrap();
    world.finish(catalog.publish(&change)).unwrap();
    assert!(world.found(&catalog, &Tenant::single()).is_empty());
    assert!(refusal(world.finish(catalog.publish(&change))).contains("merged or deleted"));
}

#[test]
fn should_give_up_nothing_that_was_archived_meanwhile() {
    let (world, catalog) = TestWorld::with_catalog();
    let block = merged(&world, &catalog);
    let change = expire(&block, grounds(&world, &catalog));
    world.finish(catalog.publish(&mark(MarkKind::Archive, 1))).unwrap();
    assert!(refusal(world.finish(catalog.publish(&change))).contains("traces were archived"));
    let merge = world.prepare_merge(&catalog, &Tenant::single(), std::slice::from_ref(&block));
    let decide = Decide { merge, grounds: change.grounds };
    assert!(refusal(world.finish(catalog.publish(&decide))).contains("traces were archived"));
    assert_eq!(world.found(&catalog, &Tenant::single()), numbers(&[(0, 20)]));
}

#[test]
fn should_give_up_nothing_where_new_marks_may_be_on_a_page_of_their_own() {
    let (world, catalog) = TestWorld::with_catalog();
    let block = merged(&world, &catalog);
    let change = expire(&block, grounds(&world, &catalog));
    world.finish(catalog.publish(&ManyDeletions)).unwrap();
    assert!(refusal(world.finish(catalog.publish(&change))).contains("traces were archived"));
    world.finish(catalog.publish(&expire(&block, grounds(&world, &catalog)))).unwrap();
}

/// An archive mark, and so many deletions that it is not among the newest marks.
struct ManyDeletions;

impl Change for ManyDeletions {
    fn apply<'a>(&'a self, draft: &'a mut Draft<'_>) -> BoxFuture<'a, Result<(), ChangeError>> {
        async move {
            let target = |number: usize| MarkTarget::Trace(TraceId((number as u128 + 1).to_be_bytes()));
            draft.mark(&Tenant::single(), MarkKind::Archive, target(0)).await?;
            for number in 0..MAX_PAGE_MARKS {
                draft.mark(&Tenant::single(), MarkKind::Delete, target(number)).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

#[test]
fn should_give_up_nothing_by_rules_that_were_changed_meanwhile() {
    let (world, catalog) = TestWorld::with_catalog();
    let block = merged(&world, &catalog);
    let change = expire(&block, grounds(&world, &catalog));
    world.finish(catalog.publish(&rules(Some(RULES), false))).unwrap();
    assert!(refusal(world.finish(catalog.publish(&change))).contains("rules of retention were changed"));
    assert_eq!(world.found(&catalog, &Tenant::single()), numbers(&[(0, 20)]));
}

#[test]
fn should_bound_what_goes_at_once() {
    let (world, catalog) = TestWorld::with_catalog();
    let ids = (0..=MAX_EXPIRED).map(|number| BlockId((number as u128).into())).collect();
    let (tenant, grounds) = (Tenant::single(), grounds(&world, &catalog));
    let change = Expire { tenant, blocks: vec![(Section::Day(Day(1)), ids)], grounds };
    assert!(refusal(world.finish(catalog.publish(&change))).contains("more than 4096"));
}

#[test]
fn should_say_of_a_page_what_was_decided_about_its_blocks() {
    let (world, catalog) = TestWorld::with_catalog();
    let block = merged(&world, &catalog);
    let mut merge = world.prepare_merge(&catalog, &Tenant::single(), std::slice::from_ref(&block));
    let kept = Kept { until: Until::Hour(500), policy: 3, marks: 4 };
    merge.outputs[0].1.kept = Some(kept);
    let decide = Decide { merge, grounds: grounds(&world, &catalog) };
    world.finish(catalog.publish(&decide)).unwrap();
    let snapshot = world.snapshot(&catalog);
    let pages = world.finish(catalog.pages(&snapshot, &Tenant::single())).unwrap();
    let page = pages.iter().find(|page| page.section == block.0).unwrap();
    assert_eq!(page.kept, crate::kept::KeptOfPage { decided: 1, first_until: Some(500), oldest_policy: 3 });
    assert!(page.expires_by(500) && !page.expires_by(499));
    assert!(page.is_undecided(4) && !page.is_undecided(3));
    let never = Kept { until: Until::Never, ..kept };
    assert_eq!((kept.and(never), never.until.has_passed(u32::MAX)), (never, false));
}

#[test]
fn should_not_decide_beside_what_others_decided_of_the_same_days() {
    let (world, catalog) = TestWorld::with_catalog();
    let day = Day::of_unix_nano(START_UNIX_NANOS);
    (0..3).for_each(|_| drop(merged(&world, &catalog)));
    let [ours, theirs, more] =
        world.section(&catalog, &Tenant::single(), Section::Day(day)).try_into().unwrap();
    let decide = |block: &(Section, BlockEntry), known: Option<Known>| {
        let mut merge = world.prepare_merge(&catalog, &Tenant::single(), std::slice::from_ref(block));
        merge.outputs[0].1.kept = Some(Kept { until: Until::Hour(500), policy: 0, marks: 0 });
        Decide { merge, grounds: Grounds { known, ..grounds(&world, &catalog) } }
    };
    let (known, far) =
        (Known::nothing(day..=Day(day.0 + 1)), Known::nothing(Day(day.0 + 1)..=Day(day.0 + 2)));
    let theirs = decide(&theirs, None);
    let decided = theirs.merge.outputs[0].1.id();
    world.finish(catalog.publish(&theirs)).unwrap();
    let change = decide(&ours, Some(known.clone()));
    assert!(refusal(world.finish(catalog.publish(&change))).contains("were not looked at"));
    let gives_up = expire(&ours, change.grounds.clone());
    assert!(refusal(world.finish(catalog.publish(&gives_up))).contains("were not looked at"));
    known.add_blocks([decided]);
    world.finish(catalog.publish(&change)).unwrap();
    // What is decided of other days does not matter.
    let more = decide(&more, Some(far));
    world.finish(catalog.publish(&more)).unwrap();
}
