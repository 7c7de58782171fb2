//! What spans take in the store, as tables for people or as JSON.

use std::cmp::Reverse;
use std::fmt::{self, Write};
use std::sync::Arc;

use siltstone_catalog::snapshot::Cover;
use siltstone_catalog::time::Clock;
use siltstone_querier::http::usage::{as_json, name_of, time_of};
use siltstone_querier::querier::Answer;
use siltstone_querier::usage::{Part, Usage, UsageOf, class_of};

use crate::delete::tenants_in;
use crate::parts::{StartError, failed, shared_with_catalog};
use crate::query::querier_without_ports;
use crate::settings::Resolved;

/// Of services and of attributes so many are shown: the dearest.
const MOST_LINES: usize = 50;

const WHAT_IS_COUNTED: &str = "\
What lies in blocks is counted, with what is stored twice or hidden and not taken out yet; spans that are in no block
yet are left out. Bytes are those of the store. A service has its share of each block's bytes by its spans, attributes
without a column of their own have theirs by their number: about.
";

/// Says what a tenant's spans take in the store.
pub async fn usage(
    settings: &Resolved,
    clock: Arc<dyn Clock>,
    of: UsageOf,
    json: bool,
) -> Result<String, StartError> {
    let shared = shared_with_catalog(settings, clock).await?;
    let querier = querier_without_ports(settings, &shared)?;
    let answer = querier.usage(&of).await.map_err(failed)?;
    if json {
        return Ok(format!("{:#}\n", as_json(&answer)));
    }
    let mut text = format!("tenant `{}`: {}", of.tenant, AsText(&answer));
    if answer.content.blocks == 0 {
        let snapshot = shared.catalog.snapshot(&Cover::default()).await.map_err(failed)?;
        let _ = writeln!(text, "The store has {}.", tenants_in(&snapshot));
    }
    Ok(text)
}

struct AsText<'a>(&'a Answer<Usage>);

impl fmt::Display for AsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, gaps) = (&self.0.content, &self.0.gaps);
        let all = usage.total.bytes;
        writeln!(f, "{} spans in {} blocks, {}", usage.total.spans, usage.blocks, size(all))?;
        f.write_str(WHAT_IS_COUNTED)?;

        let mut classes = Table::new(["day", "kept for", "until", "spans", "bytes", "share"]);
        for ((section, until), amount) in &usage.by_class {
            let day = section.day().map_or("not merged".to_owned(), |day| day.to_string());
            let (kept, gone) = match (class_of(*section, *until), until) {
                (Some(keep), Some(until)) => (keep.to_string(), time_of(*until).unwrap_or_default()),
                (None, Some(until)) => (String::new(), time_of(*until).unwrap_or_default()),
                (_, None) => ("undecided".to_owned(), String::new()),
            };
            let spans = amount.spans.to_string();
            classes.add([day, kept, gone, spans, size(amount.bytes), share(amount.bytes, all)]);
        }
        classes.write(f, usize::MAX)?;

        let mut services: Vec<_> = usage.by_service.iter().collect();
        services.sort_by_key(|(name, amount)| (Reverse(amount.bytes), *name));
        let further = usage.further_services;
        let mut table = Table::new(["service", "spans", "bytes", "share"]);
        for (name, amount) in services {
            table.add([shown(name), amount.spans.to_string(), size(amount.bytes), share(amount.bytes, all)]);
        }
        if further.spans > 0 {
            let name = "(further services)".to_owned();
            table.add([name, further.spans.to_string(), size(further.bytes), share(further.bytes, all)]);
        }
        table.write(f, MOST_LINES)?;

        let mut parts: Vec<_> = usage.by_part.iter().collect();
        parts.sort_by_key(|(part, amount)| (Reverse(amount.bytes), *part));
        let mut attributes = Table::new(["attribute", "values", "bytes", "share"]);
        let mut others = Table::new(["what else", "values", "bytes", "share"]);
        for (part, amount) in parts {
            let table = if matches!(part, Part::Attribute(_)) { &mut attributes } else { &mut others };
            let values = amount.values.to_string();
            table.add([shown(name_of(part)), values, size(amount.bytes), share(amount.bytes, all)]);
        }
        attributes.write(f, MOST_LINES)?;
        others.write(f, usize::MAX)?;

        if usage.unread.bytes > 0 {
            let unread = usage.unread;
            writeln!(
                f,
                "\nNOT READ: {} spans with {} are counted by day, and not by service and attribute",
                unread.spans,
                size(unread.bytes)
            )?;
        }
        gaps.iter().try_for_each(|gap| writeln!(f, "PARTIAL: {gap}"))
    }
}

