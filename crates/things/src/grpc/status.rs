//! What went wrong, as gRPC tells it: the registry's errors become statuses here, once.

use std::{error::Error as StdError, sync::Arc};

use registry::{ConflictKind, Error, FieldError};
use tonic::{Code, Status};

/// The status of an error. What lies behind an internal one travels inside this process only, to the log.
pub(super) fn told(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::Unauthenticated => Status::unauthenticated(message),
        Error::NotFound => Status::not_found(message),
        Error::Forbidden(_) => Status::permission_denied(message),
        Error::Invalid(errors) => Status::invalid_argument(all(&errors, message)),
        Error::Conflict(conflict) => {
            let items: Vec<String> = conflict.items.iter().map(|item| format!("[{item}]")).collect();
            let message = match items.is_empty() {
                true => message,
                false => format!("{}: {message}", items.join(", ")),
            };
            Status::new(refused(conflict.kind), message)
        }
        Error::Stale => Status::aborted(message),
        Error::ReplayMismatch => Status::invalid_argument(message),
        Error::TooMany { .. } | Error::TakenTooOften { .. } => Status::resource_exhausted(message),
        // The registry repeats collisions by itself; one that gets here is told as being busy.
        Error::Unavailable | Error::Collision => Status::unavailable(Error::Unavailable.to_string()),
        Error::OutcomeUnknown => Status::unknown(message),
        Error::Internal(source) => {
            let mut status = Status::internal(message);
            status.set_source(Arc::<dyn StdError + Send + Sync>::from(source));
            status
        }
    }
}

fn all(errors: &[FieldError], none: String) -> String {
    let lines: Vec<String> =
        errors.iter().map(|error| format!("{}: {}", error.path(), error.message)).collect();
    if lines.is_empty() { none } else { lines.join("; ") }
}

fn refused(kind: ConflictKind) -> Code {
    match kind {
        ConflictKind::IdTaken
        | ConflictKind::GroupNameTaken
        | ConflictKind::ProfileNameTaken
        | ConflictKind::ThingNameTaken
        | ConflictKind::CredentialUnavailable
        | ConflictKind::AlreadyMember
        | ConflictKind::AlreadyInvited
        | ConflictKind::EmailTaken => Code::AlreadyExists,
        ConflictKind::ProfileInUse { .. }
        | ConflictKind::LastOwner
        | ConflictKind::NotInOrg
        | ConflictKind::NotAMember
        | ConflictKind::InviteClosed(_)
        | ConflictKind::InviteNoLongerValid
        | ConflictKind::NoMail
        | ConflictKind::InviteSleeps
        | ConflictKind::LastPlatformAdmin
        | ConflictKind::NotEmpty
        | ConflictKind::HalfAdopted => Code::FailedPrecondition,
        ConflictKind::InvitedTooOften | ConflictKind::TooManyTokens => Code::ResourceExhausted,
        ConflictKind::InFlight | ConflictKind::UnderWay => Code::Aborted,
    }
}

/// A code's name, as gRPC writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use registry::{Conflict, Denial};

    use super::*;

    #[test]
    fn every_error_has_an_honest_code() {
        let conflict = |kind, items: &[usize]| Error::Conflict(Conflict { kind, items: items.to_vec() });
        for (error, code, message) in [
            (Error::Unauthenticated, Code::Unauthenticated, "a valid credential is required"),
            (Error::NotFound, Code::NotFound, "no such resource, or it is not yours to see"),
            (Error::Forbidden(Denial::Role), Code::PermissionDenied, "your role does not allow this"),
            (Error::invalid("id", "must be a UUID"), Code::InvalidArgument, "id: must be a UUID"),
            (
                conflict(ConflictKind::AlreadyMember, &[0, 2]),
                Code::AlreadyExists,
                "[0], [2]: already a member",
            ),
            (
                conflict(ConflictKind::NotInOrg, &[]),
                Code::FailedPrecondition,
                "the person is not a member of",
            ),
            (conflict(ConflictKind::InFlight, &[]), Code::Aborted, "the first request"),
            (Error::Stale, Code::Aborted, "the resource has changed"),
            (
                Error::TooMany { retry_after: Default::default() },
                Code::ResourceExhausted,
                "too many attempts",
            ),
            (Error::Unavailable, Code::Unavailable, "the service is busy"),
            (Error::Collision, Code::Unavailable, "the service is busy"),
            (Error::OutcomeUnknown, Code::Unknown, "the connection broke"),
        ] {
            let status = told(error);
            assert_eq!(status.code(), code, "{status:?}");
            assert!(status.message().starts_with(message), "{status:?}");
        }
    }

    #[test]
    fn what_is_behind_an_internal_error_is_for_the_log_alone() {
        let status = told(Error::internal("psql: /src/store.rs"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("psql"));
        assert!(StdError::source(&status).unwrap().to_string().contains("psql"));
    }
}
