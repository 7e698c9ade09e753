//! The scenarios that come with the program.

use crate::scenario::Scenario;

macro_rules! scenarios {
    ($($name:literal,)*) => {
        /// By name, as files.
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml"))),)*];
    };
}

scenarios! {
    "blackout",
    "blip",
    "bridge-flap",
    "bufferbloat",
    "churn",
    "crash-restart",
    "crash-transit",
    "crowded-cuts",
    "cut-with-path",
    "drift",
    "fast-restart",
    "foul-weather",
    "grey-link",
    "grid",
    "half-open",
    "hidden-node",
    "isolate-each",
    "line",
    "long-cut",
    "long-line",
    "moving-node",
    "nat-rebind",
    "one-way",
    "one-way-cut",
    "one-way-link",
    "partition-heal",
    "pause",
    "queue-split",
    "ring",
    "rolling",
    "scale-split",
    "split-half",
    "star-relay",
    "sub-in-cut",
    "swizzle",
    "triangle",
    "two-bridges",
}

/// All of them, in the order of their names.
///
/// # Panics
/// Never: a test reads them all.
pub fn library() -> impl Iterator<Item = Scenario> {
    FILES.iter().map(|(name, text)| match Scenario::from_toml(text) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{name}.toml: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every file is there, can be read, bears its name, and says what it is about.
    #[test]
    fn every_file_is_a_scenario_of_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(".toml")?.to_owned())).collect();
        names.sort();
        assert_eq!(library().map(|scenario| scenario.name).collect::<Vec<_>>(), names);
        assert!(library().all(|scenario| !scenario.about.is_empty()));
    }
}
