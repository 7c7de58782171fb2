//! `jaeger.storage.v2`.

use prost::{Message, Oneof};

use super::expression::Call;
use super::{Duration, Timestamp};

#[derive(Clone, PartialEq, Message)]
pub struct GetTraceParams {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetTracesRequest {
    #[prost(message, repeated, tag = "1")]
    pub query: Vec<GetTraceParams>,
}

/// As in `jaeger.api_v3`, field by field.
pub use super::api_v3::{
    GetDependenciesRequest, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, Operation, ServiceSummary,
};

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    #[prost(string, tag = "1")]
    Str(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Map(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TraceQueryParameters {
    #[prost(string, tag = "1")]
    pub service_name: String,
    #[prost(string, tag = "2")]
    pub operation_name: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "4")]
    pub start_time_min: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub start_time_max: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub duration_min: Option<Duration>,
    #[prost(message, optional, tag = "7")]
    pub duration_max: Option<Duration>,
    #[prost(int32, tag = "8")]
    pub search_depth: i32,
    #[prost(message, optional, tag = "9")]
    pub filter: Option<Call>,
}

/// Of traces, of their ids, and of their summaries.
#[derive(Clone, PartialEq, Message)]
pub struct FindTracesRequest {
    #[prost(message, optional, tag = "1")]
    pub query: Option<TraceQueryParameters>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FoundTraceId {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub start: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub end: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FindTraceIdsResponse {
    #[prost(message, repeated, tag = "1")]
    pub trace_ids: Vec<FoundTraceId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TraceSummary {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub root_service_name: String,
    #[prost(string, tag = "3")]
    pub root_operation_name: String,
    #[prost(fixed64, tag = "4")]
    pub min_start_time_unix_nano: u64,
    #[prost(fixed64, tag = "5")]
    pub max_end_time_unix_nano: u64,
    #[prost(int32, tag = "6")]
    pub span_count: i32,
    #[prost(int32, tag = "7")]
    pub error_span_count: i32,
    #[prost(int32, tag = "8")]
    pub orphan_span_count: i32,
    #[prost(message, repeated, tag = "9")]
    pub services: Vec<ServiceSummary>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FindTraceSummariesResponse {
    #[prost(message, repeated, tag = "1")]
    pub summaries: Vec<TraceSummary>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dependency {
    #[prost(string, tag = "1")]
    pub parent: String,
    #[prost(string, tag = "2")]
    pub child: String,
    #[prost(uint64, tag = "3")]
    pub call_count: u64,
    #[prost(string, tag = "4")]
    pub source: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetDependenciesResponse {
    #[prost(message, repeated, tag = "1")]
    pub dependencies: Vec<Dependency>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchCapabilities {
    #[prost(bool, tag = "1")]
    pub without_service_name: bool,
    #[prost(bool, tag = "2")]
    pub same_span_conjunction: bool,
    #[prost(message, optional, tag = "3")]
    pub filter: Option<FilterCapabilities>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FilterCapabilities {
    #[prost(string, repeated, tag = "1")]
    pub levels: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub operators: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetCapabilitiesRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct GetCapabilitiesResponse {
    #[prost(message, optional, tag = "1")]
    pub search: Option<SearchCapabilities>,
}
