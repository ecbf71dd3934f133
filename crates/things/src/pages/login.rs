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
    notice: Option<String>,
}

/// The form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    email: Option<String>,
    password: Option<SecretText>,
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
}

impl LogIn {
    fn new(email: &str, next: Option<Next>, wrong: &Wrong) -> Self {
        let typed = !email.is_empty() && wrong.at("email").is_none();
        Self {
            notice: None,
            wrong: wrong.whole(),
            email: Field::email(email, wrong).focused(!typed),
            password: Field::password(wrong).focused(typed),
            next,
        }
    }
}

#[derive(Template)]
#[template(path = "pages/logged-in.html")]
struct LoggedIn {
    email: String,
}

/// The form; for who is logged in already, where they want to go, or who they are.
pub(super) async fn show(State(app): State<App>, visitor: Visitor, Query(arrival): Query<Arrival>) -> Answer {
    let next = arrival.next.as_deref().and_then(Next::parse);
    let Some(person) = &visitor.person else {
        let notice = arrival.notice.as_deref().and_then(Notice::parse);
        return page(StatusCode::OK, &LogIn { notice, ..LogIn::new("", next, &Wrong::default()) });
    };
    if let Some(next) = next {
        return see_other(next.as_str());
    }
    let user = app.registry.view_own_user(person).await?;
    page(StatusCode::OK, &LoggedIn { email: user.email.to_string() })
}

/// Logs in and goes on.
pub(super) async fn log_in(
    State(app): State<App>,
    visitor: Visitor,
    peer: Peer,
    Form(form): Form<Credentials>,
) -> Answer {
    let next = form.next.as_deref().and_then(Next::parse);
    let typed = form.email.clone().unwrap_or_default();
    match session(&app, &visitor, peer, form).await {
        Ok(session) => {
            let cookie = cookie::begin(&app.options, &session, app.registry.clock().now())?;
            let mut response = see_other(next.as_ref().map_or("/login", Next::as_str))?;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(problem) => {
            let wrong = Wrong::with(problem, &["email", "password"])?;
            wrong.page(&LogIn::new(&typed, next, &wrong))
        }
    }
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

/// Logs out.
pub(super) async fn log_out(State(app): State<App>, person: Person) -> Answer {
    match app.registry.end_session(&person).await {
        // Somebody else has just ended it.
        Ok(()) | Err(Error::Unauthenticated) => {}
        Err(error) => return Err(error.into()),
    }
    let mut response = see_other(&Notice::LoggedOut.on("/login"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie::end(&app.options)?);
    Ok(response)
}
