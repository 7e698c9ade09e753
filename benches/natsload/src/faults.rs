//! What went wrong, gathered from many threads: the same thing ten thousand times is one line with a number.
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Default)]
pub struct Faults(Mutex<BTreeMap<String, u64>>);

impl Faults {
    pub fn add(&self, text: impl Into<String>) {
        *self.0.lock().unwrap().entry(text.into()).or_default() += 1;
    }

    pub fn list(&self) -> Vec<String> {
        let faults = self.0.lock().unwrap();
        faults.iter().map(|(text, n)| if *n == 1 { text.clone() } else { format!("{text} ({n} times)") }).collect()
    }
}
