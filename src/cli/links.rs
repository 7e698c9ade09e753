//! `lattice links`: which calls of components go where; lists links, makes and removes them. What becomes of a call is left to hosts.

use super::config::{check_name, find};
use super::hosts::{Hosts, HostsArgs, from_value};
use super::output::{Output, Table, names, plain};
use super::{CliError, EXIT_OK};
use crate::host::control::{ID, Link, LinkId, is_id};
use clap::Subcommand;
use lattice_broker::env::Env;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;

/// The name of a link, where nothing else is said.
const DEFAULT: &str = "default";

/// Interfaces of packages of which all are meant when none is said.
const WHOLE: &[(&str, &str, &[&str])] =
    &[("wasi", "keyvalue", &["store", "atomics", "batch"]), ("wasmcloud", "messaging", &["handler"])];

/// Shown behind the flags.
const EXAMPLES: &str = "\
Examples:
  lattice links                                  all of them
  lattice config put shop bucket=shop
  lattice links put counter keyvalue wasi:keyvalue --target-config shop
                                                 component `counter` keeps values, in the bucket `shop`
  lattice links rm counter wasi:keyvalue
  lattice links --json | jq -r '.[] | select(.target == \"greeter\") | .source'
                                                 who calls `greeter`";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Have calls of a source go to a target. The same source, name and target once more change what is said of them.
    Put(Put),
    /// Remove a link, with all of its interfaces.
    Rm(Removal),
}

/// Shown behind the flags.
const PUT_EXAMPLES: &str = "\
Examples:
  lattice links put front stock shop:stock/counts
                                 component `front` calls component `stock`
  lattice links put counter keyvalue wasi:keyvalue/store,atomics --target-config shop
                                 `counter` keeps values where the configuration `shop` says
  lattice links put web greeter wasi:http/incoming-handler --source-config web-of-greeter
                                 the HTTP server `web` asks component `greeter`
  lattice links put nats greeter wasmcloud:messaging --source-config subjects
                                 `greeter` is called for what `subscriptions` lists in the configuration `subjects`";

#[derive(Debug, clap::Args)]
#[command(after_help = PUT_EXAMPLES)]
struct Put {
    /// Who calls: a component, or a provider.
    source: String,
    /// Where the calls go.
    target: String,
    /// What is called: NAMESPACE:PACKAGE/INTERFACE,INTERFACE. All interfaces of wasi:keyvalue and wasmcloud:messaging are meant when
    /// none is said. May be repeated: each package is a link of its own.
    #[arg(value_name = "NAMESPACE:PACKAGE[/INTERFACE[,INTERFACE]]", required = true)]
    interfaces: Vec<String>,
    /// What tells it from other links of that source to that package.
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    name: String,
    /// Give the source this configuration for it; may be repeated, and a later one wins.
    #[arg(long, value_name = "NAME")]
    source_config: Vec<String>,
    /// Give the target this configuration for it; may be repeated, and a later one wins.
    #[arg(long, value_name = "NAME")]
    target_config: Vec<String>,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Debug, clap::Args)]
struct Removal {
    /// Who calls.
    source: String,
    /// What is called: NAMESPACE:PACKAGE.
    #[arg(value_name = "NAMESPACE:PACKAGE")]
    package: String,
    /// Its name.
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    name: String,
    #[command(flatten)]
    hosts: HostsArgs,
}

/// A package, and interfaces of it.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    namespace: String,
    name: String,
    interfaces: Vec<String>,
}

/// A link in JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Document<'a> {
    source: &'a str,
    name: &'a str,
    package: String,
    interfaces: &'a [String],
    target: &'a str,
    source_config: &'a [String],
    target_config: &'a [String],
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    match &args.what {
        None => list(&args.hosts.connect(env).await?, output).await?,
        Some(What::Put(put)) => self::put(env, put, output).await?,
        Some(What::Rm(removal)) => remove(env, removal, output).await?,
    }
    Ok(EXIT_OK)
}

