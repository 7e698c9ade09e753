//! Words to values: numbers with their suffixes, dates, booleans, and durations as Go writes them.

use super::Value;
use std::time::Duration;

/// A word that stands for a number is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word} is out of range: whole numbers are from {} to {}", i64::MIN, i64::MAX)]
pub struct OutOfRange {
    word: String,
}

/// The value of an unquoted word: a number or date when it looks like one, a boolean, else a string.
///
/// # Errors
/// [`OutOfRange`] when it is a number that is too large.
pub fn word(word: &str) -> Result<Value, OutOfRange> {
    match word.to_lowercase().as_str() {
        "true" | "yes" | "on" => return Ok(Value::Boolean(true)),
        "false" | "no" | "off" => return Ok(Value::Boolean(false)),
        _ => {}
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Value::Text(word.to_owned()));
    }
    if is_date(word) {
        return Ok(Value::Date(word.to_owned()));
    }
    if let Some((whole, fraction)) = digits.split_once('.')
        && is_digits(whole)
        && is_digits(fraction)
        && let Ok(number) = word.parse()
    {
        return Ok(Value::Float(number));
    }
    let end = word.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(word.len());
    let (number, suffix) = word.split_at(end);
    match factor(suffix) {
        Some(factor) if is_digits(number.strip_prefix('-').unwrap_or(number)) => {
            let number = number.parse::<i64>().ok().and_then(|number| number.checked_mul(factor));
            number.map(Value::Integer).ok_or_else(|| OutOfRange { word: word.to_owned() })
        }
        Some(_) | None => Ok(Value::Text(word.to_owned())),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2006-01-02T15:04:05Z`
fn is_date(word: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    word.len() == SHAPE.len()
        && word.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

/// `k` is 1,000; `kb`, `ki` and `kib` are 1,024; and so on.
fn factor(suffix: &str) -> Option<i64> {
    let suffix = suffix.to_lowercase();
    let mut letters = suffix.chars();
    let Some(first) = letters.next() else { return Some(1) };
    let power = u32::try_from("kmgtpe".find(first)?).ok()? + 1;
    match letters.as_str() {
        "" => Some(1000_i64.pow(power)),
        "b" | "i" | "ib" => Some(1024_i64.pow(power)),
        _ => None,
    }
}

/// `text` as Go reads durations: `1h30m`, `1.5s`, `250ms`. None when it is no such thing, or negative.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() || total.is_zero() && text.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    Some(total)
}

/// `duration` as Go writes it: `1m30s`, `250ms`.
#[must_use]
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match duration.subsec_nanos() {
            0 => "0s".to_owned(),
            nanos if nanos >= 1_000_000 => format!("{}ms", f64::from(nanos) / 1e6),
            nanos => format!("{}µs", f64::from(nanos) / 1e3),
        };
    }
    let rest = (duration - Duration::from_secs(seconds / 60 * 60)).as_secs_f64();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}
