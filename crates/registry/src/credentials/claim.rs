//! What somebody shows, who asks about it, and what it has to be besides valid.

use std::{net::IpAddr, time::Duration};

use super::CredentialKind;
use crate::{ids::ThingId, secret::Secret};

/// Through which door a credential came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Front {
    /// The HTTP API.
    Http,
    /// gRPC.
    Grpc,
    /// A broker's hook.
    Hook,
}

impl Front {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Hook => "hook",
        }
    }
}

/// Who asks about a credential: for the list of checks that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    /// Through which door.
    pub front: Front,
    /// The device's address, or else that of whoever asks for it.
    pub source: Option<IpAddr>,
}

/// Whose a credential has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Any thing's.
    Anybodys,
    /// This thing's: its id is the name that came along.
    Of(ThingId),
    /// Nobody's, because the name that came along is no thing's id and has to be. Why a good credential did
    /// not let its thing in is noted for that thing.
    Nobodys,
}

impl Whose {
    pub(super) fn is(self, thing: ThingId) -> bool {
        match self {
            Self::Anybodys => true,
            Self::Of(wanted) => wanted == thing,
            Self::Nobodys => false,
        }
    }
}

/// A credential as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The credential.
    pub credential: &'a Secret,
    /// Of which kind it has to be; `None` where that is not said, and no value is of both.
    pub kind: Option<CredentialKind>,
    /// Who asks.
    pub asker: Asker,
    /// Whose it has to be.
    pub whose: Whose,
    /// Which thing's id the client id begins with, if it does: another thing with that id must not exist.
    pub client_of: Option<ThingId>,
    /// For so long nothing is looked up for whoever asks: only a valid credential in memory counts.
    pub held: Option<Duration>,
}

impl<'a> Claim<'a> {
    /// That this is some thing's, and nothing else.
    pub fn new(kind: CredentialKind, credential: &'a Secret, asker: Asker) -> Self {
        Self { credential, kind: Some(kind), asker, whose: Whose::Anybodys, client_of: None, held: None }
    }
}
