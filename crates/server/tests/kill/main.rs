//! The real process, killed at random moments under load: what it acknowledged is found, once.
//!
//! `SILTSTONE_KILL_ROUNDS` and `SILTSTONE_KILL_SEED` decide how often and when; `tools/kill-test` sets them.

#[expect(clippy::unwrap_used, reason = "a part of tests")]
mod load;
mod losses;
#[expect(clippy::unwrap_used, clippy::panic, reason = "a part of tests")]
mod process;
#[expect(clippy::unwrap_used, reason = "a part of tests")]
mod reader;

use std::path::Path;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siltstone_traffic::{Traffic, TrafficConfig};

use load::Ledger;
use process::Process;
use reader::{read, read_bucket};

/// Most that is sent in a round: so that none is without, and the last ones are as good as the first.
const ROUND_REQUESTS: usize = 150;
/// After each round everything is read that was ever acknowledged in a folder. After so many rounds there is a new
/// one, or many rounds would take for ever.
const FOLDER_ROUNDS: usize = 50;

#[expect(clippy::unwrap_used, reason = "a part of tests")]
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn ledger(requests: usize, request_spans: usize, seed: u64) -> Ledger {
    let spans = requests * request_spans;
    let config = TrafficConfig { seed, spans, request_spans, ..TrafficConfig::default() };
    Ledger::new(Traffic::new(config).map(|batch| batch.request))
}

/// Makes the store fail: where blocks go is a file.
#[expect(clippy::unwrap_used, reason = "a part of tests")]
fn break_store(folder: &Path, broken: bool) {
    let blocks = folder.join("siltstone-data/objects/blk");
    let away = folder.join("siltstone-data/objects/blk-away");
    if broken && !blocks.is_file() {
        if blocks.exists() {
            std::fs::rename(&blocks, &away).unwrap();
        }
        std::fs::write(&blocks, b"no folder").unwrap();
    }
    if !broken && blocks.is_file() {
        std::fs::remove_file(&blocks).unwrap();
        if away.exists() {
            std::fs::rename(&away, &blocks).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_have_everything_that_it_acknowledged_after_any_kill() {
    let rounds = number("SILTSTONE_KILL_ROUNDS", 30);
    let seed = number("SILTSTONE_KILL_SEED", 1);
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let (mut acknowledged, mut spans) = (0, 0);
    for begin in (0..rounds).step_by(FOLDER_ROUNDS) {
        let of_folder = FOLDER_ROUNDS.min((rounds - begin) as usize);
        let of_folder = kill_in_a_folder(of_folder, &mut dice).await;
        acknowledged += of_folder.0;
        spans += of_folder.1;
    }
    println!("seed {seed}: {rounds} rounds, {acknowledged} requests acknowledged, {spans} spans");
}

/// Kills and looks, so many times. Gives how many requests were acknowledged, and spans found at the end.
#[expect(clippy::unwrap_used, reason = "a part of tests")]
async fn kill_in_a_folder(rounds: usize, dice: &mut ChaCha8Rng) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(rounds * ROUND_REQUESTS, 10, dice.random());
    for round in 0..rounds {
        // Small memory and short ages: flushes are under way whenever it is killed.
        let arguments = ["--ingest-memory", "176MiB", "--ingest-small-tenant-age", "100ms"];
        let process = Process::start(folder.path(), &arguments);
        if round > 0 {
            ledger.check(&read(folder.path(), &process).await.unwrap()).unwrap();
        }
        let is_broken = dice.random_bool(0.2);
        break_store(folder.path(), is_broken);
        let after = Duration::from_millis(dice.random_range(1..250));
        ledger.send_and_kill(process, ROUND_REQUESTS, after);
        break_store(folder.path(), false);
    }
    let process = Process::start(folder.path(), &[]);
    let found = read(folder.path(), &process).await.unwrap();
    ledger.check(&found).unwrap();
    let acknowledged = ledger.acknowledged();
    assert!(acknowledged > rounds, "hardly anything was acknowledged: the test tests nothing");
    (acknowledged, found.len())
}

/// No file may grow beyond 300 KiB: the log meets an error that it must survive, say and get over.
#[expect(clippy::disallowed_methods, reason = "a sender waits as long as it is told to")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_refuse_clearly_when_the_log_cannot_be_written_and_recover_without_hands() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with_small_files(folder.path(), 300, &[]);
    let ledger = ledger(80, 50, 3);
    let mut attempts = 0;
    while !ledger.is_done() {
        ledger.send_by_http(&process.http);
        attempts += 1;
        assert!(attempts < 100, "it does not recover: {:?}", ledger.refusals().last());
        // As it says: try again in a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let refusals = ledger.refusals();
    assert!(!refusals.is_empty(), "nothing was refused: the test tests nothing");
    let clear = refusals.iter().all(|refusal| refusal.contains("the log cannot"));
    assert!(clear, "{refusals:?}");
    ledger.check(&read(folder.path(), &process).await.unwrap()).unwrap();
    assert!(process.metric("siltstone_ingest_flushed_spans_total") > 0);
    process.kill();
    let process = Process::start(folder.path(), &[]);
    ledger.check(&read(folder.path(), &process).await.unwrap()).unwrap();
}

/// Machines are lost with their disks, one after the other: what they acknowledged is in the store, and found
/// there before anybody has taken it over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_what_lost_machines_acknowledged_by_the_log_in_the_store() {
    let objects = tempfile::tempdir().unwrap();
    let store = format!("file:{}", objects.path().display());
    let ledger = ledger(800, 50, 5);
    let rounds = 4;
    for round in 0..rounds {
        let machine = tempfile::tempdir().unwrap();
        let arguments = ["--ingest-durability", "object", "--store", &store];
        let process = Process::start(machine.path(), &arguments);
        ledger.send_and_kill(process, usize::MAX, Duration::from_millis(700 + 100 * round));
        assert!(!machine.path().join("siltstone-data").exists(), "something was kept on the machine");
        drop(machine);
        ledger.check(&read_bucket(objects.path()).await.unwrap()).unwrap();
    }
    let acknowledged = ledger.acknowledged();
    println!("{acknowledged} requests acknowledged");
    assert!(acknowledged as u64 > rounds, "hardly anything was acknowledged: the test tests nothing");
}
