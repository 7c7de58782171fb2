//! Merging through the program: as a service beside the others, and once.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::export;
use crate::process::Process;

/// What a command of the program prints.
fn command(arguments: &[&str], data: &Path, store: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
    command.args(arguments).arg("--data").arg(data).arg("--store").arg(format!("file:{}", store.display()));
    let output = command.env_clear().output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {out}\n{err}");
    out
}

fn counted(process: &Process) -> Value {
    process.sql("SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces FROM spans")["rows"].clone()
}

fn status(process: &Process) -> Value {
    let (head, body) = process.ask("admin", "GET /status", "");
    assert!(head.contains(" 200"), "{head}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn small_blocks_become_one_that_every_process_finds_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("one"), folder.path().join("store"));
    let quick = ["--ingest-large-tenant-age", "20ms", "--ingest-small-tenant-age", "20ms"];
    let ingest = Process::start_with("ingest", &data, &store, &quick);
    let reader = Process::start("query", &folder.path().join("two"), &store);
    // Each is flushed alone: the next one is sent when the last one has left the memory.
    for _ in 0..3 {
        let (head, body) = ingest.ask("otlp_http", "POST /v1/traces", &export(100));
        assert!(head.contains(" 200"), "{head}\n{body}");
        while status(&ingest)["ingest"]["live_segments"] != json!([]) {
            std::thread::yield_now();
        }
    }
    let before = counted(&reader);
    assert_eq!(before, json!([{"spans": 300, "traces": 50}]));

    let work = folder.path().join("three");
    let would = command(&["sweep", "--dry-run"], &work, &store);
    assert!(would.ends_with("0 objects would be deleted\n"), "{would}");
    let did = command(&["compact", "--once"], &work, &store);
    assert!(did.starts_with("1 merges: 3 blocks with 300 spans"), "{did}");
    assert!(did.contains("became 1 blocks with 300 spans"), "{did}");
    let again = command(&["compact", "--once"], &work, &store);
    assert!(again.starts_with("0 merges"), "{again}");
    assert_eq!(counted(&reader), before);
    assert_eq!(counted(&Process::start("query", &folder.path().join("four"), &store)), before);

    let compactor = Process::start("compact", &folder.path().join("five"), &store);
    assert!(compactor.listen["query"].is_null() && compactor.listen["otlp_http"].is_null());
    let merging = &status(&compactor)["compact"];
    assert_eq!(merging["unreadable_blocks"], json!([]), "{merging}");
    let (_, metrics) = compactor.ask("admin", "GET /metrics", "");
    assert!(metrics.contains("siltstone_compact_jobs_total{outcome=\"done\"} 0"), "{metrics}");
    compactor.end();
    ingest.end();
}
