//! The program `siltstone`.

fn main() {}
