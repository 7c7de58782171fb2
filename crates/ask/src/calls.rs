//! Who calls whom: calls, errors and durations between services, and from them to databases, queues and others.
//!
//! A caller is known by its id, so traces must be whole.

use std::collections::{BTreeMap, HashMap};

use siltstone_format::block::parts::{AttributeParts, Parts};
use siltstone_format::columns::SpanColumns;
use siltstone_format::id::SpanId;
use siltstone_format::value::{Attribute, Value, ValueError};

use crate::red::{Red, Steps};
use crate::slice::{At, Slice};
use crate::window::Window;

/// OTLP's numbers of kinds.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// Attributes that name a database, and a queue.
const DATABASE: [&str; 2] = ["db.system.name", "db.system"];
const MESSAGING: &str = "messaging.system";
/// Attributes that name whoever was called; the first one that is there.
const PEER: [&str; 4] = ["peer.service", "server.address", "net.peer.name", "network.peer.address"];

/// From one that calls to one that is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// A service.
    pub caller: String,
    /// A service, unless the kind says otherwise.
    pub callee: String,
    pub kind: EdgeKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    Service,
    /// Through a system, as far as it is named. Without a consumer's span the callee is the system.
    Messaging {
        system: String,
    },
    /// The callee is the name of a system: `postgresql`.
    Database,
    /// Something that sends no spans, by what its caller says; without a name if it says nothing.
    Peer,
}

/// Calls in steps of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// By edge, and when the step begins.
    pub edges: BTreeMap<(Edge, u64), Red>,
    /// By service, spans that name a parent which is not there: nobody knows who called them.
    pub without_parent: BTreeMap<String, u64>,
}

/// What must be read of spans for it, beside their ids and starts.
pub fn parts() -> Parts {
    let keys = DATABASE.iter().chain(&PEER).chain([&MESSAGING]);
    Parts {
        parents: true,
        durations: true,
        kinds: true,
        status_codes: true,
        origins: true,
        attributes: AttributeParts::Keys(keys.map(|key| (*key).to_owned()).collect()),
        ..Parts::default()
    }
}

impl Calls {
    /// Adds those of other traces.
    pub fn add(&mut self, more: Self) {
        for (edge, red) in more.edges {
            self.edges.entry(edge).or_default().merge(&red);
        }
        for (service, spans) in more.without_parent {
            *self.without_parent.entry(service).or_default() += spans;
        }
    }
}

/// Calls between the spans of whole traces, of those that start in a window.
pub fn of_slice(slice: &Slice, window: Window, steps: Steps) -> Result<Calls, ValueError> {
    let mut names = Names::default();
    let services = slice.chunks().iter().map(|columns| names.services_of(columns)).collect();
    let (edges, orphans) = Default::default();
    let mut found = Found { slice, window, steps, services, names, edges, orphans };
    for trace in slice.traces() {
        found.add_trace(trace)?;
    }
    Ok(found.spelled_out())
}

/// Names by numbers, so that what is counted often is cheap to find again.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    fn services_of(&mut self, columns: &SpanColumns) -> Vec<u32> {
        columns.origins.iter().map(|origin| self.number(&origin.service_name())).collect()
    }

    fn name(&self, number: u32) -> String {
        self.names[number as usize].clone()
    }
}

/// The kind of an edge, by numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Via {
    Service,
    Messaging(u32),
    Database,
    Peer,
}

/// What traces of a slice say so far.
struct Found<'a> {
    slice: &'a Slice,
    window: Window,
    steps: Steps,
    /// By chunk and origin.
    services: Vec<Vec<u32>>,
    names: Names,
    /// By when the step begins, too.
    edges: HashMap<(u32, u32, Via, u64), Red>,
    orphans: HashMap<u32, u64>,
}

/// A span of the trace that is looked at.
#[derive(Clone, Copy)]
struct Member<'a> {
    columns: &'a SpanColumns,
    row: usize,
    id: SpanId,
    parent: Option<SpanId>,
    kind: i32,
    service: u32,
}

