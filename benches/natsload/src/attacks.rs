//! The attacks that many connections make by scripts: what each says, and how the server has to end it.
use crate::siege::{Script, Siege};

const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";

fn script(name: &'static str, opening: impl Into<Vec<u8>>, expect: &'static str) -> Script {
    Script { name, opening: opening.into(), drip: b"", expect }
}

/// Nobody ever finishes a CONNECT. The server asks for a login, and gives two seconds for it.
pub fn loris(attackers: usize) -> Siege {
    let drip =
        Script { drip: b"a", ..script("CONNECT byte by byte", "CONNECT {\"name\":\"", "Authentication Timeout") };
    let scripts = vec![script("silence", "", "Authentication Timeout"), drip];
    Siege { scripts, attackers: or(attackers, 500), limit_secs: 5.0 }
}

/// Handshakes that stop. The server gives them two seconds; those who say nothing may need none, and have the time of the
/// login after that of the first byte.
pub fn half_tls(attackers: usize) -> Siege {
    let hello = client_hello();
    let scripts = vec![
        script("silence", "", ""),
        script("a record's first bytes", &hello[..3], ""),
        script("half a ClientHello", &hello[..hello.len() / 2], ""),
        script("a ClientHello and no more", hello, "after its part of the handshake"),
    ];
    Siege { scripts, attackers: or(attackers, 500), limit_secs: 8.0 }
}

/// Lengths and lines that nobody may have the server keep room for.
pub fn huge_prefix(attackers: usize) -> Siege {
    let say = |name, line: &str, expect| script(name, format!("{CONNECT}{line}"), expect);
    let some = "x".repeat(16384);
    let scripts = vec![
        say("PUB of 1 GiB", "PUB a 1073741824\r\n", "Maximum Payload Violation"),
        say("HPUB of 1 GiB", "HPUB a 12 1073741824\r\n", "Maximum Payload Violation"),
        // Who goes on sending may be reset before it has read why.
        say("PUB of 1 GiB that begins", &format!("PUB a 1073741824\r\n{some}"), ""),
        say("PUB of 10^20 bytes", "PUB a 100000000000000000000\r\n", ""),
        say("PUB of -1 bytes", "PUB a -1\r\n", ""),
        say("a line of 8 KiB without end", &format!("SUB {}", "a".repeat(8192)), "Maximum Control Line"),
    ];
    Siege { scripts, attackers: or(attackers, 30), limit_secs: 5.0 }
}

/// One password after the other, as fast as the server lets them.
pub fn auth_guess(attackers: usize) -> Siege {
    let say = |name, login: &str| {
        // Or, when the server has too many to look at, Authentication Timeout.
        script(name, format!("CONNECT {{\"verbose\":false,{login}}}\r\nPING\r\n"), "-ERR 'Auth")
    };
    let scripts = vec![
        say("wrong password", "\"user\":\"victim\",\"pass\":\"letmein\""),
        say("wrong user", "\"user\":\"admin\",\"pass\":\"letmein\""),
        say("no login", "\"name\":\"nobody\""),
    ];
    Siege { scripts, attackers: or(attackers, 48), limit_secs: 30.0 }
}

fn or(given: usize, default: usize) -> usize {
    if given == 0 { default } else { given }
}

/// A whole one of TLS 1.3 in one record. Its key share is any 32 bytes, which is a point on the curve as good as others.
fn client_hello() -> Vec<u8> {
    let sized =
        |width: usize, body: &[u8]| -> Vec<u8> { [&(body.len() as u32).to_be_bytes()[4 - width..], body].concat() };
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &sized(2, body)].concat();
    let share = [&[0x00, 0x1d][..], &sized(2, &[7; 32])].concat();
    let extensions = [
        extension(43, &sized(1, &[0x03, 0x04])),
        extension(10, &sized(2, &[0x00, 0x1d])),
        extension(13, &sized(2, &[0x04, 0x03, 0x08, 0x04, 0x08, 0x07])),
        extension(51, &sized(2, &share)),
    ]
    .concat();
    let hello = [
        &[0x03, 0x03][..],
        &[5; 32],
        &sized(1, &[9; 32]),
        &sized(2, &[0x13, 0x01, 0x13, 0x02, 0x13, 0x03]),
        &sized(1, &[0]),
        &sized(2, &extensions),
    ]
    .concat();
    let handshake = [&[0x01][..], &sized(3, &hello)].concat();
    [&[0x16, 0x03, 0x01][..], &sized(2, &handshake)].concat()
}
