//! Logging in and out.

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
};
use registry::{Error, NewSession};
use serde::Deserialize;

use super::{
    cookie,
    field::Field,
    form::{Form, Wrong},
    invitations,
    next::Next,
    notice::Notice,
    page, see_other,
    visitor::{Person, Visitor},
};
use crate::{
    App,
    rest::{Peer, check::Check, problem::Answer, query::Query, secret::SecretText, sessions},
};

/// How one comes to the page.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    next: Option<String>,
    then: Option<String>,
    notice: Option<String>,
}

/// The form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    email: Option<String>,
    password: Option<SecretText>,
    next: Option<String>,
    then: Option<String>,
}

/// Where to go on to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaving {
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/login.html")]
struct LogIn {
    notice: Option<Notice>,
    wrong: Option<String>,
    email: Field,
    password: Field,
    next: Option<Next>,
    then: Option<Next>,
}

/// Where a log-in leads, and where that page leads in turn.
#[derive(Clone, Default)]
struct Onward {
    next: Option<Next>,
    then: Option<Next>,
}

impl Onward {
    fn parse(next: Option<&str>, then: Option<&str>) -> Self {
        Self { next: next.and_then(Next::parse), then: then.and_then(Next::parse) }
    }

    fn address(&self) -> Option<String> {
        self.next.as_ref().map(|next| Next::with(self.then.as_ref(), next.as_str()))
    }
}

impl LogIn {
    fn new(email: &str, Onward { next, then }: Onward, wrong: &Wrong) -> Self {
        let typed = !email.is_empty() && wrong.at("email").is_none();
        Self {
            notice: None,
            wrong: wrong.whole(),
            email: Field::email(email, wrong).focused(!typed),
            password: Field::password(wrong).focused(typed),
            next,
            then,
        }
    }
}

#[derive(Template)]
#[template(path = "pages/logged-in.html")]
struct LoggedIn {
    email: String,
    /// How many invitations wait for an answer.
    waiting: u64,
}

/// The form; for who is logged in already, where they want to go, or who they are.
pub(super) async fn show(State(app): State<App>, visitor: Visitor, Query(arrival): Query<Arrival>) -> Answer {
    let onward = Onward::parse(arrival.next.as_deref(), arrival.then.as_deref());
    let Some(person) = &visitor.person else {
        let notice = arrival.notice.as_deref().and_then(Notice::parse);
        return page(StatusCode::OK, &LogIn { notice, ..LogIn::new("", onward, &Wrong::default()) });
    };
    if let Some(address) = onward.address() {
        return see_other(&address);
    }
    let user = app.registry.view_own_user(person).await?;
    let waiting = invitations::waiting(&app, person, &user, 1).await?.total;
    page(StatusCode::OK, &LoggedIn { email: user.email.to_string(), waiting })
}

/// Logs in and goes on.
pub(super) async fn log_in(
    State(app): State<App>,
    visitor: Visitor,
    peer: Peer,
    Form(form): Form<Credentials>,
) -> Answer {
    let onward = Onward::parse(form.next.as_deref(), form.then.as_deref());
    let typed = form.email.clone().unwrap_or_default();
    match session(&app, &visitor, peer, form).await {
        Ok(session) => enter(&app, &session, onward.address().as_deref().unwrap_or("/login")),
        Err(problem) => {
            let wrong = Wrong::with(problem, &["email", "password"])?;
            wrong.page(&LogIn::new(&typed, onward, &wrong))
        }
    }
}

/// Gives the browser its session and sends it on.
pub(super) fn enter(app: &App, session: &NewSession, address: &str) -> Answer {
    let cookie = cookie::begin(&app.options, session, app.registry.clock().now())?;
    let mut response = see_other(address)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn session(app: &App, visitor: &Visitor, peer: Peer, form: Credentials) -> Answer<NewSession> {
    let (email, password) = Check::one(|check| {
        let email = check.required("email", form.email.as_deref());
        let password = form.password.filter(|password| !password.0.expose().is_empty());
        if password.is_none() {
            check.refuse("password", "is required");
        }
        Some((email?, password?.0))
    })?;
    sessions::log_in(app, &visitor.call, &email, &password, peer).await
}

/// Logs out, and goes on for somebody else to log in.
pub(super) async fn log_out(State(app): State<App>, person: Person, Form(form): Form<Leaving>) -> Answer {
    match app.registry.end_session(&person).await {
        // Somebody else has just ended it.
        Ok(()) | Err(Error::Unauthenticated) => {}
        Err(error) => return Err(error.into()),
    }
    let next = form.next.as_deref().and_then(Next::parse);
    let address = next.map_or_else(|| Notice::LoggedOut.on("/login"), |next| next.to_string());
    let mut response = see_other(&address)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie::end(&app.options)?);
    Ok(response)
}
