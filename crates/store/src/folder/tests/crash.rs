//! Whatever happens and whenever: two processes work on one folder, one of them is killed at any call, syncs
//! fail now and then, and in the end the machine crashes. What was acknowledged is there whole, what was not
//! is there whole or not at all. And each sync is needed: without it, this finds out.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::machine::{Change, Machine, Planted, Process};
use super::*;

const KEYS: [&str; 7] = ["a", "b/x", "b/y", "c/d/x", "c/d-e/x", "c/x", "d/e/f/x"];
/// Few of them leave more undone: the next one often syncs what the one before it should have.
const MOST_OPERATIONS: usize = 16;
/// About how many calls one process makes.
const CALLS: u64 = 100;

/// What may be found under a key.
type Allowed = Vec<Option<String>>;

struct Run {
    machine: Machine,
    generator: ChaCha8Rng,
    allowed: BTreeMap<&'static str, Allowed>,
    values: u32,
    seed: u64,
}

/// A promise that was broken, in words.
type Broken = String;

/// The number of calls that the first process made, if no promise was broken.
fn run(seed: u64, kill_after: Option<u64>, planted: Option<Planted>) -> Result<u64, Broken> {
    let mut run = Run {
        machine: Machine::planted(planted),
        generator: ChaCha8Rng::seed_from_u64(seed),
        allowed: KEYS.iter().map(|key| (*key, vec![None])).collect(),
        values: 0,
        seed,
    };
    let first = match kill_after {
        Some(calls) => run.machine.process_killed_after(calls),
        None => run.machine.process(),
    };
    run.work(&first)?;
    let calls = run.machine.calls();
    run.crash_and_look()?;
    // What the crash left behind must not get in the way of what comes after it.
    let next = run.machine.process();
    run.work(&next)?;
    run.crash_and_look()?;
    Ok(calls)
}

impl Run {
    /// Two processes take turns. The first may be killed, or not even get as far as opening.
    fn work(&mut self, first: &Process) -> Result<(), Broken> {
        let mortal = first.open().ok();
        let survivor = self.machine.process().open().map_err(|error| error.to_string())?;
        for _ in 0..self.generator.random_range(1..=MOST_OPERATIONS) {
            let alive = mortal.as_ref().filter(|_| !first.is_killed() && self.generator.random());
            let store = alive.unwrap_or(&survivor);
            if self.generator.random_ratio(1, 8) {
                self.machine.disk.fail_syncs(self.generator.random_range(1..=2));
            }
            self.operate(store).map_err(|broken| format!("seed {}: {broken}", self.seed))?;
            self.machine.disk.fail_syncs(0);
        }
        Ok(())
    }

    fn operate(&mut self, store: &FolderStore) -> Result<(), Broken> {
        let name = KEYS[self.generator.random_range(0..KEYS.len())];
        let value = self.new_value();
        match self.generator.random_range(0..9) {
            0 | 1 => self.wrote(name, value.clone(), put(store, name, &value).map(drop)),
            2..=4 => return self.create(store, name, value),
            5 => self.deleted(name, block_on(store.delete(&key(name)))),
            6 => {
                let uploaded = block_on(upload(store, name, &value));
                self.wrote(name, value, uploaded);
            }
            _ => {
                let to = KEYS[self.generator.random_range(0..KEYS.len())];
                let renames = self.generator.random();
                return self.copy_or_rename(store, name, to, renames);
            }
        }
        Ok(())
    }

    fn create(&mut self, store: &FolderStore, name: &'static str, value: String) -> Result<(), Broken> {
        match create(store, name, &value) {
            Ok(_) if !self.allowed[name].contains(&None) => Err(format!("{name} was created a second time")),
            Err(object_store::Error::AlreadyExists { .. }) => {
                // Whoever is told so may rely on it from now on.
                let found = self.see(name)?;
                self.allowed.insert(name, vec![found]);
                Ok(())
            }
            created => {
                self.wrote(name, value, created.map(drop));
                Ok(())
            }
        }
    }

    fn copy_or_rename(
        &mut self,
        store: &FolderStore,
        from: &'static str,
        to: &'static str,
        renames: bool,
    ) -> Result<(), Broken> {
        let Some(value) = self.see(from)? else { return Ok(()) };
        let (source, target) = (key(from), key(to));
        let done = block_on(async {
            if renames { store.rename(&source, &target).await } else { store.copy(&source, &target).await }
        });
        let succeeded = done.is_ok();
        self.wrote(to, value, done);
        if renames && from != to {
            self.allowed.get_mut(from).unwrap().push(None);
            if succeeded && self.see(from)?.is_some() {
                return Err(format!("{from} is still there after it was renamed"));
            }
        }
        Ok(())
    }

