//! The rule against histories in which everything that can be interrupted is.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use ulid::Ulid;

use super::*;

fn id(number: u128) -> BlockId {
    BlockId(Ulid(number))
}

fn chosen(blocks: &[(u128, &[u128])]) -> Chosen {
    let blocks =
        blocks.iter().map(|(block, inputs)| (id(*block), inputs.iter().map(|input| id(*input)).collect()));
    choose(&blocks.collect())
}

fn ids(numbers: &[u128]) -> BTreeSet<BlockId> {
    numbers.iter().map(|number| id(*number)).collect()
}

#[test]
fn should_leave_out_an_output_whose_inputs_are_all_there() {
    // 3 and 4 are of one merge of 1 and 2; whether there was a third output, nobody knows.
    let chosen = chosen(&[(1, &[]), (2, &[]), (3, &[1, 2]), (4, &[1, 2])]);
    assert_eq!(chosen, Chosen { covered: ids(&[3, 4]), carrying: ids(&[1, 2]), doubled: ids(&[]) });
}

#[test]
fn should_keep_both_sides_where_an_input_is_gone() {
    let chosen = chosen(&[(2, &[]), (3, &[1, 2])]);
    assert_eq!(chosen, Chosen { covered: ids(&[]), carrying: ids(&[]), doubled: ids(&[2]) });
}

#[test]
fn should_follow_merges_of_merges() {
    let chosen = chosen(&[(1, &[]), (2, &[]), (3, &[1, 2]), (4, &[3]), (5, &[4, 9])]);
    assert_eq!(chosen.covered, ids(&[3, 4]));
    assert_eq!(chosen.carrying, ids(&[1, 2]));
}

#[test]
fn should_keep_blocks_that_are_made_of_themselves() {
    let chosen = chosen(&[(1, &[2]), (2, &[1]), (3, &[3]), (4, &[1, 3])]);
    assert_eq!(chosen.covered, ids(&[]));
}

/// A block as the truth has it.
#[derive(Clone, Default)]
struct Truth {
    inputs: Vec<u128>,
    spans: BTreeSet<u32>,
    /// Its merge, or its flush, was published.
    is_committed: bool,
    is_there: bool,
    is_live: bool,
}

/// A store with a history: flushes, merges and sweeps, each of which may stop half way.
#[derive(Default)]
struct History {
    blocks: Vec<Truth>,
    committed_spans: BTreeSet<u32>,
}

