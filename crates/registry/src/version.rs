//! The version of a resource: what an ETag is made of and `If-Match` compares.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A digest of a resource's whole content; equal content has an equal version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// Of whatever makes the resource what it is.
    pub(crate) fn of(content: &impl Serialize) -> Self {
        // Serialising our own plain types does not fail; if it did, every version would be equal and
        // every If-Match would be refused or accepted alike: no wrong change follows from it alone.
        let bytes = serde_json::to_vec(content).unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        Self(URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default()))
    }

    /// The text, safe inside an ETag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What version a change expects to find.
#[derive(Clone, Debug, Default)]
pub struct Expect(Option<Vec<String>>);

impl Expect {
    /// Any version: no `If-Match`, or `If-Match: *`.
    pub fn any() -> Self {
        Self(None)
    }

    /// One of these.
    pub fn one_of(versions: Vec<String>) -> Self {
        Self(Some(versions))
    }

    /// Whether what is there need not be read for it.
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// Compares with what is there.
    pub(crate) fn check(&self, found: &Version) -> Result<()> {
        match &self.0 {
            Some(wanted) if !wanted.contains(&found.0) => Err(Error::Stale),
            _ => Ok(()),
        }
    }
}
