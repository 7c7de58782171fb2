//! Interleavings made by hand, for windows that are too narrow for chance.
