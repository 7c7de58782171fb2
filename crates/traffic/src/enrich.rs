//! What a richer profile adds to a span, up to the bytes that are asked for.
//!
//! Additions come in a fixed order, what is most often seen first. A span that gets too much or too little
//! passes the difference on to the next, so that the mean is met.

use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::Event, span::SpanKind};
use prost::Message;

use crate::attributes::{count, text, texts};
use crate::config::Profile;
use crate::dice::{Dice, mix};
use crate::fleet::Pod;
use crate::subject::{Subject, push_hex};

const ADDITIONS: usize = 24;
/// Log events that a span may end up with.
const MOST_EVENTS: usize = 5;

const USER_AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "ShopApp/7.12.1 (iOS 18.7; iPhone16,2) Alamofire/5.10.2",
];

pub(crate) struct Enricher {
    /// Bytes that each span gets on top of the lean ones.
    extra_bytes: i64,
    /// What the spans so far are short of.
    owed: i64,
}

impl Enricher {
    pub(crate) fn new(profile: Profile) -> Self {
        let extra_bytes = i64::from(profile.bytes_per_span()) - i64::from(Profile::LEAN.bytes_per_span());
        Self { extra_bytes, owed: 0 }
    }

    /// Framework frames in a stack trace.
    pub(crate) fn stack_depth(&self) -> usize {
        6 + (self.extra_bytes / 60) as usize
    }

    pub(crate) fn enrich(&mut self, span: &mut Span, pod: &Pod, subject: &Subject, dice: &mut Dice) {
        self.owed += self.extra_bytes;
        for place in 0..ADDITIONS {
            if self.owed <= 0 {
                return;
            }
            if let Some(attribute) = addition(place, span, pod, subject, dice) {
                self.owed -= 2 + attribute.encoded_len() as i64;
                span.attributes.push(attribute);
            }
        }
        if span.kind == SpanKind::Client as i32 {
            self.owed -= comment_statement(span, pod);
        }
        for number in 0..MOST_EVENTS {
            if self.owed <= 0 {
                return;
            }
            let event = log_event(number, span, pod, subject, dice);
            self.owed -= 3 + event.encoded_len() as i64;
            span.events.push(event);
        }
    }
}

fn addition(place: usize, span: &Span, pod: &Pod, subject: &Subject, dice: &mut Dice) -> Option<KeyValue> {
    let from_outside = span.kind == SpanKind::Server as i32 && span.parent_span_id.is_empty();
    match place {
        0..=6 => from_outside.then(|| visitor(place, subject, dice)),
        7..=12 => Some(code(place, span, pod, dice)),
        13..=18 => Some(deployment(place, pod)),
        _ => Some(request(place, pod, subject, dice)),
    }
}

/// What only the first server sees of a browser.
fn visitor(place: usize, subject: &Subject, dice: &mut Dice) -> KeyValue {
    let visitor = mix(subject.user, 0x0b20_75e2);
    match place {
        0 => text("user_agent.original", USER_AGENTS[(visitor % 8) as usize]),
        1 => count("client.port", 32_768 + dice.below(28_232)),
        2 => text("url.query", format!("ref=home&page={}&sort=rank", 1 + dice.popular(20))),
        3 => text("network.protocol.version", "2"),
        4 => texts("http.request.header.accept-language", ["de-DE,de;q=0.9,en;q=0.7".to_owned()]),
        5 => {
            let referer = format!("https://shop.example/product/{}", subject.product);
            texts("http.request.header.referer", [referer])
        }
        _ => texts("http.response.header.cache-control", ["private".to_owned(), "max-age=0".to_owned()]),
    }
}

/// Where in the program the span was made.
fn code(place: usize, span: &Span, pod: &Pod, dice: &mut Dice) -> KeyValue {
    let name = pod.service.name;
    match place {
        7 => text("thread.name", format!("http-nio-8080-exec-{}", 1 + dice.popular(64))),
        8 => text("code.file.path", format!("/src/{name}/internal/handlers/{name}_handler.src")),
        9 => count("code.line.number", 20 + span.name.len() as u64 * 17),
        10 => text("network.transport", "tcp"),
        11 => text("network.type", "ipv4"),
        _ => text("app.build.commit", {
            let mut commit = String::with_capacity(40);
            for part in 0..3 {
                push_hex(&mut commit, mix(pod.service.index as u64, part));
            }
            commit.truncate(40);
            commit
        }),
    }
}

