//! Coming in by the link in a platform invite's mail: making an account, or showing with the one there
//! is that the address is one's own.

use askama::Template;
use axum::{extract::State, http::StatusCode};
use registry::{Error, InviteKind, Joined, Joining, JsonObject, Password, Secret, text::Email};
use serde::Deserialize;

use super::{
    field::Field,
    form::{Form, Wrong},
    invitation,
    link::LinkSecret,
    login,
    next::Next,
    notice::Notice,
    offer::Offer,
    page, see_other,
    visitor::Visitor,
};
use crate::{
    App,
    rest::{
        Peer,
        check::Check,
        extract::Id,
        problem::{Answer, Problem},
        secret::SecretText,
        sessions,
        users::new_password,
    },
};

/// An account to be made; nothing, to claim the invite for the one that is logged in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// For programs that keep passwords; it is not to be changed.
    email: Option<String>,
    password: Option<SecretText>,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct No {}

#[derive(Template)]
#[template(path = "pages/join.html")]
struct Join {
    offer: Offer,
    to_platform: bool,
    email: String,
    /// The page itself, to come back to.
    here: Option<Next>,
    way: Way,
    wrong: Option<String>,
}

/// How the visitor comes in.
enum Way {
    MakeAccount {
        email: Box<Field>,
        password: Box<Field>,
    },
    LogIn,
    Claim,
    /// Logged in with another address: this one.
    LogOut(String),
}

#[derive(Template)]
#[template(path = "pages/join-over.html")]
struct Over;

/// What one is invited to, and the way in.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Id(LinkSecret(secret)): Id<LinkSecret>,
) -> Answer {
    shown(StatusCode::OK, way_in(&app, &visitor, &secret, &Wrong::default()).await?.as_ref())
}

/// Makes the account and logs in, or claims the invite for the account that is logged in.
pub(super) async fn join(
    State(app): State<App>,
    visitor: Visitor,
    peer: Peer,
    Id(LinkSecret(secret)): Id<LinkSecret>,
    Form(form): Form<Account>,
) -> Answer {
    let joining = match app.registry.view_invite_by_secret(&secret).await {
        Ok(joining) => joining,
        Err(Error::NotFound) => return shown(StatusCode::NOT_FOUND, None),
        Err(error) => return Err(error.into()),
    };
    if let Some(person) = &visitor.person {
        return match app.registry.claim_invite(person, &secret).await {
            Ok(joined) => see_other(&onward(&joining, &joined)),
            // It is for another address, or is not open any more.
            Err(Error::NotFound) => {
                let way_in = way_in(&app, &visitor, &secret, &Wrong::default()).await?;
                shown(StatusCode::FORBIDDEN, way_in.as_ref())
            }
            Err(error) => Err(error.into()),
        };
    }
    let made = async {
        let (email, password, typed) = Check::one(|check| form.check(check))?;
        let nothing = JsonObject::default();
        let joined = app
            .registry
            .register_by_invite(&visitor.call, &secret, email.as_ref(), &password, &nothing)
            .await?;
        Ok::<_, Problem>((joined, typed))
    };
    match made.await {
        Ok((joined, typed)) => {
            let onward = onward(&joining, &joined);
            match sessions::log_in(&app, &visitor.call, &joined.user.email, &typed, peer).await {
                Ok(session) => login::enter(&app, &session, &onward),
                // The account is there, and only logging in has to wait.
                Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
                    see_other(&Next::parse(&onward).map_or(onward, |next| next.after_logging_in()))
                }
                Err(problem) => Err(problem),
            }
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => shown(StatusCode::NOT_FOUND, None),
        Err(problem) => {
            let wrong = Wrong::with(problem, &["email", "password"])?;
            match way_in(&app, &visitor, &secret, &wrong).await? {
                Some(join) => wrong.page(&join),
                None => shown(StatusCode::NOT_FOUND, None),
            }
        }
    }
}

impl Account {
    /// The password twice: to be kept, and to log in with at once.
    fn check(self, check: &mut Check) -> Option<(Option<Email>, Password, Secret)> {
        let email = check.filter("email", self.email.as_deref());
        let typed = self.password.as_ref().map(|password| password.0.clone());
        let password = new_password(self.password, check);
        Some((email, password?, typed?))
    }
}

/// Whoever has the link says no, with an account or without.
pub(super) async fn decline(
    State(app): State<App>,
    visitor: Visitor,
    Id(LinkSecret(secret)): Id<LinkSecret>,
    Form(No {}): Form<No>,
) -> Answer {
    match app.registry.decline_by_secret(&visitor.call, &secret).await {
        Ok(()) => see_other(&Notice::Declined.on("/")),
        Err(Error::NotFound) => shown(StatusCode::NOT_FOUND, None),
        Err(error) => Err(error.into()),
    }
}

/// The page; of a link that is not open any more, whatever came of it, always the same.
fn shown(status: StatusCode, way_in: Option<&Join>) -> Answer {
    match way_in {
        Some(join) => page(status, join),
        None => page(StatusCode::NOT_FOUND, &Over),
    }
}

async fn way_in(
    app: &App,
    visitor: &Visitor,
    secret: &Secret,
    wrong: &Wrong,
) -> Result<Option<Join>, Problem> {
    let Joining { invite, email, has_account } = match app.registry.view_invite_by_secret(secret).await {
        Ok(joining) => joining,
        Err(Error::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let way = match &visitor.person {
        Some(person) => {
            let me = app.registry.view_own_user(person).await?;
            if me.email == email { Way::Claim } else { Way::LogOut(me.email.to_string()) }
        }
        None if has_account => Way::LogIn,
        None => Way::MakeAccount {
            email: Box::new(Field::email(email.as_str(), wrong).fixed()),
            // A browser would begin here, past who invites to what.
            password: Box::new(Field::new_password(wrong).focused(wrong.at("password").is_some())),
        },
    };
    Ok(Some(Join {
        offer: Offer::of(&invite),
        to_platform: invite.kind == InviteKind::Platform,
        email: email.to_string(),
        here: Next::parse(&format!("/join/{}", secret.expose())),
        way,
        wrong: wrong.whole(),
    }))
}

/// Where it goes on: to the organisation's invite, if there is one; else to what waits besides.
fn onward(joining: &Joining, joined: &Joined) -> String {
    let invite = &joining.invite;
    if joined.invites.contains(&invite.id) {
        return invitation::path(invite.id);
    }
    Next::with(invite.redirect_path.clone().map(Next::from).as_ref(), "/invitations")
}
