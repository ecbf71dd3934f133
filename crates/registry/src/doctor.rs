//! A look over the whole installation: does the database answer, is it ours, and do its rows keep the
//! invariants that its schema cannot express? Reads only.

use std::time::Duration;

use crate::{Registry, error::Result, store};

/// Clocks further apart than this make expiry hard to reason about.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Works, but someone should look.
    Warning,
    /// Something is wrong.
    Error,
}

/// One result of the examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found.
    pub message: String,
    /// What to do; empty when all is fine.
    pub advice: &'static str,
}

impl Finding {
    fn fine(subject: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, subject, message: message.into(), advice: "" }
    }
}

/// Rows that break an invariant: what to count, what it means, what to do.
pub(crate) struct Rule {
    pub(crate) subject: &'static str,
    /// Selects the id of each offending row.
    pub(crate) sql: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) severity: Severity,
}

/// The invariants of the data model that no constraint holds (V1, V2, V3, V7, V8, V9).
pub(crate) const RULES: &[Rule] = &[
    Rule {
        subject: "group owners",
        sql: "SELECT g.id FROM groups g WHERE NOT EXISTS (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner')",
        meaning: "groups have no owner",
        advice: "the organisation's owner or a platform administrator can add one by handing over ownership",
        severity: Severity::Error,
    },
    Rule {
        subject: "organisation owners",
        sql: "SELECT o.id FROM orgs o WHERE NOT EXISTS (SELECT 1 FROM org_memberships m WHERE m.org_id = o.id AND m.role = 'owner')",
        meaning: "organisations have no owner",
        advice: "a platform administrator can hand over ownership to a member",
        severity: Severity::Error,
    },
    Rule {
        subject: "groups' organisations",
        sql: "SELECT g.id FROM groups g WHERE NOT EXISTS (SELECT 1 FROM orgs o WHERE o.id = g.org_id)",
        meaning: "groups belong to an organisation that does not exist",
        advice: "create the organisation with that id, or delete the groups as platform administrator",
        severity: Severity::Error,
    },
    Rule {
        subject: "things' profiles",
        sql: "SELECT t.id FROM things t JOIN profiles p ON p.id = t.profile_id WHERE t.group_id <> p.group_id",
        meaning: "things use a profile of another group, which can then not be deleted",
        advice: "move each to a profile of its own group (PATCH /things/{id})",
        severity: Severity::Error,
    },
    Rule {
        subject: "things' keys",
        // While a Mainflux database is adopted they are in the clear, and indexed all the same.
        sql: "SELECT t.id FROM things t LEFT JOIN credential_index c ON c.verifier = t.key AND c.thing_id = t.id AND c.kind = 'key' \
              WHERE c.thing_id IS NULL AND NOT EXISTS (SELECT 1 FROM adoption a WHERE a.finished_at IS NULL)",
        meaning: "things cannot authenticate because their key is not indexed",
        advice: "rotate their keys",
        severity: Severity::Error,
    },
    Rule {
        subject: "adoption",
        sql: "SELECT t.id FROM things t LEFT JOIN credential_index c ON c.verifier = t.key AND c.thing_id = t.id AND c.kind = 'key' \
              WHERE c.thing_id IS NULL AND EXISTS (SELECT 1 FROM adoption a WHERE a.finished_at IS NULL)",
        meaning: "things have their key in the clear, as Mainflux wrote it",
        advice: "run `things adopt` to its end",
        severity: Severity::Warning,
    },
    Rule {
        subject: "external keys",
        sql: "SELECT t.id FROM things t WHERE t.external_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'external')",
        meaning: "external keys are not indexed",
        advice: "set them again (PATCH /things/{id}/external-key)",
        severity: Severity::Error,
    },
    Rule {
        subject: "group members",
        sql: "SELECT m.member_id FROM group_memberships m JOIN groups g ON g.id = m.group_id WHERE NOT EXISTS (SELECT 1 FROM org_memberships o WHERE o.org_id = g.org_id AND o.member_id = m.member_id)",
        meaning: "members of groups do not belong to the groups' organisations",
        advice: "add them to the organisation or remove them from the group",
        severity: Severity::Error,
    },
    Rule {
        subject: "roles",
        sql: "SELECT member_id FROM group_memberships WHERE role IS NULL OR role NOT IN ('viewer', 'editor', 'admin', 'owner') UNION ALL SELECT member_id FROM org_memberships WHERE role NOT IN ('viewer', 'editor', 'admin', 'owner')",
        meaning: "memberships have an unknown role, which gives no access",
        advice: "give these members a role again",
        severity: Severity::Warning,
    },
    Rule {
        subject: "thing types",
        sql: "SELECT id FROM things WHERE type NOT IN ('device', 'sensor', 'actuator', 'controller', 'gateway')",
        meaning: "things have an unknown type",
        advice: "update them with one of device, sensor, actuator, controller, gateway",
        severity: Severity::Warning,
    },
    Rule {
        subject: "invite states",
        sql: "SELECT id FROM invites WHERE state NOT IN ('pending', 'accepted', 'declined', 'revoked', 'expired')",
        meaning: "invites have an unknown state and count as revoked",
        advice: "invite the people again",
        severity: Severity::Warning,
    },
    Rule {
        subject: "sleeping invites",
        sql: "SELECT i.id FROM group_invites i WHERE i.state = 'pending' AND i.invitee_id IS NULL AND (SELECT count(*) FROM dormant_group_invites d WHERE d.group_invite_id = i.id) <> 1 \
              UNION ALL SELECT i.id FROM dormant_group_invites d JOIN group_invites i ON i.id = d.group_invite_id WHERE i.state <> 'pending' OR i.invitee_id IS NOT NULL \
              UNION ALL SELECT d.group_invite_id FROM dormant_group_invites d WHERE NOT EXISTS (SELECT 1 FROM org_invites o WHERE o.id = d.org_invite_id AND o.state = 'pending')",
        meaning: "group invites sleep on nothing, or are awake and said to sleep",
        advice: "revoke them (DELETE /invites/{id}) and invite the people again",
        severity: Severity::Error,
    },
];

