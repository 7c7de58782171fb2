//! Every input that fuzzing began with or found something with, through the same functions.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that fails says so by a panic")]

use std::path::Path;

fn run_all(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be listed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        // The last name that is printed is the one that failed.
        println!("{}", file.display());
        run(&std::fs::read(&file).expect("a file that can be read"));
    }
}

#[test]
fn should_survive_the_corpus_of_block_open() {
    run_all("block_open", siltstone_fuzz::block_open);
}

#[test]
fn should_survive_the_corpus_of_block_trace() {
    run_all("block_trace", siltstone_fuzz::block_trace);
}

#[test]
fn should_survive_the_corpus_of_filter() {
    run_all("filter", siltstone_fuzz::filter);
}

#[test]
fn should_survive_the_corpus_of_filter_text() {
    run_all("filter_text", siltstone_fuzz::filter_text);
}

#[test]
fn should_survive_the_corpus_of_catalog_objects() {
    run_all("catalog_objects", siltstone_fuzz::catalog_objects);
}

#[test]
fn should_survive_the_corpus_of_otlp_protobuf() {
    run_all("otlp_protobuf", siltstone_fuzz::otlp_protobuf);
}

#[test]
fn should_survive_the_corpus_of_attribute_json() {
    run_all("attribute_json", siltstone_fuzz::attribute_json);
}

#[test]
fn should_survive_the_corpus_of_otlp_json() {
    run_all("otlp_json", siltstone_fuzz::otlp_json);
}
