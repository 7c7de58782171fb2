//! What spans take, by the program and over HTTP.

use serde_json::{Value, json};

use crate::merges::{QUICK, command, flush_three};
use crate::process::Process;

#[test]
fn what_spans_take_is_said_in_tables_as_json_and_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("one"), folder.path().join("store"));
    let ingest = Process::start_with("ingest", &data, &store, &QUICK);
    flush_three(&ingest);
    let work = folder.path().join("two");
    let text = command(&["usage"], &work, &store);
    assert!(text.starts_with("tenant `default`: 300 spans in 3 blocks, "), "{text}");
    let line = |text: &str, start: &str| {
        let found =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
        found.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line(&text, "shop")[1], "300");
    assert_eq!(line(&text, "http.response.status_code")[1], "300");
    assert_eq!(line(&text, "not merged")[2..4], ["undecided", "300"]);
    assert!(text.contains("filters") && text.contains("left out"), "{text}");

    command(&["compact", "--once"], &work, &store);
    let json: Value = serde_json::from_str(&command(&["usage", "--json"], &work, &store)).unwrap();
    assert_eq!((&json["spans"], &json["blocks"], &json["partial"]), (&json!(300), &json!(1), &json!([])));
    assert_eq!(json["services"], json!([{"service": "shop", "spans": 300, "bytes": json["bytes"]}]));
    let day = json["classes"][0]["day"].as_str().unwrap();
    assert_eq!(json["classes"][0]["kept"], Value::Null);
    let sum = |list: &str| -> u64 {
        let list = json[list].as_array().unwrap();
        list.iter().map(|part| part["bytes"].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("attributes") + sum("other_parts"), json["bytes"].as_u64().unwrap());

    let reader = Process::start("query", &folder.path().join("three"), &store);
    let of = |request: &str| reader.ask("query", &format!("GET /api/siltstone/usage{request}"), "");
    let (head, body) = of(&format!("?from={day}&to={day}"));
    assert!(head.contains(" 200") && head.to_ascii_lowercase().contains("application/json"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json);
    let (head, body) = of("?to=2020-01-01");
    assert!(head.contains(" 200") && body.contains("\"spans\": 0"), "{head}\n{body}");
    let (head, body) = of("?from=yesterday");
    assert!(head.contains(" 400") && body.contains("is not a day"), "{head}\n{body}");

    let nobody = command(&["usage", "--tenant", "nobody"], &work, &store);
    assert!(nobody.contains("0 spans in 0 blocks") && nobody.contains("1 tenants: `default`"), "{nobody}");
    let before = command(&["usage", "--to", "2020-01-01"], &work, &store);
    assert!(before.contains("0 spans in 0 blocks"), "{before}");
    ingest.end();
}
