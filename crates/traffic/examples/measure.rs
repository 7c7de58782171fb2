//! Prints what a run comes to: `measure [spans] [bytes a span] [spans per second]`.

use std::time::{Duration, Instant};

use prost::Message;
use siltstone_traffic::{Profile, Traffic, TrafficConfig, measure::Measured};

#[expect(clippy::disallowed_methods, reason = "measures how fast the generator really is")]
fn main() {
    let argument = |place: usize| std::env::args().nth(place).and_then(|text| text.parse::<u32>().ok());
    let config = TrafficConfig {
        spans: argument(1).unwrap_or(1_000_000) as usize,
        profile: Profile::with_bytes_per_span(argument(2).unwrap_or(280)),
        span_rate: f64::from(argument(3).unwrap_or(6_000)),
        ..TrafficConfig::default()
    };
    let mut measured = Measured::default();
    let mut compressed = 0;
    let mut generation = Duration::ZERO;
    let mut span = (u64::MAX, 0);
    let mut traffic = Traffic::new(config);
    loop {
        let before = Instant::now();
        let Some(batch) = traffic.next() else { break };
        generation += before.elapsed();
        measured.count(&batch);
        compressed += zstd::bulk::compress(&batch.request.encode_to_vec(), 3).map_or(0, |bytes| bytes.len());
        span = (span.0.min(batch.sent_unix_nano), span.1.max(batch.sent_unix_nano));
    }
    report(&measured, compressed, generation, (span.1 - span.0) as f64 / 1e9);
}

fn report(measured: &Measured, compressed: usize, generation: Duration, seconds: f64) {
    let spans = measured.spans as f64;
    let sizes = measured.trace_sizes();
    let at = |share: f64| sizes.get((sizes.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("spans                   {}", measured.spans);
    println!("requests                {} over {seconds:.0} s", measured.requests);
    println!("bytes a span            {:.1}", measured.bytes_per_span());
    println!("zstd-3 bytes a span     {:.2}", compressed as f64 / spans);
    println!("distinct values a span  {:.4}", measured.distinct_values_per_span());
    println!("attributes a span       {:.2}", measured.attributes as f64 / spans);
    println!("attribute keys          {}", measured.distinct_by_key().len());
    println!("events a span           {:.3}", measured.events as f64 / spans);
    println!("links, errors           {}, {}", measured.links, measured.errors);
    println!(
        "traces                  {}, {:.2} spans each",
        measured.traces(),
        spans / measured.traces() as f64
    );
    println!("traces with HTTP 500    {}", measured.traces_with_500.len());
    println!(
        "trace sizes             p10 {} p50 {} p90 {} p99 {} p99.9 {} max {}",
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        sizes.last().copied().unwrap_or_default()
    );
    println!("pods                    {}", measured.pods());
    println!("spans a resource        {:.1}", spans / measured.resources as f64);
    println!("spans by writer         {:?}", measured.spans_by_writer);
    for (key, values) in measured.distinct_by_key() {
        println!("    {key:36} {values}");
    }
    println!("generated               {:.0} spans/s", spans / generation.as_secs_f64());
}
