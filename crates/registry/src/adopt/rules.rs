//! What can be wrong with a row that comes from Mainflux, what it means here, and what becomes of it.

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is put right, without loss.
    Mended,
    /// It stays as it is, and works as it did; somebody should look at it afterwards.
    Kept,
    /// Only a person can decide: nothing is adopted before that is done.
    Refused,
}

impl Fate {
    /// As told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mended => "mended",
            Self::Kept => "kept",
            Self::Refused => "refused",
        }
    }
}

/// One thing that can be wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in reports.
    pub code: &'static str,
    /// What becomes of the rows.
    pub fate: Fate,
    /// What they have in common, after their number.
    pub meaning: &'static str,
    /// What is done, or is to be done.
    pub action: &'static str,
}

/// A row that breaks a rule.
#[derive(Clone, Debug)]
pub struct Offence {
    /// Which rule.
    pub rule: &'static Rule,
    /// In which table.
    pub table: &'static str,
    /// The row's id; `group/member` for a membership.
    pub id: String,
    /// What it is about; never a key.
    pub detail: String,
}

macro_rules! rules {
    ($($name:ident $code:literal $fate:ident: $meaning:literal, $action:literal;)*) => {
        $(pub(crate) const $name: Rule = Rule { code: $code, fate: Fate::$fate, meaning: $meaning, action: $action };)*
    };
}

rules! {
    PROFILE_ELSEWHERE "profile-elsewhere" Refused:
        "things use a profile of another group, which could then not be deleted",
        "move each to a profile of its own group, in Mainflux: PATCH /things/{id}";
    CREDENTIAL_TWICE "credential-twice" Refused:
        "values are both a key and an external key, and could then not tell whose they are",
        "change one of the two in Mainflux";
    KEY_LOOKS_OURS "key-looks-ours" Refused:
        "keys begin with `thk_`, which marks those that Things generates, and fail their checksum",
        "change them in Mainflux";
    KEY_TOO_LONG "key-too-long" Refused:
        "keys or external keys have more than 4,096 bytes",
        "change them in Mainflux";
    KEY_EMPTY "key-empty" Mended:
        "things have an empty key, by which nobody gets in",
        "each gets a generated key";
    KEY_UNUSUAL "key-unusual" Kept:
        "keys have fewer than 16 or more than 512 bytes, as no new ones may",
        "they go on working; short ones can be guessed, so rotate them";
    EXTERNAL_EMPTY "external-key-empty" Mended:
        "things have an empty external key, by which nobody gets in",
        "it is taken away";
    EXTERNAL_UNUSUAL "external-key-unusual" Kept:
        "external keys have fewer than 5 or more than 512 bytes, as no new ones may",
        "they go on working";
    TYPE_UNKNOWN "type-unknown" Kept:
        "things have an unknown type and may command nothing, as in Mainflux",
        "update them with one of device, sensor, actuator, controller, gateway";
    NAME_UNTIDY "name-untidy" Mended:
        "names are empty, begin or end with white space, are not in Unicode's composed form, or hold invisible characters",
        "they are tidied";
    NAME_TAKEN "name-taken" Refused:
        "names are the same as another's in their place once they are tidied",
        "rename one of the two in Mainflux";
    NAME_TOO_LONG "name-too-long" Refused:
        "names are longer than 2,400 bytes",
        "rename them in Mainflux";
    DESCRIPTION_UNTIDY "description-untidy" Mended:
        "descriptions begin or end with white space, are not in Unicode's composed form, or hold line breaks or invisible characters",
        "they are tidied: a line break becomes a space";
    DESCRIPTION_TOO_LONG "description-too-long" Refused:
        "descriptions are longer than 1,024 characters",
        "shorten them in Mainflux";
    METADATA_NULL "metadata-null" Mended:
        "rows have null where metadata or a configuration should be",
        "it becomes the empty object; a configuration, none";
    METADATA_UNFIT "metadata-unfit" Refused:
        "metadata or configurations are beyond the limits, or no objects",
        "change them in Mainflux";
    CONFIG_UNFIT "config-unfit" Refused:
        "configurations have members that are not of the kind that adapters and topics need",
        "change them in Mainflux: PUT /profiles/{id}";
    TIME_MISSING "time-missing" Mended:
        "rows do not say when they were made, changed, or expire, or name a time before 1970",
        "the other time counts, or the present one; an invite expires after seven days";
    TIME_INFINITE "time-infinite" Refused:
        "rows have a time that never comes",
        "set a real one by SQL";
    ROLE_UNKNOWN "role-unknown" Kept:
        "memberships have no role, or an unknown one, which gives no access",
        "give these members a role again, or remove them";
    GROUP_OWNERLESS "group-without-owner" Kept:
        "groups have no owner",
        "a platform administrator can hand over ownership: POST /groups/{id}/owner";
    GROUP_GETS_OWNER "group-gets-owner" Mended:
        "groups have no owner, and their organisation has one",
        "the organisation's owner becomes theirs";
    INVITE_UNKNOWN "invite-unknown" Mended:
        "invites have an unknown state, or are pending with a role that cannot be given: nobody can accept them",
        "they are revoked; invite the people again";
    INVITE_TWICE "invite-twice" Refused:
        "people are invited twice to one group",
        "revoke one of the two in Mainflux";
    INVITE_SLEEPS "invite-sleeps" Mended:
        "group invites sleep on invites to organisations, which are not adopted",
        "they are revoked; invite the people again";
    EMAIL_UNFIT "email-unfit" Refused:
        "accounts have an address that is none",
        "change it in Mainflux";
    EMAIL_TWICE "email-twice" Refused:
        "accounts have the same address but for upper and lower case",
        "change one of the two in Mainflux";
    EMAIL_TAKEN "email-taken" Refused:
        "addresses belong to another account here",
        "change one of the two";
    PASSWORD_UNFIT "password-unfit" Kept:
        "accounts have no password that can be checked, or one at a cost of bcrypt's above 14",
        "they set one by mail: POST /password/reset-request";
    MEMBER_UNKNOWN "member-without-account" Kept:
        "members of groups have no account here, and so cannot log in",
        "run `things adopt` with --users-from, which may be later";
    ORG_MEMBER_UNKNOWN "org-member-without-account" Kept:
        "members of organisations have no account, and are left out",
        "nothing, unless the accounts are in a database that was not named";
    OUTSIDE_ORG "member-outside-org" Kept:
        "members of groups do not belong to the groups' organisation",
        "add them to the organisation, or remove them from the group; till then they have the access they had";
    ORG_OWNERLESS "org-without-owner" Kept:
        "organisations have no owner",
        "a platform administrator can hand over ownership: POST /orgs/{id}/owner";
}
