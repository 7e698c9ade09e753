//! The names that a certificate gives its holder, by which a client may be a user.

use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Attributes of a distinguished name that have a short name (RFC 4514, section 3, and what Go adds to it).
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// The attributes of a distinguished name: type in upper case, and value; in an order of their own, so that names with the
/// same attributes are equal.
pub(crate) type Attributes = Vec<(String, String)>;

/// The names of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Mail addresses, hosts and URIs, in the order in which users are looked for.
    pub(crate) alternatives: Vec<String>,
    /// The subject, the last attribute first, as RFC 2253 writes it.
    pub(crate) subject: String,
    pub(crate) attributes: Attributes,
}

impl CertificateNames {
    /// Those of a certificate in DER; `None` when it cannot be read.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut kinds: [Vec<String>; 3] = Default::default();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            let (kind, name) = match name {
                GeneralName::RFC822Name(name) => (0, name),
                GeneralName::DNSName(name) => (1, name),
                GeneralName::URI(name) => (2, name),
                _ => continue,
            };
            kinds[kind].push((*name).to_owned());
        }
        let mut attributes: Attributes = certificate.subject().iter_attributes().map(attribute).collect();
        attributes.sort();
        Some(Self { alternatives: kinds.concat(), subject: written(certificate.subject()), attributes })
    }
}

/// The attributes of a name as somebody has written it, if it is one.
pub(crate) fn parse(text: &str) -> Option<Attributes> {
    let mut attributes = Vec::new();
    for part in split(text) {
        let (kind, value) = part.split_once('=')?;
        attributes.push((kind.trim().to_uppercase(), unescaped(trimmed(value))));
    }
    attributes.sort();
    (!attributes.is_empty()).then_some(attributes)
}

/// The parts between commas and plus signs that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut is_escaped = false;
    text.split(|char: char| {
        let ends = !is_escaped && matches!(char, ',' | '+' | ';');
        is_escaped = !is_escaped && char == '\\';
        ends
    })
    .collect()
}

/// Without blanks around it, but for one that is escaped.
fn trimmed(value: &str) -> &str {
    let value = value.trim_start();
    let end = value.trim_end().len();
    let escapes = value[..end].bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 1 { &value[..(end + 1).min(value.len())] } else { &value[..end] }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    out
}

/// As RFC 2253 writes it.
pub(super) fn written(name: &X509Name<'_>) -> String {
    let rdns: Vec<_> = name.iter_rdn().collect();
    let spoken = |one: &AttributeTypeAndValue<'_>| {
        let (kind, value) = attribute(one);
        format!("{kind}={}", escaped(&value))
    };
    let written = rdns.iter().rev().map(|rdn| rdn.iter().map(spoken).collect::<Vec<_>>().join("+"));
    written.collect::<Vec<_>>().join(",")
}

fn attribute(one: &AttributeTypeAndValue<'_>) -> (String, String) {
    (kind(one.attr_type()), one.as_str().map_or_else(|_| hex(one.attr_value()), str::to_owned))
}

fn kind(oid: &Oid<'_>) -> String {
    let dotted = oid.to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == dotted).map(|(_, short)| (*short).to_owned());
    short.unwrap_or(dotted)
}

fn hex(value: &Any<'_>) -> String {
    format!("#{}", data_encoding::HEXLOWER.encode(value.data))
}

/// RFC 2253, section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (at, char) in value.chars().enumerate() {
        let is_edge = (char == ' ' && (at == 0 || at == last)) || (char == '#' && at == 0);
        if is_edge || matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn names(make: impl FnOnce(&mut CertificateParams)) -> CertificateNames {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        make(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        CertificateNames::of(&der).unwrap()
    }

    #[test]
    fn a_subject_is_written_backwards_and_escaped() {
        let names = names(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, "Synadia, Inc.");
            name.push(DnType::OrganizationalUnitName, "a+b");
            name.push(DnType::CommonName, "#joe ");
        });
        assert_eq!(names.subject, r"CN=\#joe\ ,OU=a\+b,O=Synadia\, Inc.");
        assert_eq!(Some(names.attributes), parse(r"O=Synadia\, Inc.,OU=a\+b,CN=\#joe\ "));
        assert!(names.alternatives.is_empty());
    }

    #[test]
    fn mail_goes_before_hosts_and_these_before_uris() {
        let names = names(|params| {
            params.subject_alt_names = vec![
                SanType::URI("spiffe://a/b".try_into().unwrap()),
                SanType::DnsName("host".try_into().unwrap()),
                SanType::Rfc822Name("joe@x.org".try_into().unwrap()),
            ];
        });
        assert_eq!(names.alternatives, ["joe@x.org", "host", "spiffe://a/b"]);
        assert_eq!((names.subject.as_str(), names.attributes.len()), ("", 0));
    }

    #[test]
    fn names_are_equal_in_any_order() {
        assert_eq!(parse("CN=a, ou=b,DC=x,DC=y"), parse("DC=y,DC=x,OU=b,CN=a"));
        assert_ne!(parse("CN=a"), parse("CN=b"));
        assert_eq!((parse("joe"), parse("")), (None, None));
    }
}
