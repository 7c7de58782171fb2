//! Questions as Jaeger's clients ask them, and answers as they read them: adapters only, over the core's questions.
//!
//! What all of Jaeger's protocols have in common stands here once: what a search asks for, how ids and times are
//! written, what a summary says of a trace, how traces are adjusted.

pub mod adjust;
pub mod ask;
pub mod calls;
pub mod ids;
pub mod kinds;
mod origins;
pub mod settings;
pub mod summary;
pub mod time;
mod written;

// Over HTTP: both generations, and what they share.
mod answer;
pub(crate) mod http;
pub(crate) mod json;
mod legacy;
mod v3;

// Over gRPC: definitions and messages, spans as bytes, filters; the query services, and a store for Jaeger itself.
mod expression;
pub mod grpc;
mod otlp;
pub mod proto;
mod shorten;
mod storage;
