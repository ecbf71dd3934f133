//! Messages and servers as compiled from `proto/`, and how those that hold a secret show themselves.

/// Mainflux's contract.
pub(crate) mod protomfx {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; what it means is written in proto/"
    )]
    include!(concat!(env!("OUT_DIR"), "/server/protomfx.rs"));
}

/// Our own.
pub(crate) mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; what it means is written in proto/"
    )]
    include!(concat!(env!("OUT_DIR"), "/server/things.v1.rs"));
}

/// The messages that `build.rs` compiles without a `Debug`, because they hold a secret.
macro_rules! secretive {
    ($($message:ty),* $(,)?) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($message), "(…)"))
            }
        }
    )*};
}

secretive!(
    protomfx::ThingKey,
    protomfx::UserAccessReq,
    protomfx::ThingAccessReq,
    protomfx::OrgAccessReq,
    protomfx::CreateDormantGroupInvitesReq,
    protomfx::ActivateGroupInvitesReq,
    protomfx::Token,
    protomfx::AuthorizeReq,
    protomfx::ViewOrgReq,
    protomfx::ViewOrgMembershipReq,
    v1::AuthenticateRequest,
    v1::authenticate_request::Credential,
    v1::CheckRequest,
    v1::check_request::Subject,
);
