//! Which blocks make up the data, told from what each was made of.
//!
//! **The rule.** A block is left out if it was made of others and all of those are there
//! and whole. Everything else is taken in.
//!
//! **Why no span is lost.** A merge adds nothing: what an output has, its inputs have. So
//! what is left out is in its inputs; those that are left out themselves are in theirs,
//! and that ends at blocks that are taken in. It holds whoever wrote a block, whether its
//! merge was published, and whatever else is lost.
//!
//! **Why not the outputs, and leave out the inputs?** A merge has several outputs, and
//! none says how many. Of an output alone nobody can tell whether its sisters were ever
//! written; and where one input is gone and another is there, whether this merge took
//! both, or another one took the first. So inputs that are there always stay.
//!
//! **What is there twice.** A block beside an output of its own merge of which another
//! input is gone: at most what was merged within the grace for readers before the roots
//! were lost. Same spans collapse in answers, and the next merge of the day ends it.
//! Flushes that were never committed come back too; their spans were sent to us.

use std::collections::{BTreeMap, BTreeSet};

use siltstone_format::id::BlockId;

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Left out: their inputs are there.
    pub(crate) covered: BTreeSet<BlockId>,
    /// Taken in, and others are left out for them.
    pub(crate) carrying: BTreeSet<BlockId>,
    /// Taken in beside an output of a merge of them that is taken in too.
    pub(crate) doubled: BTreeSet<BlockId>,
}

/// Decides about blocks that are complete, each with the blocks that it was made of.
pub(crate) fn choose(blocks: &BTreeMap<BlockId, Vec<BlockId>>) -> Chosen {
    let mut chosen = Chosen { covered: covered(blocks), ..Chosen::default() };
    for (block, inputs) in blocks {
        let is_covered = chosen.covered.contains(block);
        let taken_in =
            inputs.iter().filter(|input| blocks.contains_key(input) && !chosen.covered.contains(input));
        match is_covered {
            true => chosen.carrying.extend(taken_in),
            false => chosen.doubled.extend(taken_in),
        }
    }
    chosen
}

/// Follows the merges from the first blocks on. A block that is, by damage, among its own
/// inputs is never reached, so it is not left out.
fn covered(blocks: &BTreeMap<BlockId, Vec<BlockId>>) -> BTreeSet<BlockId> {
    let mut outputs: BTreeMap<BlockId, Vec<BlockId>> = BTreeMap::new();
    let mut waits_for: BTreeMap<BlockId, usize> = BTreeMap::new();
    let mut settled: Vec<BlockId> = Vec::new();
    for (block, inputs) in blocks {
        let distinct: BTreeSet<BlockId> = inputs.iter().copied().collect();
        if distinct.is_empty() || !distinct.iter().all(|input| blocks.contains_key(input)) {
            settled.push(*block);
            continue;
        }
        waits_for.insert(*block, distinct.len());
        for input in distinct {
            outputs.entry(input).or_default().push(*block);
        }
    }
    let mut covered = BTreeSet::new();
    while let Some(block) = settled.pop() {
        for output in outputs.get(&block).into_iter().flatten() {
            let Some(left) = waits_for.get_mut(output) else { continue };
            *left -= 1;
            if *left == 0 {
                covered.insert(*output);
                settled.push(*output);
            }
        }
    }
    covered
}

#[cfg(test)]
mod tests;
