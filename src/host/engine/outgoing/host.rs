//! Hosts and ports as they are written: in lists of whom a component may ask, and in what it asks for. One reading for both, so that no
//! spelling gets past a list.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a name, and of each part of it, as DNS has them.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A host, in the one form that it is compared in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// In small letters, without a dot at its end.
    Name(String),
    /// An IPv4 address in IPv6 clothes is an IPv4 address.
    Address(IpAddr),
}

/// What is no host with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::host::engine) enum BadHost {
    #[error("it names a user")]
    User,
    #[error("its port is no number from 1 to 65535")]
    Port,
    #[error("what is in its brackets is no IPv6 address")]
    Brackets,
    #[error("an IPv6 address wants brackets")]
    Colons,
    #[error(
        "its host is no name of letters, digits, - and _ with dots between them (other letters are written as xn--…)"
    )]
    Name,
    #[error("its host ends in a number, and is no IPv4 address")]
    Number,
}

/// Reads a host, and its port when it has one.
///
/// # Errors
/// [`BadHost`] says what is amiss.
pub(super) fn read(authority: &str) -> Result<(Host, Option<u16>), BadHost> {
    if authority.contains('@') {
        return Err(BadHost::User);
    }
    if let Some(inside) = authority.strip_prefix('[') {
        let (address, rest) = inside.split_once(']').ok_or(BadHost::Brackets)?;
        let address: Ipv6Addr = address.parse().map_err(|_| BadHost::Brackets)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(read_port(port)?),
            None if rest.is_empty() => None,
            None => return Err(BadHost::Brackets),
        };
        return Ok((Host::Address(IpAddr::V6(address).to_canonical()), port));
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(BadHost::Colons),
        Some((name, port)) => Ok((read_name(name)?, Some(read_port(port)?))),
        None => Ok((read_name(authority)?, None)),
    }
}

fn read_port(text: &str) -> Result<u16, BadHost> {
    // A sign would be taken for a part of the number.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0).ok_or(BadHost::Port)
}

fn read_name(text: &str) -> Result<Host, BadHost> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if name.len() > NAME_MAX || !name.split('.').all(is_label) {
        return Err(BadHost::Name);
    }
    // Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses.
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err(BadHost::Number);
    }
    Ok(Host::Name(name))
}

fn is_label(label: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let has_ends = !label.starts_with('-') && !label.ends_with('-');
    (1..=LABEL_MAX).contains(&label.len()) && has_ends && label.bytes().all(is_letter)
}

fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// As it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Whether an address leads to this machine, to its link, to many or to nowhere: what nobody else could mean by a name. An address
/// that carries another one is looked at for that.
pub(super) fn is_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_inward_v4(address),
        IpAddr::V6(address) => {
            let is_special = address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast();
            is_special || carried(address).is_some_and(is_inward_v4)
        }
    }
}

/// Where clouds tell their machines what is secret, beside what is link-local.
const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

fn is_inward_v4(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0
        || METADATA.contains(&address)
}

