//! The page at `/`: what there is to look at.

use lattice_broker::monitor::Varz;

const PATHS: &[(&str, &str)] = &[
    ("varz", "General"),
    ("connz", "Connections"),
    ("accountz", "Accounts"),
    ("accstatz", "Account Stats"),
    ("subsz", "Subscriptions"),
    ("routez", "Routes"),
    ("leafz", "LeafNodes"),
    ("gatewayz", "Gateways"),
    ("jsz", "JetStream"),
    ("healthz", "Health Probe"),
    ("metrics", "Metrics"),
];

/// The page; all paths begin with `base`.
pub(super) fn page(server: &Varz, base: &str) -> String {
    let name = escaped(&server.settings.server_name);
    let base = escaped(base);
    let links: String = PATHS
        .iter()
        .map(|(path, title)| format!("  <li><a href=\"{base}/{path}\">{title}</a> <code>/{path}</code></li>\n"))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{name}</title>\n<style>body \
         {{ font-family: system-ui, sans-serif; margin: 2rem }} li {{ margin: .4rem 0 }} code {{ color: #777 }}</style>\
         </head>\n<body>\n<h1>{name}</h1>\n<p>up {}, {} connections</p>\n<ul>\n{links}</ul>\n</body>\n</html>\n",
        server.figures.uptime, server.figures.connections
    )
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, letter| {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
        out
    })
}
