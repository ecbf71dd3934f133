//! Lists as the registry shows them: walked page by page to their end.

use registry::{
    Call, Dir, Error, Invite, InviteFilter, InviteOrder, MemberFilter, MemberOrder, OrgFilter, OrgOrder,
    Page, PageQuery, TokenOrder,
    groups::{GroupFilter, GroupOrder},
    journal::{JournalFilter, JournalOrder, Record},
    profiles::{self, ProfileFilter, ProfileOrder},
    text::SearchText,
    things::{self, ThingFilter, ThingOrder},
};
use serde_json::{Value, json};

use super::{
    commands::{List, Listed, NOBODY, Object, Order, Place, Scope},
    inviting::Inbox,
    perform::{group_row, org_row, profile_row},
    reference::{Answer, Outcome, Refusal, Subject},
    side::{Side, group, json_of, number, org, profile, refusal},
};

/// Walks a list; `$query` is the page that `$ask` asks for.
macro_rules! walk {
    ($list:expr, $order:expr, |$query:ident| $ask:expr, $row:expr) => {{
        let (list, order) = ($list, $order);
        let mut walk = Walk::default();
        loop {
            let $query = match walk.query(list, order, list.dir) {
                Ok(query) => query,
                Err(error) => break Err(refusal(error)),
            };
            let page = match $ask.await {
                Ok(page) => page,
                Err(error) => break Err(refusal(error)),
            };
            if walk.next.is_none() && page.next.is_some() {
                // The cursor is good for this list only.
                walk.next = page.next.clone();
                let turned = if list.dir == Dir::Asc { Dir::Desc } else { Dir::Asc };
                let $query = walk.query(&List { by_offset: false, ..*list }, order, turned).unwrap();
                if !matches!($ask.await, Err(Error::Invalid(_))) {
                    break Err(Refusal::Other("a cursor opened another list".to_owned()));
                }
            }
            match walk.take(list, page.map($row)) {
                Ok(true) => {}
                Ok(false) => break Ok(Answer { rows: walk.rows, keys: Vec::new() }),
                Err(wrong) => break Err(Refusal::Other(wrong)),
            }
        }
    }};
}

/// How far a walk has come.
#[derive(Default)]
struct Walk {
    rows: Vec<Value>,
    next: Option<String>,
    total: Option<u64>,
}

impl Walk {
    fn query<O: Copy>(&self, list: &List, order: O, dir: Dir) -> registry::Result<PageQuery<O>> {
        let (offset, cursor) = match &self.next {
            Some(_) if list.by_offset => (u32::try_from(self.rows.len()).ok(), None),
            next => (None, next.clone()),
        };
        PageQuery::new(Some(list.limit), offset, cursor, order, dir)
    }

    /// Adds a page; tells whether there is another, or what is wrong with this one.
    fn take(&mut self, list: &List, page: Page<Value>) -> Result<bool, String> {
        let (before, items) = (self.rows.len() as u64, page.items.len());
        self.rows.extend(page.items);
        let total = *self.total.get_or_insert(page.total);
        let full = items == list.limit as usize;
        let more = (self.rows.len() as u64) < total;
        if page.offset != before || page.total != total || !page.total_exact {
            return Err(format!("a page at {} of {} said otherwise", page.offset, page.total));
        }
        if page.next.is_some() != more || (more && !full) || items > list.limit as usize {
            return Err(format!("{} of {total} rows and next {:?}", self.rows.len(), page.next));
        }
        self.next = page.next;
        Ok(more)
    }
}

fn text(text: &str) -> SearchText {
    SearchText::try_from(text).unwrap()
}

/// Entries with those about invites, where several follow each other, in one order: what ends together
/// ends in any.
pub fn in_order(mut entries: Vec<Value>) -> Vec<Value> {
    let about_invite = |entry: &Value| entry["subject"].as_str().unwrap().starts_with("Invite");
    for run in entries.chunk_by_mut(|a, b| about_invite(a) && about_invite(b)) {
        run.sort_by_cached_key(Value::to_string);
    }
    entries
}

