//! What every gRPC server has beside its services: their health, and a description of them all.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::middleware::map_response;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::Builder;

use super::call::not_there;
use crate::jaeger::proto::DESCRIPTORS;

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const OLDER_REFLECTION: &str = "grpc.reflection.v1alpha.ServerReflection";
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// The services cannot be described: their descriptors are damaged.
#[derive(Debug, thiserror::Error)]
#[error("the services of Jaeger cannot be described to gRPC's clients: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// Services of a port, with their health and their description.
pub struct GrpcServices {
    router: Router,
    health: HealthReporter,
    /// The names under which health is asked for.
    names: Vec<String>,
    stopping: CancellationToken,
}

impl GrpcServices {
    /// Healthy from the start. `names` are those of the services, `also_healthy` of what has no service.
    pub(super) async fn new(
        services: Router,
        names: &[&str],
        also_healthy: &[&str],
    ) -> Result<Self, ReflectionError> {
        let stopping = CancellationToken::new();
        let health = HealthReporter::new();
        let healthy: Vec<String> = names.iter().chain(also_healthy).map(|name| (*name).to_owned()).collect();
        for name in &healthy {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        let health_server = HealthServer::new(HealthService::from_health_reporter(health.clone()));
        let standard = Router::new()
            .route_service(&methods_of(HEALTH), health_server)
            .route_service(&methods_of(REFLECTION), described(names).build_v1()?)
            .route_service(&methods_of(OLDER_REFLECTION), described(names).build_v1alpha()?);
        let stops = stopping.clone();
        let standard = standard.layer(map_response(move |response: Response| {
            let stops = Box::pin(stops.clone().cancelled_owned());
            async move { response.map(|body| Body::new(UntilItStops { body: Some(body), stops })) }
        }));
        Ok(Self { router: services.merge(standard), health, names: healthy, stopping })
    }

    /// Its paths, to be served beside others.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Its paths alone: on any other a call is told that there is no such method.
    pub fn whole_router(&self) -> Router {
        self.router.clone().fallback(not_there)
    }

    /// Tells who watches that no more should be asked. What has no end by itself ends.
    pub async fn stops(&self) {
        for name in self.names.iter().map(String::as_str).chain([""]) {
            self.health.set_service_status(name, ServingStatus::NotServing).await;
        }
        self.stopping.cancel();
    }
}

fn methods_of(service: &str) -> String {
    format!("/{service}/{{*method}}")
}

fn described(names: &[&str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false);
    let standard = [HEALTH, REFLECTION, OLDER_REFLECTION];
    names.iter().chain(&standard).fold(builder, |builder, name| builder.with_service_name(*name))
}

/// An answer that may have no end of its own: a watch of health, a conversation about descriptions.
struct UntilItStops {
    body: Option<Body>,
    stops: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for UntilItStops {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        // That it stops has been said by then.
        if self.stops.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.body = None;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", UNAVAILABLE);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