async fn list(hosts: &Hosts, output: &Output) -> Result<(), CliError> {
    let links = all(hosts).await?;
    if output.json {
        output.document(&links.iter().map(document).collect::<Vec<_>>())?;
    } else if links.is_empty() {
        output.line("no links: `lattice links put SOURCE TARGET NAMESPACE:PACKAGE/INTERFACE` makes one")?;
    } else {
        table(&links).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(())
}

async fn all(hosts: &Hosts) -> Result<Vec<Link>, CliError> {
    from_value(hosts.ask("link.get", &json!({})).await?.unwrap_or_else(|| json!([])))
}

async fn put(env: &Env, args: &Put, output: &Output) -> Result<(), CliError> {
    let links = links(args).map_err(CliError::usage)?;
    let configs: BTreeSet<&String> = args.source_config.iter().chain(&args.target_config).collect();
    configs.iter().try_for_each(|config| check_name(config))?;
    let hosts = args.hosts.connect(env).await?;
    for link in &links {
        let put = hosts.reply("link.put", &json!(link)).await;
        put.map_err(|error| error.or_try("lattice links   shows those that there are"))?;
        if !output.json {
            output.line(said(link))?;
        }
    }
    if output.json {
        output.document(&links.iter().map(document).collect::<Vec<_>>())?;
    }
    for config in configs {
        if find(&hosts, config).await?.is_none() {
            output.notice(format!("there is no configuration {config} yet: lattice config put {config} KEY=VALUE"));
        }
    }
    Ok(())
}

/// What is asked for: a link for each package.
fn links(args: &Put) -> Result<Vec<Link>, String> {
    for (what, id) in [("source", &args.source), ("target", &args.target), ("name", &args.name)] {
        check_id(what, id)?;
    }
    let mut packages = Vec::<Package>::new();
    for text in &args.interfaces {
        let package = Package::parse(text)?.whole(text)?;
        match packages.iter_mut().find(|other| other.namespace == package.namespace && other.name == package.name) {
            Some(other) => other.add(package.interfaces),
            None => packages.push(package),
        }
    }
    let link = |package: Package| Link {
        id: package.id(&args.source, &args.name),
        target: args.target.clone(),
        interfaces: package.interfaces,
        source_config: args.source_config.clone(),
        target_config: args.target_config.clone(),
    };
    Ok(packages.into_iter().map(link).collect())
}

async fn remove(env: &Env, args: &Removal, output: &Output) -> Result<(), CliError> {
    let Removal { source, package: text, name, hosts } = args;
    check_id("source", source).and_then(|()| check_id("name", name)).map_err(CliError::usage)?;
    let package = Package::parse(text).map_err(CliError::usage)?;
    if !package.interfaces.is_empty() {
        let whole = format!("{}:{}", package.namespace, package.name);
        return Err(CliError::usage(format!(
            "{text:?} names interfaces: a link is removed with all of its interfaces"
        ))
        .next(format!("lattice links rm {source} {whole}, or `lattice links put` without them")));
    }
    let (id, hosts) = (package.id(source, name), hosts.connect(env).await?);
    let mut links = all(&hosts).await?;
    links.retain(|link| link.id == id);
    if links.is_empty() {
        return Err(CliError::new(format!("there is no link {id}")).next("lattice links   shows those that there are"));
    }
    hosts.ask("link.del", &json!(id)).await?;
    if output.json {
        return Ok(output.document(&links.iter().map(document).collect::<Vec<_>>())?);
    }
    let targets = names(links.iter().map(|link| &*link.target));
    Ok(output.line(format!("link {id} is removed: its calls went to {targets}"))?)
}

fn check_id(what: &str, id: &str) -> Result<(), String> {
    if is_id(id) { Ok(()) } else { Err(format!("the {what} is {id:?}: {ID}")) }
}

impl Package {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?}: {why}, as wasi:keyvalue/store,atomics");
        if text.contains('@') {
            return Err(wrong("a package without a version is accepted"));
        }
        let shape = || wrong("NAMESPACE:PACKAGE/INTERFACE is accepted");
        let (namespace, rest) = text.split_once(':').ok_or_else(shape)?;
        let (name, interfaces) = match rest.split_once('/') {
            Some((name, interfaces)) => (name, interfaces.split(',').map(str::to_owned).collect()),
            None => (rest, Vec::new()),
        };
        if ![namespace, name].into_iter().chain(interfaces.iter().map(String::as_str)).all(is_id) {
            return Err(shape());
        }
        let mut package = Self { namespace: namespace.to_owned(), name: name.to_owned(), interfaces: Vec::new() };
        package.add(interfaces);
        Ok(package)
    }

    /// With all interfaces, where none is said and it is known which there are.
    fn whole(mut self, text: &str) -> Result<Self, String> {
        if self.interfaces.is_empty() {
            let known =
                WHOLE.iter().find(|(namespace, name, _)| (*namespace, *name) == (&*self.namespace, &*self.name));
            let (.., interfaces) =
                known.ok_or_else(|| format!("{text:?} names no interface: {text}/INTERFACE is accepted"))?;
            self.add(interfaces.iter().map(|&interface| interface.to_owned()).collect());
        }
        Ok(self)
    }

    /// Adds interfaces, each once.
    fn add(&mut self, interfaces: Vec<String>) {
        for interface in interfaces {
            if !self.interfaces.contains(&interface) {
                self.interfaces.push(interface);
            }
        }
    }

    fn id(&self, source: &str, name: &str) -> LinkId {
        let [source_id, name] = [source, name].map(str::to_owned);
        LinkId { source_id, name, wit_namespace: self.namespace.clone(), wit_package: self.name.clone() }
    }
}

