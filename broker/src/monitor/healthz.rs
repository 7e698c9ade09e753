//! `/healthz`: whether clients can be served.

use crate::hub::Hub;
use serde::Serialize;

/// Whether all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Healthz {
    /// `ok`, or `error`.
    pub status: &'static str,
    /// As of HTTP: 200, or 500.
    #[serde(skip)]
    pub status_code: u16,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

impl Healthz {
    /// True when all is well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status_code == 200
    }
}

pub(super) fn healthz(hub: &Hub) -> Healthz {
    if hub.is_listening() {
        Healthz { status: "ok", status_code: 200, error: None }
    } else {
        Healthz { status: "error", status_code: 500, error: Some("the server takes no more clients in") }
    }
}
