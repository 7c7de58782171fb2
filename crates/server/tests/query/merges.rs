//! Merging through the program: as a service beside the others, and once.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::Process;
use crate::{export, now_nanos};

/// What a command of the program prints.
pub(crate) fn command(arguments: &[&str], data: &Path, store: &Path) -> String {
    let (is_done, out, err) = told(arguments, data, store);
    assert!(is_done, "{arguments:?}: {out}\n{err}");
    out
}

/// Whether a command is done, and what it says to whoever asked and to the log.
fn told(arguments: &[&str], data: &Path, store: &Path) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siltstone"));
    command.args(arguments).arg("--data").arg(data).arg("--store").arg(format!("file:{}", store.display()));
    let output = command.env_clear().output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    (output.status.success(), out, err)
}

fn counted(process: &Process) -> Value {
    process.sql("SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces FROM spans")["rows"].clone()
}

fn status(process: &Process) -> Value {
    let (head, body) = process.ask("admin", "GET /status", "");
    assert!(head.contains(" 200"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// Three blocks of a hundred spans, each flushed alone: the next one is sent when the last one has left the memory.
pub(crate) fn flush_three(ingest: &Process) {
    for _ in 0..3 {
        let (head, body) = ingest.ask("otlp_http", "POST /v1/traces", &export(100));
        assert!(head.contains(" 200"), "{head}\n{body}");
        while status(ingest)["ingest"]["live_segments"] != json!([]) {
            std::thread::yield_now();
        }
    }
}

pub(crate) const QUICK: [&str; 4] =
    ["--ingest-large-tenant-age", "20ms", "--ingest-small-tenant-age", "20ms"];

#[test]
fn small_blocks_become_one_that_every_process_finds_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("one"), folder.path().join("store"));
    let ingest = Process::start_with("ingest", &data, &store, &QUICK);
    let reader = Process::start("query", &folder.path().join("two"), &store);
    flush_three(&ingest);
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

#[test]
fn a_deleted_trace_is_shown_by_nobody_and_leaves_the_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("one"), folder.path().join("store"));
    let ingest = Process::start_with("ingest", &data, &store, &QUICK);
    let reader = Process::start("query", &folder.path().join("two"), &store);
    flush_three(&ingest);
    let work = folder.path().join("three");
    // It stands in a block that no merge would touch again.
    command(&["compact", "--once"], &work, &store);
    let counts =
        reader.sql("SELECT trace_id, count(*) AS n FROM spans GROUP BY trace_id ORDER BY trace_id LIMIT 1");
    let (trace, spans) = (&counts["rows"][0]["trace_id"], &counts["rows"][0]["n"]);
    let (trace, left) = (trace.as_str().unwrap(), 300 - spans.as_u64().unwrap());

    let would = command(&["delete", trace], &work, &store);
    assert!(would.contains("would be deleted\t1 blocks") && would.contains("Nothing was deleted"), "{would}");
    assert_eq!(counted(&reader), json!([{"spans": 300, "traces": 50}]));
    let (is_done, _, said) = told(&["delete", trace, "--yes", "--tenant", "nobody"], &work, &store);
    assert!(!is_done && said.contains("nothing of the tenant `nobody`"), "{said}");
    let did = command(&["delete", trace, "--yes"], &work, &store);
    assert!(did.starts_with(&format!("{trace}\tdeleted\t1 blocks")), "{did}");
    let id = did.split("`siltstone deletion ").nth(1).unwrap().split('`').next().unwrap();
    let receipt = command(&["deletion", id], &work, &store);
    assert!(
        receipt.contains("hidden\tyes, as number 1") && receipt.contains("blocks\t1 still have"),
        "{receipt}"
    );
    assert!(receipt.contains("gone\tnot yet") && receipt.contains("backups"), "{receipt}");
    assert_eq!(command(&["deletion"], &work, &store), format!("{id}\n"));
    let rest = json!([{"spans": left, "traces": 49}]);
    // A reader looks again after two seconds.
    while counted(&reader) != rest {
        std::thread::yield_now();
    }
    let merged = command(&["compact", "--once"], &work, &store);
    assert!(merged.starts_with("1 merges: 1 blocks with 300 spans"), "{merged}");
    assert!(merged.contains(&format!("became 1 blocks with {left} spans")), "{merged}");
    assert_eq!(counted(&Process::start("query", &folder.path().join("four"), &store)), rest);
    let receipt = command(&["deletion", id], &work, &store);
    assert!(
        receipt.contains("blocks\tgone from all") && receipt.contains("logs in the bucket\tgone"),
        "{receipt}"
    );
    // The block that was replaced stays for an hour.
    assert!(receipt.contains("not swept yet") && receipt.contains("gone\tnot yet"), "{receipt}");
    assert!(receipt.contains("4 blocks, of all tenants"), "{receipt}");
    let again = command(&["compact", "--once"], &work, &store);
    assert!(again.starts_with("0 merges"), "{again}");
    ingest.end();
}