/// Rows under names of columns, of which the first are texts and the last numbers.
struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

/// Columns on the right that are aligned to it.
const NUMBERS: usize = 3;

impl<const COLUMNS: usize> Table<COLUMNS> {
    fn new(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    fn add(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    /// Nothing if there are no rows.
    fn write(&self, f: &mut fmt::Formatter<'_>, most: usize) -> fmt::Result {
        if self.rows.len() < 2 {
            return Ok(());
        }
        let shown = &self.rows[..self.rows.len().min(most.saturating_add(1))];
        let width = |column: usize| shown.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        writeln!(f)?;
        for row in shown {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = width(column);
                match column + NUMBERS >= COLUMNS {
                    true => write!(line, "{cell:>width$}  ")?,
                    false => write!(line, "{cell:<width$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match self.rows.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more: --json has all of them"),
        }
    }
}

/// Names come from senders: they must not move a terminal's cursor.
fn shown(name: &str) -> String {
    match name {
        "" => "\"\"".to_owned(),
        name => name
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
            .collect(),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1_000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1_000.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn share(bytes: u64, all: u64) -> String {
    match all {
        0 => String::new(),
        all => format!("{:.1} %", bytes as f64 * 100.0 / all as f64),
    }
}

#[cfg(test)]
mod tests {
    use siltstone_querier::cost::CostReport;
    use siltstone_querier::usage::{Amount, PartAmount};

    use super::*;

    #[test]
    fn should_show_the_dearest_first_and_say_what_it_lacks() {
        let mut usage =
            Usage { blocks: 3, total: Amount { spans: 2_000, bytes: 100_000 }, ..Usage::default() };
        for number in 0..60 {
            let amount = Amount { spans: 10, bytes: 1_000 + number };
            usage.by_service.insert(format!("service {number}"), amount);
        }
        usage
            .by_part
            .insert(Part::Attribute("a\u{1b}[2J".to_owned()), PartAmount { values: 7, bytes: 50_000 });
        usage.by_part.insert(Part::Filters, PartAmount { values: 0, bytes: 999 });
        usage.unread = Amount { spans: 5, bytes: 1_234_567 };
        let gaps = vec!["block 01 cannot be read: it is gone".to_owned()];
        let text = AsText(&Answer { content: usage, gaps, cost: CostReport::default() }).to_string();
        let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap_or(usize::MAX);
        assert!(
            line("service 59 ") < line("service 58 ") && line("service 58 ") < line("and 10 more"),
            "{text}"
        );
        assert_eq!(line("service 9 "), usize::MAX, "{text}");
        assert!(text.contains("a\\u{1b}[2J       7  50.0 kB  50.0 %"), "{text}");
        assert!(text.contains("filters         0  999 B  1.0 %"), "{text}");
        assert!(
            text.contains("NOT READ: 5 spans with 1.2 MB") && text.contains("PARTIAL: block 01"),
            "{text}"
        );
    }

    #[test]
    fn should_write_sizes_for_people() {
        let sizes = [0, 999, 1_000, 999_949, 999_950, 45_600_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "45.6 MB", "18.4 EB"]);
    }
}
