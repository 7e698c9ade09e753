//! How a link opens that was accepted: our INFO, the dialer's CONNECT, and the answer once the caller knows who it is.

use super::{Event, Session, State};
use crate::leaf::close::Close;
use crate::leaf::config::Config;
use crate::leaf::encode::{write_err, write_info};
use crate::leaf::info::{Connect, Info, SubjectLists};
use crate::leaf::interest::Interest;
use crate::leaf::permissions::{Direction, Permissions};
use std::sync::Arc;
use std::time::Instant;

/// Subjects that a dialer may ask to be kept from it: each message is held against all of them.
const DENIED_MAX: usize = 256;

/// Who a dialer is, as its acceptor has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The acceptor's account that the link is part of.
    pub account: String,
    /// Marks the acceptor's interest there; as in [`Config::token`].
    pub token: String,
    /// That is the account of those who watch over the server.
    pub is_system: bool,
    /// What the dialer may receive; `None` is everything.
    pub import: Option<SubjectLists>,
    /// What it may send; `None` is everything.
    pub export: Option<SubjectLists>,
    /// It is held to that without being told: it may give answers besides, and cannot know which.
    pub is_untold: bool,
}

impl Session {
    /// A link whose connection has just been accepted. `info` is what the dialer is told first: by [`Session::greet`], or
    /// before this, where encryption begins with it.
    #[must_use]
    pub fn accepted(config: Arc<Config>, info: Info, now: Instant) -> Self {
        let deadline = now + config.answer_timeout;
        Self::begun(config, State::AwaitConnect { deadline, info: Box::new(info) })
    }

    /// Puts the INFO out with which an acceptor begins.
    pub fn greet(&mut self) {
        if let State::AwaitConnect { info, .. } = &self.state {
            write_info(&mut self.out, info);
        }
    }

    /// Tells the peer why it is not served, or not any more.
    pub fn refuse(&mut self, text: &str) -> Close {
        write_err(&mut self.out, text);
        Close::Told(text.to_owned())
    }

    /// Tells the peer what it has done wrong, where the link goes on; nothing, when it does not read what it is told.
    pub fn complain(&mut self, text: &str) {
        if self.pending_bytes() < self.config.pending_bytes_max {
            write_err(&mut self.out, text);
        }
    }

    /// The peer is who [`Event::Connect`] said, and `binding` is what it may do: opens the link. Returns what may be
    /// received from it.
    ///
    /// # Errors
    /// [`Close`]: it is not fit for a link, and has been told why.
    pub fn bind(&mut self, now: Instant, binding: &Binding, interest: &mut Interest) -> Result<Arc<Direction>, Close> {
        let State::Judging { info, connect, .. } = &mut self.state else {
            return Err(Close::UnexpectedConnect);
        };
        let (mut info, connect) = (std::mem::take(&mut **info), std::mem::take(&mut **connect));
        if connect.deny_pub.len() > DENIED_MAX {
            return Err(
                self.refuse(&format!("deny_pub has {} subjects, {DENIED_MAX} are accepted", connect.deny_pub.len()))
            );
        }
        if let Some(text) = unfit(&connect, &self.config.cluster) {
            return Err(self.refuse(&text));
        }
        (info.connect_info, info.nonce) = (true, String::new());
        (info.remote_account, info.acc_is_sys) = (binding.account.clone(), binding.is_system);
        (info.import, info.export) = (binding.import.clone(), binding.export.clone().filter(|_| !binding.is_untold));
        write_info(&mut self.out, &info);
        if let Some(min) = self.config.version_min.filter(|min| version(&connect.version).is_none_or(|own| own < *min))
        {
            let text =
                format!("connection rejected since minimum version required is \"{}.{}.{}\"", min.0, min.1, min.2);
            return Err(self.refuse(&text));
        }
        (self.account, self.token) = (binding.account.clone(), binding.token.clone());
        self.capacity.headers = connect.headers;
        let mut permissions = Permissions::new(&self.config.denied, &[], &[]);
        let mut received = permissions.import.clone();
        binding.export.iter().for_each(|lists| received.permit(lists));
        // What the dialer wants to have kept from it counts like what it may not have.
        let mut sent = binding.import.clone().unwrap_or_default();
        sent.deny.extend(connect.deny_pub);
        permissions.export.permit(&sent);
        self.permissions = permissions;
        self.open(now, interest);
        Ok(Arc::new(received))
    }

    /// Whatever a dialer says before CONNECT, or before it has its answer.
    pub(super) fn too_early(&mut self) -> Close {
        self.refuse("Authorization Violation")
    }

    pub(super) fn connect_came<'a>(&mut self, now: Instant, json: &[u8]) -> Result<Option<Event<'a>>, Close> {
        let State::AwaitConnect { info, .. } = &mut self.state else { return Err(Close::UnexpectedConnect) };
        let connect: Connect = serde_json::from_slice(json).map_err(|error| Close::BadConnect(error.column()))?;
        let (info, deadline) = (std::mem::take(info), now + self.config.answer_timeout);
        self.state = State::Judging { deadline, info, connect: Box::new(connect.clone()) };
        Ok(Some(Event::Connect(Box::new(connect))))
    }
}

/// Why a link to such a dialer makes no sense, in the words of the protocol (§2.5).
fn unfit(connect: &Connect, own_cluster: &str) -> Option<String> {
    let cluster = &connect.cluster;
    if !connect.gateway.is_empty() {
        return Some(format!("Rejecting connection from gateway {:?} on the leafnode port", connect.gateway));
    }
    let text = match () {
        () if !connect.lang.is_empty() => "attempted to connect to leaf node port",
        () if cluster.contains(' ') => "cluster name cannot contain spaces",
        () if cluster == "_" => "cluster name is reserved",
        () if !cluster.is_empty() && cluster == own_cluster => "remote leafnode has same cluster name",
        () if connect.is_hub => "leaf nodes that want to be the hub are not served here",
        () => return None,
    };
    Some(text.to_owned())
}

/// The three numbers of a version, whatever follows them.
#[must_use]
pub fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.trim_start_matches('v').splitn(3, '.').map(|part| {
        let end = part.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse::<u32>().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests;
