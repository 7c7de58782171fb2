//! What somebody may have meant: a table or an attribute that there is, for one that there is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use siltstone_ask::{Filter, Target, Window, closest};
use siltstone_format::origin::Origin;
use siltstone_format::value::Attribute;
use siltstone_live::question::{Question, Wanted};

use super::attribute_of::attribute_of;
use super::query::SqlQuery;
use super::schema::{Holder, SpanColumn};
use crate::cache::OpenedBlock;
use crate::querier::{Query, QueryError};

/// Attributes of one statement that are looked for.
const MOST_KEYS: usize = 8;
/// Blocks whose keys are compared with one that nobody has.
const BLOCKS: usize = 4;

/// An attribute that a statement names.
pub(super) type Named = (Holder, String);

/// The attributes that a plan names, some of them if they are many.
pub(super) fn attributes_in(plan: &LogicalPlan) -> Vec<Named> {
    let mut named = BTreeSet::new();
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                named.extend(attribute_of(part).map(|(holder, key)| (holder, key.to_owned())));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    // The closures do not fail.
    if visited.is_err() { Vec::new() } else { named.into_iter().take(MOST_KEYS).collect() }
}

impl SqlQuery {
    /// What may be meant by attributes that have no column in the newest blocks, and that no live span has.
    pub(super) async fn hints(&self, named: &[Named]) -> Result<Vec<String>, QueryError> {
        let mut asking = self.asking();
        let newest = self.newest_blocks(&mut asking).await?;
        let mut hints = Vec::new();
        for (holder, key) in named {
            let known = newest.iter().flat_map(|block| keys_of(block, *holder)).collect::<BTreeSet<_>>();
            if known.contains(key.as_str()) || self.is_live(&mut asking, *holder, key).await? {
                continue;
            }
            let map = SpanColumn::Attributes(*holder).name();
            hints.extend(closest(key, known.into_iter()).map(|close| {
                format!("`{key}` has no column of {map} in the newest blocks: did you mean `{close}`?")
            }));
        }
        Ok(hints)
    }

    async fn is_live(&self, asking: &mut Query<'_>, holder: Holder, key: &str) -> Result<bool, QueryError> {
        let filter = Filter::exists(Target::attribute(holder.level(), key));
        let wanted = Wanted::Matching { filter: Some(filter), window: Window::ALL };
        let view = asking.open(&Question { tenant: self.tenant.clone(), wanted }).await?;
        Ok(!view.live.is_empty())
    }

    async fn newest_blocks(&self, asking: &mut Query<'_>) -> Result<Vec<Arc<OpenedBlock>>, QueryError> {
        let nothing = Wanted::Matching { filter: Some(Filter::none()), window: Window::ALL };
        let view = asking.open(&Question { tenant: self.tenant.clone(), wanted: nothing }).await?;
        let mut entries = asking.planner(&view).of_filter(&Filter::all(), Window::ALL).await?.blocks;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.summary.spans.max_start_unix_nano));
        let mut blocks = Vec::new();
        for entry in entries.iter().take(BLOCKS) {
            blocks.push(self.querier.blocks.open(entry, asking.purse()).await?);
        }
        Ok(blocks)
    }
}

/// The keys that a block's metadata names.
fn keys_of(block: &OpenedBlock, holder: Holder) -> Vec<&str> {
    let of_origins = |attributes_of: fn(&Origin) -> &Vec<Attribute>| {
        let attributes = block.origins.iter().flat_map(move |(_, origin)| attributes_of(origin));
        attributes.map(|attribute| attribute.key.as_str()).collect()
    };
    match holder {
        Holder::Span => block.spans.attributes().iter().map(|(_, key)| key.as_str()).collect(),
        Holder::Resource => of_origins(|origin| &origin.resource_attributes),
        Holder::Scope => of_origins(|origin| &origin.scope_attributes),
    }
}
