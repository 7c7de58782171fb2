//! Sockets: connections are taken in, bounded in number, and ended in order.
//!
//! Both versions of HTTP are served without TLS; the first bytes tell which. Invariant: once [`serve`] has
//! returned, no connection is left. A connection that asks nothing for [`Bounds::idle`] gives up its place, unless
//! it is one of those few on which an answer is still being given: who watches the health of a server is silent.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use siltstone_catalog::time::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What HTTP/2 senders may have under way without being read. A connection buffers this much at most.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// Frames as large as senders like: each costs a pass through the HTTP/2 machinery, and all of a request of
/// 280 KB cost less than half of what they cost in frames of 16 KiB, at which some senders stay.
const FRAME_BYTES: u32 = 256 << 10;
const STREAMS_PER_CONNECTION: u32 = 256;
/// What HTTP/1 reads at once at most. Larger reads were not faster (docs/benchmarks.md).
const READ_BUFFER_BYTES: usize = 512 << 10;
/// HTTP/2 peers that vanished are noticed so soon.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// When a connection cannot be taken in (no file descriptors), others may end meanwhile.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);
/// How every HTTP/2 connection begins, and no usual method.
const HTTP2_BEGINS: &[u8] = b"PR";

/// How many connections, and how long they may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// More wait in the system's queue.
    pub connections: usize,
    pub idle: Duration,
}

/// How connections are told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take in no more; answer what is under way.
    pub gently: CancellationToken,
    /// Drop everything.
    pub now: CancellationToken,
}

/// Answers one request.
pub trait Answer: Send + Sync + 'static {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// A connection was taken in,
    fn opened(&self) {}

    /// and has ended.
    fn closed(&self) {}
}

/// What the connections of one port share.
struct Port<A> {
    answer: Arc<A>,
    idle: Duration,
    clock: Arc<dyn Clock>,
    stop: Stop,
    /// Places of connections that are silent while an answer is being given: a half of all.
    silent: Arc<Semaphore>,
}

/// Serves a port until it is told to stop and its last connection has ended.
pub async fn serve<A: Answer>(
    listener: TcpListener,
    answer: Arc<A>,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    stop: Stop,
) {
    let most = bounds.connections.clamp(1, Semaphore::MAX_PERMITS);
    let (places, silent) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(most.div_ceil(2))));
    let connections = TaskTracker::new();
    let port = Arc::new(Port { answer, idle: bounds.idle, clock, stop: stop.clone(), silent });
    let take_in = async {
        loop {
            // Fails only once the semaphore is closed, and nobody closes it.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(Arc::clone(&port).connection(stream, place))),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken in");
                    port.clock.sleep(AFTER_A_FAILURE).await;
                }
            }
        }
    };
    tokio::select! {
        () = take_in => {}
        () = stop.gently.cancelled() => {}
        () = stop.now.cancelled() => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether a connection is at work.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    /// Requests whose answer has not begun,
    under_way: AtomicUsize,
    /// and those whose answer has not ended.
    unfinished: AtomicUsize,
}

/// One more of these, until it is dropped.
struct OneMore {
    activity: Arc<Activity>,
    count: fn(&Activity) -> &AtomicUsize,
}

impl OneMore {
    fn of(activity: &Arc<Activity>, count: fn(&Activity) -> &AtomicUsize) -> Self {
        count(activity).fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), count }
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        (self.count)(&self.activity).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which is unfinished as long as it is there.
struct Unfinished<B> {
    body: B,
    _until_dropped: OneMore,
}

impl<B: Body + Unpin> Body for Unfinished<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts the open connections.
struct Counted<A: Answer>(Arc<A>);

impl<A: Answer> Drop for Counted<A> {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// A connection of either version.
trait Conversation: Future<Output = Result<(), hyper::Error>> {
    /// Ends once what is under way is answered.
    fn wind_down(self: Pin<&mut Self>);
}

impl<A: Answer> Port<A> {
    async fn connection(self: Arc<Self>, stream: TcpStream, _place: OwnedSemaphorePermit) {
        self.answer.opened();
        let _counted = Counted(Arc::clone(&self.answer));
        // Answers are small and must not wait for more.
        let _ = stream.set_nodelay(true);
        let Some(is_http2) = self.is_http2(&stream).await else { return };
        let activity = Arc::new(Activity::default());
        let service = service_fn(|request| {
            activity.begun.fetch_add(1, Ordering::Relaxed);
            let under_way = OneMore::of(&activity, |activity| &activity.under_way);
            let _until_dropped = OneMore::of(&activity, |activity| &activity.unfinished);
            let answer = Arc::clone(&self.answer);
            async move {
                let response = answer.answer(request).await;
                drop(under_way);
                Ok::<_, Infallible>(response.map(|body| Unfinished { body, _until_dropped }))
            }
        });
        let io = TokioIo::new(stream);
        if is_http2 {
            let conversation = http2_settings().serve_connection(io, service);
            self.until_it_ends(conversation, &activity).await;
        } else {
            let mut settings = http1::Builder::new();
            let conversation = settings.max_buf_size(READ_BUFFER_BYTES).serve_connection(io, service);
            self.until_it_ends(conversation, &activity).await;
        }
    }

    /// None: the peer said nothing for too long, or left, or the server stops.
    async fn is_http2(&self, stream: &TcpStream) -> Option<bool> {
        let mut first = [0; HTTP2_BEGINS.len()];
        tokio::select! {
            read = stream.peek(&mut first) => match read {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(first == HTTP2_BEGINS),
            },
            () = self.clock.sleep(self.idle) => None,
            () = self.stop.gently.cancelled() => None,
            () = self.stop.now.cancelled() => None,
        }
    }

    async fn until_it_ends(&self, conversation: impl Conversation, activity: &Activity) {
        let mut conversation = pin!(conversation);
        let mut gently = pin!(self.stop.gently.cancelled());
        let mut now = pin!(self.stop.now.cancelled());
        let mut tick = self.clock.sleep(self.idle);
        let mut begun_before = 0;
        let mut is_ending = false;
        let mut silent_place = None;
        loop {
            tokio::select! {
                biased;
                // How it ended (a reset, garbage) says something about the peer only.
                ended = conversation.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended");
                    }
                    return;
                }
                () = &mut now => return,
                () = &mut gently, if !is_ending => {
                    is_ending = true;
                    conversation.as_mut().wind_down();
                }
                () = &mut tick => {
                    let begun = activity.begun.load(Ordering::Relaxed);
                    let is_silent =
                        activity.under_way.load(Ordering::Relaxed) == 0 && begun == begun_before;
                    begun_before = begun;
                    if is_silent && is_ending {
                        return;
                    }
                    let is_answered = activity.unfinished.load(Ordering::Relaxed) == 0;
                    silent_place = silent_place.take().filter(|_| is_silent && !is_answered);
                    if is_silent && !is_answered && silent_place.is_none() {
                        silent_place = self.silent.try_acquire().ok();
                    }
                    if is_silent && silent_place.is_none() {
                        is_ending = true;
                        conversation.as_mut().wind_down();
                    }
                    tick = self.clock.sleep(self.idle);
                }
            }
        }
    }
}

fn http2_settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    settings
}

impl<I, B, S> Conversation for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Conversation for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
