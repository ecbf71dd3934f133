//! A mail as it arrived: its headers unfolded and decoded, its parts decoded.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "every test crate includes this file and uses part of it"
)]

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};

/// A mail.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who the envelope is from.
    pub from: String,
    /// Who it is to.
    pub to: Vec<String>,
    /// All of it.
    pub raw: String,
    /// Names in lower case with decoded values, in order.
    pub headers: Vec<(String, String)>,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// User and password.
    pub login: Option<(String, String)>,
}

impl Received {
    pub fn parse(
        from: String,
        to: Vec<String>,
        raw: String,
        encrypted: bool,
        login: Option<(String, String)>,
    ) -> Self {
        let (headers, body) = split(&raw);
        let kind = find(&headers, "content-type");
        let boundary = kind.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next());
        let boundary = boundary.unwrap_or_else(|| panic!("one part only: {raw}"));
        let separator = format!("--{boundary}");
        let mut parts = body.split(separator.as_str()).skip(1).map(|part| {
            let (headers, body) = split(part.trim_start_matches("\r\n"));
            (
                find(&headers, "content-type").to_owned(),
                decoded(find(&headers, "content-transfer-encoding"), body),
            )
        });
        let mut part = |kind: &str| {
            let (found, text) = parts.next().unwrap();
            assert!(found.starts_with(kind), "{found} is not {kind}");
            text.replace("\r\n", "\n")
        };
        let (text, html) = (part("text/plain"), part("text/html"));
        Self { from, to, headers, text, html, raw, encrypted, login }
    }

    /// A header's value; there must be one, and only one.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => value,
            _ => panic!("{name} is not there once: {:?}", self.headers),
        }
    }

    /// The link in the text, which stands on a line of its own.
    pub fn link(&self) -> &str {
        let mut lines = self.text.lines().map(str::trim).filter(|line| line.starts_with("http"));
        lines.next().unwrap_or_else(|| panic!("no link in {}", self.text))
    }

    /// Where the HTML part leads, each link once.
    pub fn html_links(&self) -> BTreeSet<String> {
        let links = self.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links.map(|link| link.replace("&#x2f;", "/").replace("&amp;", "&")).collect()
    }

    /// The last part of the link.
    pub fn secret(&self) -> &str {
        self.link().split('?').next().unwrap().rsplit('/').next().unwrap()
    }
}

fn split(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = unfolded.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), words(value.trim())))
    });
    (headers.collect(), body)
}

fn find<'h>(headers: &'h [(String, String)], name: &str) -> &'h str {
    headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
}

/// Decodes RFC 2047's words; white space between two of them is not there.
fn words(value: &str) -> String {
    let mut out = String::new();
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("=?") {
        if bytes.is_empty() || !before.trim().is_empty() {
            out.push_str(&String::from_utf8(std::mem::take(&mut bytes)).unwrap());
            out.push_str(before);
        }
        let mut parts = after.splitn(4, '?');
        let (_charset, kind, text) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        match kind {
            "b" | "B" => bytes.extend(STANDARD.decode(text).unwrap()),
            _ => bytes.extend(quoted(&text.replace('_', " "))),
        }
        rest = parts.next().unwrap().strip_prefix('=').unwrap();
    }
    out.push_str(&String::from_utf8(bytes).unwrap());
    out.push_str(rest);
    out
}

fn decoded(encoding: &str, body: &str) -> String {
    let bytes = match encoding {
        "base64" => STANDARD.decode(body.replace(['\r', '\n'], "")).unwrap(),
        "quoted-printable" => quoted(&body.replace("=\r\n", "")),
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).unwrap()
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out
}
