//! Lists of things.

use super::Row;
use crate::{
    access::{self, Visible},
    actor::UserActor,
    error::Result,
    ids::{GroupId, OrgId},
    page::{Page, PageQuery},
    secret::Keyring,
    store::{
        Conn,
        access::Facts,
        page::{self, Keyed, Listing, Merged, OrderKey, Reading},
        search,
        sql::{Arg, Sql},
    },
    text::SearchText,
    things::{Thing, ThingFilter, ThingOrder, ThingStatus},
};

/// Up to so many groups are read one by one and merged; the list of somebody with more is read as a
/// whole, in which theirs are frequent.
const MERGED: i64 = 50;

/// The groups whose things are listed, where these are some but not too many. No index has the things
/// of several groups in the list's order, so one statement over all would sort every thing in them.
async fn groups_of(conn: &mut Conn, visible: &Visible) -> Result<Option<Vec<GroupId>>> {
    if !visible.is_of_groups() {
        return Ok(None);
    }
    let mut sql = Sql::new("SELECT id FROM groups WHERE ");
    sql.append(&visible.groups("id", None)).push(" LIMIT ").bind(Arg::Int(MERGED + 1));
    let groups: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    let few = (1..=MERGED).contains(&i64::try_from(groups.len()).unwrap_or(i64::MAX));
    Ok(few.then(|| groups.into_iter().map(|(group,)| group).collect()))
}

const COLUMNS: &str = "SELECT t.id, t.group_id, t.profile_id, t.name, t.type, t.external_key, t.metadata, t.key, \
     d.since AS disabled_since, a.seen_at, g.org_id, m.role, o.role AS org_role FROM";

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    org_id: OrgId,
    #[sqlx(flatten)]
    facts: Facts,
}

impl Keyed<ThingOrder> for Listed {
    fn key(&self, order: &ThingOrder) -> Option<Arg> {
        match order {
            ThingOrder::Id => None,
            ThingOrder::Name => Some(Arg::Text(self.row.name.to_ascii_lowercase())),
            ThingOrder::Kind => Some(Arg::Text(self.row.kind.clone())),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.row.id.uuid())
    }
    fn content(&self) -> usize {
        page::content(self.row.metadata.as_ref())
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    visible: &Visible,
    filter: &ThingFilter,
    query: &PageQuery<ThingOrder>,
) -> Result<Page<Thing>> {
    let mut filters = Sql::default();
    if let Some(name) = &filter.name {
        filters.and_name_contains(conn, "t.name", name.as_str());
    }
    if let Some(metadata) = &filter.metadata {
        filters.and_json_contains(conn, "t.metadata", metadata)?;
    }
    if let Some(kind) = filter.kind {
        // As the index has it.
        filters.push(if conn.is_postgres() { " AND t.type COLLATE \"C\" = " } else { " AND t.type = " });
        filters.bind(Arg::Text(kind.as_str().to_owned()));
    }
    match filter.status {
        None => {}
        Some(ThingStatus::Disabled) => {
            filters.push(" AND EXISTS (SELECT 1 FROM disabled_things x WHERE x.thing_id = t.id)");
        }
        Some(ThingStatus::Enabled) => {
            filters.push(" AND NOT EXISTS (SELECT 1 FROM disabled_things x WHERE x.thing_id = t.id)");
        }
    }
    if let Some(external) = &filter.external_key {
        filters.push(" AND t.external_key = ").bind(Arg::Text(external.as_str().to_owned()));
    }
    let mut condition = visible.groups("t.group_id", Some("t.profile_id"));
    let name = filter.name.as_ref().map(SearchText::as_str);
    let disabled = filter.status == Some(ThingStatus::Disabled);
    let plan = search::plan(conn, &condition, name, filter.metadata.as_ref(), disabled).await?;
    condition.append(&filters);
    let mut joins = Sql::new(
        " JOIN groups g ON g.id = t.group_id LEFT JOIN group_memberships m ON m.group_id = t.group_id AND m.member_id = ",
    );
    joins
        .bind(Arg::Id(user.id().uuid()))
        .push(" LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = ");
    joins.bind(Arg::Id(user.id().uuid()));
    joins.push(
        " LEFT JOIN disabled_things d ON d.thing_id = t.id LEFT JOIN thing_activity a ON a.thing_id = t.id",
    );
    let select = |source: &Sql| {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" ").append(source).append(&joins);
        sql
    };
    let mut count = Sql::new("SELECT 1 AS one FROM ");
    count.append(&plan.counted);
    let listing = Listing {
        select: select(&Sql::new("things t")),
        count,
        filter: condition,
        key: match query.order() {
            ThingOrder::Id => None,
            ThingOrder::Name => Some(OrderKey {
                sqlite: "lower(t.name)",
                postgres: "lower(t.name COLLATE \"C\") COLLATE \"C\"",
            }),
            ThingOrder::Kind => Some(OrderKey { sqlite: "t.type", postgres: "t.type COLLATE \"C\"" }),
        },
        id: "t.id",
        reading: if plan.walked {
            match groups_of(conn, visible).await? {
                Some(groups) => {
                    let parts = groups
                        .into_iter()
                        .map(|group| {
                            let mut part = Sql::new("t.group_id = ");
                            part.bind(Arg::Id(group.uuid())).append(&filters);
                            part
                        })
                        .collect();
                    Reading::Merged(Merged { columns: COLUMNS, table: "things t", joins, parts })
                }
                None => Reading::Plain,
            }
        } else {
            Reading::Gathered(select(&plan.source))
        },
    };
    let page: Page<Listed> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|listed| {
        let role = access::role_towards(user, (listed.org_id, Some(listed.row.group_id)), &listed.facts);
        listed.row.seen_as(role)
    }))
}
