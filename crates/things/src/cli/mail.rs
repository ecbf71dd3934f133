//! `things mail`: write to somebody to see whether it works, and get the templates to change.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use registry::{Clock, Ids, text::Email};

use super::{Failure, print};
use crate::{
    config::Config,
    mail::{BUILT_IN, Destination, Mailing},
};

/// `things mail test ADDRESS`: needs neither the database nor a running service.
pub(super) async fn test(config: &Config, address: &str) -> Result<(), Failure> {
    let to = Email::try_from(address).map_err(|error| Failure::Usage(format!("{address} {error}")))?;
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let setup = config.mail(config.http()).map_err(|error| usage(&error))?;
    let place = place(&setup.destination);
    let Some(mailing) = Mailing::new(&setup).map_err(|error| usage(&error))? else {
        return Err(Failure::Usage("mail is off: set the option mail".to_owned()));
    };
    let now = Clock::system().now();
    let id = Ids::default().make(now);
    match mailing.test(id, &to, now).await {
        Ok(()) => print(&format!(
            "A mail to {to} was {}. Its Message-ID begins with {id}.\n",
            match setup.destination {
                Destination::Smtp(_) => format!("taken by {place}"),
                Destination::Files(_) | Destination::Off => format!("written into {place}"),
            }
        )),
        Err(refusal) => Err(Failure::Failed(format!("no mail was sent to {to} by {place}: {refusal}"))),
    }
}

/// Where mails go, for a person to read.
pub(super) fn place(destination: &Destination) -> String {
    match destination {
        Destination::Off => "off".to_owned(),
        Destination::Files(dir) => dir.display().to_string(),
        Destination::Smtp(server) => {
            let host =
                if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
            format!("{host}:{} ({})", server.port, server.encryption.told())
        }
    }
}

/// `things mail templates DIR`.
pub(super) fn write_templates(dir: Option<&PathBuf>) -> Result<(), Failure> {
    let Some(dir) = dir else { return Err(Failure::Usage("say into which directory".to_owned())) };
    fs::create_dir_all(dir).map_err(|error| Failure::to(&format!("make {}", dir.display()), &error))?;
    let (mut written, mut left) = (0, 0);
    for (name, text) in BUILT_IN {
        let file = dir.join(name);
        let made = fs::OpenOptions::new().write(true).create_new(true).open(&file);
        match made.and_then(|mut made| made.write_all(text.as_bytes())) {
            Ok(()) => written += 1,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => left += 1,
            Err(error) => return Err(Failure::to(&format!("write {}", file.display()), &error)),
        }
    }
    let shown = dir.display();
    let also = if left > 0 {
        format!("; {left} were there already and are left as they are")
    } else {
        String::new()
    };
    print(&format!(
        "{written} templates were written into {shown}{also}.\nChange what you like, delete what you do not change, and set mail_templates = \"{shown}\".\n"
    ))
}
