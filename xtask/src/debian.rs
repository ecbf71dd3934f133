//! Debian's packages, where they may be installed.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use crate::{Result, process::Interrupts};

/// Whether packages can be installed at all.
pub(crate) fn may_install() -> bool {
    Path::new("/etc/debian_version").exists() && geteuid().is_root()
}

/// Runs apt-get, quietly and without questions.
pub(crate) fn apt_get(interrupts: &Interrupts, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "DPkg::Lock::Timeout=300"]);
    command.args(["--yes", "--no-install-recommends"]).args(arguments).stdout(Stdio::null());
    if interrupts.run(&mut command)?.success() {
        return Ok(());
    }
    Err(format!("`apt-get {}` failed", arguments.join(" ")).into())
}
