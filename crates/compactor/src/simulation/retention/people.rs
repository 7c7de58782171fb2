//! People who archive and delete traces, and set rules. Who is killed does not know whether what he asked for is done.

use rand::Rng;
use rand::seq::IndexedRandom;
use siltstone_catalog::change::AddMark;
use siltstone_catalog::deletion::{Asked, Request};
use siltstone_catalog::expire::SetRetention;
use siltstone_catalog::mark::{MarkKind, MarkTarget};
use siltstone_catalog::publish::Change;
use siltstone_catalog::rebuild::Force;
use siltstone_format::tenant::Tenant;
use siltstone_testkit::schedule::Violation;

use super::super::world::Site;
use super::run::{Shared, any_keeps};
use super::truth::{tenant_of, tenants};
use crate::retain::tests::truth::{Keeps, trace_id};

pub(super) async fn run(site: Site, truth: Shared, wishes: u64) -> Result<(), Violation> {
    for _ in 0..wishes {
        site.rest(6_000).await;
        let (wish, traces) = (site.rng.borrow_mut().random_range(0..20), truth.borrow().living_traces());
        let trace = traces.choose(&mut site.rng.borrow_mut()).copied();
        match (wish, trace) {
            (0..12, Some(trace)) => archive(&site, &truth, trace).await,
            (12..15, Some(trace)) => delete(&site, &truth, trace).await,
            (15.., _) => {
                let (keeps, tenant, reapply) = {
                    let mut rng = site.rng.borrow_mut();
                    let tenant = tenants()[rng.random_range(0..2)].clone();
                    (any_keeps(&mut rng), tenant, rng.random_bool(0.5))
                };
                set_rules(&site, &truth, &tenant, keeps, reapply).await;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn archive(site: &Site, truth: &Shared, trace: u64) {
    truth.borrow_mut().ask_to_archive(trace);
    let (kind, target) = (MarkKind::Archive, MarkTarget::Trace(trace_id(trace)));
    let root = publish(site, &AddMark { tenant: tenant_of(trace), kind, target }).await;
    truth.borrow_mut().archive(trace, root, site.true_time());
    site.tell(|| format!("trace {trace} is archived in root {root}"));
}

async fn delete(site: &Site, truth: &Shared, trace: u64) {
    truth.borrow_mut().ask_to_delete(trace);
    let (tenant, traces) = (tenant_of(trace), vec![trace_id(trace)]);
    let request = Request { tenant, asked: Asked::Traces, traces, blocks: 0 };
    while site.catalog.delete(request.clone()).await.is_err() {
        site.rest(300).await;
    }
    truth.borrow_mut().delete(trace, site.true_time());
    site.tell(|| format!("trace {trace} is deleted"));
}

pub(super) async fn set_rules(site: &Site, truth: &Shared, tenant: &Tenant, keeps: Keeps, reapply: bool) {
    truth.borrow_mut().ask_for_rules(tenant, keeps, site.true_time());
    let (tenant, rules) = (tenant.clone(), Some(keeps.text()));
    let change = SetRetention { tenant, rules, reapply, at_unix_millis: 0 };
    let root = publish(site, &change).await;
    truth.borrow_mut().set_rules(&change.tenant, reapply.then_some(root), site.true_time());
    site.tell(|| format!("{}: `{}`, reapply {reapply}, in root {root}", change.tenant, keeps.text()));
}

/// Gives the number of the root that has it.
async fn publish(site: &Site, change: &dyn Change) -> u64 {
    loop {
        match site.catalog.publish(change).await {
            Ok(published) => return published.root().number,
            Err(error) => {
                site.tell(|| format!("it is not published: {error}"));
                site.rest(300).await;
            }
        }
    }
}

/// While no compactor runs.
pub(super) async fn rebuild(site: Site, truth: Shared) -> Result<(), Violation> {
    truth.borrow_mut().begin_rebuild();
    let rebuilt = loop {
        match site.catalog.rebuild(Force::Yes).await {
            Ok(rebuilt) => break rebuilt,
            Err(error) => {
                site.tell(|| format!("not rebuilt: {error}"));
                site.rest(2_000).await;
            }
        }
    };
    truth.borrow_mut().end_rebuild(rebuilt.root);
    site.tell(|| format!("rebuilt in root {}: {} blocks", rebuilt.root, rebuilt.blocks));
    match rebuilt.without_marks.is_empty() {
        true => Ok(()),
        false => Err("a rebuild has lost marks".to_owned()),
    }
}