/// The IPv4 address that a translator (NAT64, RFC 6052), a tunnel (6to4) or an old notation has in an IPv6 one.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let (low, high) = (Ipv4Addr::from_bits(bits as u32), Ipv4Addr::from_bits((bits >> 80) as u32));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => Some(low),
        // Where clouds tell what is secret, RFC 4193 addresses though they are.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Some(Ipv4Addr::LOCALHOST),
        [0x2002, ..] => Some(high),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    fn address(text: &str) -> Host {
        Host::Address(text.parse().unwrap())
    }

    #[test]
    fn one_host_has_one_form() {
        for (text, host, port) in [
            ("api.example.org", name("api.example.org"), None),
            ("API.Example.ORG.", name("api.example.org"), None),
            ("api.example.org.:8443", name("api.example.org"), Some(8443)),
            ("localhost:80", name("localhost"), Some(80)),
            ("my_service", name("my_service"), None),
            ("xn--bcher-kva.example", name("xn--bcher-kva.example"), None),
            ("0x.example", name("0x.example"), None),
            ("1.2.3.4.example:1", name("1.2.3.4.example"), Some(1)),
            ("10.0.0.7:08080", address("10.0.0.7"), Some(8080)),
            ("127.0.0.1.", address("127.0.0.1"), None),
            ("[::1]", address("::1"), None),
            ("[0:0::0:1]:8080", address("::1"), Some(8080)),
            ("[::ffff:127.0.0.1]:1", address("127.0.0.1"), Some(1)),
            ("[FE80::1]", address("fe80::1"), None),
        ] {
            assert_eq!(read(text), Ok((host, port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_named() {
        for (text, why) in [
            ("user@example.org", BadHost::User),
            ("user:secret@example.org", BadHost::User),
            ("example.org:443@evil.example", BadHost::User),
            ("example.org:", BadHost::Port),
            ("example.org:0", BadHost::Port),
            ("example.org:65536", BadHost::Port),
            ("example.org:+80", BadHost::Port),
            ("example.org:80/path", BadHost::Port),
            ("example.org: 80", BadHost::Port),
            ("[::1]:", BadHost::Port),
            ("[::1", BadHost::Brackets),
            ("[::1]8080", BadHost::Brackets),
            ("[fe80::1%eth0]", BadHost::Brackets),
            ("[fe80::1%25eth0]", BadHost::Brackets),
            ("[127.0.0.1]", BadHost::Brackets),
            ("[]", BadHost::Brackets),
            ("::1", BadHost::Colons),
            ("fe80::1:80", BadHost::Colons),
            ("a:1:2", BadHost::Colons),
            ("", BadHost::Name),
            (".", BadHost::Name),
            (":80", BadHost::Name),
            ("example..org", BadHost::Name),
            ("example.org..", BadHost::Name),
            (".example.org", BadHost::Name),
            ("-a.example", BadHost::Name),
            ("a-.example", BadHost::Name),
            ("*", BadHost::Name),
            ("*.example.org", BadHost::Name),
            ("a.*.example", BadHost::Name),
            ("ex%61mple.org", BadHost::Name),
            ("example.org%00.evil.example", BadHost::Name),
            ("example.org/..", BadHost::Name),
            ("example.org#", BadHost::Name),
            ("example.org?", BadHost::Name),
            ("example.org\\evil.example", BadHost::Name),
            ("example.org\0", BadHost::Name),
            ("exämple.org", BadHost::Name),
            ("example。org", BadHost::Name),
            ("ｅxample.org", BadHost::Name),
            ("127.1", BadHost::Number),
            ("2130706433", BadHost::Number),
            ("0x7f000001", BadHost::Number),
            ("0X7F.1", BadHost::Number),
            ("0177.0.0.1", BadHost::Number),
            ("127.0.0.01", BadHost::Number),
            ("1.2.3.4.5", BadHost::Number),
            ("256.0.0.1", BadHost::Number),
            ("example.0x", BadHost::Number),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(read(&format!("{}.org", "a".repeat(64))), Err(BadHost::Name));
        assert_eq!(read(&"a.".repeat(127)), Ok((name("a.".repeat(127).trim_end_matches('.')), None)));
        assert_eq!(read(&"a.".repeat(128)), Err(BadHost::Name));
    }

    #[test]
    fn addresses_of_this_machine_and_its_link_are_inward() {
        for inward in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::fb",
            "::ffff:127.0.0.1",
            "::ffff:169.254.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
        ] {
            assert!(is_inward(inward.parse().unwrap()), "{inward}");
        }
        for outward in
            ["10.0.0.7", "192.168.1.1", "126.255.255.255", "128.0.0.1", "fd00::1", "2001:db8::1", "64:ff9b::808:808"]
        {
            assert!(!is_inward(outward.parse().unwrap()), "{outward}");
        }
    }

    proptest! {
        /// Whatever is read is read again from what is written of it, as itself.
        #[test]
        fn what_is_read_is_written_and_read_again(text in "(\\[[0-9a-fA-F:.]{2,20}\\]|[a-zA-Z0-9._%@*-]{0,20}|\\PC{0,12})(:[0-9]{0,6})?") {
            if let Ok((host, port)) = read(&text) {
                let written = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
                prop_assert_eq!(read(&written), Ok((host.clone(), port)));
                if let Host::Name(name) = host {
                    prop_assert!(name.parse::<IpAddr>().is_err());
                    prop_assert!(!name.ends_with('.') && name.is_ascii() && name == name.to_ascii_lowercase());
                }
            }
        }
    }
}
