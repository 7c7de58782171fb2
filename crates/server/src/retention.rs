//! Rules of retention from the command line: which hold, what becomes of the traces by them, and others instead.

use std::fmt::Write;
use std::sync::Arc;

use siltstone_ask::Retention;
use siltstone_catalog::Catalog;
use siltstone_catalog::expire::SetRetention;
use siltstone_catalog::kept::Until;
use siltstone_catalog::snapshot::{Cover, Snapshot};
use siltstone_catalog::time::Clock;
use siltstone_compactor::retain::outlook::{Depth, Fate, Outlook, Share, in_no_day, outlook};
use siltstone_compactor::retain::{Hours, Rules};
use siltstone_format::day::Day;
use siltstone_format::tenant::Tenant;

use crate::delete::tenants_of;
use crate::parts::{StartError, failed, shared_with_catalog};
use crate::settings::Resolved;

/// What is asked about a tenant's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct OfTenant {
    pub tenant: Tenant,
    pub what: What,
    /// What was decided before is decided anew.
    pub reapply: bool,
    /// Says what would become of all traces, and changes nothing.
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Show,
    Set(Retention),
    /// Those of the settings hold again.
    Clear,
}

/// Shows the rules, or sets others.
pub async fn retention(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    asked: OfTenant,
) -> Result<String, StartError> {
    let shared = shared_with_catalog(settings, Arc::clone(&clock)).await?;
    let (catalog, tenant) = (shared.catalog, &asked.tenant);
    let rules = match &asked.what {
        What::Show => None,
        What::Set(rules) => Some(rules.to_string()),
        What::Clear => Some(String::new()),
    };
    if let (Some(rules), false) = (&rules, asked.dry_run) {
        catalog.check_clock().await.map_err(failed)?;
        let change = SetRetention {
            tenant: tenant.clone(),
            rules: Some(rules.clone()).filter(|rules| !rules.is_empty()),
            reapply: asked.reapply,
            at_unix_millis: clock.wall_millis(),
        };
        catalog.publish(&change).await.map_err(failed)?;
        tracing::info!(
            target: "siltstone::audit", %tenant, rules, reapply = asked.reapply, "rules of retention were set"
        );
    }
    let fresh = Cover { fresh: true, ..Cover::default() };
    let snapshot = catalog.snapshot(&fresh).await.map_err(failed)?;
    let mut text = String::new();
    if !tenants_of(&snapshot).contains(tenant) {
        let _ = writeln!(text, "the store has nothing of the tenant `{tenant}` yet");
    }
    let said = said(&catalog, &snapshot, settings, &asked).await?;
    Ok(text + &said)
}

async fn said(
    catalog: &Catalog,
    snapshot: &Snapshot,
    settings: &Resolved,
    asked: &OfTenant,
) -> Result<String, StartError> {
    let usual = settings.retention.as_ref();
    let now = Rules::of(catalog, snapshot, &asked.tenant, usual).await;
    let (number, reapplied) = match (&now, asked.dry_run) {
        (Ok(now), _) => now.as_ref().map_or((0, 0), |now| (now.number, now.reapplied)),
        // Rules that nobody can read are replaced by others.
        (Err(_), true) if asked.what != What::Show => (0, 0),
        (Err(error), _) => return Err(failed(error)),
    };
    let reapplied = if asked.reapply { u64::MAX } else { reapplied };
    let rules = match (&asked.what, asked.dry_run) {
        (What::Set(retention), true) => Some(Rules { retention: retention.clone(), number, reapplied }),
        (What::Clear, true) => usual.map(|usual| Rules { retention: usual.clone(), number, reapplied }),
        _ => now.ok().flatten(),
    };
    let Some(rules) = rules else {
        return Ok("no rules: all traces are kept for ever\n".to_owned());
    };
    let depth = match asked.dry_run {
        true => Depth::Rows { memory_bytes: settings.compact.memory_bytes },
        false => Depth::Decided,
    };
    let mut text = rules_said(&rules, asked);
    let retention = rules.retention.clone();
    let found = outlook(catalog, snapshot, &asked.tenant, rules, depth).await.map_err(failed)?;
    let now = catalog.time_of_store().await.map_err(failed)?;
    add_outlook(&mut text, &found, &retention, u32::try_from(now.0 / 3_600_000).unwrap_or(0));
    let Share { traces, spans, bytes } = in_no_day(catalog, snapshot, &asked.tenant).await.map_err(failed)?;
    if spans > 0 {
        let _ = writeln!(text, "in no day\tnot merged yet\t{traces}\t{spans}\t{bytes}");
    }
    if asked.dry_run {
        text.push_str("Nothing was changed.\n");
    }
    Ok(text)
}

fn rules_said(rules: &Rules, asked: &OfTenant) -> String {
    let mut text = format!("rules\t{}\n", rules.retention);
    if !(asked.dry_run && asked.what != What::Show) {
        match rules.number {
            0 => text.push_str("of\tthe settings\n"),
            number => text.push_str(&format!("of\tthe tenant, set last as number {number}\n")),
        }
    }
    text
}

/// A line for each day and class.
fn add_outlook(text: &mut String, outlook: &Outlook, rules: &Retention, hour: u32) {
    text.push_str("day\twhat\ttraces\tspans\tbytes\n");
    for ((day, fate), share) in outlook {
        let what = match fate {
            Fate::Undecided => "not decided yet".to_owned(),
            Fate::IsKept(until) => format!("decided: {}", kept_until(*until, hour)),
            Fate::WouldBeKept(until, hours) => {
                format!("{}: {}", keeping(rules, *hours), kept_until(*until, hour))
            }
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{day}\t{what}\t{}\t{}\t{}", share.traces, share.spans, share.bytes);
    }
}

/// The rules that keep something so long: one, unless several say the same.
fn keeping(rules: &Retention, hours: Hours) -> String {
    let these = rules.rules().iter().filter(|rule| Hours::of(rule.keep) == hours);
    let these: Vec<String> = these.map(ToString::to_string).collect();
    // Archived traces of which no rule speaks.
    if these.is_empty() { format!("keep {hours}, archived") } else { these.join("; ") }
}

fn kept_until(until: Until, hour: u32) -> String {
    match until {
        Until::Never => "stays for ever".to_owned(),
        _ if until.has_passed(hour) => "goes now".to_owned(),
        Until::Hour(hour) => format!("goes at {}T{:02}:00Z", Day(hour / 24), hour % 24),
    }
}
