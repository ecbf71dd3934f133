//! Everybody who may ask: one persona for each right there is.
//!
//! The group's viewer, editor, admin and owner are plain viewers of its organisation, and the
//! organisation's editor, admin and owner have no membership of the group, so that each right is seen
//! alone.

/// Somebody who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persona {
    /// Without any credential.
    Anonymous,
    /// Logged in, and a member of nothing.
    Stranger,
    /// Of the group, as are the next three.
    Viewer,
    Editor,
    Admin,
    Owner,
    /// Of the organisation, as are the next two.
    OrgEditor,
    OrgAdmin,
    OrgOwner,
    /// An administrator of the platform, not its root.
    Platform,
    /// Administered the group, was then shut out, and still has the session's token.
    Disabled,
    /// The owner's access token that may do everything and everywhere, as the next three may not.
    Token,
    /// One that only reads.
    ReadToken,
    /// One that is bound to the group.
    GroupToken,
    /// One that is bound to another organisation, where the owner views.
    OtherToken,
    /// A thing of the group.
    Thing,
}

impl Persona {
    /// All, with the heading of their column, in the order in which they are told.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::Anonymous, "anon"),
        (Self::Stranger, "stranger"),
        (Self::Viewer, "viewer"),
        (Self::Editor, "editor"),
        (Self::Admin, "admin"),
        (Self::Owner, "owner"),
        (Self::OrgEditor, "o.editor"),
        (Self::OrgAdmin, "o.admin"),
        (Self::OrgOwner, "o.owner"),
        (Self::Platform, "platform"),
        (Self::Disabled, "disabled"),
        (Self::Token, "token"),
        (Self::ReadToken, "t.read"),
        (Self::GroupToken, "t.group"),
        (Self::OtherToken, "t.other"),
        (Self::Thing, "thing"),
    ];
}
