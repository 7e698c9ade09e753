//! The result: named values in the order in which they were put, as one JSON line or as a list to read.
use std::fmt::Write as _;

#[derive(Default)]
pub struct Json {
    pub kv: Vec<(String, String)>,
}
impl Json {
    pub fn s(&mut self, k: &str, v: &str) {
        let mut o = String::new();
        let _ = write!(o, "{:?}", v);
        self.kv.push((k.into(), o));
    }
    pub fn u(&mut self, k: &str, v: u64) {
        self.kv.push((k.into(), v.to_string()));
    }
    pub fn f(&mut self, k: &str, v: f64) {
        self.kv.push((k.into(), if v.is_finite() { format!("{v:.4}") } else { "null".into() }));
    }
    /// A value that is JSON already.
    pub fn raw(&mut self, k: &str, v: String) {
        self.kv.push((k.into(), v));
    }
    /// The number put as `k`.
    pub fn number(&self, k: &str) -> f64 {
        self.kv.iter().find(|(key, _)| key == k).and_then(|(_, v)| v.parse().ok()).unwrap_or(f64::NAN)
    }
    /// All of another's values.
    pub fn append(&mut self, other: Self) {
        self.kv.extend(other.kv);
    }
    pub fn print(&self, json: bool) {
        if json {
            let v: Vec<String> = self.kv.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            println!("{{{}}}", v.join(","));
        } else {
            for (k, v) in &self.kv {
                println!("{k:>24}  {v}");
            }
        }
    }
}
