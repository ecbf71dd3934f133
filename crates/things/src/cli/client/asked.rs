//! Who asks which server, and how it is to be told: what every client command begins with.

use std::env;

use serde_json::{Value, json};
use things_client::{Client, Request, Token};

use super::{
    Failure,
    contexts::Contexts,
    given::Given,
    inert,
    output::{Column, Form, Output},
    terminal,
    trouble::Shown,
};

/// Where a server listens unless told otherwise.
pub(super) const USUAL_URL: &str = "http://127.0.0.1:8182";

/// The variable with a token that counts before that of a context.
pub(super) const TOKEN: &str = "THINGS_TOKEN";

/// A list's length unless told otherwise.
const USUAL_LIMIT: usize = 100;
/// The longest page that the server makes.
pub(super) const PAGE: usize = 1000;

/// One client command under way.
pub(super) struct Asked<'a> {
    pub(super) given: Given<'a>,
    pub(super) client: Client,
    /// The context's name, if one is used.
    pub(super) context: Option<String>,
    pub(super) out: Output,
    dry: bool,
    yes: bool,
}

/// Which server, as whom.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) token: Option<Token>,
    /// Whose token that is.
    pub(super) shown: Option<Shown>,
    pub(super) context: Option<String>,
}

impl Server {
    /// `--url`, `--context`, THINGS_URL and the current context, in this order. A token is only ever sent to the
    /// server that it is for: a context's to the context's URL; THINGS_TOKEN is for whichever is asked.
    pub(super) fn find(given: &Given<'_>) -> Result<Self, Failure> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let contexts = Contexts::read()?;
        let named = given.text("context");
        if named.is_some() && given.text("url").is_some() {
            return Err(Failure::Usage("--context says which URL; leave --url out".to_owned()));
        }
        let chosen = contexts
            .chosen(named)
            .or_else(|failure| if named.is_some() { Err(failure) } else { Ok(None) })?;
        let from_context = |(_, context): (&str, &super::contexts::Context)| context.url.clone();
        let url = match named {
            Some(_) => chosen.map(from_context),
            None => given
                .text("url")
                .map(str::to_owned)
                .or_else(|| variable("THINGS_URL"))
                .or_else(|| chosen.map(from_context)),
        };
        let url = url.unwrap_or_else(|| USUAL_URL.to_owned());
        let same = |context: &super::contexts::Context| {
            context.url.trim_end_matches('/') == url.trim_end_matches('/')
        };
        let context = chosen.filter(|(_, context)| same(context)).or_else(|| {
            contexts
                .contexts
                .iter()
                .map(|(name, context)| (name.as_str(), context))
                .find(|(_, context)| same(context))
        });
        let of_context = context.and_then(|(name, context)| Some((name, context.token.clone()?)));
        let (token, shown) = match (named, variable(TOKEN), of_context) {
            (None, Some(token), _) => (Some(token), Some(Shown::Variable)),
            (_, _, Some((name, token))) => (Some(token), Some(Shown::Context(name.to_owned()))),
            _ => (None, None),
        };
        let context = context.map(|(name, _)| name.to_owned());
        Ok(Self { token: token.map(Token::new), shown, context, url })
    }