/// What an agent copies from the pod to its spans.
fn deployment(place: usize, pod: &Pod) -> KeyValue {
    let service = pod.service;
    match place {
        13 => text("k8s.pod.label.app.kubernetes.io/name", service.name),
        14 => text("k8s.pod.label.app.kubernetes.io/part-of", "shop"),
        15 => text("k8s.pod.label.app.kubernetes.io/version", service.version),
        16 => text("k8s.pod.label.helm.sh/chart", format!("{}-{}", service.name, service.version)),
        17 => text("k8s.pod.annotation.owner", format!("team-{}@shop.example", service.team)),
        _ => text("k8s.pod.ip", pod.address.as_str()),
    }
}

/// What the application adds from the baggage of the request.
fn request(place: usize, pod: &Pod, subject: &Subject, dice: &mut Dice) -> KeyValue {
    match place {
        19 => text("session.id", {
            let mut session = String::with_capacity(16);
            push_hex(&mut session, subject.session);
            session
        }),
        20 => text("app.tenant.id", if subject.user.is_multiple_of(5) { "outlet" } else { "main" }),
        21 => {
            let arms = ["checkout-v2:b", "ranker:mlp", "free-shipping:off"];
            texts("app.experiments", arms.into_iter().map(str::to_owned))
        }
        22 => count("app.budget.remaining_ms", dice.around(1_800, 0.3)),
        _ => {
            let mut context = String::with_capacity(260);
            let _ = write!(
                context,
                "{{\"channel\":\"web\",\"locale\":\"de-DE\",\"currency\":\"EUR\",\"user\":{{\"id\":{},\"loggedIn\":{},\
                 \"segment\":\"{}\"}},\"device\":{{\"class\":\"{}\",\"touch\":false}},\"service\":\"{}\",\
                 \"features\":[\"new-price-box\",\"lazy-images\"]}}",
                subject.user,
                subject.logged_in,
                ["new", "regular", "vip"][(subject.user % 3) as usize],
                ["phone", "desktop", "tablet"][(mix(subject.user, 3) % 3) as usize],
                pod.service.name,
            );
            text("app.request.context", context)
        }
    }
}

/// What a commenting driver appends to statements so that the database's own log leads back to the trace.
fn comment_statement(span: &mut Span, pod: &Pod) -> i64 {
    let statement = span.attributes.iter_mut().find(|attribute| attribute.key == "db.query.text");
    let Some(Value::StringValue(statement)) =
        statement.and_then(|attribute| attribute.value.as_mut()).and_then(|value| value.value.as_mut())
    else {
        return 0;
    };
    let before = statement.len();
    let _ = write!(
        statement,
        " /*application='{0}',controller='{0}-repository',db_driver='pool:write-1',framework='shop-data:4.2',\
         route='{1}',traceparent='00-",
        pod.service.name, span.name
    );
    for byte in &span.trace_id {
        let _ = write!(statement, "{byte:02x}");
    }
    statement.push_str("-01'*/");
    (statement.len() - before) as i64
}

fn log_event(number: usize, span: &Span, pod: &Pod, subject: &Subject, dice: &mut Dice) -> Event {
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    let message = match number {
        0 => format!("handling {} for user {} in session of {}", span.name, subject.user, pod.service.team),
        1 => format!(
            "loaded state of product {} from the primary, {} keys",
            subject.product,
            3 + dice.below(9)
        ),
        2 => format!("pool {}: {} of 64 connections in use", pod.service.name, 1 + dice.below(40)),
        3 => "validated the request against schema 2025-11, no unknown fields".to_owned(),
        _ => format!("done with {}, {} bytes to write", span.name, dice.around(2_400, 0.8)),
    };
    Event {
        // Spread over the span, in order.
        time_unix_nano: start + end.saturating_sub(start) / (MOST_EVENTS as u64 + 1) * (number as u64 + 1),
        name: "log".to_owned(),
        attributes: vec![
            text("log.severity", if number == 2 { "DEBUG" } else { "INFO" }),
            text("log.logger", format!("com.example.shop.{}", pod.service.name)),
            text("log.message", message),
        ],
        dropped_attributes_count: 0,
    }
}
