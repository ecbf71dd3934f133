//! What a page says first when one was sent on to it. The address holds only which notice it is, so
//! that nothing has to be kept, and no link can put words of its own on a page.

/// One of the sentences there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Notice {
    LoggedOut,
    PasswordSet,
    GroupJoined,
    GroupDeclined,
    Declined,
}

impl Notice {
    const ALL: [Self; 5] =
        [Self::LoggedOut, Self::PasswordSet, Self::GroupJoined, Self::GroupDeclined, Self::Declined];

    /// How an address names it.
    fn code(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged-out",
            Self::PasswordSet => "password-set",
            Self::GroupJoined => "group-joined",
            Self::GroupDeclined => "group-declined",
            Self::Declined => "declined",
        }
    }

    /// The sentence.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::LoggedOut => "You are logged out.",
            Self::PasswordSet => {
                "Your new password is set. Log in with it now; you were logged out everywhere."
            }
            Self::GroupJoined => "You joined the group.",
            Self::GroupDeclined => "You declined the group.",
            Self::Declined => "You declined the invitation. Nothing was kept for you here.",
        }
    }

    /// The notice of this code; anything else says nothing.
    pub(super) fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.code() == code)
    }

    /// The address of a page that says it.
    pub(super) fn on(self, path: &str) -> String {
        format!("{path}?notice={}", self.code())
    }
}
