//! A call from its head to its answer: whose it is, its message, and the messages that answer it.

use std::future::Future;
use std::marker::PhantomData;

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::routing::any;
use bytes::{BufMut, Bytes};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use http::Response as HttpResponse;
use prost::Message;
use siltstone_format::tenant::Tenant;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

use super::JaegerGrpc;
use super::status::of_tenant;
use crate::http::{partial_header, tenant_of};

/// Longest request, and as long as it may be once it is decompressed.
const REQUEST_BYTES: usize = 4 << 20;
/// Longest answer that gRPC's clients take unless they are told otherwise.
const ANSWER_BYTES: usize = 4 << 20;

/// A question and whose it is.
pub(crate) struct Asked<Q> {
    pub(crate) jaeger: JaegerGrpc,
    pub(crate) tenant: Tenant,
    pub(crate) message: Q,
}

/// One message, and what it lacks.
pub(crate) struct Reply<A> {
    pub(crate) message: A,
    pub(crate) gaps: Vec<String>,
}

/// Encoded messages as they come, and what they lack as far as that is known before.
pub(crate) struct Messages {
    pub(crate) stream: BoxStream<'static, Result<Bytes, Status>>,
    pub(crate) gaps: Vec<String>,
}

/// Methods of one service.
pub(crate) struct Methods {
    jaeger: JaegerGrpc,
    service: &'static str,
    router: Router,
}

impl Methods {
    pub(crate) fn new(jaeger: &JaegerGrpc, service: &'static str) -> Self {
        Self { jaeger: jaeger.clone(), service, router: Router::new() }
    }

    /// A method that is answered by one message.
    pub(crate) fn unary<Q, A, Fut>(
        self,
        method: &str,
        answer: impl Fn(Asked<Q>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
        Fut: Future<Output = Result<Reply<A>, Status>> + Send + 'static,
    {
        self.method(method, move |jaeger, request| {
            let answer = answer.clone();
            async move {
                let tenant = match tenant_of(request.headers(), jaeger.tenants) {
                    Ok(tenant) => tenant,
                    Err(unclear) => return of_tenant(&unclear).into_http(),
                };
                let answer = move |message: Q| {
                    let asked = Asked { jaeger: jaeger.clone(), tenant: tenant.clone(), message };
                    answer(asked).map(|replied| encoded(replied?))
                };
                grpc::<Q>().unary(Unary(answer), request).await
            }
        })
    }

    /// A method that is answered by a stream of messages.
    pub(crate) fn streaming<Q, Fut>(
        self,
        method: &str,
        answer: impl Fn(Asked<Q>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Q: Message + Default + 'static,
        Fut: Future<Output = Result<Messages, Status>> + Send + 'static,
    {
        self.method(method, move |jaeger, request| {
            let answer = answer.clone();
            async move {
                let tenant = match tenant_of(request.headers(), jaeger.tenants) {
                    Ok(tenant) => tenant,
                    Err(unclear) => return of_tenant(&unclear).into_http(),
                };
                let answer = move |message: Q| {
                    answer(Asked { jaeger: jaeger.clone(), tenant: tenant.clone(), message })
                };
                grpc::<Q>().server_streaming(Streaming(answer), request).await
            }
        })
    }

    fn method<Fut>(
        mut self,
        method: &str,
        answer: impl Fn(JaegerGrpc, HttpRequest) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = HttpResponse<Body>> + Send + 'static,
    {
        let jaeger = self.jaeger.clone();
        let handler = move |request: HttpRequest| answer(jaeger.clone(), request);
        // gRPC answers in its own way to whatever is no POST.
        self.router = self.router.route(&format!("/{}/{method}", self.service), any(handler));
        self
    }

    /// Other methods of the service are said not to be there, whatever else the port has.
    pub(crate) fn router(self) -> Router {
        self.router.route(&format!("/{}/{{*method}}", self.service), any(not_there))
    }
}

/// The answer to a call of what there is not.
pub(crate) async fn not_there(request: HttpRequest) -> HttpResponse<Body> {
    let path: String = request.uri().path().chars().take(200).collect();
    Status::unimplemented(format!("there is no {path} here")).into_http()
}

fn grpc<Q: Message + Default + 'static>() -> Grpc<Bytewise<Q>> {
    Grpc::new(Bytewise(PhantomData))
        .apply_max_message_size_config(Some(REQUEST_BYTES), None)
        .accept_compressed(CompressionEncoding::Gzip)
}

fn encoded<A: Message>(reply: Reply<A>) -> Result<Response<Bytes>, Status> {
    let bytes = reply.message.encode_to_vec();
    if bytes.len() > ANSWER_BYTES {
        return Err(Status::resource_exhausted(format!(
            "the answer has {} bytes, and a message of gRPC may have {ANSWER_BYTES}: ask more selectively, or over HTTP",
            bytes.len()
        )));
    }
    let mut response = Response::new(bytes.into());
    add_gaps(response.metadata_mut(), &reply.gaps);
    Ok(response)
}

fn add_gaps(metadata: &mut MetadataMap, gaps: &[String]) {
    *metadata = MetadataMap::from_headers(partial_header(gaps));
}

struct Unary<F>(F);

impl<Q, F, Fut> UnaryService<Q> for Unary<F>
where
    F: FnMut(Q) -> Fut,
    Fut: Future<Output = Result<Response<Bytes>, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        (self.0)(request.into_inner()).boxed()
    }
}

struct Streaming<F>(F);

impl<Q, F, Fut> ServerStreamingService<Q> for Streaming<F>
where
    F: FnMut(Q) -> Fut,
    Fut: Future<Output = Result<Messages, Status>> + Send + 'static,
{
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answered = (self.0)(request.into_inner());
        let respond = |messages: Messages| {
            let mut response = Response::new(messages.stream.boxed());
            add_gaps(response.metadata_mut(), &messages.gaps);
            response
        };
        async move { answered.await.map(respond) }.boxed()
    }
}

/// Requests are messages, answers are bytes already.
struct Bytewise<Q>(PhantomData<fn() -> Q>);

impl<Q: Message + Default + 'static> Codec for Bytewise<Q> {
    type Encode = Bytes;
    type Decode = Q;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<Q> Encoder for Bytewise<Q> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.len());
        to.put(item);
        Ok(())
    }
}

impl<Q: Message + Default> Decoder for Bytewise<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        let wrong =
            |error: prost::DecodeError| Status::invalid_argument(format!("the request is damaged: {error}"));
        Q::decode(from).map(Some).map_err(wrong)
    }
}
