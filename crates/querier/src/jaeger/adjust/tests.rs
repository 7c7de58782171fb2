use std::sync::Arc;

use siltstone_format::id::SpanId;
use siltstone_format::origin::Origin;
use siltstone_format::span::{Event, Link};

use super::*;

const ADJUSTED: Reading = Reading::Adjusted { max_clock_skew: Duration::ZERO };

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Value::Str(value.to_owned()))
}

fn of_host(name: &str) -> Arc<Origin> {
    Arc::new(Origin { resource_attributes: vec![text("host.name", name)], ..Origin::default() })
}

fn span(id: u8, parent: Option<u8>, times: (u64, u64)) -> Span {
    let id_of = |number: u8| SpanId([number; 8]);
    Span {
        span_id: id_of(id),
        parent_span_id: parent.map(id_of),
        start_unix_nano: times.0,
        end_unix_nano: times.1,
        ..Span::default()
    }
}

/// In pieces of so many spans.
fn adjusted_by(size: usize, spans: Vec<Span>, reading: Reading) -> Vec<Piece> {
    let (mut adjuster, mut ready) = (Adjuster::new(reading), Vec::new());
    let pieces = spans.len().div_ceil(size);
    for (number, spans) in spans.chunks(size).enumerate() {
        let is_last = number + 1 == pieces;
        ready.extend(adjuster.add(Piece { spans: spans.to_vec(), is_last, ..Piece::default() }));
    }
    assert!(adjuster.held.is_empty());
    ready
}

fn adjusted(spans: Vec<Span>, reading: Reading) -> Vec<Span> {
    adjusted_by(2, spans, reading).into_iter().flat_map(|piece| piece.spans).collect()
}

fn warnings(span: &Span) -> Vec<&str> {
    let found = span.attributes.iter().find(|attribute| is_warnings(attribute));
    let Some(Value::Array(items)) = found.map(|attribute| &attribute.value) else { return Vec::new() };
    items
        .iter()
        .map(|item| if let Value::Str(text) = item { text.as_str() } else { panic!("{item:?}") })
        .collect()
}

#[test]
fn should_sort_attributes_and_events_and_spell_addresses() {
    let event = |name: &str| Event { name: name.to_owned(), ..Event::default() };
    let sent = Span {
        attributes: vec![
            text("z", "1"),
            attribute("peer.ipv4", Value::Int(0x7f00_0001)),
            attribute("ip", Value::Int(-1)),
            attribute("other", Value::Int(7)),
        ],
        events: vec![event("b"), event("a")],
        origin: Arc::new(Origin {
            resource_attributes: vec![attribute("ip", Value::Double(16_909_060.0))],
            ..Origin::default()
        }),
        ..Span::default()
    };
    assert_eq!(adjusted(vec![sent.clone()], Reading::Raw), std::slice::from_ref(&sent));
    let seen = adjusted(vec![sent], ADJUSTED).remove(0);
    let expected = [
        text("ip", "255.255.255.255"),
        attribute("other", Value::Int(7)),
        text("peer.ipv4", "127.0.0.1"),
        text("z", "1"),
    ];
    assert_eq!(seen.attributes, expected);
    assert_eq!(seen.origin.resource_attributes, [text("ip", "1.2.3.4")]);
    assert_eq!(seen.events, [event("a"), event("b")]);
}

#[test]
fn should_leave_numbers_that_are_no_addresses() {
    let sent = Span {
        attributes: vec![attribute("ip", Value::Int(1 << 32)), attribute("peer.ipv4", Value::Double(1.5))],
        ..Span::default()
    };
    assert_eq!(adjusted(vec![sent.clone()], ADJUSTED), [sent]);
}