impl<'a> Found<'a> {
    fn member(&self, at: At) -> Member<'a> {
        let (columns, row) = self.slice.span(at);
        Member {
            columns,
            row,
            id: columns.span_ids[row],
            parent: columns.parents[row],
            kind: columns.kinds[row],
            service: self.services[at.chunk as usize][columns.origins_of_rows[row] as usize],
        }
    }

    fn add_trace(&mut self, trace: &[At]) -> Result<(), ValueError> {
        let mut members: Vec<Member<'a>> = trace.iter().map(|at| self.member(*at)).collect();
        members.sort_by_key(|member| member.id);
        let mut is_answered = vec![false; members.len()];
        for member in &members {
            let callers = Callers::of(member, &members);
            callers.others.iter().for_each(|caller| is_answered[*caller] = true);
            if !self.starts_inside(member) {
                continue;
            }
            if callers.is_orphan {
                *self.orphans.entry(member.service).or_default() += 1;
            }
            self.add_calls(member, callers.others.iter().map(|caller| &members[*caller]))?;
        }
        for (member, _) in members.iter().zip(is_answered).filter(|(_, is_answered)| !is_answered) {
            if matches!(member.kind, CLIENT | PRODUCER) && self.starts_inside(member) {
                self.add_unanswered(member)?;
            }
        }
        Ok(())
    }

    /// A span that was called by others.
    fn add_calls<'b>(
        &mut self,
        callee: &Member<'_>,
        callers: impl Iterator<Item = &'b Member<'b>>,
    ) -> Result<(), ValueError> {
        // One call for each service, whichever of its spans have the parent's id.
        let mut services: BTreeMap<u32, bool> = BTreeMap::new();
        for caller in callers {
            *services.entry(caller.service).or_default() |= caller.kind == PRODUCER;
        }
        for (caller, by_producer) in services {
            let via = match by_producer || callee.kind == CONSUMER {
                true => {
                    let system = text_of(&callee.attributes()?, MESSAGING).unwrap_or_default();
                    Via::Messaging(self.names.number(&system))
                }
                false => Via::Service,
            };
            self.add_edge((caller, callee.service, via), callee);
        }
        Ok(())
    }

    /// A call of something that sent no span.
    fn add_unanswered(&mut self, caller: &Member<'_>) -> Result<(), ValueError> {
        let attributes = caller.attributes()?;
        let first_of = |keys: &[&str]| keys.iter().find_map(|key| text_of(&attributes, key));
        let (callee, via) = if let Some(system) = first_of(&DATABASE) {
            (self.names.number(&system), Via::Database)
        } else if let Some(system) = first_of(&[MESSAGING]) {
            let system = self.names.number(&system);
            (system, Via::Messaging(system))
        } else {
            (self.names.number(&first_of(&PEER).unwrap_or_default()), Via::Peer)
        };
        self.add_edge((caller.service, callee, via), caller);
        Ok(())
    }

    fn add_edge(&mut self, (caller, callee, via): (u32, u32, Via), span: &Member<'_>) {
        let step = self.steps.start_of(span.columns.starts[span.row].cast_unsigned());
        self.edges.entry((caller, callee, via, step)).or_default().add_span(span.columns, span.row);
    }

    fn starts_inside(&self, member: &Member<'_>) -> bool {
        self.window.contains(member.columns.starts[member.row].cast_unsigned())
    }

    fn spelled_out(self) -> Calls {
        let names = self.names;
        let kind = |via| match via {
            Via::Service => EdgeKind::Service,
            Via::Messaging(system) => EdgeKind::Messaging { system: names.name(system) },
            Via::Database => EdgeKind::Database,
            Via::Peer => EdgeKind::Peer,
        };
        let edge = |(caller, callee, via, step)| {
            (Edge { caller: names.name(caller), callee: names.name(callee), kind: kind(via) }, step)
        };
        Calls {
            edges: self.edges.into_iter().map(|(numbers, red)| (edge(numbers), red)).collect(),
            without_parent: self.orphans.into_iter().map(|(name, spans)| (names.name(name), spans)).collect(),
        }
    }
}

impl Member<'_> {
    fn attributes(&self) -> Result<Vec<Attribute>, ValueError> {
        self.columns.attributes_of(self.row as u32)
    }
}

/// Who called a span.
struct Callers {
    /// Places of spans of other services among the members of the trace.
    others: Vec<usize>,
    /// It names a parent, and nobody has its id.
    is_orphan: bool,
}

impl Callers {
    /// `members` are sorted by id.
    fn of(member: &Member<'_>, members: &[Member<'_>]) -> Self {
        let with_id = |id: SpanId| {
            let first = members.partition_point(|other| other.id < id);
            first..first + members[first..].partition_point(|other| other.id == id)
        };
        // Both ends of a call may share one id (Zipkin): the other half called then.
        let is_called = matches!(member.kind, SERVER | CONSUMER);
        let is_half = |place: &usize| {
            let other = &members[*place];
            is_called && matches!(other.kind, CLIENT | PRODUCER) && other.service != member.service
        };
        let halves: Vec<usize> = with_id(member.id).filter(is_half).collect();
        if !halves.is_empty() {
            return Self { others: halves, is_orphan: false };
        }
        let Some(parent) = member.parent else { return Self { others: Vec::new(), is_orphan: false } };
        let parents = with_id(parent);
        let is_orphan = parents.is_empty();
        let is_own = parents.clone().any(|place| members[place].service == member.service);
        Self { others: if is_own { Vec::new() } else { parents.collect() }, is_orphan }
    }
}

/// The text under a key: only one that says something, of several the first in the order of bytes.
fn text_of(attributes: &[Attribute], key: &str) -> Option<String> {
    let of_key = attributes.iter().filter(|attribute| attribute.key == key);
    let texts = of_key.filter_map(|attribute| match &attribute.value {
        Value::Str(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    });
    texts.min().map(str::to_owned)
}
