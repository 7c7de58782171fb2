use proptest::prelude::*;
use siltstone_format::columns::SpanColumns;
use siltstone_format::invariants::check_f2;
use siltstone_format::origin::Entity;
use siltstone_format::origin::Origin;
use siltstone_format::span::Span;
use siltstone_testkit::{arbitrary, nasty};
use siltstone_tests::blocks::{columns_of, traffic_columns};

use super::*;

/// All batches of some columns, as bytes.
fn frames(columns: &SpanColumns) -> Vec<(Table, Frame)> {
    let origins = origins_batches(&columns.origins).map(|batch| (Table::Origins, batch.unwrap()));
    let mut batches: Vec<_> = origins.collect();
    let mut row = 0;
    while row < columns.len() {
        let (batch, after) = next_spans(columns, row).unwrap();
        assert_eq!(after - row, batch.num_rows());
        batches.push((Table::Spans, batch));
        row = after;
    }
    batches.iter().map(|(table, batch)| (*table, Frame::encode(batch).unwrap())).collect()
}

fn receive(frames: &[(Table, Frame)]) -> Result<SpanColumns, BatchError> {
    let mut assembly = Assembly::default();
    for (table, frame) in frames {
        let batch = frame.decode(*table)?;
        match table {
            Table::Origins => assembly.add_origins(&batch)?,
            Table::Spans => assembly.add_spans(&batch)?,
        }
    }
    Ok(assembly.finish())
}

fn check_round_trip(columns: &SpanColumns) {
    let received = receive(&frames(columns)).unwrap();
    let (before, after) = (columns.spans().unwrap(), received.spans().unwrap());
    check_f2(&before, &after).unwrap();
    // Row by row too: the order stays.
    let ids = |spans: &[Span]| spans.iter().map(|span| (span.trace_id, span.span_id)).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
}

#[test]
fn should_give_back_what_hurts() {
    for (name, request) in nasty::named() {
        println!("{name}");
        check_round_trip(&columns_of([&request]).unwrap());
    }
    check_round_trip(&columns_of(&nasty::requests()).unwrap());
}

#[test]
fn should_give_back_traffic_in_several_batches() {
    let columns = traffic_columns(5_000, 600, 7).unwrap();
    let frames = frames(&columns);
    let spans = frames.iter().filter(|(table, _)| *table == Table::Spans).count();
    assert!(spans >= 5, "{spans} batches");
    let bytes: usize = frames.iter().map(|(_, frame)| frame.head.len() + frame.body.len()).sum();
    println!("{} bytes a span", bytes / columns.len());
    assert!(bytes / columns.len() < 1_500);
    check_round_trip(&columns);
}

#[test]
fn should_cut_batches_by_bytes() {
    let mut columns = SpanColumns::default();
    let wide = Span { name: "x".repeat(100_000), ..Span::default() };
    (0..10).for_each(|_| columns.push(&wide).unwrap());
    assert_eq!(frames(&columns).len(), 1 + 4);
    check_round_trip(&columns);
}

#[test]
fn should_give_back_entities_and_more_origins_than_a_batch_holds() {
    let entity = |number: usize| Entity {
        schema_url: "u".to_owned(),
        kind: "host".to_owned(),
        id_keys: vec![format!("{number}"), "x".repeat(1_000)],
        description_keys: vec![String::new()],
    };
    let mut columns = SpanColumns::default();
    for number in 0..600 {
        let origin = Origin { entities: vec![entity(number), entity(0)], ..Origin::default() };
        columns.push(&Span { origin: origin.into(), ..Span::default() }).unwrap();
    }
    let origins = frames(&columns).iter().filter(|(table, _)| *table == Table::Origins).count();
    assert!(origins > 1);
    check_round_trip(&columns);
}

#[test]
fn should_refuse_a_span_without_its_origin() {
    let mut columns = SpanColumns::default();
    columns.push(&Span::default()).unwrap();
    let mut frames = frames(&columns);
    frames.remove(0);
    assert!(matches!(receive(&frames), Err(BatchError::Damaged("a span of an origin that was not sent"))));
}

#[test]
fn should_refuse_a_batch_of_the_other_table() {
    let columns = columns_of(&nasty::requests()).unwrap();
    for (table, frame) in frames(&columns) {
        let other = if table == Table::Spans { Table::Origins } else { Table::Spans };
        assert!(frame.decode(other).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn should_give_back_any_spans(requests in arbitrary::arbitrary_requests()) {
        check_round_trip(&columns_of(&requests).unwrap());
    }

    /// Whatever a peer sends, the worst is an error or other spans.
    #[test]
    fn should_survive_damage(
        requests in arbitrary::arbitrary_requests(),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut frames = frames(&columns_of(&requests).unwrap());
        if frames.is_empty() {
            return Ok(());
        }
        for (frame, in_head, at, byte) in wounds {
            let index = frame.index(frames.len());
            let frame = &mut frames[index].1;
            let part = if in_head { &mut frame.head } else { &mut frame.body };
            let mut bytes = part.to_vec();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            *part = bytes.into();
        }
        if let Ok(columns) = receive(&frames) {
            let _ = columns.spans();
        }
    }
}
