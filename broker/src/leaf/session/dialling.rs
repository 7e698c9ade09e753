//! How a link opens that was dialled: the acceptor's INFO, our CONNECT, its answer; and what it tells later.

use super::{DISCOVERED_MAX, Event, Outlet, PROTOCOL, Peer, Session, State, VERSION};
use crate::leaf::close::Close;
use crate::leaf::encode::write_connect;
use crate::leaf::info::{Connect, Info};
use crate::leaf::interest::Interest;
use std::sync::Arc;
use std::time::Instant;

impl Session {
    pub(super) fn info<'a>(
        &mut self,
        now: Instant,
        json: &[u8],
        interest: &mut Interest,
    ) -> Result<Option<Event<'a>>, Close> {
        let info: Info = serde_json::from_slice(json).map_err(|error| Close::BadInfo(error.to_string()))?;
        self.capacity.headers = info.headers.unwrap_or(self.capacity.headers);
        if let Some(max) = info.max_payload {
            self.capacity.payload_bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
        }
        let permitted = self.permit(&info);
        let discovered = info.leafnode_urls.as_ref().map(|urls| urls.iter().take(DISCOVERED_MAX).cloned().collect());
        match &mut self.state {
            State::AwaitInfo { .. } => {
                if info.tls_required && !self.is_encrypted {
                    return Err(Close::TlsRequired);
                }
                if info.client_id == 0 || !(info.leafnode_urls.is_some() || info.info_on_connect) {
                    return Err(Close::WrongPort);
                }
                self.connect(&info.nonce);
                let server = if info.server_name.is_empty() { info.server_id } else { info.server_name };
                let discovered = discovered.unwrap_or_default();
                if info.info_on_connect {
                    let deadline = now + self.config.answer_timeout;
                    self.state = State::AwaitAnswer { deadline, server, discovered };
                    return Ok(None);
                }
                Ok(Some(self.opened(now, server, discovered, interest)))
            }
            State::AwaitAnswer { server, discovered: known, .. } => {
                if let Some(discovered) = discovered {
                    *known = discovered;
                }
                if !info.connect_info {
                    return Ok(None);
                }
                let (server, discovered) = (std::mem::take(server), std::mem::take(known));
                Ok(Some(self.opened(now, server, discovered, interest)))
            }
            State::Open { .. } if permitted => {
                interest.tell_all(Outlet { import: &self.permissions.import, out: &mut self.out });
                Ok(Some(Event::Permissions(Arc::new(self.permissions.import.clone()))))
            }
            State::Open { .. } => Ok(discovered.map(Event::Discovered)),
            // Who dials has nothing to tell: `handle` has said so.
            State::AwaitConnect { .. } | State::Judging { .. } => Ok(None),
        }
    }

    /// Takes permissions over; absence changes nothing. True when there were some.
    fn permit(&mut self, info: &Info) -> bool {
        if let Some(lists) = &info.import {
            self.permissions.import.permit(lists);
        }
        if let Some(lists) = &info.export {
            self.permissions.export.permit(lists);
        }
        info.import.is_some() || info.export.is_some()
    }

    fn connect(&mut self, nonce: &str) {
        let config = &self.config;
        let shown = config.credentials.show(nonce);
        let connect = Connect {
            version: VERSION.to_owned(),
            server_id: config.name.clone(),
            name: config.name.clone(),
            cluster: config.cluster.clone(),
            headers: true,
            protocol: PROTOCOL,
            compress_mode: "off".to_owned(),
            remote_account: config.account.clone(),
            deny_pub: config.denied.iter().chain(&config.denied_in).cloned().collect(),
            // A token as the user name too, as real servers do: the URL does not tell which is meant.
            user: shown.user.or_else(|| shown.auth_token.clone()),
            pass: shown.pass,
            auth_token: shown.auth_token,
            nkey: shown.nkey,
            jwt: shown.jwt,
            sig: shown.sig,
            ..Connect::default()
        };
        write_connect(&mut self.out, &connect);
    }

    fn opened<'a>(
        &mut self,
        now: Instant,
        server: String,
        discovered: Vec<String>,
        interest: &mut Interest,
    ) -> Event<'a> {
        self.open(now, interest);
        Event::Opened(Peer { server, import: Arc::new(self.permissions.import.clone()), discovered })
    }
}
