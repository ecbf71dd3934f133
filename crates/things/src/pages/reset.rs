//! A forgotten password: asking for a mail, and setting a new one by the link in it.

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
};
use registry::{Error, secret::Prefix, text::Email};
use serde::Deserialize;

use super::{
    cookie,
    field::Field,
    form::{Form, Wrong},
    link::LinkSecret,
    notice::Notice,
    page, see_other,
    visitor::Visitor,
};
use crate::{
    App,
    rest::{
        Peer,
        check::Check,
        extract::Id,
        passwords,
        problem::{Answer, Problem},
        query::Query,
        secret::SecretText,
        users::new_password,
    },
};

/// How one comes to the page.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    sent: Option<String>,
}

/// Whose password is forgotten.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestForm {
    email: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/forgot.html")]
struct Forgot {
    sent: bool,
    wrong: Option<String>,
    email: Field,
}

impl Forgot {
    fn new(email: &str, wrong: &Wrong) -> Self {
        Self { sent: false, wrong: wrong.whole(), email: Field::email(email, wrong).focused(true) }
    }
}

/// The form to ask for a mail, or that one is on its way.
pub(super) async fn show_request(Query(arrival): Query<Arrival>) -> Answer {
    let sent = arrival.sent.is_some();
    page(StatusCode::OK, &Forgot { sent, ..Forgot::new("", &Wrong::default()) })
}

/// Sends the mail. The answer is the same whether there is such an account or not.
pub(super) async fn request(
    State(app): State<App>,
    visitor: Visitor,
    peer: Peer,
    Form(form): Form<RequestForm>,
) -> Answer {
    match Check::one(|check| check.required::<Email>("email", form.email.as_deref())) {
        Ok(email) => {
            passwords::send_reset(app, visitor.call, email, peer);
            see_other("/forgot?sent")
        }
        Err(problem) => {
            let wrong = Wrong::with(problem, &["email"])?;
            wrong.page(&Forgot::new(&form.email.unwrap_or_default(), &wrong))
        }
    }
}

/// The new password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetForm {
    password: Option<SecretText>,
}

#[derive(Template)]
#[template(path = "pages/reset.html")]
struct Reset {
    wrong: Option<String>,
    password: Field,
}

impl Reset {
    fn new(wrong: &Wrong) -> Self {
        Self { wrong: wrong.whole(), password: Field::new_password(wrong).focused(true) }
    }
}

#[derive(Template)]
#[template(path = "pages/reset-over.html")]
struct ResetOver;

/// The form to set a new password. Whether the link still works is looked at when it is used; one that
/// was cut off or mistyped is told at once.
pub(super) async fn show(Id(LinkSecret(secret)): Id<LinkSecret>) -> Answer {
    if secret.is_well_formed(Prefix::PasswordReset) {
        page(StatusCode::OK, &Reset::new(&Wrong::default()))
    } else {
        page(StatusCode::NOT_FOUND, &ResetOver)
    }
}

/// Sets it. All sessions and access tokens end, this browser's too.
pub(super) async fn reset(
    State(app): State<App>,
    visitor: Visitor,
    Id(LinkSecret(secret)): Id<LinkSecret>,
    Form(form): Form<ResetForm>,
) -> Answer {
    let done = async {
        let new = Check::one(|check| new_password(form.password, check))?;
        Ok::<_, Problem>(app.registry.reset_password(&visitor.call, &secret, &new).await)
    };
    let wrong = match done.await {
        Ok(Ok(())) => {
            let mut response = see_other(&Notice::PasswordSet.on("/login"))?;
            response.headers_mut().insert(header::SET_COOKIE, cookie::end(&app.options)?);
            return Ok(response);
        }
        Ok(Err(Error::Invalid(errors))) if errors.iter().any(|error| error.field == "token") => {
            return page(StatusCode::NOT_FOUND, &ResetOver);
        }
        Ok(Err(error)) => Wrong::with(error.into(), &["password"])?,
        Err(problem) => Wrong::with(problem, &["password"])?,
    };
    wrong.page(&Reset::new(&wrong))
}
