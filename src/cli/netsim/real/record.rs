//! What a client writes down: one line of JSON for each thing that it does or that befalls it.

use lattice_netsim::MessageId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Display;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Longer than any line but one that tells of a lost connection in many words.
const LINE_BYTES_MAX: u64 = 4096;

/// One line. Times are of CLOCK_MONOTONIC, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case")]
pub(super) enum Record {
    /// Its server has taken it and its subscription.
    Connected { at: u64 },
    /// It has heard every other client.
    Ready { at: u64 },
    /// The connection is gone.
    Disconnected { at: u64, why: String },
    /// It published a message that was due.
    Published {
        #[serde(with = "as_text")]
        message: MessageId,
        due: u64,
        at: u64,
    },
    /// A message of another client arrived.
    Delivered {
        #[serde(with = "as_text")]
        message: MessageId,
        at: u64,
    },
    /// It has played to the end.
    Done { at: u64 },
}

mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};
    use serde::de::Error;

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'d, T: FromStr<Err: Display>, D: Deserializer<'d>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// All that a client has written so far; a line that is not whole yet is left out.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<Record>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).map_err(std::io::Error::other)).collect()
}

/// The last whole line that a client has written so far, if there is one.
pub(super) fn last(path: &Path) -> std::io::Result<Option<Record>> {
    let mut file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LINE_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().next_back().map(serde_json::from_str).transpose().map_err(std::io::Error::other)
}

/// A time as a record has it.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let message = MessageId { publisher: 3, incarnation: 1, sequence: 7 };
        let records = [
            Record::Connected { at: 1 },
            Record::Published { message, due: 2, at: 3 },
            Record::Delivered { message, at: 4 },
        ];
        let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        assert_eq!(lines[1], r#"{"did":"published","message":"3.1.7","due":2,"at":3}"#);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}\n{{\"did\":\"del", lines.join("\n"))).unwrap();
        assert_eq!(read(file.path()).unwrap(), records);
        assert_eq!(last(file.path()).unwrap().as_ref(), records.last());
        std::fs::write(file.path(), "no json\n").unwrap();
        assert!(read(file.path()).is_err());
    }
}
