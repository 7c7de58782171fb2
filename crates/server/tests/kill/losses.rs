//! The other tests would fail if something were lost.

use std::path::Path;

use crate::ledger;
use crate::load::Ledger;
use crate::process::Process;
use crate::reader::read;

/// A server that has taken everything.
fn taken(folder: &Path, flush_after: &str) -> (Ledger, Process) {
    let ledger = ledger(40, 50, 7);
    let process = Process::start(folder, &["--ingest-small-tenant-age", flush_after]);
    ledger.send_by_http(&process.http);
    assert!(ledger.is_done());
    (ledger, process)
}

#[tokio::test]
async fn should_notice_one_span_too_few_and_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, process) = taken(folder.path(), "100ms");
    let mut found = read(folder.path(), &process).await.unwrap();
    ledger.check(&found).unwrap();
    let lost = found.pop_last().unwrap();
    let missing = ledger.check(&found).unwrap_err();
    assert_eq!(missing, format!("1 of {} acknowledged spans are missing", found.len() + 1));
    found.extend([lost, b"nobody's".to_vec()]);
    let unknown = ledger.check(&found).unwrap_err();
    assert_eq!(unknown, format!("1 of {} spans are there that nobody sent", found.len()));
}

#[tokio::test]
async fn should_notice_that_the_log_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, process) = taken(folder.path(), "1h");
    let spans = read(folder.path(), &process).await.unwrap().len();
    process.kill();
    std::fs::remove_dir_all(folder.path().join("siltstone-data/wal")).unwrap();
    let process = Process::start(folder.path(), &[]);
    let missing = ledger.check(&read(folder.path(), &process).await.unwrap()).unwrap_err();
    assert_eq!(missing, format!("{spans} of {spans} acknowledged spans are missing"));
}

#[tokio::test]
async fn should_notice_that_a_block_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (_, process) = taken(folder.path(), "100ms");
    while process.metric("siltstone_ingest_flushed_spans_total") == 0 {}
    let blocks = std::fs::read_dir(folder.path().join("siltstone-data/objects/blk")).unwrap();
    let block = blocks.map(|block| block.unwrap().path()).next().unwrap();
    std::fs::remove_dir_all(block).unwrap();
    let error = read(folder.path(), &process).await.unwrap_err().to_string();
    assert!(error.ends_with("is not there"), "{error}");
}
