//! The list of tables: what each is called, and what its rows are made of.

use super::{
    super::rules::{self, Rule},
    Column, Kept, Kind, Table,
};

const fn column(name: &'static str, kind: Kind, rule: Rule) -> Column {
    Column { name, kind, nullable: false, rule }
}

const fn id(name: &'static str) -> Column {
    column(name, Kind::Id, rules::anything)
}

const fn text(name: &'static str, rule: Rule) -> Column {
    column(name, Kind::Text, rule)
}

const fn time(name: &'static str) -> Column {
    column(name, Kind::Time, rules::anything)
}

const fn json(name: &'static str) -> Column {
    column(name, Kind::Json, rules::anything).or_null()
}

const fn bytes(name: &'static str, rule: Rule) -> Column {
    column(name, Kind::Bytes, rule)
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Int, rules::count)
}

const fn table(
    name: &'static str,
    columns: &'static [Column],
    key: &'static [&'static str],
    kept: Kept,
) -> Table {
    Table { name, columns, key, kept, refers: &[], numbered: false }
}

const SETTLED: &str = "state <> 'pending'";

/// All of them.
pub(crate) const TABLES: &[Table] = &[
    table(
        "installation",
        &[
            column("one", Kind::Int, rules::count),
            time("created_at"),
            text("pepper_canary", rules::anything),
            bytes("kek_canary", rules::anything),
        ],
        &["one"],
        Kept::Moved,
    ),
    table(
        "users",
        &[
            id("id"),
            text("email", rules::email),
            text("password_hash", rules::password_hash).or_null(),
            text("status", rules::user_status),
            text("platform_role", rules::platform_role).or_null(),
            json("metadata"),
            time("created_at"),
            time("updated_at"),
            time("verified_at").or_null(),
        ],
        &["id"],
        Kept::All,
    ),
    table(
        "orgs",
        &[
            id("id"),
            text("name", rules::org_name),
            text("description", rules::description).or_null(),
            json("metadata"),
            time("created_at"),
            time("updated_at"),
        ],
        &["id"],
        Kept::All,
    ),
    table(
        "org_memberships",
        &[id("org_id"), id("member_id"), text("role", rules::role)],
        &["org_id", "member_id"],
        Kept::All,
    )
    .refers(&[("org_id", "orgs"), ("member_id", "users")]),
    table(
        "groups",
        &[
            id("id"),
            id("org_id"),
            text("name", rules::group_name),
            text("description", rules::description).or_null(),
            json("metadata"),
            time("created_at").or_null(),
            time("updated_at").or_null(),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("org_id", "orgs")]),
    table(
        "group_memberships",
        &[id("group_id"), id("member_id"), text("role", rules::role)],
        &["group_id", "member_id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups")]),
    table(
        "profiles",
        &[
            id("id"),
            id("group_id"),
            text("name", rules::profile_name),
            column("config", Kind::Json, rules::config).or_null(),
            json("metadata"),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups")]),
    table(
        "things",
        &[
            id("id"),
            id("group_id"),
            text("key", rules::verifier),
            text("external_key", rules::external_key).or_null(),
            text("name", rules::thing_name),
            json("metadata"),
            id("profile_id"),
            text("type", rules::thing_type),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups"), ("profile_id", "profiles")]),
    table(
        "credential_index",
        &[
            text("verifier", rules::verifier),
            id("thing_id"),
            text("kind", rules::indexed_as),
            time("not_after").or_null(),
        ],
        &["verifier"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table("thing_key_material", &[id("thing_id"), bytes("sealed", rules::sealed)], &["thing_id"], Kept::All)
        .refers(&[("thing_id", "things")]),
    table(
        "thing_activity",
        &[
            id("thing_id"),
            time("seen_at"),
            time("key_at").or_null(),
            time("previous_at").or_null(),
            time("external_at").or_null(),
        ],
        &["thing_id"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table("disabled_things", &[id("thing_id"), time("since")], &["thing_id"], Kept::All)
        .refers(&[("thing_id", "things")]),
    table(
        "retired_credentials",
        &[
            text("verifier", rules::verifier),
            id("thing_id"),
            text("reason", rules::retired_because),
            time("retired_at"),
        ],
        &["verifier"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table(
        "org_invites",
        &[
            id("id"),
            id("org_id"),
            id("invitee_id").or_null(),
            text("invitee_email", rules::email),
            text("invitee_role", rules::granted_role),
            id("inviter_id"),
            text("mode", rules::invite_mode),
            text("redirect_path", rules::redirect_path).or_null(),
            text("state", rules::settled),
            time("created_at"),
            time("expires_at"),
        ],
        &["id"],
        Kept::Where(SETTLED),
    )
    .refers(&[("org_id", "orgs")]),
    table(
        "platform_invites",
        &[
            id("id"),
            id("org_invite_id").or_null(),
            text("invitee_email", rules::email),
            id("inviter_id"),
            bytes("digest", rules::sha256),
            text("redirect_path", rules::redirect_path).or_null(),
            text("state", rules::settled),
            time("created_at"),
            time("expires_at"),
        ],
        &["id"],
        Kept::Where(
            "state <> 'pending' AND (org_invite_id IS NULL OR EXISTS \
             (SELECT 1 FROM org_invites o WHERE o.id = org_invite_id AND o.state <> 'pending'))",
        ),
    )
    .refers(&[("org_invite_id", "org_invites")]),
    table(
        "group_invites",
        &[
            id("id"),
            id("invitee_id").or_null(),
            id("inviter_id"),
            id("group_id"),
            text("invitee_role", rules::former_role),
            time("created_at").or_null(),
            time("expires_at").or_null(),
            text("state", rules::settled),
        ],
        &["id"],
        Kept::Where(SETTLED),
    )
    .refers(&[("group_id", "groups")]),
    table(
        "dormant_group_invites",
        &[id("group_invite_id"), id("org_invite_id")],
        &["group_invite_id", "org_invite_id"],
        Kept::Moved,
    )
    .refers(&[("group_invite_id", "group_invites")]),
    table(
        "invite_mails",
        &[id("id"), id("inviter_id"), bytes("digest", rules::anything).or_null(), time("at")],
        &["id"],
        Kept::Moved,
    ),
    table(
        "sessions",
        &[id("id"), id("user_id"), bytes("digest", rules::sha256), time("created_at"), time("expires_at")],
        &["id"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    table(
        "access_tokens",
        &[
            id("id"),
            id("user_id"),
            text("name", rules::anything),
            bytes("digest", rules::sha256),
            column("can_write", Kind::Bool, rules::anything),
            id("org_id").or_null(),
            id("group_id").or_null(),
            time("created_at"),
            time("expires_at").or_null(),
            time("last_used_at").or_null(),
        ],
        &["id"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    table(
        "password_resets",
        &[bytes("digest", rules::sha256), id("user_id"), time("expires_at")],
        &["digest"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    Table {
        numbered: true,
        ..table(
            "journal",
            &[
                int("id"),
                time("at"),
                id("org_id").or_null(),
                id("group_id").or_null(),
                text("actor_kind", rules::actor_kind),
                id("actor_id").or_null(),
                text("via", rules::via),
                text("action", rules::action),
                text("subject_kind", rules::subject_kind),
                id("subject_id"),
                text("subject_name", rules::subject_name).or_null(),
                column("changes", Kind::Changes, rules::anything).or_null(),
                text("request_id", rules::request_id),
            ],
            &["id"],
            Kept::All,
        )
    },
    table(
        "mails",
        &[
            id("id"),
            int("journal_id"),
            text("kind", rules::anything),
            bytes("payload", rules::anything).or_null(),
            time("created_at"),
            time("next_attempt_at").or_null(),
            int("attempts"),
            text("last_error", rules::anything).or_null(),
            time("sent_at").or_null(),
            time("failed_at").or_null(),
        ],
        &["id"],
        Kept::Moved,
    ),
    table(
        "idempotency_keys",
        &[
            bytes("digest", rules::anything),
            bytes("body_digest", rules::anything),
            bytes("sealed", rules::anything).or_null(),
            time("created_at"),
        ],
        &["digest"],
        Kept::Moved,
    ),
    table(
        "imports",
        &[
            bytes("digest", rules::anything),
            bytes("content", rules::anything),
            int("rows_done"),
            int("created"),
            int("updated"),
            int("unchanged"),
            int("rejected"),
            time("started_at"),
        ],
        &["digest"],
        Kept::Moved,
    ),
    table(
        "import_batches",
        &[
            bytes("digest", rules::anything),
            int("batch"),
            text("outcomes", rules::anything),
            text("rejected", rules::anything).or_null(),
        ],
        &["digest", "batch"],
        Kept::Moved,
    ),
    Table {
        numbered: true,
        ..table(
            "failed_checks",
            &[
                int("id"),
                time("at"),
                text("reason", rules::anything),
                time("since").or_null(),
                text("kind", rules::anything),
                text("front", rules::anything),
                text("source", rules::anything).or_null(),
                id("thing_id").or_null(),
                int("times"),
            ],
            &["id"],
            Kept::Moved,
        )
        .refers(&[("thing_id", "things")])
    },
];