impl History {
    fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut history = Self::default();
        for _ in 0..rng.random_range(3..25) {
            match rng.random_range(0..10) {
                0..4 => history.flush(&mut rng),
                4..8 => history.merge(&mut rng),
                8 => history.sweep(&mut rng, |block| block.is_committed && !block.is_live),
                _ => history.sweep(&mut rng, |block| !block.is_committed),
            }
        }
        history
    }

    fn flush(&mut self, rng: &mut ChaCha8Rng) {
        let first = self.blocks.len() as u32 * 100;
        let spans: BTreeSet<u32> = (first..first + rng.random_range(1..6)).collect();
        let is_committed = rng.random_bool(0.8);
        if is_committed {
            self.committed_spans.extend(&spans);
        }
        let is_live = is_committed;
        self.blocks.push(Truth { spans, is_committed, is_there: true, is_live, ..Truth::default() });
    }

    /// Inputs are live blocks, or were: a merge may have begun before another took them.
    fn merge(&mut self, rng: &mut ChaCha8Rng) {
        let readable = |block: &Truth| block.is_committed && block.is_there;
        let all: Vec<usize> = (0..self.blocks.len()).filter(|at| readable(&self.blocks[*at])).collect();
        let inputs: BTreeSet<usize> = (0..3)
            .filter_map(|_| Some(all[rng.random_range(0..all.len().max(1)).min(all.len().checked_sub(1)?)]))
            .collect();
        if inputs.is_empty() {
            return;
        }
        let spans: BTreeSet<u32> = inputs.iter().flat_map(|at| self.blocks[*at].spans.clone()).collect();
        // An output for each remainder, as a real one has one for each day.
        let parts = rng.random_range(1..4);
        let mut outputs: Vec<BTreeSet<u32>> = (0..parts)
            .map(|part| spans.iter().copied().filter(|span| span % parts == part).collect())
            .filter(|part: &BTreeSet<u32>| !part.is_empty())
            .collect();
        let all_live = inputs.iter().all(|at| self.blocks[*at].is_live);
        let is_whole = rng.random_bool(0.7);
        if !is_whole {
            outputs.truncate(rng.random_range(0..=outputs.len()));
        }
        let is_committed = is_whole && all_live && rng.random_bool(0.8);
        if is_committed {
            inputs.iter().for_each(|at| self.blocks[*at].is_live = false);
        }
        let inputs: Vec<u128> = inputs.iter().map(|at| *at as u128).collect();
        for spans in outputs {
            let inputs = inputs.clone();
            self.blocks.push(Truth { inputs, spans, is_committed, is_there: true, is_live: is_committed });
        }
    }

    /// A sweep that stops anywhere.
    fn sweep(&mut self, rng: &mut ChaCha8Rng, may_go: impl Fn(&Truth) -> bool) {
        for block in &mut self.blocks {
            if may_go(block) && rng.random_bool(0.6) {
                block.is_there = false;
            }
        }
    }

    fn listed(&self) -> BTreeMap<BlockId, Vec<BlockId>> {
        let there = self.blocks.iter().enumerate().filter(|(_, block)| block.is_there);
        there
            .map(|(at, block)| (id(at as u128), block.inputs.iter().map(|input| id(*input)).collect()))
            .collect()
    }

    fn spans_of(&self, blocks: &BTreeSet<BlockId>) -> BTreeSet<u32> {
        blocks.iter().flat_map(|block| self.blocks[block.0.0 as usize].spans.clone()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    /// Brute force: the spans of what is taken in are those of all that is there, and so
    /// every span that was committed is among them.
    #[test]
    fn should_never_lose_a_span(seed: u64) {
        let history = History::of(seed);
        let listed = history.listed();
        let chosen = choose(&listed);
        let all: BTreeSet<BlockId> = listed.keys().copied().collect();
        let taken_in: BTreeSet<BlockId> = all.difference(&chosen.covered).copied().collect();
        prop_assert_eq!(history.spans_of(&taken_in), history.spans_of(&all));
        let found = history.spans_of(&taken_in);
        prop_assert!(history.committed_spans.is_subset(&found));
        // What is left out, only what is taken in and proven carries.
        let mut without = taken_in.clone();
        without.retain(|block| chosen.carrying.contains(block));
        prop_assert!(history.spans_of(&chosen.covered).is_subset(&history.spans_of(&without)));
    }

    /// And nothing is there twice but what the rule says: a span in two blocks that are
    /// taken in is in an output of which an input is gone.
    #[test]
    fn should_double_only_beside_an_output_that_lacks_an_input(seed: u64) {
        let history = History::of(seed);
        let listed = history.listed();
        let chosen = choose(&listed);
        for (block, inputs) in &listed {
            let lacks = inputs.iter().any(|input| !listed.contains_key(input));
            prop_assert_eq!(chosen.covered.contains(block), !inputs.is_empty() && !lacks);
        }
        // With every sweep at its end and no merge under way, nothing is.
        let settled = history.blocks.iter().all(|block| block.is_there == block.is_live);
        if settled {
            prop_assert!(chosen.doubled.is_empty() && chosen.covered.is_empty());
        }
    }

    /// A block that is known to be harmed carries nothing: without it, still no span of a
    /// sound block is lost.
    #[test]
    fn should_not_lean_on_a_block_that_is_left_away(seed: u64, pick: prop::sample::Index) {
        let history = History::of(seed);
        let mut sound = history.listed();
        if sound.is_empty() {
            return Ok(());
        }
        let harmed = *sound.keys().nth(pick.index(sound.len())).unwrap();
        sound.remove(&harmed);
        let chosen = choose(&sound);
        let all: BTreeSet<BlockId> = sound.keys().copied().collect();
        let taken_in = all.difference(&chosen.covered).copied().collect();
        prop_assert_eq!(history.spans_of(&taken_in), history.spans_of(&all));
    }
}
