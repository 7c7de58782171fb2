//! A sweeper.

use super::schedule::Violation;
use super::world::Site;
use crate::sweep::SweepMode;

pub(super) async fn run(site: Site, rounds: u64) -> Result<(), Violation> {
    for _ in 0..rounds {
        site.rest(4_000).await;
        if let Ok(swept) = site.catalog.sweep(SweepMode::Delete).await {
            site.tell(|| format!("swept {swept:?}"));
            let mut world = site.world.borrow_mut();
            world.counts.sweeps += 1;
            world.counts.orphans += swept.orphans.len() as u64;
            world.counts.swept += (swept.retired.len() + swept.log_entries.len() + swept.roots.len()) as u64;
        }
    }
    Ok(())
}
