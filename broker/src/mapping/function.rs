//! What a token of a destination can be made of, beside a token of the source: `{{partition(3, 1)}}` and the others.
//!
//! Names, arguments and results are those of nats-server, for whose configurations they are.

use super::pattern::Captured;
use memchr::memmem;

/// What is made of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// The number of one of `count` buckets, always the same one for the same tokens; without tokens the same one for
    /// the same subject.
    Partition { count: u32, tokens: Vec<usize> },
    /// A number below `count`.
    Random { count: u32 },
    /// A token, in pieces or a piece of it.
    Cut { token: usize, way: Way, size: usize },
    /// A token, in pieces where it says `by`.
    Split { token: usize, by: Box<[u8]> },
}

/// How a token is cut. A token that is not longer than the size stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In two, the first of that size.
    SplitFromLeft,
    /// In two, the second of that size.
    SplitFromRight,
    /// In pieces of that size, the last perhaps shorter.
    SliceFromLeft,
    /// In pieces of that size, the first perhaps shorter.
    SliceFromRight,
    /// Its beginning.
    Left,
    /// Its end.
    Right,
}

/// The ways by their names, whose capital letters may be small ones too.
const WAYS: &[(&str, Way)] = &[
    ("SplitFromLeft", Way::SplitFromLeft),
    ("SplitFromRight", Way::SplitFromRight),
    ("SliceFromLeft", Way::SliceFromLeft),
    ("SliceFromRight", Way::SliceFromRight),
    ("Left", Way::Left),
    ("Right", Way::Right),
];

/// What is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is called that.
    Name,
    /// It takes others.
    Arguments(&'static str),
    /// The source has no wildcard of that number.
    Wildcard(i64),
}

/// What a `{{…}}` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The token of a wildcard, by its number from 0.
    Token(usize),
    /// More than that.
    Function(Function),
}

/// The token that the wildcard `number` stands for, where there are `stars`, by its number from 0.
pub(super) fn wildcard(number: i64, stars: usize) -> Result<usize, Fault> {
    let at = number.checked_sub(1).and_then(|at| usize::try_from(at).ok());
    at.filter(|at| *at < stars).ok_or(Fault::Wildcard(number))
}

/// Reads what stands between `{{` and `}}` in a destination whose source has `stars` wildcards for one token.
pub(super) fn parse(text: &str, stars: usize) -> Result<Said, Fault> {
    let call = text.trim_ascii().strip_suffix(')').and_then(|call| call.split_once('('));
    let (name, arguments) = call.ok_or(Fault::Name)?;
    let name = name.trim_ascii_end();
    let arguments: Vec<&str> = arguments.split(',').map(str::trim_ascii_start).collect();
    let is = |called| is_called(name, called);
    let token = |text: &str, accepted| wildcard(number(text).ok_or(Fault::Arguments(accepted))?, stars);
    let count =
        |text: &str, accepted| number(text).map(i32::try_from).and_then(Result::ok).ok_or(Fault::Arguments(accepted));
    let function = match &arguments[..] {
        [one] if is("Wildcard") => return token(one, "wildcard(1)").map(Said::Token),
        [first, rest @ ..] if is("Partition") => {
            const ACCEPTED: &str = "partition(10) or partition(10, 1, 2), with a number up to 2147483647 and wildcards";
            let tokens = rest.iter().map(|text| token(text, ACCEPTED)).collect::<Result<Vec<usize>, _>>()?;
            Function::Partition { count: count(first, ACCEPTED)?.cast_unsigned(), tokens }
        }
        [one] if is("Random") => {
            Function::Random { count: count(one, "random(10), with a number up to 2147483647")?.unsigned_abs() }
        }
        [first, by] if is("Split") && !by.contains(' ') => {
            Function::Split { token: token(first, "split(1, -)")?, by: by.as_bytes().into() }
        }
        [first, size] if let Some(way) = way(name) => {
            const ACCEPTED: &str = "a wildcard and a number, as in left(1, 3)";
            let size = usize::try_from(count(size, ACCEPTED)?).unwrap_or(0);
            Function::Cut { token: token(first, ACCEPTED)?, way, size }
        }
        _ if is("Wildcard") => return Err(Fault::Arguments("wildcard(1)")),
        _ if is("Random") => return Err(Fault::Arguments("random(10)")),
        _ if is("Split") => return Err(Fault::Arguments("split(1, -), without a blank or a dot")),
        _ if way(name).is_some() => return Err(Fault::Arguments("a wildcard and a number, as in left(1, 3)")),
        _ => return Err(Fault::Name),
    };
    Ok(Said::Function(function))
}

