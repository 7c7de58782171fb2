//! What columns say of their memory is what an allocator is asked for that has to hold just what is in them.

#![expect(clippy::expect_used, reason = "a test that fails says so by a panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use siltstone_format::columns::SpanColumns;
use siltstone_format::id::{SpanId, TraceId};
use siltstone_format::origin::Origin;
use siltstone_format::span::{Event, Link, Span};
use siltstone_format::value::{Attribute, Value};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts the bytes that each thread holds.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends frees what it has no counter for any more.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value }
}

fn usual(number: u64) -> Span {
    Span {
        trace_id: TraceId(u128::from(number / 10).to_be_bytes()),
        span_id: SpanId(number.to_be_bytes()),
        name: format!("GET /{}", number % 50),
        attributes: vec![
            attribute("route", Value::Str(format!("/{}", number % 50))),
            attribute("id", Value::Str(format!("message-{number}"))),
            attribute("status", Value::Int(200)),
            attribute("ratio", Value::Double(0.5)),
        ],
        events: (number.is_multiple_of(7))
            .then(|| Event { name: "exception".to_owned(), ..Event::default() })
            .into_iter()
            .collect(),
        links: (number.is_multiple_of(11)).then(Link::default).into_iter().collect(),
        origin: Arc::new(Origin {
            resource_attributes: vec![attribute("service.name", Value::Str(format!("s{}", number % 20)))],
            ..Origin::default()
        }),
        ..Span::default()
    }
}

/// Each with something that costs memory elsewhere.
fn many_keys(number: u64) -> Span {
    Span { attributes: vec![attribute(&format!("key {number}"), Value::Int(1))], ..usual(number) }
}

fn many_origins(number: u64) -> Span {
    let origin = Origin {
        resource_attributes: vec![
            attribute("pod", Value::Str(format!("pod-{number}"))),
            attribute("list", Value::Array(vec![Value::Int(1), Value::Str("x".repeat(20))])),
        ],
        scope_name: "scope".to_owned(),
        ..Origin::default()
    };
    Span { origin: Arc::new(origin), ..usual(number) }
}

fn assert_tells_its_memory(what: &str, spans: u64, of: fn(u64) -> Span) {
    let before = HELD.with(Cell::get);
    let mut grown = SpanColumns::default();
    (0..spans).for_each(|number| grown.push(&of(number)).expect("is acceptable"));
    // A copy has as much as is filled, and no more.
    let columns = grown.clone();
    drop(grown);
    let held = (HELD.with(Cell::get) - before).cast_unsigned();
    let told = columns.memory_bytes();
    println!("{what}, {spans}: told {told}, held {held}");
    assert!(told * 10 >= held * 9 && told * 10 <= held * 11, "{what}, {spans}: told {told}, held {held}");
}

#[test]
fn should_tell_how_much_memory_columns_hold() {
    for spans in [1, 100, 3_000, 50_000] {
        assert_tells_its_memory("usual", spans, usual);
        assert_tells_its_memory("many keys", spans, many_keys);
        assert_tells_its_memory("many origins", spans, many_origins);
    }
}

#[test]
fn should_take_no_memory_for_room_until_it_is_filled() {
    let mut columns = SpanColumns::default();
    (0..10_000).for_each(|number| columns.push(&usual(number)).expect("is acceptable"));
    let told = columns.memory_bytes();
    columns.make_room(10);
    // What was a part of a page may be a whole one now.
    assert!(columns.memory_bytes() < told + told / 20, "{} after {told}", columns.memory_bytes());
    let held = HELD.with(Cell::get);
    (10_000..90_000).for_each(|number| columns.push(&usual(number)).expect("is acceptable"));
    // Tables of texts grow on; nothing else does.
    let grown = (HELD.with(Cell::get) - held).cast_unsigned();
    assert!(grown < 4 << 20, "{grown} bytes were asked for");
}
