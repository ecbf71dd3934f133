//! What is going on, on the error stream: a moving line for a person, one line for each step otherwise.

use std::io::{self, IsTerminal, Write};

/// Where it is told.
pub(super) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    /// How far a step has come: for a terminal only.
    pub(super) fn at(&self, text: &str) {
        if self.terminal {
            // If it cannot be written there is nobody to tell.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// A step is done.
    pub(super) fn done(&self, text: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{text}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.at("");
    }
}
