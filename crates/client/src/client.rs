//! Where to ask, and as whom.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};

use crate::{Error, Request, Token};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To get a connection.
    pub connect: Duration,
    /// From sending a request to the end of its answer; streams are not counted.
    pub answer: Duration,
    /// Between two pieces of a stream.
    pub silence: Duration,
    /// How many times a request is sent at most.
    pub attempts: u32,
    /// The longest `Retry-After` that is waited for; a server that asks for more is reported instead.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(120),
            attempts: 4,
            longest_wait: Duration::from_secs(20),
        }
    }
}

/// A client of one server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    /// With a `/` at its end.
    base: Url,
    authorization: Option<HeaderValue>,
    pub(crate) patience: Patience,
}

/// How a client is to be.
#[derive(Debug)]
pub struct Builder {
    url: String,
    token: Option<Token>,
    patience: Patience,
    user_agent: String,
}

impl Builder {
    /// Other times than usual.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// How the program introduces itself.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that is not `http://` or `https://`, or a token with other than visible
    /// ASCII characters.
    pub fn build(self) -> Result<Client, Error> {
        let base = base(&self.url)?;
        let authorization = self.token.as_ref().map(authorization).transpose()?;
        let http = reqwest::Client::builder()
            // A redirect would carry a change, or a token, to where nobody meant it to go.
            .redirect(Policy::none())
            .connect_timeout(self.patience.connect)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(self.user_agent)
            .build()
            .map_err(|error| Error::Invalid(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(Client { inner: Arc::new(Inner { http, base, authorization, patience: self.patience }) })
    }
}

impl Client {
    /// A client of the server at this URL, as the token's owner, or as nobody.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new(url: &str, token: Option<Token>) -> Result<Self, Error> {
        Self::builder(url, token).build()
    }

    /// The same, to be set up otherwise.
    pub fn builder(url: &str, token: Option<Token>) -> Builder {
        Builder {
            url: url.to_owned(),
            token,
            patience: Patience::default(),
            user_agent: concat!("things-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        self.inner.base.as_str().trim_end_matches('/')
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// Makes, or does, something.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Changes something.
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// Changes a part of something; with several ids, deletes them.
    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    /// Deletes something.
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.clone(), method, self.at(path), self.inner.authorization.clone())
    }

    /// A path below the base. What stands between its slashes is percent-encoded: a name that was put in from elsewhere
    /// stays one name, and leads nowhere else.
    fn at(&self, path: &str) -> Result<Url, Error> {
        let refuse = || Error::Invalid(format!("{path:?} is not a path: names between slashes are"));
        let mut url = self.inner.base.clone();
        let path = path.strip_prefix('/').unwrap_or(path);
        let is_name =
            |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(char::is_control);
        if path.is_empty() {
            return Ok(url);
        }
        if !path.split('/').all(is_name) {
            return Err(refuse());
        }
        url.path_segments_mut().map_err(|()| refuse())?.pop_if_empty().extend(path.split('/'));
        Ok(url)
    }
}

fn base(text: &str) -> Result<Url, Error> {
    let refuse = |why: &str| Error::Invalid(format!("{text} is not a server's URL: {why}"));
    let mut url = Url::parse(text.trim()).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it must hold no user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must hold no ? and no #"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn authorization(token: &Token) -> Result<HeaderValue, Error> {
    let text = token.expose();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Invalid("the token is not one: it must be visible ASCII characters".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
        .map_err(|_| Error::Invalid("the token cannot be sent in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header, or an empty text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(crate) const TOKEN: reqwest::header::HeaderName = AUTHORIZATION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_servers_or_it_is_refused() {
        assert_eq!(Client::new("http://127.0.0.1:8182", None).unwrap().url(), "http://127.0.0.1:8182");
        assert_eq!(Client::new("https://example.com/iot/", None).unwrap().url(), "https://example.com/iot");
        let refused = [
            "",
            "example.com",
            "ftp://example.com",
            "http://",
            "http://a:b@c",
            "http://c?x",
            "http://c#x",
            "localhost:8182",
        ];
        for bad in refused {
            assert!(matches!(Client::new(bad, None), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn a_path_stays_below_the_servers_url() {
        let client = Client::new("https://example.com/iot", None).unwrap();
        let at = |path: &str| client.at(path).map(String::from);
        assert_eq!(at("/things/1").unwrap(), "https://example.com/iot/things/1");
        assert_eq!(
            at("things/a b?c#d%2e%2e").unwrap(),
            "https://example.com/iot/things/a%20b%3Fc%23d%252e%252e"
        );
        assert_eq!(at("http:evil.example").unwrap(), "https://example.com/iot/http:evil.example");
        assert_eq!(at("").unwrap(), "https://example.com/iot/");
        for bad in
            ["/invites/../things/1", "/invites/..", "/./a", "/a//b", "//evil.example/a", "/a/", "/a/.\t./b"]
        {
            assert!(matches!(at(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_and_none_is_printed() {
        for bad in ["", " ", "a\nb", "ä"] {
            assert!(Client::new("http://localhost", Some(Token::new(bad))).is_err(), "{bad}");
        }
        let client = Client::new("http://localhost", Some(Token::new("tok_secret"))).unwrap();
        assert!(!format!("{client:?} {:?}", client.get("/orgs")).contains("tok_secret"));
    }
}
