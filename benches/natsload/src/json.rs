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