fn package_of(id: &LinkId) -> String {
    format!("{}:{}", id.wit_namespace, id.wit_package)
}

/// `counter calls wasi:keyvalue/store,atomics of keyvalue`.
fn said(Link { id, target, interfaces, .. }: &Link) -> String {
    let name = if id.name == DEFAULT { String::new() } else { format!(" by the name {}", id.name) };
    format!("{} calls {}/{} of {target}{name}", id.source_id, package_of(id), interfaces.join(","))
}

fn document(Link { id, target, interfaces, source_config, target_config }: &Link) -> Document<'_> {
    Document {
        source: &id.source_id,
        name: &id.name,
        package: package_of(id),
        interfaces,
        target,
        source_config,
        target_config,
    }
}

fn table(links: &[Link]) -> Table {
    let mut table = Table::new(&["SOURCE", "NAME", "INTERFACES", "TARGET", "SOURCE-CONFIG", "TARGET-CONFIG"]);
    for Link { id, target, interfaces, source_config, target_config } in links {
        let called = format!("{}/{}", package_of(id), interfaces.join(","));
        let [source, name, called, target] = [&id.source_id, &id.name, &called, target].map(|text| plain(text));
        let [source_config, target_config] = [source_config, target_config]
            .map(|configs| if configs.is_empty() { "-".to_owned() } else { names(configs.iter().map(String::as_str)) });
        table.row(vec![source, name, called, target, source_config, target_config]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(namespace: &str, name: &str, interfaces: &[&str]) -> Package {
        let interfaces = interfaces.iter().map(|&interface| interface.to_owned()).collect();
        Package { namespace: namespace.to_owned(), name: name.to_owned(), interfaces }
    }

    #[test]
    fn packages_are_read_with_their_interfaces() {
        let parse = |text: &str| Package::parse(text).and_then(|package| package.whole(text));
        let keyvalue = |interfaces| Ok(package("wasi", "keyvalue", interfaces));
        assert_eq!(parse("wasi:keyvalue/store,atomics,store"), keyvalue(&["store", "atomics"]));
        assert_eq!(parse("wasi:keyvalue"), keyvalue(&["store", "atomics", "batch"]));
        assert_eq!(parse("wasmcloud:messaging"), Ok(package("wasmcloud", "messaging", &["handler"])));
        assert_eq!(
            parse("wasi:http").unwrap_err(),
            "\"wasi:http\" names no interface: wasi:http/INTERFACE is accepted"
        );
        assert!(parse("wasi:http/incoming-handler@0.2.0").unwrap_err().contains("without a version is accepted"));
        for text in [
            "",
            "keyvalue",
            ":",
            "wasi:",
            ":keyvalue/store",
            "wasi:keyvalue/",
            "wasi:keyvalue/a,",
            "a:b/c/d",
            "a:b.c/d",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("NAMESPACE:PACKAGE/INTERFACE is accepted"), "{text}: {error}");
        }
    }

    fn asked(interfaces: &[&str]) -> Put {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            put: Put,
        }
        let flags = ["--target-config", "shop", "--target-config", "more"];
        let line: Line = clap::Parser::parse_from([&["put", "counter", "kv"], interfaces, &flags].concat());
        line.put
    }

    #[test]
    fn each_package_is_a_link() {
        let asked = asked(&["wasi:keyvalue/store", "acme:shop/cart", "wasi:keyvalue/batch"]);
        let links = links(&asked).unwrap();
        let texts: Vec<String> = links.iter().map(said).collect();
        assert_eq!(texts, ["counter calls wasi:keyvalue/store,batch of kv", "counter calls acme:shop/cart of kv"]);
        let rows: Vec<String> = table(&links).lines().collect();
        let expected = [
            "SOURCE   NAME     INTERFACES                 TARGET  SOURCE-CONFIG  TARGET-CONFIG",
            "counter  default  wasi:keyvalue/store,batch  kv      -              shop, more",
            "counter  default  acme:shop/cart             kv      -              shop, more",
        ];
        assert_eq!(rows, expected);
        let bad = Put { source: "a.b".to_owned(), ..asked };
        assert!(self::links(&bad).unwrap_err().starts_with("the source is \"a.b\": 1 to 100 letters"));
    }
}
