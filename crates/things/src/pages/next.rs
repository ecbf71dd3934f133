//! Where to go on to: a path of this service, so that no link can lead people elsewhere.

use askama::filters::HtmlSafe;

/// The longest path, in bytes after the first slash.
const MOST: usize = 128;

/// A path that may be gone on to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Next(String);

/// It has no character that HTML takes for its own.
impl HtmlSafe for Next {}

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Next {
    /// The path, if it is one: `^/[A-Za-z0-9/_-]{0,128}$`, and not `//`, which browsers take for the
    /// beginning of another host's address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte));
        (plain && rest.len() <= MOST && !rest.starts_with('/')).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The page to log in on, from where it goes on to here.
    pub(super) fn after_logging_in(&self) -> String {
        format!("/login?next={self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
