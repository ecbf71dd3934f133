//! The program `things`.

use std::process::ExitCode;

fn main() -> ExitCode {
    things::cli::main()
}
