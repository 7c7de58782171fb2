//! An ingester across the network.
//!
//! An answer is whole or an error: every span that the header announces has come, from the ingester that was
//! meant, before the deadline, within a bound of bytes.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use siltstone_format::id::ObjectId;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::answer::{Answer, LiveSegment};
use crate::arrow::{Assembly, BatchError, Frame, Table};
use crate::question::Question;
use crate::serve::ASK_PATH;
use crate::source::{LiveError, LiveSource};
use crate::wire::{Announced, AnswerMessage, AskMessage, BatchMessage, MessageError, PIECE_BYTES, Part};

/// What may be on its way of one answer.
const WINDOW_BYTES: u32 = 1 << 20;
const PING: Duration = Duration::from_secs(5);
/// A host that is up accepts at once, or at the second asking, after a second.
const CONNECT: Duration = Duration::from_secs(2);

/// How long and how much a reader takes.
#[derive(Clone, Copy, Debug)]
pub struct RemoteLimits {
    /// For a question and all of its answer, connecting included.
    pub deadline: Duration,
    /// Bytes of one answer on the wire.
    pub answer_bytes: u64,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(10), answer_bytes: 1 << 30 }
    }
}

/// An ingester at an address.
#[derive(Clone, Debug)]
pub struct RemoteLive {
    ingester: ObjectId,
    address: String,
    channel: Channel,
    limits: RemoteLimits,
}

impl RemoteLive {
    /// The ingester with this id at an address like `http://10.0.0.7:14317`. Nothing is sent before the
    /// first question; whoever is down now may be up then.
    pub fn connect(ingester: ObjectId, address: &str, limits: RemoteLimits) -> Result<Self, LiveError> {
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| LiveError::Unreachable {
            ingester: address.to_owned(),
            why: format!("its address is none: {error}"),
        })?;
        let channel = endpoint
            .connect_timeout(CONNECT.min(limits.deadline))
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(4 * WINDOW_BYTES)
            // A host that is gone without a word is noticed before the next question.
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .connect_lazy();
        Ok(Self { ingester, address: address.to_owned(), channel, limits })
    }

    async fn call(&self, question: &Question) -> Result<Answer, CallError> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(2 * PIECE_BYTES);
        grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        let request = Request::new(AskMessage::of(question, self.ingester));
        let path = PathAndQuery::from_static(ASK_PATH);
        let mut parts = grpc.server_streaming(request, path, ProstCodec::default()).await?.into_inner();
        self.receive(&mut parts).await
    }

    async fn receive(&self, parts: &mut Streaming<AnswerMessage>) -> Result<Answer, CallError> {
        let announced = match parts.message().await?.and_then(|message| message.part) {
            Some(Part::Header(header)) => header.read()?,
            _ => return Err(CallError::Unexpected("it does not begin with a header")),
        };
        let mut receiver = Receiver::of(announced, self.limits.answer_bytes);
        while let Some(message) = parts.message().await? {
            match message.part {
                Some(Part::Batch(batch)) => receiver.add(batch)?,
                _ => return Err(CallError::Unexpected("a part that is no batch")),
            }
        }
        receiver.finish()
    }

    fn explain(&self, error: CallError) -> LiveError {
        let ingester = self.address.clone();
        match error {
            CallError::Status(status) => {
                let why = format!("{:?}: {}", status.code(), status_text(&status));
                match status.code() {
                    Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unknown
                    | Code::NotFound => LiveError::Unreachable { ingester, why },
                    Code::Internal | Code::DataLoss | Code::OutOfRange => {
                        LiveError::Garbled { ingester, why }
                    }
                    _ => LiveError::Refused { ingester, why },
                }
            }
            CallError::TooLarge(_) => LiveError::Refused { ingester, why: error.to_string() },
            other => LiveError::Garbled { ingester, why: other.to_string() },
        }
    }
}

#[async_trait]
impl LiveSource for RemoteLive {
    fn name(&self) -> &str {
        &self.address
    }

    async fn ask(&self, question: &Question) -> Result<Answer, LiveError> {
        match tokio::time::timeout(self.limits.deadline, self.call(question)).await {
            Ok(answer) => answer.map_err(|error| self.explain(error)),
            Err(_) => Err(LiveError::Unreachable {
                ingester: self.address.clone(),
                why: format!("no answer within {:?}", self.limits.deadline),
            }),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Status(#[from] Status),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("{0}")]
    Unexpected(&'static str),
    #[error("its answer is larger than {0} bytes: ask for less")]
    TooLarge(u64),
}

/// Batches on their way into segments.
struct Receiver {
    announced: Announced,
    segments: Vec<Assembly>,
    /// Parts of a batch of which more will come.
    begun: Option<(BatchMessage, BytesMut)>,
    bytes: u64,
    most_bytes: u64,
}

impl Receiver {
    fn of(announced: Announced, most_bytes: u64) -> Self {
        let segments = announced.segments.iter().map(|_| Assembly::default()).collect();
        Self { announced, segments, begun: None, bytes: 0, most_bytes }
    }

    fn add(&mut self, part: BatchMessage) -> Result<(), CallError> {
        self.bytes = self.bytes.saturating_add((part.head.len() + part.body.len()) as u64);
        if self.bytes > self.most_bytes {
            return Err(CallError::TooLarge(self.most_bytes));
        }
        let more = part.more;
        match &mut self.begun {
            Some((first, body)) => {
                let goes_on = first.segment == part.segment && first.is_origins == part.is_origins;
                if !goes_on || !part.head.is_empty() {
                    return Err(CallError::Unexpected("a batch that ends in the middle"));
                }
                body.extend_from_slice(&part.body);
            }
            None if more => {
                let body = BytesMut::from(&part.body[..]);
                self.begun = Some((part, body));
                return Ok(());
            }
            None => {
                return self.whole(
                    part.segment,
                    part.is_origins,
                    &Frame { head: part.head, body: part.body },
                );
            }
        }
        match self.begun.take_if(|_| !more) {
            Some((first, body)) => {
                self.whole(first.segment, first.is_origins, &Frame { head: first.head, body: body.freeze() })
            }
            None => Ok(()),
        }
    }

    fn whole(&mut self, segment: u32, is_origins: bool, frame: &Frame) -> Result<(), CallError> {
        let segment = self.segments.get_mut(segment as usize);
        let segment = segment.ok_or(CallError::Unexpected("a batch of a segment that was not announced"))?;
        match is_origins {
            true => segment.add_origins(&frame.decode(Table::Origins)?)?,
            false => segment.add_spans(&frame.decode(Table::Spans)?)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Answer, CallError> {
        let has_all = |(announced, found): (&crate::wire::AnnouncedSegment, &Assembly)| {
            announced.spans == found.spans() as u64
        };
        if self.begun.is_some() || !self.announced.segments.iter().zip(&self.segments).all(has_all) {
            return Err(CallError::Unexpected("it has not the spans that it announced"));
        }
        let Announced { committed, min_root, segments } = self.announced;
        let segments = segments.into_iter().zip(self.segments).map(|(announced, spans)| LiveSegment {
            writer: announced.writer,
            number: announced.number,
            known_deletions: announced.known_deletions,
            spans: spans.finish().into(),
        });
        // An ingester knows what it has committed.
        Ok(Answer { segments: segments.collect(), committed, min_root, fresh: false })
    }
}

/// What a status says, with its cause: "transport error" alone helps nobody.
fn status_text(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => status.message().to_owned(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
