//! The file of an app as people write it, and what the lattice is asked for by it. No IO.

use crate::cli::start::{subjects_config, subjects_link};
use crate::config::units::{Period, Size};
use crate::host::apps::{self, App, Server, Spread};
use crate::host::control::{Link, LinkId, Map};
use crate::host::http::REFERENCE;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// An app, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    #[serde(default)]
    pub(super) components: BTreeMap<String, Component>,
    #[serde(default)]
    links: Vec<WrittenLink>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Component {
    /// A file, beside that of the app, or what hosts know it by.
    pub(super) image: String,
    instances: Option<u32>,
    per_host: Option<u32>,
    #[serde(default)]
    on: Map,
    #[serde(default)]
    config: Map,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    http: Https,
    memory: Option<Size>,
    time: Option<Period>,
}

/// Where HTTP is answered: nowhere, at one place, or at several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(
    untagged,
    expecting = "expected an address as \"0.0.0.0:8000\", { address = …, on = { … } }, or a list of such"
)]
enum Https {
    #[default]
    None,
    One(Http),
    Many(Vec<Http>),
}

/// An address, or that and labels of the hosts that listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Http {
    Address(SocketAddr),
    On(HttpOn),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpOn {
    address: SocketAddr,
    on: Map,
}

/// A link, with what its ends are configured with for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLink {
    source: String,
    target: String,
    #[serde(default = "default_name")]
    name: String,
    /// `namespace:package`
    package: String,
    interfaces: Vec<String>,
    #[serde(default)]
    source_config: Map,
    #[serde(default)]
    target_config: Map,
}

fn default_name() -> String {
    "default".to_owned()
}