fn way(name: &str) -> Option<Way> {
    WAYS.iter().find(|(called, _)| is_called(name, called)).map(|(_, way)| *way)
}

fn is_called(name: &str, called: &str) -> bool {
    let is_same = |(given, wanted): (u8, u8)| given == wanted || given == wanted.to_ascii_lowercase();
    name.len() == called.len() && name.bytes().zip(called.bytes()).all(is_same)
}

fn number(text: &str) -> Option<i64> {
    text.trim_ascii().parse().ok()
}

impl Function {
    /// Appends what is made of what was captured.
    pub(super) fn write(
        &self,
        captured: &Captured<'_>,
        roll: &mut dyn FnMut() -> u64,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let token = |at: &usize| captured.tokens.get(*at).copied();
        let number = match self {
            Self::Cut { token: at, way, size } => {
                cut(token(at)?, *way, *size, out);
                return Some(());
            }
            Self::Split { token: at, by } => {
                split(token(at)?, by, out);
                return Some(());
            }
            Self::Partition { count, tokens } if tokens.is_empty() => hash([captured.subject]).checked_rem(*count),
            Self::Partition { count, tokens } => {
                let tokens: Option<Vec<&[u8]>> = tokens.iter().map(token).collect();
                hash(tokens?).checked_rem(*count)
            }
            Self::Random { count } => Some(((u128::from(roll()) * u128::from(*count)) >> 64) as u32),
        };
        out.extend_from_slice(number.unwrap_or(0).to_string().as_bytes());
        Some(())
    }
}

/// FNV-1a, of 32 bits.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn cut(token: &[u8], way: Way, size: usize, out: &mut Vec<u8>) {
    if size == 0 || size >= token.len() {
        out.extend_from_slice(token);
        return;
    }
    let from_right = token.len() - size;
    let first = match way {
        Way::Left => return out.extend_from_slice(&token[..size]),
        Way::Right => return out.extend_from_slice(&token[from_right..]),
        Way::SplitFromLeft => size,
        Way::SplitFromRight => from_right,
        Way::SliceFromLeft => 0,
        Way::SliceFromRight => token.len() % size,
    };
    let (first, rest) = token.split_at(first);
    out.extend_from_slice(first);
    let size = if matches!(way, Way::SplitFromLeft | Way::SplitFromRight) { rest.len() } else { size };
    for (at, piece) in rest.chunks(size).enumerate() {
        if at > 0 || !first.is_empty() {
            out.push(b'.');
        }
        out.extend_from_slice(piece);
    }
}

/// A token that begins with two separators gets an empty first token, and so nobody has it: as with a nats-server.
fn split(token: &[u8], by: &[u8], out: &mut Vec<u8>) {
    let pieces = pieces(token, by);
    for (at, piece) in pieces.iter().enumerate() {
        out.extend_from_slice(piece);
        let is_followed = pieces.get(at + 1).is_some_and(|next| !next.is_empty());
        if is_followed && (at > 0 || !piece.is_empty()) {
            out.push(b'.');
        }
    }
}

/// What stands between the separators. An empty one stands between any two characters.
fn pieces<'a>(token: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    if by.is_empty() {
        return match std::str::from_utf8(token) {
            Ok(text) => text.split("").filter(|char| !char.is_empty()).map(str::as_bytes).collect(),
            Err(_) => token.chunks(1).collect(),
        };
    }
    let (mut rest, mut pieces) = (token, Vec::new());
    while let Some(at) = memmem::find(rest, by) {
        pieces.push(&rest[..at]);
        rest = &rest[at + by.len()..];
    }
    pieces.push(rest);
    pieces
}