impl Side {
    /// The whole list as the caller sees it.
    pub async fn list(&mut self, call: &Call, list: &List) -> Outcome {
        let registry = self.registry.clone();
        let (name, metadata) = (list.text.map(text), list.metadata.map(json_of));
        match list.what {
            Listed::Orgs => {
                let filter = OrgFilter { name, metadata };
                let order = match list.order {
                    Order::Name => OrgOrder::Name,
                    Order::Created => OrgOrder::CreatedAt,
                    Order::Updated => OrgOrder::UpdatedAt,
                    _ => OrgOrder::Id,
                };
                walk!(list, order, |query| registry.list_orgs(call, &filter, &query), |org| org_row(&org))
            }
            Listed::Groups(scope) => {
                let within = match scope {
                    Scope::Org(id) => Some(org(id)),
                    _ => None,
                };
                let filter = GroupFilter { org: within, name, metadata };
                let order = match list.order {
                    Order::Name => GroupOrder::Name,
                    Order::Created => GroupOrder::CreatedAt,
                    Order::Updated => GroupOrder::UpdatedAt,
                    _ => GroupOrder::Id,
                };
                walk!(list, order, |query| registry.list_groups(call, &filter, &query), |it| group_row(&it))
            }
            Listed::Profiles(scope) => {
                let scope = match scope {
                    Scope::Org(id) => profiles::Scope::Org(org(id)),
                    Scope::Group(id) => profiles::Scope::Group(group(id)),
                    Scope::Everywhere | Scope::Profile(_) => profiles::Scope::Everywhere,
                };
                let content_type = list.content_type.map(text);
                let filter = ProfileFilter { scope, name, metadata, content_type };
                let order = match list.order {
                    Order::Name => ProfileOrder::Name,
                    _ => ProfileOrder::Id,
                };
                walk!(list, order, |query| registry.list_profiles(call, &filter, &query), |it| profile_row(
                    &it
                ))
            }
            Listed::Things(scope) => {
                let scope = match scope {
                    Scope::Everywhere => things::Scope::Everywhere,
                    Scope::Org(id) => things::Scope::Org(org(id)),
                    Scope::Group(id) => things::Scope::Group(group(id)),
                    Scope::Profile(id) => things::Scope::Profile(profile(id)),
                };
                let external_key = list.external.map(|key| text(self.secret(key).expose()));
                let filter =
                    ThingFilter { scope, name, metadata, kind: list.kind, external_key, status: None };
                let order = match list.order {
                    Order::Name => ThingOrder::Name,
                    Order::Kind => ThingOrder::Kind,
                    _ => ThingOrder::Id,
                };
                walk!(list, order, |query| registry.list_things(call, &filter, &query), |thing| self
                    .thing_row(&thing))
            }
            Listed::Members(place) => {
                let filter = MemberFilter { email: name, role: list.role };
                let order = match list.order {
                    Order::Email => MemberOrder::Email,
                    _ => MemberOrder::Id,
                };
                match place {
                    Place::Org(id) => {
                        walk!(
                            list,
                            order,
                            |query| registry.list_org_members(call, org(id), &filter, &query),
                            |member| self.member_row(&member)
                        )
                    }
                    Place::Group(id) => {
                        walk!(
                            list,
                            order,
                            |query| registry.list_group_members(call, group(id), &filter, &query),
                            |member| self.member_row(&member)
                        )
                    }
                }
            }
            Listed::Tokens => {
                walk!(list, TokenOrder::Id, |query| registry.list_tokens(call, &query), |token| self
                    .token_row(&token))
            }
            Listed::Journal(scope) => {
                let mut filter = JournalFilter::default();
                match scope {
                    Scope::Org(id) => filter.org = Some(org(id)),
                    Scope::Group(id) => filter.group = Some(group(id)),
                    Scope::Everywhere | Scope::Profile(_) => {}
                }
                walk!(list, JournalOrder, |query| registry.list_journal(call, &filter, &query), |record| self
                    .entry_row(&record))
                .map(|answer| Answer { rows: in_order(answer.rows), ..answer })
            }
            Listed::Invites(inbox) => self.list_invites(call, list, inbox).await,
        }
    }

