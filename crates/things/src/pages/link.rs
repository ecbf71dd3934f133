//! The secret at the end of a link from a mail. Logs, metrics and traces name a request by its route,
//! `/reset/{secret}`, and so never hold it.

use std::{convert::Infallible, str::FromStr};

use registry::Secret;

/// It, as a part of a path: `Id(LinkSecret(secret)): Id<LinkSecret>`.
pub(super) struct LinkSecret(pub(super) Secret);

impl FromStr for LinkSecret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Secret::new(text)))
    }
}