#[test]
fn a_trace_is_deleted_that_is_in_no_block_yet() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("one"), folder.path().join("store"));
    let process = Process::start("all", &data, &store);
    let (head, body) = process.ask("otlp_http", "POST /v1/traces", &export(10));
    assert!(head.contains(" 200"), "{head}\n{body}");
    assert_eq!(counted(&process), json!([{"spans": 10, "traces": 5}]));
    let trace = format!("{:032x}", 1);
    let did = command(&["delete", &trace, "--yes"], &folder.path().join("two"), &store);
    assert!(did.starts_with(&format!("{trace}\tdeleted\t0 blocks")), "{did}");
    while counted(&process) != json!([{"spans": 8, "traces": 4}]) {
        std::thread::yield_now();
    }
    // Its log has them, until it is flushed.
    let id = did.split("`siltstone deletion ").nth(1).unwrap().split('`').next().unwrap();
    let receipt = || command(&["deletion", id], &folder.path().join("two"), &store);
    let before = receipt();
    assert!(
        before.contains("blocks\tgone") && before.contains("ingesters and their logs\t2 spans"),
        "{before}"
    );
    process.end();
    let after = receipt();
    assert!(
        after.contains("blocks\t1 still") && after.contains("ingesters and their logs\tgone from all"),
        "{after}"
    );
    assert!(after.contains("set aside on this machine\tnothing"), "{after}");
    let damaged = folder.path().join("two/wal/damaged");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join("1"), b"bytes").unwrap();
    assert!(receipt().contains("1 files with 5 bytes that nobody can read"), "{}", receipt());
}

#[test]
fn who_asks_about_a_store_that_is_none_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let id = format!("{:032x}", 1);
    let asks: [&[&str]; 5] = [&["usage"], &["retention"], &["delete", &id], &["deletion"], &["archive", &id]];
    for asked in asks {
        let (is_done, _, said) = told(asked, folder.path(), &store);
        assert!(!is_done, "{asked:?}: {said}");
        assert!(said.contains("nothing was ever stored in file:") && said.contains("--store"), "{said}");
    }
}

#[test]
fn each_deletion_leaves_a_line_for_auditors() {
    let folder = tempfile::tempdir().unwrap();
    let (work, store) = (folder.path().join("two"), folder.path().join("store"));
    let ingest = Process::start_with("ingest", &folder.path().join("one"), &store, &QUICK);
    flush_three(&ingest);
    let audited = |arguments: &[&str]| {
        let (is_done, out, log) = told(arguments, &work, &store);
        assert!(is_done, "{out}\n{log}");
        let lines: Vec<String> =
            log.lines().filter(|line| line.contains("siltstone::audit")).map(str::to_owned).collect();
        (out, lines)
    };
    let trace = format!("{:032x}", 1);
    let one = |lines: &[String], says: &[&str]| {
        assert!(lines.len() == 1 && says.iter().all(|part| lines[0].contains(part)), "{lines:?}");
    };
    let (_, lines) = audited(&["delete", &trace]);
    one(&lines, &["it was asked what a deletion would be about", "tenant=default", "traces=1"]);
    let (did, lines) = audited(&["delete", &trace, "--yes"]);
    let id = did.split("`siltstone deletion ").nth(1).unwrap().split('`').next().unwrap();
    one(&lines, &["traces were deleted", id, "number=1"]);
    let (_, lines) = audited(&["deletion", id]);
    one(&lines, &["a receipt was asked for", id]);
    let kept = format!("{:032x}", 2);
    let (_, lines) = audited(&["archive", &kept]);
    one(&lines, &["a trace was archived", "tenant=default", &kept]);
    ingest.end();
}

