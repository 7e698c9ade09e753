//! What a client says of itself in CONNECT. Nothing depends on it: it is for those who watch over the server.

use crate::proto::Connect;

/// Words of a client, each no longer than its CONNECT may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The client's name.
    pub name: Option<Box<str>>,
    /// The language of its library.
    pub lang: Option<Box<str>>,
    /// The version of its library.
    pub version: Option<Box<str>>,
    /// Who it claims to be.
    pub user: Option<Box<str>>,
}

impl About {
    pub(super) fn of(connect: &Connect) -> Self {
        let kept = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
        let user = kept(&connect.user).or_else(|| kept(&connect.nkey));
        Self { name: kept(&connect.name), lang: kept(&connect.lang), version: kept(&connect.version), user }
    }
}
