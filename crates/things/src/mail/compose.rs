//! From a letter to a mail: the facts as templates see them, and the headers.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use lettre::{
    Address, Message,
    message::{
        Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use registry::{
    MailId, Role, Secret, Timestamp,
    mail::{GroupOffer, InviteLetter, Letter, Mail, Place},
    text::Email,
};
use serde::Serialize;

use super::{
    Destination, Setup, SetupError,
    templates::{Templates, Words},
};

/// What templates may use. All of it is always there; what a kind of mail does not have is none.
#[derive(Debug, Default, Serialize)]
struct Facts<'a> {
    /// Where this service is reached.
    site: &'a str,
    /// Who is written to.
    to: &'a str,
    /// Where the mail leads.
    link: String,
    /// Who did what is told.
    by: Option<&'a str>,
    /// The organisation.
    org: Option<&'a str>,
    /// The group, if it is about one.
    group: Option<&'a str>,
    /// Groups that it is about besides, or that come with an invite.
    groups: Vec<Group<'a>>,
    /// The role that somebody has from now on, or is offered.
    role: Option<&'static str>,
    /// The role before.
    role_before: Option<&'static str>,
    /// Until when, in UTC.
    expires: Option<String>,
    /// Whether an account has to be made first.
    joining: bool,
    /// How many invites to groups wait for an answer.
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    name: &'a str,
    role: Option<&'static str>,
}

/// Why a letter cannot be put into words.
#[derive(Debug)]
pub(super) struct Unfit(String);

impl Unfit {
    fn new(reason: &dyn fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts mails together.
pub(super) struct Composer {
    templates: Templates,
    from: Mailbox,
    site: String,
}

/// A mail in words, and its way.
pub(super) struct Composed {
    pub(super) id: MailId,
    pub(super) created_at: Timestamp,
    from: Mailbox,
    to: Mailbox,
    subject: String,
    // They may hold a token.
    text: Secret,
    html: Secret,
}

impl Composer {
    pub(super) fn new(setup: &Setup) -> Result<Self, SetupError> {
        let from = match (&setup.from, &setup.destination) {
            (Some(from), _) => from.parse().map_err(|_| {
                SetupError::new(
                    "mail_from",
                    "must be an address, or `Name <address>`, such as Things <things@example.com>",
                )
            })?,
            (None, Destination::Smtp(_)) => {
                return Err(SetupError::new(
                    "mail_from",
                    "must be set where mail is sent: the address it comes from, such as Things <things@example.com>",
                ));
            }
            (None, Destination::Files(_) | Destination::Off) => Mailbox::new(
                Some("Things".to_owned()),
                Address::new("things", "localhost").map_err(|error| SetupError::new("mail_from", error))?,
            ),
        };
        let templates = Templates::load(setup.templates.as_deref())?;
        let composer = Self { templates, from, site: setup.site.trim_end_matches('/').to_owned() };
        composer.rehearse().map_err(|error| SetupError::new("mail_templates", error))?;
        Ok(composer)
    }

    /// What this program calls itself to mail servers.
    pub(super) fn domain(&self) -> &str {
        self.from.email.domain()
    }

    /// Puts a letter into words.
    pub(super) fn compose(&self, mail: &Mail) -> Result<Composed, Unfit> {
        self.put(mail.id, &mail.to, mail.created_at, mail.letter.kind(), &self.facts(&mail.to, &mail.letter))
    }

    /// A mail that only says that mail works.
    pub(super) fn test(&self, id: MailId, to: &Email, now: Timestamp) -> Result<Composed, Unfit> {
        let facts = Facts { site: &self.site, to: to.as_str(), link: self.link("/"), ..Facts::default() };
        self.put(id, to, now, "test", &facts)
    }

    fn put(
        &self,
        id: MailId,
        to: &Email,
        created_at: Timestamp,
        kind: &str,
        facts: &Facts<'_>,
    ) -> Result<Composed, Unfit> {
        let Words { subject, text, html } =
            self.templates.render(kind, facts).map_err(|error| Unfit::new(&error))?;
        let address =
            to.as_str().parse().map_err(|_| Unfit::new(&"mail cannot be sent to such an address"))?;
        Ok(Composed {
            id,
            created_at,
            from: self.from.clone(),
            to: Mailbox::new(None, address),
            subject,
            text: Secret::new(text),
            html: Secret::new(html),
        })
    }

    fn link(&self, path: &str) -> String {
        format!("{}{path}", self.site)
    }

    fn facts<'a>(&'a self, to: &'a Email, letter: &'a Letter) -> Facts<'a> {
        let facts = Facts { site: &self.site, to: to.as_str(), link: self.link("/"), ..Facts::default() };
        match letter {
            Letter::Invite(invite) => self.invite(facts, invite),
            Letter::MemberAdded { place, role, by, waiting } => Facts {
                link: self.link(if *waiting > 0 { "/invitations" } else { "/" }),
                role: Some(role.as_str()),
                by: Some(by.as_str()),
                waiting: *waiting,
                ..at(place, facts)
            },
            Letter::RoleChanged { place, before, role, by } => Facts {
                role: Some(role.as_str()),
                role_before: before.map(Role::as_str),
                by: Some(by.as_str()),
                ..at(place, facts)
            },
            Letter::MemberRemoved { place, by } => Facts { by: Some(by.as_str()), ..at(place, facts) },
            Letter::OwnershipReceived { place, by } | Letter::GroupsInherited { place, by } => {
                Facts { role: Some(Role::Owner.as_str()), by: Some(by.as_str()), ..at(place, facts) }
            }
            Letter::PasswordReset { secret, expires_at } => Facts {
                link: self.link(&format!("/reset/{}", secret.expose())),
                expires: Some(moment(*expires_at)),
                ..facts
            },
        }
    }

