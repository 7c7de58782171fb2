//! The bytes that this process may hold, shared by everything that holds spans.
