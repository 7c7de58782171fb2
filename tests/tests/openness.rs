//! Other programs read our blocks: three blocks that share origins, by DuckDB through
//! the view that docs/format.md gives, and by pyarrow. The oracle knows the answers.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value as Json, json};
use siltstone_format::path::ObjectKey;
use siltstone_testkit::oracle::filter::Level;
use siltstone_testkit::oracle::{CanonicalValue, Oracle};
use siltstone_testkit::server::program;
use siltstone_tests::blocks::{Block, columns_of, traffic};

/// A python that can import duckdb and pyarrow; `tools/test` sets it.
const PYTHON: &str = "SILTSTONE_OPENNESS_PYTHON";

fn write_blocks(store: &Path, requests: &[ExportTraceServiceRequest]) -> Result<(), Box<dyn Error>> {
    for writer in 0..3 {
        let columns = columns_of(requests.iter().skip(writer).step_by(3))?;
        let block = Block::encode(&columns, writer as u128 + 1)?;
        let id = block.summary.identity.block;
        for (key, bytes) in [(ObjectKey::Spans(id), &block.spans), (ObjectKey::Origins(id), &block.origins)] {
            let path = store.join(key.to_string());
            std::fs::create_dir_all(path.parent().ok_or("a key without a folder")?)?;
            std::fs::write(path, bytes)?;
        }
    }
    Ok(())
}

/// The view as the documentation has it, with the folder put in.
fn documented_view(store: &Path) -> Result<String, Box<dyn Error>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md"))?;
    let (_, from_view) = page.split_once("```sql\n").ok_or("docs/format.md has no view")?;
    let (view, _) = from_view.split_once("```").ok_or("the view has no end")?;
    let folder = store.to_str().ok_or("a folder that is not UTF-8")?;
    Ok(view.replace("siltstone-data", folder))
}

fn oracle_answers(requests: &[ExportTraceServiceRequest]) -> Json {
    let mut oracle = Oracle::default();
    requests.iter().for_each(|request| oracle.accept(request));
    let codes = oracle.spans_per_value(&[Level::Span], "http.response.status_code");
    let namespaces: BTreeMap<String, u64> = oracle
        .spans_per_value(&[Level::Resource], "k8s.namespace.name")
        .into_iter()
        .map(|(value, count)| match value {
            CanonicalValue::String(text) => (text, count),
            other => (format!("{other:?}"), count),
        })
        .collect();
    json!({
        "status_500": codes.get(&CanonicalValue::Int(500)),
        "per_namespace": namespaces,
        "children": oracle.children_per_services().values().sum::<u64>(),
    })
}

#[test]
fn should_be_read_by_duckdb_and_pyarrow() -> Result<(), Box<dyn Error>> {
    let Some(python) = program(PYTHON) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let store = folder.path();
    let requests: Vec<_> = traffic(60_000, 280, 11).map(|batch| batch.request).collect();
    write_blocks(store, &requests)?;
    let view = store.join("view.sql");
    std::fs::write(&view, documented_view(store)?)?;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("openness/questions.py");
    let output = Command::new(python).arg(script).arg(store).arg(&view).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Json = serde_json::from_slice(&output.stdout)?;

    let expected = oracle_answers(&requests);
    assert!(expected["status_500"].as_u64() > Some(0), "the question has an answer");
    assert_eq!(answers["duckdb"], expected, "DuckDB");
    assert_eq!(answers["pyarrow"], expected, "pyarrow");
    Ok(())
}
