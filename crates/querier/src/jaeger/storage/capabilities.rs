//! `jaeger.storage.v2.Capabilities`: everything that Jaeger can ask for.

use axum::Router;
use tonic::Status;

use super::CAPABILITIES;
use crate::jaeger::expression::{LEVELS, OPERATORS};
use crate::jaeger::grpc::JaegerGrpc;
use crate::jaeger::grpc::call::{Asked, Methods, Reply};
use crate::jaeger::proto::storage::{
    FilterCapabilities, GetCapabilitiesRequest, GetCapabilitiesResponse, SearchCapabilities,
};

pub(super) fn router(jaeger: &JaegerGrpc) -> Router {
    Methods::new(jaeger, CAPABILITIES).unary("GetCapabilities", get_capabilities).router()
}

async fn get_capabilities(
    _: Asked<GetCapabilitiesRequest>,
) -> Result<Reply<GetCapabilitiesResponse>, Status> {
    let filter = FilterCapabilities {
        levels: LEVELS.map(str::to_owned).to_vec(),
        operators: OPERATORS.map(str::to_owned).to_vec(),
    };
    let search =
        SearchCapabilities { without_service_name: true, same_span_conjunction: true, filter: Some(filter) };
    Ok(Reply { message: GetCapabilitiesResponse { search: Some(search) }, gaps: Vec::new() })
}
