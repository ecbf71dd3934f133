//! The catalogue of problem kinds: code, status, title, and what `/problems/{code}` says about it.

use axum::http::StatusCode;

/// One kind of problem. `code` is part of the API; the sentences are not.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) help: &'static str,
}

macro_rules! kinds {
    ($($name:ident $status:ident $code:literal, $title:literal, $help:literal;)*) => {
        $(pub(crate) const $name: Kind =
            Kind { code: $code, status: StatusCode::$status, title: $title, help: $help };)*
        /// All of them.
        pub(crate) const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    INVALID BAD_REQUEST "invalid", "Invalid request",
        "Something in the request breaks a rule. `errors` names each field and says what it must be; in bulk requests the field is preceded by the item's index, counted from 0. Nothing of the request was carried out.";
    UNAUTHENTICATED UNAUTHORIZED "unauthenticated", "Not authenticated",
        "Send `Authorization: Bearer <token>` with a token from POST /tokens or an access token. Endpoints for things take `Authorization: Thing <key>` or `Authorization: External <key>` instead.";
    FORBIDDEN FORBIDDEN "forbidden", "Forbidden",
        "You can see this, but your role in its group or organisation is too low to do that. An admin can raise it.";
    SCOPE FORBIDDEN "insufficient-scope", "Insufficient scope",
        "The access token lacks the `write` scope, or is bound to another organisation or group. Make a token with the scope, or log in.";
    SESSION_ONLY FORBIDDEN "login-required", "Log-in required",
        "This is reserved to a log-in session (POST /tokens), so that a leaked access token cannot take over the account.";
    PLATFORM_ONLY FORBIDDEN "platform-admin-only", "Platform administrators only",
        "Only the platform's administrators may do this.";
    RANK FORBIDDEN "rank-too-low", "Rank too low",
        "You can give, change and remove only roles below your own; owners can deal with owners.";
    REGISTRATION_CLOSED FORBIDDEN "registration-closed", "Registration closed",
        "Open registration is switched off here. Ask an administrator for an account.";
    CROSS_SITE FORBIDDEN "cross-site", "Sent from another site",
        "Forms of the pages are accepted only from the pages themselves, so that no other site can send one in your name. Open the page here and send it again.";
    NOT_FOUND NOT_FOUND "not-found", "Not found",
        "There is no such resource, or it is not yours to see: the two look the same on purpose.";
    METHOD METHOD_NOT_ALLOWED "method-not-allowed", "Method not allowed",
        "The path exists, but not with this method. `Allow` lists the methods that work.";
    TIMEOUT REQUEST_TIMEOUT "request-timeout", "Request timeout",
        "The request's body did not arrive in time.";
    STALE PRECONDITION_FAILED "stale", "Precondition failed",
        "The resource has changed since the version in `If-Match`. Read it again and repeat the change.";
    TOO_LARGE PAYLOAD_TOO_LARGE "body-too-large", "Body too large",
        "Bodies are limited. Split a bulk request into several.";
    URI_TOO_LONG URI_TOO_LONG "uri-too-long", "URI too long",
        "The address is longer than 8 KiB. Filters can be sent in the body of POST …/search instead.";
    MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported-media-type", "Unsupported media type",
        "Bodies are JSON, not compressed: send `Content-Type: application/json`. Imports are `text/csv` or `application/x-ndjson`.";
    REPLAY_MISMATCH UNPROCESSABLE_ENTITY "idempotency-key-reused", "Idempotency-Key reused",
        "The Idempotency-Key was used within the last day for a request with another body. Use a new key for a new request.";
    HEADERS_TOO_LARGE REQUEST_HEADER_FIELDS_TOO_LARGE "headers-too-large", "Headers too large",
        "At most 64 headers and 16 KiB of them are accepted.";
    TOO_MANY TOO_MANY_REQUESTS "too-many-requests", "Too many requests",
        "A limit on requests or attempts is used up. `Retry-After` says when to come back, in seconds.";
    INTERNAL INTERNAL_SERVER_ERROR "internal", "Internal error",
        "Something went wrong on our side. The operator finds it in the log under `request_id`.";
    UNAVAILABLE SERVICE_UNAVAILABLE "unavailable", "Unavailable",
        "The service is busy or its database is away. Nothing was changed; try again after `Retry-After` seconds.";
    OUTCOME_UNKNOWN SERVICE_UNAVAILABLE "outcome-unknown", "Outcome unknown",
        "The connection to the database broke while the change was being committed: it happened or it did not. Repeating the request with the same Idempotency-Key tells which, and carries it out if it did not.";
    ID_TAKEN CONFLICT "id-taken", "Id taken", "Another resource has this id. Leave `id` out to get a new one.";
    GROUP_NAME_TAKEN CONFLICT "group-name-taken", "Name taken", "Group names are unique in their organisation.";
    PROFILE_NAME_TAKEN CONFLICT "profile-name-taken", "Name taken", "Profile names are unique in their group.";
    THING_NAME_TAKEN CONFLICT "thing-name-taken", "Name taken", "Thing names are unique in their group.";
    CREDENTIAL_UNAVAILABLE CONFLICT "credential-unavailable", "Credential unavailable",
        "This key or external key cannot be used, because something uses it or did. Who does is not told.";
    PROFILE_IN_USE CONFLICT "profile-in-use", "Profile in use",
        "A profile can be deleted once no thing uses it. Move or delete its things first.";
    LAST_OWNER CONFLICT "last-owner", "Last owner",
        "A group and an organisation always have an owner. Hand over ownership first.";
    ALREADY_MEMBER CONFLICT "already-member", "Already a member",
        "The person is a member; their role was left as it is. Change it with PUT.";
    NOT_IN_ORGANISATION CONFLICT "not-in-organisation", "Not in the organisation",
        "Members of a group are members of its organisation. Add the person there first.";
    NOT_A_MEMBER CONFLICT "not-a-member", "Not a member", "The person is not a member.";
    ALREADY_INVITED CONFLICT "already-invited", "Already invited",
        "You have invited this person there, and the invite can still be answered. Resend it or revoke it.";
    INVITED_TOO_OFTEN CONFLICT "invited-too-often", "Invited too often",
        "One address is invited to the same place at most five times an hour, by whomever, and mailed at most twenty times an hour about all places. Wait before the next invite.";
    INVITE_CLOSED CONFLICT "invite-closed", "Invite closed",
        "The invite was accepted, declined or revoked, or has expired: it is answered once. Ask to be invited again.";
    INVITE_NO_LONGER_VALID CONFLICT "invite-no-longer-valid", "Invite no longer valid",
        "Whoever invited may no longer give that role, or you are not in the group's organisation any more. The invite was revoked; ask to be invited again.";
    INVITE_SLEEPS CONFLICT "invite-sleeps", "Invite sleeps",
        "A group's invite that sleeps has no mail of its own: resend the organisation's invite.";
    NO_MAIL CONFLICT "no-mail", "No mail",
        "This installation sends no mail (`mail = \"off\"`), so nobody can be invited whose way in is the link in one: only who has an account, with an address that is known to be theirs. An administrator can make one (POST /users).";
    EMAIL_TAKEN CONFLICT "email-taken", "E-mail taken", "An account with this e-mail address exists.";
    TOO_MANY_TOKENS CONFLICT "too-many-tokens", "Too many access tokens",
        "An account can have a limited number of access tokens. Delete one that is no longer used.";
    LAST_PLATFORM_ADMIN CONFLICT "last-platform-admin", "Last platform administrator",
        "Someone must be able to administer the platform.";
    NOT_EMPTY CONFLICT "installation-not-empty", "Installation not empty",
        "A backup is restored into a new installation, where there are no organisations and no account but that of who restores. Start one with another database and the same key file.";
    UNDER_WAY CONFLICT "already-under-way", "Already under way",
        "One backup and one restore are made at a time. Wait for the end of the one that is under way.";
    IN_FLIGHT CONFLICT "request-in-flight", "Request in flight",
        "The first request with this Idempotency-Key is still running. Try again in a moment.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_safe_in_an_address() {
        let mut seen = std::collections::HashSet::new();
        for kind in KINDS {
            assert!(seen.insert(kind.code), "{} twice", kind.code);
            assert!(kind.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.code);
            assert!(kind.status.is_client_error() || kind.status.is_server_error());
        }
    }
}