    fn wrote(&mut self, name: &'static str, value: String, done: Result<()>) {
        match done {
            Ok(()) => self.allowed.insert(name, vec![Some(value)]).map(drop),
            Err(_) => self.allowed.get_mut(name).map(|allowed| allowed.push(Some(value))),
        };
    }

    /// A crash may bring back what was deleted, and so it remains allowed.
    fn deleted(&mut self, name: &'static str, done: Result<()>) {
        if !is_not_found(&done) {
            self.allowed.get_mut(name).unwrap().push(None);
        }
    }

    /// What is under a key, as somebody sees it who is not killed and has the folder open.
    fn see(&self, name: &str) -> Result<Option<String>, Broken> {
        let path = format!("data/store/{name}");
        let found = self.machine.disk.read(&path).ok();
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn crash_and_look(&mut self) -> Result<(), Broken> {
        match self.generator.random_range(0..3) {
            0 => self.machine.disk.crash(),
            _ => self.machine.disk.crash_keeping_some(self.generator.random()),
        }
        let store = self.machine.process().open().map_err(|error| error.to_string())?;
        let mut there = Vec::new();
        for name in KEYS {
            let found = match get(&store, name) {
                Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => return Err(format!("seed {}: {name}: {error}", self.seed)),
            };
            let allowed = &self.allowed[name];
            if !allowed.contains(&found) {
                return Err(format!("seed {}: {name} is {found:?}, not one of {allowed:?}", self.seed));
            }
            there.extend(found.is_some().then_some(name));
            self.allowed.insert(name, vec![found]);
        }
        there.sort_unstable();
        let listed = listed(&store, "");
        if listed != there {
            return Err(format!("seed {}: listed {listed:?}, there are {there:?}", self.seed));
        }
        let staged = self.machine.staged();
        if staged.is_empty() { Ok(()) } else { Err(format!("seed {}: not swept: {staged:?}", self.seed)) }
    }

    fn new_value(&mut self) -> String {
        self.values += 1;
        format!("{}-{} ", self.seed, self.values).repeat(self.generator.random_range(0..20))
    }
}

async fn upload(store: &FolderStore, name: &str, value: &str) -> Result<()> {
    let mut upload = store.put_multipart(&key(name)).await?;
    let (one, two) = value.split_at(value.len() / 2);
    let first = upload.put_part(one.to_owned().into());
    upload.put_part(two.to_owned().into()).await?;
    first.await?;
    upload.complete().await.map(drop)
}

#[test]
fn should_keep_its_promises_wherever_a_process_is_killed() {
    let mut total = 0;
    for seed in 0..24 {
        let calls = run(seed, None, None).unwrap();
        total += calls;
        for kill_after in 0..calls {
            run(seed, Some(kill_after), None)
                .unwrap_or_else(|broken| panic!("after {kill_after} calls: {broken}"));
        }
    }
    assert!(total > 24 * 50, "only {total} calls");
}

#[test]
fn should_keep_its_promises_whatever_is_lost_in_the_crash() {
    for seed in 1_000..3_000 {
        let kill_after = ChaCha8Rng::seed_from_u64(seed).random_range(0..CALLS);
        run(seed, Some(kill_after), None)
            .unwrap_or_else(|broken| panic!("after {kill_after} calls: {broken}"));
    }
}

/// Every sync, forgotten one at a time.
#[test]
fn should_need_each_of_its_syncs() {
    let syncs = [
        Planted::NoFileSync,
        Planted::NoDirSyncAfter(Change::Linked),
        Planted::NoDirSyncAfter(Change::Renamed),
        Planted::NoDirSyncAfter(Change::NameWasTaken),
        Planted::NoDirSyncAfter(Change::MadeDir),
        Planted::NoDirSyncAfter(Change::DirWasThere),
        Planted::NoDirSyncAfter(Change::LookedAboveRoot),
    ];
    for planted in syncs {
        let broken = (0..3_000).find_map(|seed| {
            let kill_after = ChaCha8Rng::seed_from_u64(seed).random_range(0..CALLS);
            run(seed, Some(kill_after), Some(planted)).err().map(|broken| (seed, broken))
        });
        let (seed, broken) = broken.unwrap_or_else(|| panic!("nobody missed {planted:?}"));
        println!("{planted:?}: found at seed {seed}: {broken}");
    }
}
