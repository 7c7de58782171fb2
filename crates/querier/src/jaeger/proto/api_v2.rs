//! `jaeger.api_v2`.

use std::collections::BTreeMap;

use prost::Message;

use super::{Duration, Timestamp};

/// As in `jaeger.api_v3`, field by field.
pub use super::api_v3::{
    GetDependenciesRequest, GetOperationsRequest, GetServicesRequest, GetServicesResponse, Operation,
};

#[derive(Clone, PartialEq, Message)]
pub struct GetTraceRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Timestamp>,
    #[prost(bool, tag = "4")]
    pub raw_traces: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArchiveTraceRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub end_time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ArchiveTraceResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct TraceQueryParameters {
    #[prost(string, tag = "1")]
    pub service_name: String,
    #[prost(string, tag = "2")]
    pub operation_name: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub tags: BTreeMap<String, String>,
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
    #[prost(bool, tag = "9")]
    pub raw_traces: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct FindTracesRequest {
    #[prost(message, optional, tag = "1")]
    pub query: Option<TraceQueryParameters>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetOperationsResponse {
    /// Each once, for clients that know no kinds.
    #[prost(string, repeated, tag = "1")]
    pub operation_names: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub operations: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DependencyLink {
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
    pub dependencies: Vec<DependencyLink>,
}
