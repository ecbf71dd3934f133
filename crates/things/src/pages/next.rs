//! Where to go on to: a path of this service, so that no link can lead people elsewhere.

use askama::filters::HtmlSafe;
use registry::text::RedirectPath;

use crate::Options;

/// A path that may be gone on to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Next(RedirectPath);

/// It has no character that HTML takes for its own.
impl HtmlSafe for Next {}

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Next {
    /// The path, if it is one: of letters, digits and `/_-`, and not `//`, which browsers take for the
    /// beginning of another host's address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        RedirectPath::try_from(text).ok().map(Self)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address of a page that goes on to here once it is done with, if there is a here.
    pub(super) fn with(next: Option<&Self>, page: &str) -> String {
        let joint = if page.contains('?') { '&' } else { '?' };
        next.map_or_else(|| page.to_owned(), |next| format!("{page}{joint}next={next}"))
    }

    /// It, on the address by which people reach the service: what is there may be of another program.
    pub(super) fn on_public(&self, options: &Options) -> String {
        format!("{}{self}", options.public_url.trim_end_matches('/'))
    }

    /// The page to log in on, from where it goes on to here.
    pub(super) fn after_logging_in(&self) -> String {
        format!("/login?next={self}")
    }
}

impl From<RedirectPath> for Next {
    fn from(path: RedirectPath) -> Self {
        Self(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest path, in bytes after the first slash.
    const MOST: usize = 128;

    #[test]
    fn it_stays_on_this_service() {
        let long = format!("/{}", "x".repeat(MOST));
        for good in ["/", "/login", "/invitations/0190-a_B", "/a//b", &long] {
            assert_eq!(Next::parse(good).unwrap().as_str(), good);
        }
        let too_long = format!("{long}x");
        for bad in [
            "",
            "login",
            "//evil.example",
            "///",
            "/\\evil.example",
            "/%2fevil.example",
            "https://evil.example",
            "/a?b",
            "/a#b",
            "/.",
            "/a b",
            "/a\n",
            "/é",
            &too_long,
        ] {
            assert_eq!(Next::parse(bad), None, "{bad:?}");
        }
    }
}
