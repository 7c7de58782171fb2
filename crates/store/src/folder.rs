//! A local folder as an object store.
