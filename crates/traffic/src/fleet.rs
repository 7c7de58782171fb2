//! The pods that run the services: their resources, their clocks, and which of them takes a request.

use std::ops::Range;

use opentelemetry_proto::tonic::{common::v1::KeyValue, resource::v1::Resource};

use crate::attributes::{count, text, texts};
use crate::config::TrafficConfig;
use crate::dice::{Dice, mix};
use crate::services::{Language, SERVICES, Service};

const NODES: u64 = 42;
const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];
/// Spans per second at which one more pod is worth having.
const BUSY_SPANS_PER_POD: f64 = 8.0;
/// How long the same part of a half idle fleet stays the busy one.
const SHIFT_NANOS: u64 = 120_000_000_000;

pub(crate) struct Pod {
    pub(crate) service: &'static Service,
    pub(crate) resource: Resource,
    pub(crate) address: String,
    /// What its clock is off by.
    pub(crate) skew_nanos: i64,
    /// Differs from pod to pod, so that they do not all export at once.
    pub(crate) phase: u64,
}

pub(crate) struct Fleet {
    pub(crate) pods: Vec<Pod>,
    ranges: Vec<Range<usize>>,
    busy_share: f64,
}

impl Fleet {
    pub(crate) fn new(config: &TrafficConfig) -> Self {
        // A stream of its own: the fleet stays the same when traces are made differently.
        let mut dice = Dice::new(mix(config.seed, 0xf1ee7));
        let mut pods = Vec::new();
        let mut ranges = Vec::new();
        for service in SERVICES {
            let first = pods.len();
            let replica_set = name_part(&mut dice, 10);
            for replica in 0..service.replicas {
                pods.push(pod(service, replica, &replica_set, config.shares.skewed_pods, &mut dice));
            }
            ranges.push(first..pods.len());
        }
        let busy_share = (config.span_rate / (pods.len() as f64 * BUSY_SPANS_PER_POD)).clamp(0.0, 1.0);
        Self { pods, ranges, busy_share }
    }

    /// Any busy pod of the service.
    pub(crate) fn choose(&self, service: &Service, at: u64, dice: &mut Dice) -> usize {
        let range = &self.ranges[service.index];
        let replicas = range.len() as u64;
        let busy = ((replicas as f64 * self.busy_share).ceil() as u64).clamp(1, replicas);
        let shift = at / SHIFT_NANOS * busy;
        range.start + ((shift + dice.below(busy)) % replicas) as usize
    }
}

fn pod(service: &'static Service, replica: u16, replica_set: &str, skewed: f64, dice: &mut Dice) -> Pod {
    let node = dice.below(NODES);
    let name = format!("{}-{replica_set}-{}", service.name, name_part(dice, 5));
    let address = format!("10.{}.{}.{}", 32 + node, replica / 200, 10 + dice.below(240));
    // Mostly a few milliseconds, now and then whole seconds, to either side.
    let skew = if dice.chance(skewed) { dice.around(60_000_000, 1.6).min(8_000_000_000) as i64 } else { 0 };
    let skew_nanos = if dice.percent(50) { skew } else { -skew };
    let resource = Resource {
        attributes: attributes(service, &name, node, replica, dice),
        dropped_attributes_count: 0,
        entity_refs: Vec::new(),
    };
    Pod { service, resource, address, skew_nanos, phase: dice.bits() }
}

fn attributes(service: &Service, pod: &str, node: u64, replica: u16, dice: &mut Dice) -> Vec<KeyValue> {
    // A rollout is under way in some services: a part of their pods runs the version before.
    let previous = service.index % 4 == 1 && replica.is_multiple_of(4);
    let version = if previous { format!("{}-rc1", service.version) } else { service.version.to_owned() };
    let (language, sdk) = sdk(service);
    let instance = dice.trace_id();
    vec![
        text("service.name", service.name),
        text("service.version", version),
        text("service.namespace", service.team),
        text("service.instance.id", uuid(instance)),
        text("k8s.pod.name", pod),
        text("k8s.namespace.name", "shop"),
        text("k8s.node.name", format!("ip-10-{}-0-17.ec2.internal", 32 + node)),
        text("k8s.deployment.name", service.name),
        text("host.name", pod),
        text("cloud.region", "eu-central-1"),
        text("cloud.availability_zone", ZONES[(node % 3) as usize]),
        text("deployment.environment.name", "production"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", language),
        text("telemetry.sdk.version", sdk),
        count("process.pid", if service.language == Language::Java { 1 } else { 7 + dice.below(40) }),
        texts("process.command_args", command(service)),
    ]
}

fn sdk(service: &Service) -> (&'static str, &'static str) {
    match (service.language, service.old_sdk) {
        (Language::Go, _) => ("go", "1.39.0"),
        (Language::Java, false) => ("java", "1.57.0"),
        (Language::Java, true) => ("java", "1.31.0"),
        (Language::Node, false) => ("nodejs", "2.2.0"),
        (Language::Node, true) => ("nodejs", "1.17.0"),
        (Language::Python, _) => ("python", "1.38.0"),
        (Language::DotNet, _) => ("dotnet", "1.13.1"),
        (Language::Rust, _) => ("rust", "0.31.0"),
    }
}

fn command(service: &Service) -> Vec<String> {
    let name = service.name;
    match service.language {
        Language::Java => vec!["java".into(), "-jar".into(), format!("/app/{name}.jar")],
        Language::Node => vec!["node".into(), "--enable-source-maps".into(), "server.js".into()],
        Language::Python => vec!["python".into(), "-m".into(), name.replace('-', "_")],
        Language::DotNet => vec!["dotnet".into(), format!("{name}.dll")],
        Language::Go | Language::Rust => vec![format!("/usr/local/bin/{name}")],
    }
}

/// The random part of a pod's name, in the alphabet that Kubernetes uses for it.
fn name_part(dice: &mut Dice, length: usize) -> String {
    (0..length).map(|_| char::from(*dice.pick(b"bcdfghjklmnpqrstvwxz2456789"))).collect()
}

pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    text
}
