//! From what a request presents to who asks, for every front.
//!
//! Two schemes that never cross: `Bearer` for people; `Thing` and `External` for things, which only
//! the endpoints for things look at. Anything else is no credential at all. Pages look at a cookie
//! and at nothing else, and nothing but pages looks at a cookie.

use axum::http::{HeaderMap, header};
use registry::{Actor, Error, Registry, Secret, secret::Prefix};

/// What a request shows of who sends it.
#[derive(Clone, Debug)]
pub(crate) enum Presented {
    /// There is none.
    Nothing,
    /// A person's session or access token.
    Token(Secret),
    /// A thing's own key.
    Key(Secret),
    /// A thing's external key.
    ExternalKey(Secret),
    /// Something else, or more than one.
    Unusable,
}

impl Presented {
    /// What the `Authorization` header holds.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Self::Nothing,
            (Some(value), None) => std::str::from_utf8(value.as_bytes()).unwrap_or_default(),
            // Which of two counts would be a matter of taste, and each proxy has its own.
            (Some(_), Some(_)) => return Self::Unusable,
        };
        let (scheme, credential) = value.split_once(' ').unwrap_or_default();
        let secret = || Secret::new(credential);
        match scheme {
            _ if credential.trim() != credential || credential.is_empty() => Self::Unusable,
            // A token holds no white space; a key that somebody chose may.
            "Bearer" if !credential.contains(' ') => Self::Token(secret()),
            "Thing" => Self::Key(secret()),
            "External" => Self::ExternalKey(secret()),
            _ => Self::Unusable,
        }
    }

    /// What the cookie of this name holds: a session's token, because access tokens are for programs.
    pub(crate) fn in_cookie(headers: &HeaderMap, name: &str) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| Secret::new(value));
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(token), None) if token.is_well_formed(Prefix::Session) => Self::Token(token),
            (Some(_), _) => Self::Unusable,
        }
    }
}

/// Who asks, or why that is not known.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// A person whose token is valid.
    User(Actor),
    /// Not a person: nothing, or what only the endpoints for things can judge.
    None(Presented),
    /// A token that is not valid.
    Refused,
    /// The question could not be answered.
    Unknown(crate::rest::Problem),
}

/// Settles who asks. Keys of things are left to the endpoints that take them.
pub(crate) async fn identify(registry: &Registry, presented: Presented) -> Identity {
    match presented {
        Presented::Token(token) => match registry.authenticate(&token).await {
            Ok(actor @ Actor::User(_)) => Identity::User(actor),
            Ok(_) | Err(Error::Unauthenticated) => Identity::Refused,
            Err(error) => Identity::Unknown(error.into()),
        },
        Presented::Unusable => Identity::Refused,
        other => Identity::None(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(values: &[&str]) -> Presented {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Presented::of(&headers)
    }

    #[test]
    fn schemes_are_exact_and_alone() {
        assert!(matches!(presented(&[]), Presented::Nothing));
        assert!(matches!(presented(&["Bearer x"]), Presented::Token(token) if token.expose() == "x"));
        assert!(matches!(presented(&["Thing x"]), Presented::Key(_)));
        assert!(matches!(presented(&["External x"]), Presented::ExternalKey(_)));
        assert!(
            matches!(presented(&["Thing my own kéy"]), Presented::Key(key) if key.expose() == "my own kéy")
        );
        for bad in ["bearer x", "Bearer", "Bearer ", "Bearer  x", "Bearer x y", "Basic x", "x", ""] {
            assert!(matches!(presented(&[bad]), Presented::Unusable), "{bad:?}");
        }
        assert!(matches!(presented(&["Bearer x", "Bearer x"]), Presented::Unusable));
    }
}
