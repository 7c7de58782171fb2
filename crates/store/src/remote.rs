//! Object stores behind a network.