impl Registry {
    /// Whether the database answers: what readiness is decided by.
    pub async fn ping(&self) -> Result<()> {
        self.db.read().await?.ping().await
    }

    /// The newest migration that the database has, and the newest that this program knows.
    pub async fn migrations(&self) -> Result<(i64, i64)> {
        let mut conn = self.db.read().await?;
        Ok((store::doctor::newest_migration(&mut conn).await?, store::Db::newest_migration()))
    }

    /// Examines everything. On millions of things this takes seconds.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        let mut conn = self.db.read().await?;
        let mut findings = vec![Finding::fine("database", store::doctor::server_version(&mut conn).await?)];
        findings.push(Finding::fine("keys", "the installation's keys are this database's"));

        let (applied, known) =
            (store::doctor::newest_migration(&mut conn).await?, store::Db::newest_migration());
        findings.push(if applied == known {
            Finding::fine("migrations", format!("{applied} of {known} applied"))
        } else {
            Finding {
                severity: Severity::Error,
                subject: "migrations",
                message: format!("{applied} of {known} applied"),
                advice: "run `things migrate`",
            }
        });

        let (before, theirs) = (self.db.clock.now(), conn.now(&self.db.clock).await?);
        let skew = theirs.since(before).max(before.since(theirs));
        findings.push(if skew <= MAX_SKEW {
            Finding::fine("clock", "this machine and the database agree")
        } else {
            Finding {
                severity: Severity::Warning,
                subject: "clock",
                message: format!("this machine and the database are {} s apart", skew.as_secs()),
                advice: "synchronise both clocks (NTP)",
            }
        });

        if conn.is_postgres() && !store::doctor::has_name_trigrams(&mut conn).await? {
            findings.push(Finding {
                severity: Severity::Warning,
                subject: "name search",
                message: "the index things_name_trigrams is missing, so a search by name reads all names".into(),
                advice: "as a superuser: CREATE EXTENSION pg_trgm; then CREATE INDEX things_name_trigrams ON things USING gin ((lower(name COLLATE \"C\")) gin_trgm_ops)",
            });
        }
        if applied == known {
            findings.push(self.examine_mail(&mut conn).await?);
        }
        findings.extend(self.audit(&mut conn).await?);
        Ok(findings)
    }

    async fn examine_mail(&self, conn: &mut store::Conn) -> Result<Finding> {
        let now = conn.now(&self.db.clock).await?;
        let status = store::mails::status(conn, now).await?;
        if status.is_well() {
            return Ok(Finding::fine("mail", format!("{} waiting", status.waiting)));
        }
        let minutes = status.oldest.as_secs() / 60;
        let reason = status.last_error.unwrap_or_else(|| "nobody has tried".to_owned());
        Ok(Finding {
            severity: Severity::Warning,
            subject: "mail",
            message: format!(
                "{} waiting, the oldest for {minutes} min; {} given up within a day; the last reason: {reason}",
                status.waiting, status.given_up
            ),
            advice: "see the options mail and mail_from, and try `things mail test ADDRESS`",
        })
    }

    /// Looks for rows that break an invariant, for a line in the log after the start.
    pub async fn audit_rows(&self) -> Result<Vec<Finding>> {
        let mut conn = self.db.read().await?;
        let findings = self.audit(&mut conn).await?;
        Ok(findings.into_iter().filter(|finding| finding.severity > Severity::Fine).collect())
    }

    async fn audit(&self, conn: &mut store::Conn) -> Result<Vec<Finding>> {
        let mut findings = Vec::with_capacity(RULES.len());
        for rule in RULES {
            let (count, first) = store::doctor::offenders(conn, rule).await?;
            findings.push(match first {
                None => Finding::fine(rule.subject, "as they should be"),
                Some(first) => Finding {
                    severity: rule.severity,
                    subject: rule.subject,
                    message: format!("{count} {}; the first is {first}", rule.meaning),
                    advice: rule.advice,
                },
            });
        }
        Ok(findings)
    }
}
