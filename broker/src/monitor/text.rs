//! Times and durations in the words of nats-server's answers, which are those of Go.

use serde::Serializer;
use std::time::{Duration, SystemTime};

/// A time as Go writes RFC 3339: no zeros at the end of the fraction.
#[must_use]
pub(crate) fn time(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_nanos(at).to_string();
    let short = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{short}Z")
}

pub(super) fn serialize_time<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

#[expect(clippy::ref_option, reason = "serde asks for it")]
pub(super) fn maybe_time<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    serialize_time(&at.unwrap_or(SystemTime::UNIX_EPOCH), serializer)
}

/// How long something has been up: `2d3h1m4s`, without what is smaller than a second.
#[must_use]
pub(super) fn uptime(span: Duration) -> String {
    let secs = span.as_secs();
    let (years, days) = (secs / (365 * 86_400), secs / 86_400 % 365);
    let (hours, minutes, seconds) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    if years > 0 {
        format!("{years}y{days}d{hours}h{minutes}m{seconds}s")
    } else if days > 0 {
        format!("{days}d{hours}h{minutes}m{seconds}s")
    } else if hours > 0 {
        format!("{hours}h{minutes}m{seconds}s")
    } else if minutes > 0 {
        format!("{minutes}m{seconds}s")
    } else {
        format!("{seconds}s")
    }
}

/// A duration as Go writes it: `554µs`, `1.055335ms`, `2m0.5s`.
#[must_use]
pub(super) fn duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    let scaled = |unit: u32| {
        let text = format!("{:.9}", nanos as f64 / f64::from(unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", scaled(1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", scaled(1_000_000)),
        _ => {
            let (hours, minutes) = (span.as_secs() / 3600, span.as_secs() / 60 % 60);
            let fraction = format!("{:09}", span.subsec_nanos());
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            let seconds = format!("{}{point}{fraction}s", span.as_secs() % 60);
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, _) => format!("{minutes}m{seconds}"),
                (_, _) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_written_as_go_writes_them() {
        let at = |nanos| time(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
        assert_eq!([at(0), at(1_500_000_000)], ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z"]);
        let ups = [5, 65, 3_605, 180_064, 400 * 86_400].map(|secs| uptime(Duration::from_secs(secs)));
        assert_eq!(ups, ["5s", "1m5s", "1h0m5s", "2d2h1m4s", "1y35d0h0m0s"]);
        let spans = [0, 7, 554_000, 1_055_335, 2_500_000_000, 62_000_000_000, 3_600_000_000_000];
        let texts = spans.map(|nanos| duration(Duration::from_nanos(nanos)));
        assert_eq!(texts, ["0s", "7ns", "554µs", "1.055335ms", "2.5s", "1m2s", "1h0m0s"]);
    }
}
