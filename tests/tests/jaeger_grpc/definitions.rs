//! Messages, descriptors and definitions say the same.

use std::path::{Path, PathBuf};

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use siltstone_querier::jaeger::proto::{
    DESCRIPTORS, Duration, Timestamp, api_v2, api_v3, expression, storage,
};

/// Set, the test writes the descriptors in the place of comparing them.
const WRITE: &str = "SILTSTONE_WRITE_DESCRIPTORS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/querier/proto")
}

fn definitions(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            definitions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn descriptors_are_those_of_the_definitions() {
    let mut files = Vec::new();
    definitions(&folder(), &mut files);
    let mut compiler = protox::Compiler::new([folder()]).unwrap();
    compiler.include_imports(true).open_files(&files).unwrap();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(folder().join("descriptors.bin"), compiler.encode_file_descriptor_set()).unwrap();
        return;
    }
    let mut compiled = compiler.file_descriptor_set();
    let mut checked_in = decoded_like(&compiled, DESCRIPTORS);
    for set in [&mut compiled, &mut checked_in] {
        // What Google defines may carry options for other languages, and the order of files is anybody's.
        set.file.retain(|file| !file.name().starts_with("google/"));
        set.file.sort_by(|one, other| one.name().cmp(other.name()));
    }
    assert_eq!(compiled.file.len(), 11);
    assert!(compiled == checked_in, "proto/ was changed: run this test once with {WRITE}=1");
}

fn decoded_like<M: Message + Default>(_: &M, bytes: &[u8]) -> M {
    M::decode(bytes).unwrap()
}

/// A message with something in every field. Of alternatives one is chosen by `variant`.
fn full(descriptor: &MessageDescriptor, variant: usize, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if let Some(of) = field.containing_oneof()
            && of.fields().position(|one| one == field) != Some(variant % of.fields().len())
        {
            continue;
        }
        if depth > 0 || !matches!(field.kind(), Kind::Message(_)) {
            message.set_field(&field, value(&field, variant, depth));
        }
    }
    message
}

fn value(field: &FieldDescriptor, variant: usize, depth: usize) -> Value {
    let one = |number: usize| scalar(field.kind(), variant + number, depth);
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { panic!("{field:?}") };
        let key = MapKey::String(format!("key {variant}"));
        Value::Map([(key, scalar(entry.map_entry_value_field().kind(), variant, depth))].into())
    } else if field.is_list() {
        Value::List(vec![one(0), one(1)])
    } else {
        one(0)
    }
}

fn scalar(kind: Kind, variant: usize, depth: usize) -> Value {
    match kind {
        Kind::String => Value::String(format!("text {variant}")),
        Kind::Bytes => Value::Bytes(vec![1, variant as u8].into()),
        Kind::Bool => Value::Bool(true),
        Kind::Int32 => Value::I32(-5 - variant as i32),
        Kind::Int64 => Value::I64(-7 - variant as i64),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1 << 40 | variant as u64),
        Kind::Double => Value::F64(0.5 + variant as f64),
        Kind::Message(inner) => Value::Message(full(&inner, variant, depth - 1)),
        other => panic!("a field of kind {other:?} is in no message that is read"),
    }
}

fn check<M: Message + Default>(pool: &DescriptorPool, name: &str) {
    let descriptor = pool.get_message_by_name(name).unwrap_or_else(|| panic!("no {name}"));
    for variant in 0..8 {
        let defined = full(&descriptor, variant, 5);
        let read = M::decode(&defined.encode_to_vec()[..]).unwrap();
        let again = DynamicMessage::decode(descriptor.clone(), &read.encode_to_vec()[..]).unwrap();
        assert_eq!(again, defined, "{name}");
    }
}

#[test]
fn messages_have_every_field_of_their_definitions_and_of_its_type() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    macro_rules! check_all {
        ($($package:literal: $($message:ty = $name:literal),+;)+) => {
            $($(check::<$message>(&pool, concat!($package, ".", $name));)+)+
        };
    }
    check_all! {
        "google.protobuf": Timestamp = "Timestamp", Duration = "Duration";
        "jaeger.expression.v1":
            expression::Expression = "Expression", expression::Call = "Call",
            expression::AttributeReference = "AttributeReference", expression::FieldReference = "FieldReference",
            expression::NestedReference = "NestedReference", expression::Scalar = "Scalar",
            expression::List = "List";
        "jaeger.api_v2":
            api_v2::GetTraceRequest = "GetTraceRequest", api_v2::ArchiveTraceRequest = "ArchiveTraceRequest",
            api_v2::ArchiveTraceResponse = "ArchiveTraceResponse",
            api_v2::FindTracesRequest = "FindTracesRequest", api_v2::GetServicesRequest = "GetServicesRequest",
            api_v2::GetServicesResponse = "GetServicesResponse",
            api_v2::GetOperationsRequest = "GetOperationsRequest",
            api_v2::GetOperationsResponse = "GetOperationsResponse",
            api_v2::GetDependenciesRequest = "GetDependenciesRequest",
            api_v2::GetDependenciesResponse = "GetDependenciesResponse";
        "jaeger.api_v3":
            api_v3::GetTraceRequest = "GetTraceRequest", api_v3::FindTracesRequest = "FindTracesRequest",
            api_v3::FindTracesRequest = "FindTraceSummariesRequest",
            api_v3::GetServicesRequest = "GetServicesRequest",
            api_v3::GetServicesResponse = "GetServicesResponse",
            api_v3::GetOperationsRequest = "GetOperationsRequest",
            api_v3::GetOperationsResponse = "GetOperationsResponse",
            api_v3::GetDependenciesRequest = "GetDependenciesRequest",
            api_v3::DependenciesResponse = "DependenciesResponse",
            api_v3::FindTraceSummariesResponse = "FindTraceSummariesResponse";
        "jaeger.storage.v2":
            storage::GetTracesRequest = "GetTracesRequest", storage::FindTracesRequest = "FindTracesRequest",
            storage::FindTracesRequest = "FindTraceIDsRequest",
            storage::FindTracesRequest = "FindTraceSummariesRequest",
            storage::FindTraceIdsResponse = "FindTraceIDsResponse",
            storage::FindTraceSummariesResponse = "FindTraceSummariesResponse",
            storage::GetServicesRequest = "GetServicesRequest",
            storage::GetServicesResponse = "GetServicesResponse",
            storage::GetOperationsRequest = "GetOperationsRequest",
            storage::GetOperationsResponse = "GetOperationsResponse",
            storage::GetDependenciesRequest = "GetDependenciesRequest",
            storage::GetDependenciesResponse = "GetDependenciesResponse",
            storage::GetCapabilitiesRequest = "GetCapabilitiesRequest",
            storage::GetCapabilitiesResponse = "GetCapabilitiesResponse";
    }
}
