//! Rules of retention through the program: said, tried, set, applied.

use serde_json::{Value, json};

use crate::merges::{QUICK, command};
use crate::process::Process;
use crate::{export_from, now_nanos};

const RULES: &str = "keep 7d; keep 300d where span[\"http.response.status_code\"] >= 500";
const DAY_NANOS: u128 = 86_400_000_000_000;

fn counted(process: &Process) -> Value {
    process.sql("SELECT count(*) AS spans, count(DISTINCT trace_id) AS traces FROM spans")["rows"].clone()
}

#[test]
fn what_is_old_goes_and_what_rules_name_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store, work) =
        (folder.path().join("one"), folder.path().join("store"), folder.path().join("three"));
    let ingest = Process::start_with("ingest", &data, &store, &QUICK);
    for (age_days, ids) in [(10, "00"), (1, "01")] {
        let old = export_from(100, now_nanos() - age_days * DAY_NANOS);
        // A trace that was sent on both days would be one of the first.
        let old = old.replace("\"traceId\":\"00", &format!("\"traceId\":\"{ids}"));
        let (head, body) = ingest.ask("otlp_http", "POST /v1/traces", &old);
        assert!(head.contains(" 200"), "{head}\n{body}");
    }
    // An orderly end flushes what it has.
    ingest.end();
    let early = command(&["retention", "set", RULES, "--dry-run"], &work, &store);
    assert!(
        early.contains("in no day\tnot merged yet\t100\t200\t") && !early.contains("nothing of"),
        "{early}"
    );
    command(&["compact", "--once"], &work, &store);
    assert_eq!(command(&["retention"], &work, &store), "no rules: all traces are kept for ever\n");

    let would = command(&["retention", "set", RULES, "--dry-run"], &work, &store);
    assert!(
        would.contains("\tkeep 7d: goes now\t25\t50\t") && would.ends_with("Nothing was changed.\n"),
        "{would}"
    );
    let of_errors = "\tkeep 300d where span[\"http.response.status_code\"] >= 500: goes at ";
    assert!(would.contains(of_errors), "{would}");
    assert_eq!(command(&["retention"], &work, &store), "no rules: all traces are kept for ever\n");
    let set = command(&["retention", "set", RULES], &work, &store);
    assert!(
        set.starts_with("rules\tkeep 7d; keep 300d") && set.contains("not decided yet\t50\t100\t"),
        "{set}"
    );

    // Of the traces that would go, one is archived.
    let archived = command(&["archive", &format!("{:032x}", 1)], &work, &store);
    assert_eq!(archived, format!("{:032x}\tarchived\n", 1));
    let did = command(&["compact", "--once"], &work, &store);
    assert!(did.contains("48 spans and 0 whole blocks were not kept any longer"), "{did}");
    let reader = Process::start("query", &folder.path().join("four"), &store);
    assert_eq!(counted(&reader), json!([{"spans": 152, "traces": 76}]));
    let shown = command(&["retention"], &work, &store);
    assert!(shown.contains("decided: goes at ") && shown.contains("\t25\t50\t"), "{shown}");
    let again = command(&["compact", "--once"], &work, &store);
    assert!(again.starts_with("0 merges"), "{again}");
    let cleared = command(&["retention", "clear"], &work, &store);
    assert_eq!(cleared, "no rules: all traces are kept for ever\n");
    let usual = command(&["retention", "--retention", "keep 9d"], &work, &store);
    assert!(usual.contains("keep 9d") && usual.contains("set last as number"), "{usual}");
}
