//! `things login`, `logout`, `whoami`.
//!
//! `login` keeps the session's token, not an access token made with it: a session ends by itself after days,
//! `logout` ends it at once on the server, and only a session may do what concerns the account itself, such as
//! making access tokens. Programs get an access token (`things token create`, then THINGS_TOKEN).

use std::net::IpAddr;

use clap::Command;
use serde_json::{Value, json};
use things_client::Token;

use super::{
    Failure,
    asked::{Asked, Server, TOKEN, note, text},
    contexts::{Context, Contexts},
    given::{Given, option, switch},
    output::{Column, Form, Output},
    terminal,
};

pub(super) fn commands() -> [Command; 3] {
    [
        Command::new("login")
            .about("Log in to the server at --url, and remember it as --context")
            .long_about(
                "Asks for an e-mail address and a password, logs in, and keeps the session's token in contexts.toml, for \
                 its owner only. The context is named after the server unless --context names it, and is in use from \
                 then on; a second account on the same server gets a context with its address. The session ends by `things logout`, or by itself after days that the server's operator chose.",
            )
            .arg(option("email", "EMAIL", "The address, instead of being asked for it"))
            .arg(switch("token-stdin", "Read an access token from the standard input instead")),
        Command::new("logout").about("End the log-in, and forget its token"),
        Command::new("whoami").about("Show who you are, and on which server"),
    ]
}

pub(super) async fn login(given: &Given<'_>) -> Result<(), Failure> {
    let mut contexts = Contexts::read()?;
    let (url, mut name) = target(given, &contexts)?;
    if is_exposed(&url) {
        note(&format!(
            "{url} is not encrypted: whoever is on the way can read what is sent, the password too; use https://"
        ));
    }
    let server = Server { url, token: None, shown: None, context: None };
    let anonymous = server.client(None)?;
    let (token, session) = if given.flag("token-stdin") {
        (Token::new(terminal::line_of_stdin("token")?.trim()), false)
    } else {
        let email = match given.text("email") {
            Some(email) => email.to_owned(),
            None => terminal::ask("E-mail")?,
        };
        let password = terminal::ask_hidden("Password")?;
        let body = json!({"email": email, "password": password.as_str()});
        let session: Value =
            anonymous.post("/tokens").json(&body).read().await.map_err(|error| match error.status() {
                // The usual advice, to log in, would be none.
                Some(401) => Failure::Told {
                    code: super::trouble::exit::FORBIDDEN,
                    text: "cannot log in: the address or the password is wrong\n  A new password can be asked for on the server's page /login."
                        .to_owned(),
                },
                _ => Failure::asking("log in", &error),
            })?;
        (Token::new(text(&session, "token")), true)
    };
    // A token that was pasted wrongly is not kept.
    let me: Value = server
        .client(Some(token.clone()))?
        .get("/users/profile")
        .read()
        .await
        .map_err(|error| Failure::asking("log in with this token", &error))?;
    let email = text(&me, "email").to_owned();
    // Somebody else's log-in on the same server stays what it is.
    let known = contexts.contexts.get(&name).and_then(|known| known.email.as_deref());
    if given.text("context").is_none() && known.is_some_and(|known| !known.eq_ignore_ascii_case(&email)) {
        name = format!("{}/{email}", host(anonymous.url()));
    }
    let context = Context {
        url: anonymous.url().to_owned(),
        email: Some(email.clone()),
        token: Some(token.expose().to_owned()),
        session,
    };
    contexts.contexts.insert(name.clone(), context);
    contexts.current = Some(name.clone());
    contexts.write()?;
    let out = Output { form: Form::named(given.text("output")) };
    out.say(&format!("{email} is logged in on {} (context {name})", anonymous.url()))?;
    if std::env::var(TOKEN).is_ok_and(|token| !token.is_empty()) {
        note(&format!("{TOKEN} is set, and counts before this log-in: unset it, or use --context {name}"));
    }
    Ok(())
}

/// Which server to log in to, and what to call it.
fn target(given: &Given<'_>, contexts: &Contexts) -> Result<(String, String), Failure> {
    let named = given.text("context");
    let known = named.and_then(|name| contexts.contexts.get(name));
    let url = match (given.text("url"), known) {
        (Some(url), _) => url.to_owned(),
        (None, Some(known)) => known.url.clone(),
        // A new name must not be a new name for whichever server was used last.
        (None, None) if named.is_some() => std::env::var("THINGS_URL")
            .ok()
            .filter(|url| !url.is_empty())
            .ok_or_else(|| Failure::Usage("a new context needs a server: add --url".to_owned()))?,
        (None, None) => Server::find(given)?.url,
    };
    if let Some(name) = named {
        return Ok((url, name.to_owned()));
    }
    let same = contexts
        .contexts
        .iter()
        .find(|(_, context)| context.url.trim_end_matches('/') == url.trim_end_matches('/'));
    let name = same.map_or_else(|| host(&url), |(name, _)| name.clone());
    Ok((url, name))
}

/// `https://things.example.com:8182/iot` → `things.example.com:8182`.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or("default").to_owned()
}

/// Whether what is sent there can be read on its way: neither encrypted nor to this machine.
fn is_exposed(url: &str) -> bool {
    let host = host(url);
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_here = name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    url.trim().to_ascii_lowercase().starts_with("http:") && !is_here
}

pub(super) async fn logout(given: &Given<'_>) -> Result<(), Failure> {
    let mut contexts = Contexts::read()?;
    let server = Server::find(given)?;
    let Some(name) = server.context.clone() else {
        return Err(Failure::Failed(format!("you are not logged in on {}", server.url)));
    };
    let Some(context) = contexts.contexts.get_mut(&name) else { return Ok(()) };
    let (token, session) = (context.token.take(), context.session);
    if let (Some(token), true) = (&token, session) {
        let ended = server.client(Some(Token::new(token)))?.delete("/tokens/current").done().await;
        match ended {
            // It had ended already.
            Err(error) if error.status() != Some(401) => {
                return Err(Failure::asking("log out; the token is kept, so that you can try again", &error));
            }
            _ => {}
        }
    }
    contexts.write()?;
    let out = Output { form: Form::named(given.text("output")) };
    out.say(&match (token, session) {
        (None, _) => format!("you were not logged in on {}", server.url),
        (Some(_), true) => format!("logged out of {}", server.url),
        (Some(_), false) => "the access token is forgotten; `things token revoke` would end it".to_owned(),
    })
}

const COLUMNS: &[Column] = &[
    Column::new("email", "E-MAIL"),
    Column::new("id", "ID"),
    Column::new("role", "ROLE"),
    Column::new("url", "SERVER"),
    Column::new("context", "CONTEXT"),
];

pub(super) async fn whoami(asked: &Asked<'_>) -> Result<(), Failure> {
    let what = format!("ask {} who you are", asked.client.url());
    let mut me = asked.read(&what, "/users/profile").await?;
    if let Some(members) = me.as_object_mut() {
        members.insert("url".to_owned(), asked.client.url().into());
        members.insert("context".to_owned(), asked.context.clone().into());
    }
    asked.out.object(COLUMNS, &me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_in_clear_to_another_machine_is_warned_of() {
        for url in ["http://things.example.com", "HTTP://10.0.0.1:8182/iot", "http://[2001:db8::1]:80"] {
            assert!(is_exposed(url), "{url}");
        }
        for url in
            ["https://things.example.com", "http://127.0.0.1:8182", "http://localhost", "http://[::1]:8182"]
        {
            assert!(!is_exposed(url), "{url}");
        }
    }
}
