//! The program `things`.

fn main() {}