    pub(super) fn client(&self, token: Option<Token>) -> Result<Client, Failure> {
        let client = Client::builder(&self.url, token)
            .user_agent(concat!("things/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map_err(|error| Failure::Usage(error.to_string()))
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(given: Given<'a>) -> Result<Self, Failure> {
        let server = Server::find(&given)?;
        let client = server.client(server.token.clone())?;
        if let Some(shown) = server.shown {
            shown.note();
        }
        let out = Output { form: Form::named(given.text("output")) };
        let (dry, yes) = (given.flag("dry-run"), given.flag("yes"));
        Ok(Self { given, client, context: server.context, out, dry, yes })
    }

    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Asks before what cannot be taken back, unless that was said already or nothing will happen.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes || self.dry { Ok(()) } else { terminal::confirm(question) }
    }

    /// Reads one object.
    pub(super) async fn read(&self, what: &str, path: &str) -> Result<Value, Failure> {
        self.client.get(path).read().await.map_err(|error| Failure::asking(what, &error))
    }

    /// Reads one object, with the tag of its version.
    pub(super) async fn tagged(&self, what: &str, path: &str) -> Result<(Value, String), Failure> {
        let failed = |error| Failure::asking(what, &error);
        let response = self.client.get(path).send().await.map_err(failed)?;
        let tag = response.etag().to_owned();
        Ok((response.json().await.map_err(failed)?, tag))
    }

    /// Makes a change. With `--dry-run` it makes none: the effect is told, and there is no answer.
    pub(super) async fn change(&self, what: &str, request: Request) -> Result<Option<Value>, Failure> {
        let failed = |error| Failure::asking(what, &error);
        if !self.dry {
            return request.read().await.map(Some).map_err(failed);
        }
        let effect: Value = request.dry_run().read().await.map_err(failed)?;
        self.effect(&effect)?;
        Ok(None)
    }

    /// A change by POST: repeated if the connection breaks, and made once.
    pub(super) async fn make(&self, what: &str, request: Request) -> Result<Option<Value>, Failure> {
        self.change(what, self.once(request)?).await
    }

    /// A POST that happens once, however often it is sent.
    pub(super) fn once(&self, request: Request) -> Result<Request, Failure> {
        // A dry run keeps nothing, so there is nothing to recognise again.
        Ok(if self.dry { request } else { request.idempotent(&fresh_key()?) })
    }

    /// Shows a list as its pages come, up to `--limit` or all of it.
    pub(super) async fn list(
        &self,
        what: &str,
        request: Request,
        items: &'static str,
        columns: &'static [Column],
    ) -> Result<(), Failure> {
        self.list_as(what, request, items, columns, |_| ()).await
    }

    /// The same, with something added to each row.
    pub(super) async fn list_as(
        &self,
        what: &str,
        request: Request,
        items: &'static str,
        columns: &'static [Column],
        add: impl Fn(&mut Value),
    ) -> Result<(), Failure> {
        let limit =
            self.given.number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL_LIMIT);
        let most = if self.given.flag("all") { usize::MAX } else { limit };
        let request = request
            .query("limit", most.min(PAGE).to_string())
            .query_opt("order", self.given.text("order"))
            .query_opt("dir", self.given.text("dir"));
        let mut pages = request.pages(items);
        let mut list = self.out.list(columns);
        let mut shown = 0;
        while let Some(mut page) =
            pages.next::<Value>().await.map_err(|error| Failure::asking(what, &error))?
        {
            let more = page.more || page.items.len() > most - shown;
            page.items.truncate(most - shown);
            shown += page.items.len();
            page.items.iter_mut().for_each(&add);
            if !list.page(&page.items)? {
                return Ok(());
            }
            if shown >= most {
                if more {
                    let of = if page.total_exact {
                        page.total.to_string()
                    } else {
                        format!("more than {}", page.total)
                    };
                    note(&format!("{shown} of {of} are shown; --all shows all, --limit more"));
                }
                break;
            }
        }
        list.end()
    }
}

/// A remark that is no result: to the standard error.
pub(super) fn note(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", inert::lines(text));
}

/// A key for one change, to be recognised by when it is sent again.
pub(super) fn fresh_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| Failure::to("make a random key", &error))?;
    Ok(bytes.iter().fold("cli-".to_owned(), |key, byte| format!("{key}{byte:02x}")))
}

/// One item of an answer that holds several.
pub(super) fn first(answer: Option<Value>, items: &str) -> Option<Value> {
    answer.map(|mut answer| {
        answer.get_mut(items).and_then(|items| items.get_mut(0)).map_or_else(|| json!({}), Value::take)
    })
}

/// A member that is a text.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