#[test]
fn should_move_what_is_said_of_the_sdk_to_the_resource() {
    let origin = Arc::new(Origin {
        resource_attributes: vec![text("telemetry.sdk.name", "otel")],
        ..Origin::default()
    });
    let sent = Span {
        attributes: vec![
            text("telemetry.sdk.name", "otel"),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.distro.name", "x"),
        ],
        origin: Arc::clone(&origin),
        ..Span::default()
    };
    let other = Span {
        attributes: vec![text("telemetry.sdk.name", "other"), text("a", "b")],
        origin: Arc::clone(&origin),
        ..Span::default()
    };
    let seen = adjusted_by(3, vec![sent.clone(), sent, other], ADJUSTED).remove(0).spans;
    assert!(seen[0].attributes.is_empty());
    let expected = [
        text("telemetry.sdk.name", "otel"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.distro.name", "x"),
    ];
    assert_eq!(seen[0].origin.resource_attributes, expected);
    assert!(Arc::ptr_eq(&seen[0].origin, &seen[1].origin));
    assert!(Arc::ptr_eq(&seen[2].origin, &origin));
    assert!(seen[2].attributes.contains(&text("telemetry.sdk.name", "other")));
    let expected = ["conflicting values between Span and Resource for attribute telemetry.sdk.name"];
    assert_eq!(warnings(&seen[2]), expected);
}

#[test]
fn should_drop_links_to_nothing_and_say_so() {
    let link = Link { trace_id: TraceId([1; 16]), ..Link::default() };
    let old = attribute(WARNINGS, Value::Array(vec![Value::Str("old".to_owned())]));
    let sent = Span { links: vec![Link::default(), link.clone()], attributes: vec![old], ..Span::default() };
    let seen = adjusted(vec![sent], ADJUSTED).remove(0);
    assert_eq!(seen.links, [link]);
    assert_eq!(warnings(&seen), ["old", "Invalid span link removed"]);
}

#[test]
fn should_give_the_servers_half_of_a_shared_id_one_of_its_own() {
    let of_kind = |kind: i32, span: Span| Span { kind, ..span };
    let spans = vec![
        of_kind(1, span(9, None, (0, 100))),
        of_kind(3, span(7, Some(9), (10, 50))),
        of_kind(2, span(7, Some(9), (20, 40))),
        of_kind(1, span(8, Some(7), (25, 30))),
        // Takes the first number that would be given.
        Span { span_id: SpanId(1_u64.to_be_bytes()), ..span(5, Some(8), (26, 27)) },
    ];
    let seen = adjusted(spans, ADJUSTED);
    let own = SpanId(2_u64.to_be_bytes());
    assert_eq!((seen[1].span_id, seen[1].parent_span_id), (SpanId([7; 8]), Some(SpanId([9; 8]))));
    assert_eq!((seen[2].span_id, seen[2].parent_span_id), (own, Some(SpanId([7; 8]))));
    assert_eq!(seen[3].parent_span_id, Some(own));
    assert_eq!(seen[4].parent_span_id, Some(SpanId([8; 8])));
}

#[test]
fn should_bring_clocks_together_only_if_that_is_wanted() {
    let (one, other) = (of_host("one"), of_host("other"));
    let on = |origin: &Arc<Origin>, span: Span| Span { origin: Arc::clone(origin), ..span };
    let event = Event { time_unix_nano: 1_020, ..Event::default() };
    let spans = vec![
        on(&one, span(1, None, (100, 200))),
        // Fits into the middle of its parent once it is moved by -880.
        Span { events: vec![event], ..on(&other, span(2, Some(1), (1_000, 1_060))) },
        // Goes with its parent, as it has the same clock.
        on(&other, span(3, Some(2), (1_010, 1_020))),
        // Fits already.
        on(&other, span(4, Some(1), (150, 160))),
        // Lasts longer than its parent.
        on(&other, span(5, Some(1), (50, 300))),
        on(&one, span(6, Some(99), (5, 6))),
        on(&one, span(6, None, (5, 6))),
    ];
    assert_eq!(adjusted(spans.clone(), ADJUSTED), spans);
    let seen = adjusted(spans.clone(), Reading::Adjusted { max_clock_skew: Duration::from_secs(1) });
    let times: Vec<(u64, u64)> = seen.iter().map(|span| (span.start_unix_nano, span.end_unix_nano)).collect();
    let expected = [(100, 200), (120, 180), (130, 140), (150, 160), (100, 350), (5, 6), (5, 6)];
    assert_eq!(times, expected);
    assert_eq!(seen[1].events[0].time_unix_nano, 140);
    assert_eq!(warnings(&seen[1]), ["This span's timestamps were adjusted by -880ns"]);
    assert!(warnings(&seen[3]).is_empty());
    let expected = "parent span ID=6363636363636363 is not in the trace; skipping clock skew adjustment";
    assert_eq!(warnings(&seen[5]), [expected]);
    assert_eq!(warnings(&seen[6]), ["duplicate span IDs; skipping clock skew adjustment"]);

    let seen = adjusted(spans, Reading::Adjusted { max_clock_skew: Duration::from_nanos(879) });
    assert_eq!((seen[1].start_unix_nano, seen[4].start_unix_nano), (1_000, 100));
    let expected =
        "max clock skew adjustment delta of 879ns exceeded; not applying calculated delta of -880ns";
    assert_eq!(warnings(&seen[1]), [expected]);
}

#[test]
fn should_let_large_traces_pass_and_say_so() {
    let mut spans: Vec<Span> = (0..MOST_SPANS as u64 + 1_000)
        .map(|id| Span { span_id: SpanId((id + 10).to_be_bytes()), ..Span::default() })
        .collect();
    for (place, kind) in [(0, 3), (5_999, 2)] {
        (spans[place].span_id, spans[place].kind) = (SpanId([7; 8]), kind);
    }
    let pieces = adjusted_by(1_000, spans.clone(), ADJUSTED);
    assert_eq!(pieces.len(), 6);
    assert!(pieces[0].warnings[0].contains("more than 5000 spans"), "{:?}", pieces[0].warnings);
    assert_eq!(pieces.iter().map(|piece| piece.warnings.len()).sum::<usize>(), 1);
    assert_eq!(pieces.into_iter().flat_map(|piece| piece.spans).collect::<Vec<_>>(), spans);
}

#[test]
fn should_hold_back_one_trace_at_a_time() {
    let (mut adjuster, mut ready) = (Adjuster::new(ADJUSTED), Vec::new());
    let piece = |number: u8, is_last| Piece {
        trace: TraceId([number; 16]),
        spans: vec![span(1, None, (1, 2))],
        is_last,
        ..Piece::default()
    };
    let mut after = Vec::new();
    for (number, is_last) in [(1, false), (1, true), (2, true), (3, false)] {
        ready.extend(adjuster.add(piece(number, is_last)));
        after.push(ready.len());
    }
    assert_eq!(after, [0, 2, 3, 3]);
}
