//! Clauses on large sets.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use siltstone_ask::collapse;
use siltstone_querier::limits::QueryLimits;
use siltstone_tests::large_set::{large_scene, seeds};

use crate::clause::described;
use crate::rows::{check, runtime};

#[test]
fn clauses_select_what_they_say_among_large_sets() {
    let runtime = runtime();
    let mut runner = TestRunner::deterministic();
    let (mut some, mut none) = (0, 0);
    for seed in seeds() {
        runtime.block_on(async {
            let scene = large_scene(seed).await;
            let querier = scene.world.querier(QueryLimits::default());
            let spans = collapse(scene.spans);
            for _ in 0..12 {
                let described = described().new_tree(&mut runner).unwrap().current();
                let found = check(&querier, &spans, &described).await;
                let found = found.unwrap_or_else(|failure| panic!("set {seed}: {failure}"));
                some += usize::from(found > 0);
                none += usize::from(found == 0);
            }
        });
    }
    println!("{some} clauses found rows, {none} none");
    assert!(some > 5, "{none} clauses found nothing");
}