    fn invite<'a>(&self, facts: Facts<'a>, invite: &'a InviteLetter) -> Facts<'a> {
        let mut link = match &invite.secret {
            Some(secret) => self.link(&format!("/join/{}", secret.expose())),
            None => self.link(&format!("/invitations/{}", invite.id)),
        };
        if let Some(path) = invite.redirect_path.as_deref().filter(|path| is_redirect_path(path)) {
            link.push_str("?next=");
            link.push_str(path);
        }
        let groups = invite.groups.iter();
        Facts {
            link,
            by: Some(invite.inviter.as_str()),
            org: invite.org.as_deref(),
            group: invite.group.as_deref(),
            groups: groups
                .map(|group| Group { name: &group.name, role: Some(group.role.as_str()) })
                .collect(),
            role: invite.role.map(Role::as_str),
            expires: Some(moment(invite.expires_at)),
            joining: invite.secret.is_some(),
            ..facts
        }
    }

    /// Renders each kind of mail with everything that it may or may not hold.
    fn rehearse(&self) -> Result<(), Unfit> {
        let now = Timestamp::from_millis(0);
        let id = MailId::from(uuid::Uuid::nil());
        let to = sample_address("bob@example.com")?;
        for letter in samples()? {
            let mail = Mail { id, to: to.clone(), letter, created_at: now, attempt: 1 };
            self.compose(&mail)?.message()?;
        }
        self.test(id, &to, now)?.message()?;
        Ok(())
    }
}

/// The facts about a place.
fn at<'a>(place: &'a Place, facts: Facts<'a>) -> Facts<'a> {
    let org = Some(place.org.as_str());
    match place.groups.as_slice() {
        [group] => Facts { org, group: Some(group), ..facts },
        groups => {
            let groups = groups.iter().map(|name| Group { name, role: None }).collect();
            Facts { org, groups, ..facts }
        }
    }
}

/// Within this service, and nothing that means something in a link.
fn is_redirect_path(path: &str) -> bool {
    const LONGEST: usize = 129;
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= LONGEST
        && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-'))
}

/// A moment for a person, without the language in which months are named.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {} UTC", time.get(..5).unwrap_or(time)),
        None => text,
    }
}

impl Composed {
    /// As it is sent.
    pub(super) fn message(&self) -> Result<Message, Unfit> {
        self.built(SinglePart::plain(self.text.expose().to_owned()))
    }