impl Https {
    fn list(&self) -> &[Http] {
        match self {
            Self::None => &[],
            Self::One(http) => std::slice::from_ref(http),
            Self::Many(list) => list,
        }
    }
}

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// What is asked for, with each image as `reference` says hosts will find it.
    ///
    /// # Errors
    /// What cannot be asked for, by name.
    pub(super) fn app(&self, reference: impl Fn(&str) -> String) -> Result<App, String> {
        let mut app = App::default();
        for (id, component) in &self.components {
            self.add(&mut app, id, component, &reference).map_err(|why| format!("components.{id}: {why}"))?;
        }
        for (at, link) in self.links.iter().enumerate() {
            self.add_link(&mut app, link).map_err(|why| format!("links[{at}]: {why}"))?;
        }
        Ok(app)
    }

    fn add(
        &self,
        app: &mut App,
        id: &str,
        written: &Component,
        reference: impl Fn(&str) -> String,
    ) -> Result<(), String> {
        let mut component = apps::Component {
            image: reference(&written.image),
            spread: spread(written)?,
            on: written.on.clone(),
            config: Vec::new(),
            limits: Map::new(),
        };
        if !written.config.is_empty() {
            component.config.push(self.config(app, id, &written.config)?);
        }
        let Component { memory, time, .. } = written;
        component.limits.extend(memory.map(|Size(bytes)| ("max_memory_limit".to_owned(), bytes.to_string())));
        if let Some(Period(time)) = time {
            if time.subsec_nanos() > 0 {
                return Err("time: whole seconds are accepted".to_owned());
            }
            component.limits.insert("max_execution_time".to_owned(), time.as_secs().to_string());
        }
        if !written.subscribe.is_empty() {
            let (subjects, link) = subjects_link(id, &written.subscribe)?;
            app.configs.insert(subjects_config(id), subjects);
            app.links.push(link);
        }
        for (number, http) in (1..).zip(written.http.list()) {
            let provider = if number == 1 { format!("http-of-{id}") } else { format!("http-of-{id}-{number}") };
            self.add_server(app, provider, id, http, &written.on)?;
        }
        app.components.insert(id.to_owned(), component);
        Ok(())
    }

    /// The server of a component: on the hosts that it may run on, unless others are named.
    fn add_server(&self, app: &mut App, provider: String, id: &str, http: &Http, on: &Map) -> Result<(), String> {
        let (address, on) = match http {
            Http::Address(address) => (address, on),
            Http::On(HttpOn { address, on }) => (address, on),
        };
        let config = self.config(app, &provider, &[("address".to_owned(), address.to_string())].into())?;
        app.links.push(Link {
            id: link_id(&provider, "default", "wasi", "http"),
            target: id.to_owned(),
            interfaces: vec!["incoming-handler".to_owned()],
            source_config: vec![config],
            target_config: Vec::new(),
        });
        let image = format!("{REFERENCE}/0.1.0");
        app.providers.insert(provider, Server { image, config: Vec::new(), on: on.clone() });
        Ok(())
    }

    fn add_link(&self, app: &mut App, written: &WrittenLink) -> Result<(), String> {
        let WrittenLink { source, target, name, package, interfaces, source_config, target_config } = written;
        let parts = package.split_once(':').filter(|(namespace, package)| !namespace.is_empty() && !package.is_empty());
        let (namespace, of) = parts.ok_or_else(|| {
            format!("package is {package:?}: expected a namespace and a package, as \"wasi:keyvalue\"")
        })?;
        let mut config = |end: &str, values: &Map| {
            let named = || self.config(app, &format!("{source}-{name}-{namespace}-{of}-{end}"), values);
            (!values.is_empty()).then(named).transpose().map(|name| name.into_iter().collect::<Vec<_>>())
        };
        let (source_config, target_config) = (config("source", source_config)?, config("target", target_config)?);
        app.links.push(Link {
            id: link_id(source, name, namespace, of),
            target: target.clone(),
            interfaces: interfaces.clone(),
            source_config,
            target_config,
        });
        Ok(())
    }

    /// Adds a configuration, and returns the name that it has in the lattice: the app's, and its own.
    fn config(&self, app: &mut App, own: &str, values: &Map) -> Result<String, String> {
        let name = format!("{}.{own}", self.name);
        match app.configs.insert(name.clone(), values.clone()) {
            Some(before) if before != *values => {
                Err(format!("configuration {name} is said twice: another name for one of the links, or components"))
            }
            Some(_) | None => Ok(name),
        }
    }
}

fn link_id(source: &str, name: &str, namespace: &str, package: &str) -> LinkId {
    let [source_id, name, wit_namespace, wit_package] = [source, name, namespace, package].map(str::to_owned);
    LinkId { source_id, name, wit_namespace, wit_package }
}

