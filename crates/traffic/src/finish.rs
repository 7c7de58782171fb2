//! The last touch to every span: ids, the pod's own clock, flags, and what a rich profile adds.

use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};

use crate::fleet::Pod;
use crate::services::Language;
use crate::trace::{Draft, Emitted, Parent, Weaver};

const SAMPLED: u32 = 0x1;
const KNOWS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

impl Weaver {
    /// Hands the span over; `error` = the status message of a failed one.
    pub(crate) fn finish(&mut self, draft: Draft, error: Option<&str>) {
        let pod = &self.fleet.pods[draft.here.pod];
        let (parent_span_id, flags) = match draft.parent {
            Parent::None => (Vec::new(), SAMPLED | KNOWS_IS_REMOTE),
            Parent::Local(id) => (id.to_vec(), SAMPLED | KNOWS_IS_REMOTE),
            Parent::Remote(id, _) => (id.to_vec(), SAMPLED | KNOWS_IS_REMOTE | IS_REMOTE),
        };
        let mut span = Span {
            trace_id: self.trace.id.to_vec(),
            span_id: draft.here.span_id.to_vec(),
            trace_state: self.trace.state.to_owned(),
            parent_span_id,
            flags: if pod.service.old_sdk { SAMPLED } else { flags },
            name: draft.name,
            kind: draft.kind as i32,
            start_time_unix_nano: pod.read_clock(draft.start),
            end_time_unix_nano: pod.read_clock(draft.end),
            attributes: draft.attributes,
            // Attribute limits are rarely hit.
            dropped_attributes_count: u32::from(self.dice.chance(0.000_3)) * 2,
            events: draft.events,
            links: draft.links,
            status: error
                .map(|message| Status { message: message.to_owned(), code: StatusCode::Error as i32 }),
            ..Span::default()
        };
        for event in &mut span.events {
            event.time_unix_nano = pod.read_clock(event.time_unix_nano);
        }
        self.enricher.enrich(&mut span, pod, &self.subject, &mut self.dice);
        let (pod, instrument) = (draft.here.pod, draft.instrument);
        self.trace.spans.push(Emitted { pod, instrument, ended: draft.end, span });
    }
}

impl Pod {
    /// What the pod believes the time to be, in the steps of its runtime's clock.
    fn read_clock(&self, at: u64) -> u64 {
        let step = match self.service.language {
            Language::Node => 1_000,
            Language::DotNet => 100,
            _ => 1,
        };
        at.saturating_add_signed(self.skew_nanos) / step * step
    }
}