#[test]
fn a_filter_deletes_over_http_for_who_has_the_token() {
    const PATH: &str = "/api/siltstone/deletions";
    let folder = tempfile::tempdir().unwrap();
    let (data, store, file) =
        (folder.path().join("one"), folder.path().join("store"), folder.path().join("s.toml"));
    std::fs::write(&file, "[admin]\ntoken = \"0123456789abcdef\"\n").unwrap();
    let more: Vec<&str> = QUICK.into_iter().chain(["--config", file.to_str().unwrap()]).collect();
    let process = Process::start_with("all", &data, &store, &more);
    flush_three(&process);
    let all = json!([{"spans": 300, "traces": 50}]);
    assert_eq!(counted(&process), all);
    let counts =
        process.sql("SELECT trace_id, count(*) AS n FROM spans GROUP BY trace_id ORDER BY trace_id LIMIT 1");
    let (trace, spans) = (&counts["rows"][0]["trace_id"], &counts["rows"][0]["n"]);
    let (trace, left) = (trace.as_str().unwrap(), 300 - spans.as_u64().unwrap());
    let asked =
        |confirm: bool| json!({"filter": format!("trace_id = \"{trace}\""), "confirm": confirm}).to_string();

    let closed = Process::start("query", &folder.path().join("two"), &store);
    let (head, body) = closed.ask("admin", &format!("POST {PATH}"), &asked(true));
    assert!(head.contains(" 403") && body.contains("admin.token"), "{head}\n{body}");
    let ask = |token: &str, request: &str, body: &str| {
        let headers = format!("application/json\r\nauthorization: Bearer {token}");
        process.ask_as(&headers, "admin", request, body)
    };
    let (head, _) = process.ask("admin", &format!("POST {PATH}"), &asked(true));
    assert!(head.contains(" 401"), "{head}");
    let (head, _) = ask("0123456789abcdeF", &format!("POST {PATH}"), &asked(true));
    assert!(head.contains(" 401"), "{head}");
    let right = "0123456789abcdef";
    let (head, body) = ask(right, &format!("POST {PATH}"), "{\"filter\": \"sevice_name = 1\"}");
    assert!(head.contains(" 400") && body.contains("did you mean `service_name`"), "{head}\n{body}");

    let read = |(head, body): (String, String)| {
        assert!(head.contains(" 200"), "{head}\n{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let would = read(ask(right, &format!("POST {PATH}"), &asked(false)));
    assert!(would["deleted"] == json!(false) && would["traces"] == json!(1), "{would}");
    assert_eq!(counted(&process), all);
    let did = read(ask(right, &format!("POST {PATH}"), &asked(true)));
    assert!(did["deleted"] == json!(true) && did["number"] == json!(1), "{did}");
    while counted(&process) != json!([{"spans": left, "traces": 49}]) {
        std::thread::yield_now();
    }
    let receipt = read(ask(right, &format!("GET {PATH}/{}", did["id"].as_str().unwrap()), ""));
    assert!(receipt["hidden"] == json!(true) && receipt["matching"]["filter"].is_string(), "{receipt}");
    // A process that answers no questions looks as far, and takes filters.
    let compactor = ["--config", file.to_str().unwrap()];
    let compactor = Process::start_with("compact", &folder.path().join("three"), &store, &compactor);
    let headers = format!("application/json\r\nauthorization: Bearer {right}");
    let id = did["id"].as_str().unwrap();
    let receipt = read(compactor.ask_as(&headers, "admin", &format!("GET {PATH}/{id}"), ""));
    assert!(
        receipt["unflushed_spans_left"] == json!(0) && receipt["unflushed_unread"].is_null(),
        "{receipt}"
    );
    let would = read(compactor.ask_as(&headers, "admin", &format!("POST {PATH}"), &asked(false)));
    assert!(would["deleted"] == json!(false) && would["traces"] == json!(0), "{would}");
    compactor.end();
    // Spans that come under its id are refused, alone, and the sender is told.
    let mut again = 0;
    let refused = loop {
        let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": trace, "spanId": format!("{:016x}", 77 + again), "name": "late",
            "startTimeUnixNano": now_nanos().to_string(), "endTimeUnixNano": now_nanos().to_string(),
        }]}]}]});
        let (head, body) = process.ask("otlp_http", "POST /v1/traces", &request.to_string());
        assert!(head.contains(" 200"), "{head}\n{body}");
        // Until the ingester looks again.
        if body.contains("deleted") {
            break body;
        }
        again += 1;
    };
    assert!(refused.contains("\"rejectedSpans\":\"1\""), "{refused}");
    let (_, metrics) = process.ask("admin", "GET /metrics", "");
    assert!(metrics.contains("deleted"), "{metrics}");
    assert_eq!(counted(&process), json!([{"spans": left, "traces": 49}]));
    process.end();
}
