//! Times of tokens: seconds since 1970, and parts of a day.

use super::claims::Span;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// The second since 1970 that `wall` is in.
pub(in crate::auth) fn seconds(wall: SystemTime) -> i64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The moment of a claim; `None` for one that is not there.
pub(super) fn moment(claim: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(claim).ok().filter(|seconds| *seconds > 0)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// True when `wall` is before the second that a token ends with, and not before the one that it begins with.
pub(super) fn is_valid(expires: i64, not_before: i64, wall: SystemTime) -> bool {
    let now = seconds(wall);
    (expires <= 0 || now < expires) && not_before <= now
}

/// When the part of the day, in UTC, that `wall` is in ends; `None` when it is in none of them.
pub(super) fn ends(spans: &[Span], wall: SystemTime) -> Option<SystemTime> {
    let now = u64::try_from(seconds(wall)).ok()?;
    let (day, second) = (now - now % DAY, now % DAY);
    let ends = spans.iter().filter_map(|span| {
        let (start, end) = (of_day(&span.start)?, of_day(&span.end)?);
        let end = match (start <= end, second >= start, second < end) {
            (true, true, true) | (false, false, true) => day + end,
            // It goes on after midnight.
            (false, true, _) => day + DAY + end,
            (true, _, _) | (false, false, false) => return None,
        };
        UNIX_EPOCH.checked_add(Duration::from_secs(end))
    });
    ends.max()
}

/// The second of the day that `HH:MM:SS` says.
pub(super) fn of_day(text: &str) -> Option<u64> {
    let number = |part: &str| {
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u64>().ok())?
    };
    let mut parts = text.split(':').map(number);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60;
    is_time.then_some(hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_valid_until_it_ends() {
        let late = at(99) + Duration::from_millis(999);
        assert!(is_valid(100, 0, late) && !is_valid(100, 0, at(100)));
        assert!(is_valid(0, 100, at(100)) && !is_valid(0, 100, at(99)));
        assert!(is_valid(0, 0, at(5)));
    }

    #[test]
    fn parts_of_a_day() {
        let span = |start: &str, end: &str| Span { start: start.to_owned(), end: end.to_owned() };
        let day = 10 * DAY;
        let noon = at(day + 12 * 3600);
        assert_eq!(ends(&[span("11:00:00", "13:00:01")], noon), Some(at(day + 13 * 3600 + 1)));
        assert_eq!(ends(&[span("13:00:00", "14:00:00")], noon), None);
        assert_eq!(ends(&[span("11:00:00", "01:00:00")], noon), Some(at(day + DAY + 3600)));
        assert_eq!(ends(&[span("22:00:00", "13:00:00")], noon), Some(at(day + 13 * 3600)));
        assert_eq!(ends(&[span("22:00:00", "03:00:00")], noon), None);
        for bad in ["", "1:00:00", "24:00:00", "12:60:00", "12:00", "12:00:00:00", "ab:00:00", "+1:00:00"] {
            assert_eq!(of_day(bad), None, "{bad}");
        }
    }
}