fn spread(component: &Component) -> Result<Spread, String> {
    match (component.instances, component.per_host) {
        (Some(_), Some(_)) => Err("instances and per_host: expected one of them".to_owned()),
        (None, Some(count)) => Ok(Spread::PerHost(count)),
        (Some(count), None) => Ok(Spread::Instances(count)),
        (None, None) => Ok(Spread::Instances(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn app(text: &str) -> Result<App, String> {
        File::parse(text)?.app(|image| format!("file:///{image}"))
    }

    const GREETER: &str = r#"
            name = "greeter"
            [components.hello]
            image = "hello.wasm"
            instances = 3
            on = { site = "north" }
            config = { greeting = "hi" }
            subscribe = ["greet.*", "hello"]
            http = "0.0.0.0:8000"
            memory = "32MiB"
            time = "5s"
            [components.watch]
            image = "watch.wasm"
            per_host = 1
            http = ["127.0.0.1:9000", { address = "127.0.0.1:9001", on = { edge = "yes" } }]
            [[links]]
            source = "hello"
            target = "kv"
            package = "wasi:keyvalue"
            interfaces = ["store"]
            target_config = { bucket = "b" }
        "#;

    fn greeter() -> serde_json::Value {
        json!({
            "components": {
                "hello": {
                    "image": "file:///hello.wasm", "spread": { "instances": 3 }, "on": { "site": "north" },
                    "config": ["greeter.hello"],
                    "limits": { "max_execution_time": "5", "max_memory_limit": "33554432" },
                },
                "watch": {
                    "image": "file:///watch.wasm", "spread": { "per_host": 1 }, "on": {}, "config": [], "limits": {},
                },
            },
            "providers": {
                "http-of-hello": {
                    "image": "wasmcloud+builtin://http-server/0.1.0", "config": [], "on": { "site": "north" },
                },
                "http-of-watch": {
                    "image": "wasmcloud+builtin://http-server/0.1.0", "config": [], "on": {},
                },
                "http-of-watch-2": {
                    "image": "wasmcloud+builtin://http-server/0.1.0", "config": [], "on": { "edge": "yes" },
                },
            },
            "configs": {
                "greeter.hello": { "greeting": "hi" },
                "greeter.http-of-hello": { "address": "0.0.0.0:8000" },
                "greeter.http-of-watch": { "address": "127.0.0.1:9000" },
                "greeter.http-of-watch-2": { "address": "127.0.0.1:9001" },
                "greeter.hello-default-wasi-keyvalue-target": { "bucket": "b" },
                "subscriptions-of-hello": { "subscriptions": "greet.*,hello" },
            },
            "links": [
                {
                    "source_id": "lattice", "name": "hello", "target": "hello", "wit_namespace": "wasmcloud",
                    "wit_package": "messaging", "interfaces": ["handler"],
                    "source_config": ["subscriptions-of-hello"], "target_config": [],
                },
                {
                    "source_id": "http-of-hello", "name": "default", "target": "hello", "wit_namespace": "wasi",
                    "wit_package": "http", "interfaces": ["incoming-handler"],
                    "source_config": ["greeter.http-of-hello"], "target_config": [],
                },
                {
                    "source_id": "http-of-watch", "name": "default", "target": "watch", "wit_namespace": "wasi",
                    "wit_package": "http", "interfaces": ["incoming-handler"],
                    "source_config": ["greeter.http-of-watch"], "target_config": [],
                },
                {
                    "source_id": "http-of-watch-2", "name": "default", "target": "watch", "wit_namespace": "wasi",
                    "wit_package": "http", "interfaces": ["incoming-handler"],
                    "source_config": ["greeter.http-of-watch-2"], "target_config": [],
                },
                {
                    "source_id": "hello", "name": "default", "target": "kv", "wit_namespace": "wasi",
                    "wit_package": "keyvalue", "interfaces": ["store"], "source_config": [],
                    "target_config": ["greeter.hello-default-wasi-keyvalue-target"],
                },
            ],
        })
    }

    #[test]
    fn an_app_is_all_that_its_file_says() {
        assert_eq!(json!(app(GREETER).unwrap()), greeter());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let with = |line: &str| app(&format!("name = \"a\"\n[components.c]\nimage = \"i\"\n{line}")).unwrap_err();
        assert_eq!(with("instances = 1\nper_host = 1"), "components.c: instances and per_host: expected one of them");
        assert_eq!(with("time = \"1500ms\""), "components.c: time: whole seconds are accepted");
        assert!(with("memory = \"much\"").contains("is no size"), "{}", with("memory = \"much\""));
        assert!(with("http = \"here\"").contains("expected an address as"), "{}", with("http = \"here\""));
        assert!(with("scale = 3").contains("unknown field `scale`"), "{}", with("scale = 3"));
        assert!(with("subscribe = [\"a,b\"]").contains("expected one subject"), "{}", with("subscribe = [\"a,b\"]"));
        let link = "[[links]]\nsource = \"c\"\ntarget = \"d\"\npackage = \"keyvalue\"\ninterfaces = [\"store\"]";
        assert!(with(link).starts_with("links[0]: package is \"keyvalue\": expected"), "{}", with(link));
        assert!(app("[components]").unwrap_err().contains("missing field `name`"));
    }
}
