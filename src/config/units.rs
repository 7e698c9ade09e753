//! Sizes and durations as people write them: `64MiB`, `250ms`. What range is accepted is left to the caller.

use crate::mesh::heartbeat;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes. Written as a whole number of `B`, `KiB`, `MiB`, `GiB` (or `kB`, `MB`, `GB`), or without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no size: write a whole number of bytes, or one with a unit, as 64KiB or 1MiB")]
pub struct BadSize {
    text: String,
}

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize { text: text.to_owned() };
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let factor = match unit.trim_start() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(bad)?.1,
        };
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS[..3].iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match binary {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size as \"1MiB\" or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
                u64::try_from(number).map(Size).map_err(|_| E::custom("a size cannot be negative"))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Size, E> {
                Ok(Size(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A length of time. Written as a number with a unit, as `250ms`, `2s`, `1m 30s`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no length of time: write a number with a unit, as 250ms, 2s, 10m or 1h")]
pub struct BadPeriod {
    text: String,
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let parsed = humantime_serde::re::humantime::parse_duration(text.trim());
        parsed.map(Self).map_err(|_| BadPeriod { text: text.to_owned() })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime_serde::re::humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time as \"250ms\" or \"2s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How often a link shows that it is alive. Written as `automatic`, `metered` or a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(pub heartbeat::Pace);

impl FromStr for Pace {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        Ok(Self(match text.trim() {
            "automatic" => heartbeat::Pace::Automatic,
            "metered" => heartbeat::Pace::Metered,
            text => heartbeat::Pace::Every(text.parse::<Period>()?.0),
        }))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            heartbeat::Pace::Automatic => f.write_str("automatic"),
            heartbeat::Pace::Metered => f.write_str("metered"),
            heartbeat::Pace::Every(interval) => Period(interval).fmt(f),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Pace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"automatic\", \"metered\" or a length of time as \"250ms\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pace, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_are_read_and_written() {
        for text in ["automatic", "metered", "250ms", "5s"] {
            assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
        }
        assert!("auto".parse::<Pace>().is_err());
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("1MiB", 1 << 20), ("64 kib", 65_536), ("2kB", 2000), ("7B", 7)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1TiB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size(1 << 20).to_string(), "1MiB");
        assert_eq!(Size(1025).to_string(), "1025");
        assert_eq!(Size(0).to_string(), "0");
    }

    #[test]
    fn periods_are_read_and_written() {
        assert_eq!("250ms".parse(), Ok(Period(Duration::from_millis(250))));
        assert_eq!("1m 30s".parse(), Ok(Period(Duration::from_secs(90))));
        assert!("250".parse::<Period>().is_err());
        assert_eq!(Period(Duration::from_secs(90)).to_string(), "1m 30s");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes: u64, millis in 0u64..10_000_000_000) {
            proptest::prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let period = Period(Duration::from_millis(millis));
            proptest::prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
