//! The gRPC service of an ingester: what it holds, to whoever asks.
//!
//! Written by hand, because building needs no protoc: one method that streams. Batches are encoded one at a
//! time as the network takes them.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use siltstone_format::id::ObjectId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::answer::{Answer, LiveSegment};
use crate::arrow::{BatchError, Frame, next_spans, origins_batches};
use crate::source::{LiveError, LiveSource};
use crate::wire::{AnswerMessage, AskMessage, BatchMessage, HeaderMessage, PIECE_BYTES, Part};

pub(crate) const ASK_PATH: &str = "/siltstone.live.v1.LiveSpans/Ask";
/// Longest question: a filter and many trace ids.
const MAX_QUESTION_BYTES: usize = 4 << 20;
/// Answers that are held at the same time, until they are sent; who asks beyond that waits.
const MOST_ANSWERS: usize = 32;

/// Answers for one source. Add it to a tonic server on the internal port.
#[derive(Clone)]
pub struct LiveService {
    /// Who answers: a question to somebody else is refused.
    ingester: ObjectId,
    source: Arc<dyn LiveSource>,
    answers: Arc<Semaphore>,
}

/// The service of an ingester with this id, which is what it announces in the bucket. The server should send
/// HTTP/2 pings, so that readers who are gone do not hold their answers.
pub fn serve(ingester: ObjectId, source: Arc<dyn LiveSource>) -> LiveService {
    LiveService { ingester, source, answers: Arc::new(Semaphore::new(MOST_ANSWERS)) }
}

impl NamedService for LiveService {
    const NAME: &'static str = "siltstone.live.v1.LiveSpans";
}

impl<B> Service<http::Request<B>> for LiveService
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        async move {
            if request.uri().path() != ASK_PATH {
                return Ok(Status::new(Code::Unimplemented, "there is only Ask").into_http());
            }
            let mut grpc = Grpc::new(ProstCodec::default())
                .apply_max_message_size_config(Some(MAX_QUESTION_BYTES), None);
            Ok(grpc.server_streaming(service, request).await)
        }
        .boxed()
    }
}

impl ServerStreamingService<AskMessage> for LiveService {
    type Response = AnswerMessage;
    type ResponseStream = BoxStream<'static, Result<AnswerMessage, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<AskMessage>) -> Self::Future {
        let service = self.clone();
        async move {
            let (ingester, question) =
                request.into_inner().read().map_err(|error| Status::invalid_argument(error.to_string()))?;
            if ingester != service.ingester {
                return Err(Status::not_found(format!(
                    "this is ingester {}, not {ingester}",
                    service.ingester
                )));
            }
            let permit = service.answers.acquire_owned().await;
            let permit = permit.map_err(|_| Status::unavailable("this ingester is stopping"))?;
            let answer = service.source.ask(&question).await.map_err(status)?;
            Ok(Response::new(stream::iter(Messages::of(answer, permit)).boxed()))
        }
        .boxed()
    }
}

fn status(error: LiveError) -> Status {
    let code = match &error {
        LiveError::Unreachable { .. } => Code::Unavailable,
        LiveError::Garbled { .. } => Code::DataLoss,
        LiveError::Refused { .. } => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}

/// The messages of an answer, made when they are wanted. After an error there are none.
struct Messages {
    header: Option<HeaderMessage>,
    segments: std::iter::Enumerate<std::vec::IntoIter<LiveSegment>>,
    current: Option<Sending>,
    pieces: std::vec::IntoIter<BatchMessage>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// A segment that is being sent.
struct Sending {
    place: u32,
    segment: LiveSegment,
    next_row: usize,
}

impl Messages {
    fn of(answer: Answer, permit: OwnedSemaphorePermit) -> Self {
        Self {
            header: Some(HeaderMessage::of(&answer)),
            segments: answer.segments.into_iter().enumerate(),
            current: None,
            pieces: Vec::new().into_iter(),
            is_over: false,
            _permit: permit,
        }
    }

    fn next_part(&mut self) -> Result<Option<Part>, BatchError> {
        if let Some(header) = self.header.take() {
            return Ok(Some(Part::Header(header)));
        }
        loop {
            if let Some(piece) = self.pieces.next() {
                return Ok(Some(Part::Batch(piece)));
            }
            if let Some(sending) = &mut self.current
                && sending.next_row < sending.segment.spans.len()
            {
                let (batch, after) = next_spans(&sending.segment.spans, sending.next_row)?;
                sending.next_row = after;
                self.pieces = pieces(sending.place, false, &Frame::encode(&batch)?).into_iter();
                continue;
            }
            let Some((place, segment)) = self.segments.next() else { return Ok(None) };
            let place = u32::try_from(place).map_err(|_| BatchError::Damaged("too many segments"))?;
            let mut origins = Vec::new();
            for batch in origins_batches(&segment.spans.origins) {
                origins.extend(pieces(place, true, &Frame::encode(&batch?)?));
            }
            self.pieces = origins.into_iter();
            self.current = Some(Sending { place, segment, next_row: 0 });
        }
    }
}

impl Iterator for Messages {
    type Item = Result<AnswerMessage, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let part = self.next_part();
        self.is_over = !matches!(part, Ok(Some(_)));
        match part {
            Ok(part) => part.map(|part| Ok(AnswerMessage { part: Some(part) })),
            Err(error) => Some(Err(Status::internal(error.to_string()))),
        }
    }
}

/// A batch in messages of a bounded size: one span may be larger than a message.
fn pieces(segment: u32, is_origins: bool, frame: &Frame) -> Vec<BatchMessage> {
    let count = frame.body.len().div_ceil(PIECE_BYTES).max(1);
    let piece = |number: usize| {
        let body = number * PIECE_BYTES..frame.body.len().min((number + 1) * PIECE_BYTES);
        let head = if number == 0 { frame.head.clone() } else { Default::default() };
        BatchMessage { segment, is_origins, head, body: frame.body.slice(body), more: number + 1 < count }
    };
    (0..count).map(piece).collect()
}
