//! The terminal: how wide it is, what is asked there, and what is typed without being shown.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use zeroize::Zeroizing;

use super::{Failure, inert};

/// The width in columns of the window for results; `None` where there is no window.
pub(super) fn width() -> Option<usize> {
    width_of(&io::stdout())
}

/// The width of the window that this goes to.
pub(super) fn width_of(out: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !out.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(out).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether Ctrl-C is shown as `^C`.
pub(super) fn shows_control(out: &impl AsFd) -> bool {
    tcgetattr(out).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ECHO | LocalModes::ECHOCTL))
}

/// Asks before something that cannot be taken back.
pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    let question = inert::line(question);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{question}? Nobody can be asked here: add --yes to do it")));
    }
    let mut out = io::stderr();
    let _ = write!(out, "{question}? [y/N] ");
    let _ = out.flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::to("read the answer", &error))?;
    match answer.trim() {
        "y" | "Y" | "yes" | "Yes" => Ok(()),
        _ => Err(Failure::Failed("not done, as you say".to_owned())),
    }
}

/// The terminal itself, wherever the standard streams go.
fn open(what: &str) -> Result<File, Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    terminal.map_err(|_| Failure::Usage(format!("there is no terminal to ask for {what}; use --token-stdin")))
}

/// Asks for a line.
pub(super) fn ask(what: &str) -> Result<String, Failure> {
    let mut terminal = open(what)?;
    let _ = write!(terminal, "{what}: ");
    let mut line = Vec::new();
    let mut byte = [0];
    while terminal.read(&mut byte).map_err(|error| Failure::to(&format!("read the {what}"), &error))? > 0 {
        if byte == [b'\n'] {
            break;
        }
        line.extend_from_slice(&byte);
    }
    let line = String::from_utf8_lossy(&line).trim().to_owned();
    if line.is_empty() { Err(Failure::Usage(format!("no {what} was given"))) } else { Ok(line) }
}

/// A secret from the standard input, without the end of its line.
pub(super) fn line_of_stdin(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut read = Zeroizing::new(String::new());
    let input = io::stdin().take(64 * 1024).read_to_string(&mut read);
    input.map_err(|error| Failure::to(&format!("read the {what}"), &error))?;
    let line = Zeroizing::new(read.trim_end_matches(['\r', '\n']).to_owned());
    if line.is_empty() { Err(Failure::Usage(format!("no {what} was given"))) } else { Ok(line) }
}

/// Asks for a line that is not shown.
pub(super) fn ask_hidden(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut terminal = open(what)?;
    let failed = |error: io::Error| Failure::to(&format!("read the {what}"), &error);
    let usual = tcgetattr(&terminal).map_err(|error| failed(error.into()))?;
    let restore = Restore { terminal: terminal.try_clone().map_err(failed)?, usual: usual.clone() };
    let mut silent = usual;
    // Ctrl-C comes as a character: a signal would end the program and leave the terminal silent.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let _ = write!(terminal, "{what}: ");
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let mut byte = [0];
    let end = loop {
        if terminal.read(&mut byte).map_err(failed)? == 0 {
            break End::Given;
        }
        match byte {
            [b'\n' | b'\r'] => break End::Given,
            [0x03] => break End::Interrupted,
            [0x04] if line.is_empty() => break End::Given,
            // Ctrl-U; then backspace, which takes a whole character.
            [0x15] => line.clear(),
            [0x08 | 0x7f] => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            [byte] if line.len() < 1024 => line.push(byte),
            _ => {}
        }
    };
    let _ = writeln!(terminal);
    drop(restore);
    if let End::Interrupted = end {
        return Err(Failure::interrupted(super::trouble::exit::INTERRUPTED, "nothing was done"));
    }
    let text = std::str::from_utf8(&line).map_err(|_| Failure::Usage(format!("the {what} is not UTF-8")))?;
    if text.is_empty() {
        return Err(Failure::Usage(format!("no {what} was given")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

enum End {
    Given,
    Interrupted,
}

/// Gives the terminal its echo back, whatever happens.
struct Restore {
    terminal: File,
    usual: Termios,
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.usual);
    }
}
