//! Networks that a user may come from: `10.0.0.0/8`, `fd00::/8`.

use std::net::IpAddr;

/// True when `network` can be read, and `ip` is in it.
pub(super) fn contains(network: &str, ip: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let (base, base_width) = bits(base);
    let (ip, width) = bits(ip);
    base_width == width && length <= width && (base ^ ip).checked_shr(width - length).unwrap_or(0) == 0
}

/// An address as a number of so many bits; one of IPv4 in the form of IPv6 is one of IPv4.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, ip, expected) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0", "10.0.0.0", false),
            ("any/8", "10.0.0.0", false),
        ] {
            assert_eq!(contains(network, ip.parse().unwrap()), expected, "{network} {ip}");
        }
    }
}