    /// The same for invites.
    async fn list_invites(&mut self, call: &Call, list: &List, inbox: Inbox) -> Outcome {
        let registry = self.registry.clone();
        let filter = InviteFilter { state: list.state, kind: list.invite };
        let order = if list.order == Order::Created { InviteOrder::CreatedAt } else { InviteOrder::Id };
        let row = |side: &Self, invite: &Invite| side.invite_row(invite);
        match inbox {
            Inbox::Everything => {
                walk!(list, order, |query| registry.list_invites(call, &filter, &query), |it| row(self, &it))
            }
            Inbox::ToOrg(id) => {
                walk!(list, order, |query| registry.list_org_invites(call, org(id), &filter, &query), |it| {
                    row(self, &it)
                })
            }
            Inbox::ToGroup(id) => walk!(
                list,
                order,
                |query| registry.list_group_invites(call, group(id), &filter, &query),
                |it| row(self, &it)
            ),
            Inbox::Received(person) => walk!(
                list,
                order,
                |query| registry.list_received_invites(call, self.user(person), &filter, &query),
                |it| row(self, &it)
            ),
            Inbox::Sent(person) => walk!(
                list,
                order,
                |query| registry.list_sent_invites(call, self.user(person), &filter, &query),
                |it| row(self, &it)
            ),
        }
    }

    /// An entry of the journal in the model's words.
    pub fn entry_row(&self, record: &Record) -> Value {
        let id = number(record.subject_id);
        let subject = match record.subject_kind.as_str() {
            "org" => Subject::Object(Object::Org(id)),
            "group" => Subject::Object(Object::Group(id)),
            "profile" => Subject::Object(Object::Profile(id)),
            "thing" => Subject::Object(Object::Thing(id)),
            "user" => Subject::Person(self.person(record.subject_id.into())),
            "session" => Subject::Session,
            "token" => {
                let known = self.memory.tokens.iter();
                let is = |token: &registry::TokenId| token.uuid() == record.subject_id;
                let found =
                    known.filter(|(_, (id, _))| id.as_ref().is_some_and(is)).map(|(id, _)| *id).next();
                Subject::Token(found.unwrap_or(0))
            }
            "invite" => Subject::Invite(self.invite_number(record.subject_id.into())),
            _ => Subject::Person(NOBODY),
        };
        let actor = record.actor_id.map(|id| self.person(id.into()));
        json!({ "action": record.action, "subject": format!("{subject:?}"),
                "org": record.org_id.map(|id| number(id.uuid())),
                "group": record.group_id.map(|id| number(id.uuid())),
                "actor": actor.filter(|_| record.actor_kind == "user"), "via": record.via })
    }

    /// What the journal says since it was last read, as the root sees it.
    pub async fn news(&mut self) -> Vec<Value> {
        let (call, registry) = (self.as_root(), self.registry.clone());
        let mut new = Vec::new();
        let mut cursor = None;
        loop {
            let query = PageQuery::new(Some(8), None, cursor, JournalOrder, Dir::Desc).unwrap();
            let page = registry.list_journal(&call, &JournalFilter::default(), &query).await.unwrap();
            let fresh = page.items.iter().take_while(|record| record.id > self.memory.journal);
            let before = new.len();
            new.extend(fresh.map(|record| (record.id, self.entry_row(record))));
            let all_fresh = new.len() - before == page.items.len();
            match page.next {
                Some(next) if all_fresh => cursor = Some(next),
                _ => break,
            }
        }
        self.memory.journal = new.first().map_or(self.memory.journal, |(id, _)| *id);
        new.reverse();
        in_order(new.into_iter().map(|(_, row)| row).collect())
    }
}