    /// As it is read by somebody who opens the file: the same, with the text as it is and lines that end
    /// as those of other files do.
    pub(super) fn readable(&self) -> Result<Secret, Unfit> {
        let text = self.text.expose().replace('\n', "\r\n").into_bytes();
        // As it is: no line of it is sent, so none can be too long.
        let body = Body::dangerous_pre_encoded(text, ContentTransferEncoding::EightBit);
        let plain = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body);
        let bytes = self.built(plain)?.formatted();
        Ok(Secret::new(String::from_utf8_lossy(&bytes).replace("\r\n", "\n")))
    }

    fn built(&self, plain: SinglePart) -> Result<Message, Unfit> {
        let millis = u64::try_from(self.created_at.millis()).unwrap_or(0);
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject(self.subject.clone())
            // Of when it was written: a mail that comes twice is the same mail.
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
            .message_id(Some(format!("<{}@{}>", self.id, self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(
                MultiPart::alternative()
                    .singlepart(plain)
                    .singlepart(SinglePart::html(self.html.expose().to_owned())),
            )
            .map_err(|error| Unfit::new(&error))
    }
}

fn sample_address(text: &str) -> Result<Email, Unfit> {
    Email::try_from(text).map_err(|error| Unfit::new(&error))
}

/// A letter of each kind, with and without what may be missing.
fn samples() -> Result<Vec<Letter>, Unfit> {
    let by = sample_address("ada@example.com")?;
    let secret = || Secret::new("rst_000000000000000000000000000000000000");
    let name = || "Cold stores".to_owned();
    let org = || "Nordlicht".to_owned();
    let group = Place { org: org(), groups: vec![name()] };
    let several = Place { org: org(), groups: vec![name(), "Trucks".to_owned()] };
    let itself = Place { org: org(), groups: Vec::new() };
    let expires_at = Timestamp::from_millis(1_767_225_600_000);
    let invite = InviteLetter {
        id: uuid::Uuid::nil(),
        secret: None,
        org: Some(org()),
        group: Some(name()),
        role: Some(Role::Editor),
        groups: Vec::new(),
        inviter: by.clone(),
        expires_at,
        redirect_path: None,
    };
    let offers = vec![
        GroupOffer { name: name(), role: Role::Viewer },
        GroupOffer { name: "Trucks".to_owned(), role: Role::Admin },
    ];
    let mut letters = vec![
        Letter::Invite(invite.clone()),
        Letter::Invite(InviteLetter { group: None, groups: offers.clone(), ..invite.clone() }),
        Letter::Invite(InviteLetter {
            group: None,
            groups: offers,
            secret: Some(secret()),
            redirect_path: Some("/welcome".to_owned()),
            ..invite.clone()
        }),
        Letter::Invite(InviteLetter { secret: Some(secret()), org: None, group: None, role: None, ..invite }),
        Letter::GroupsInherited { place: group.clone(), by: by.clone() },
        Letter::GroupsInherited { place: several, by: by.clone() },
        Letter::PasswordReset { secret: secret(), expires_at },
    ];
    for place in [group, itself] {
        let by = || by.clone();
        for role in Role::ALL {
            letters.push(Letter::MemberAdded { place: place.clone(), role, by: by(), waiting: 0 });
            letters.push(Letter::RoleChanged { place: place.clone(), before: Some(role), role, by: by() });
        }
        letters.push(Letter::RoleChanged {
            place: place.clone(),
            before: None,
            role: Role::Viewer,
            by: by(),
        });
        for waiting in [1, 2] {
            let place = place.clone();
            letters.push(Letter::MemberAdded { place, role: Role::Viewer, by: by(), waiting });
        }
        letters.push(Letter::MemberRemoved { place: place.clone(), by: by() });
        letters.push(Letter::OwnershipReceived { place, by: by() });
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::{
        Router,
        body::{Body as Sent, to_bytes},
        extract::MatchedPath,
        http::Request,
        routing::get,
    };
    use tower::ServiceExt;

    use super::*;
    use crate::mail::BUILT_IN;

    fn composer() -> Composer {
        Composer::new(&Setup {
            destination: Destination::Files("mail".into()),
            from: None,
            templates: None,
            ca: None,
            site: "https://things.example.com/".to_owned(),
        })
        .unwrap()
    }

    fn composed(letter: Letter) -> Composed {
        let to = Email::try_from("bob@example.com").unwrap();
        let (id, now) = (MailId::from(uuid::Uuid::nil()), Timestamp::from_millis(1_767_225_600_000));
        composer().compose(&Mail { id, to, letter, created_at: now, attempt: 1 }).unwrap()
    }

    #[test]
    fn links_lead_to_the_public_address() {
        let letters = samples().unwrap();
        for (letter, link) in letters.iter().zip([
            "https://things.example.com/invitations/00000000-0000-0000-0000-000000000000\n",
            "https://things.example.com/invitations/00000000-0000-0000-0000-000000000000\n",
            "https://things.example.com/join/rst_000000000000000000000000000000000000?next=/welcome\n",
            "https://things.example.com/join/rst_000000000000000000000000000000000000\n",
        ]) {
            let text = composed(letter.clone()).text;
            assert!(text.expose().contains(link), "{}", text.expose());
        }
        for bad in ["//evil.example", "https://evil.example", "/a?b", "/a b", "/%0a", "", &"/a".repeat(65)] {
            assert!(!is_redirect_path(bad), "{bad}");
        }
    }

    /// All that is ever written: the samples and the test.
    fn everything() -> Vec<Composed> {
        let samples = samples().unwrap();
        // A kind without a sample would be looked at by nobody.
        let sampled: BTreeSet<&str> = samples.iter().map(Letter::kind).chain(["test"]).collect();
        let kinds = BUILT_IN.iter().filter_map(|(name, _)| name.strip_suffix(".txt"));
        assert_eq!(sampled, kinds.filter(|name| *name != "role").collect());
        let to = sample_address("bob@example.com").unwrap();
        let (id, now) = (MailId::from(uuid::Uuid::nil()), Timestamp::from_millis(0));
        let test = composer().test(id, &to, now).unwrap();
        samples.into_iter().map(composed).chain([test]).collect()
    }

    #[tokio::test]
    async fn links_lead_to_pages_that_exist_and_secrets_to_where_logs_leave_them_out() {
        let shown = crate::pages::operations().filter_map(|page| Some(page.strip_prefix("GET ")?.to_owned()));
        let pages: Router = shown.fold(Router::new(), |router, path| {
            router.route(&path, get(async |path: MatchedPath| path.as_str().to_owned()))
        });
        for mail in everything() {
            for part in [mail.text.expose().to_owned(), mail.html.expose().replace("&#x2f;", "/")] {
                let links: BTreeSet<&str> = part
                    .split("https://things.example.com")
                    .skip(1)
                    .filter_map(|rest| rest.split([' ', '\n', '"', '<']).next())
                    // The service's name among words is no link.
                    .filter(|link| link.starts_with('/'))
                    .collect();
                assert_eq!(links.len(), 1, "{links:?}: {part}");
                for link in links {
                    let request = Request::get(link).body(Sent::empty()).unwrap();
                    let reply = pages.clone().oneshot(request).await.unwrap();
                    assert_eq!(reply.status(), 200, "{link} is no page: {part}");
                    let page = to_bytes(reply.into_body(), 1000).await.unwrap();
                    let page = String::from_utf8_lossy(&page).into_owned();
                    assert_eq!(page.contains("{secret}"), link.contains("rst_"), "{link} is {page}");
                }
            }
        }
    }

    #[test]
    fn a_name_can_be_anything_and_stays_a_name() {
        let hostile = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script> \"' & ünï {{ site }}";
        let place = Place { org: hostile.to_owned(), groups: vec![hostile.to_owned()] };
        let by = Email::try_from("ada@example.com").unwrap();
        for letter in [
            Letter::MemberAdded { place: place.clone(), role: Role::Viewer, by: by.clone(), waiting: 2 },
            Letter::MemberRemoved { place: place.clone(), by: by.clone() },
            Letter::GroupsInherited { place, by },
        ] {
            let mail = composed(letter);
            assert!(!mail.html.expose().contains("<script>"), "{}", mail.html.expose());
            assert!(mail.html.expose().contains("{{ site }}"));
            let message = mail.message().unwrap();
            let bytes = String::from_utf8(message.formatted()).unwrap();
            let head = bytes.split("\r\n\r\n").next().unwrap();
            assert!(!head.contains("\r\nBcc"), "{head}");
            assert_eq!(message.envelope().to().len(), 1);
            for header in ["Auto-Submitted: auto-generated", "Date: Thu, 01 Jan 2026 00:00:00 +0000"] {
                assert!(head.contains(header), "{head}");
            }
            assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000000@localhost>"), "{head}");
        }
    }

    #[test]
    fn a_file_can_be_read_as_it_is() {
        let place = Place { org: "Kühlhäuser".to_owned(), groups: Vec::new() };
        let by = Email::try_from("ada@example.com").unwrap();
        let file = composed(Letter::MemberRemoved { place, by }).readable().unwrap();
        assert!(file.expose().contains("Kühlhäuser") && !file.expose().contains('\r'), "{}", file.expose());
        assert!(file.expose().contains("To: bob@example.com\n"));
    }
}
