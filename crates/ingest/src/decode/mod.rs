//! OTLP from the wire straight into columns.
