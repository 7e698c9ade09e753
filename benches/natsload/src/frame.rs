//! What a server sends, taken apart without copying it.
use std::io;

pub enum Ev<'a> {
    /// control line (without CRLF), headers, payload
    Msg {
        line: &'a [u8],
        hdr: &'a [u8],
        body: &'a [u8],
    },
    Pong,
    Err(&'a [u8]),
}

fn num_back(l: &[u8]) -> Option<(usize, usize)> {
    // number at the end of l; returns (value, index of the blank before it)
    let mut i = l.len();
    let (mut v, mut m) = (0usize, 1usize);
    while i > 0 {
        let c = l[i - 1];
        if c.is_ascii_digit() {
            v += (c - b'0') as usize * m;
            m = m.wrapping_mul(10);
            i -= 1
        } else {
            break;
        }
    }
    if i == l.len() || i == 0 { None } else { Some((v, i - 1)) }
}

/// Gives each complete frame of `all` to `f`: how many bytes that took, and how many of them were PINGs to answer.
#[inline]
pub fn frames<F: FnMut(Ev)>(all: &[u8], mut f: F) -> io::Result<(usize, u32)> {
    let (mut used, mut pings) = (0, 0);
    loop {
        let b = &all[used..];
        if b.is_empty() {
            break;
        }
        let Some(nl) = memchr::memchr(b'\n', b) else { break };
        let line = if nl > 0 && b[nl - 1] == b'\r' { &b[..nl - 1] } else { &b[..nl] };
        match b[0] {
            b'M' => {
                let Some((len, _)) = num_back(line) else { return Err(io::Error::other("bad MSG line")) };
                if b.len() < nl + 1 + len + 2 {
                    break;
                }
                let body = &b[nl + 1..nl + 1 + len];
                if b[nl + 1 + len] != b'\r' || b[nl + 2 + len] != b'\n' {
                    return Err(io::Error::other("bad MSG end"));
                }
                f(Ev::Msg { line, hdr: &[], body });
                used += nl + 1 + len + 2;
                continue;
            }
            b'H' => {
                let (tot, i) = num_back(line).ok_or_else(|| io::Error::other("bad HMSG"))?;
                let (hl, _) = num_back(&line[..i]).ok_or_else(|| io::Error::other("bad HMSG"))?;
                if hl > tot {
                    return Err(io::Error::other("bad HMSG lengths"));
                }
                if b.len() < nl + 1 + tot + 2 {
                    break;
                }
                let whole = &b[nl + 1..nl + 1 + tot];
                if b[nl + 1 + tot] != b'\r' || b[nl + 2 + tot] != b'\n' {
                    return Err(io::Error::other("bad HMSG end"));
                }
                f(Ev::Msg { line, hdr: &whole[..hl], body: &whole[hl..] });
                used += nl + 1 + tot + 2;
                continue;
            }
            b'P' => {
                if b[1] == b'O' {
                    f(Ev::Pong)
                } else {
                    pings += 1
                }
            }
            b'-' => f(Ev::Err(line)),
            b'+' | b'I' => {}
            _ => {
                return Err(io::Error::other(format!(
                    "unknown line {:?}",
                    String::from_utf8_lossy(&line[..line.len().min(80)])
                )));
            }
        }
        used += nl + 1;
    }
    Ok((used, pings))
}
