//! `lattice config`: the configurations that components and links are given by their names; lists, shows, puts and removes them. What
//! a configuration says to whom is left to hosts, and the node's own file to `crate::config`.

use super::hosts::{Hosts, HostsArgs, from_value};
use super::output::{Output, Table, count, plain};
use super::read_text::read_text;
use super::{CliError, EXIT_OK};
use crate::host::control::Map;
use crate::host::control::own::{Configs, ListConfigs, Listed};
use clap::Subcommand;
use lattice_broker::env::Env;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Bytes of a file with values, at most. What hosts keep has less.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Shown behind the flags.
const EXAMPLES: &str = "\
Examples:
  lattice config                                      names, and how many keys each has; no values
  lattice config put words greeting='good morning'    all that it says from now on
  lattice config put shop --file shop.toml            a flat map in TOML or JSON; values stay out of the shell's history
  lattice start component greeter.wasm --config words
  lattice config get words
  lattice config rm words";

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
    /// Show what a configuration says, values and all.
    Get(Named),
    /// Have a configuration say this and nothing else. What uses it is changed at once.
    Put(Put),
    /// Remove a configuration. What uses it is not started again without it.
    Rm(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Its name.
    name: String,
    #[command(flatten)]
    hosts: HostsArgs,
}

/// Shown behind the flags.
const PUT_EXAMPLES: &str = "\
Examples:
  lattice config put words greeting='good morning' language=en
  lattice config put shop --file shop.toml currency=EUR     the file's, and this in the place of what it says of currency
  pass show shop.json | lattice config put shop --file /dev/stdin";

#[derive(Debug, clap::Args)]
#[command(after_help = PUT_EXAMPLES)]
struct Put {
    /// Its name.
    name: String,
    /// What it says; may be repeated.
    #[arg(value_name = "KEY=VALUE", required_unless_present = "file")]
    values: Vec<String>,
    /// What it says besides: a flat map of texts, whole numbers and true or false, in TOML or JSON.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    hosts: HostsArgs,
}

/// What was done, in JSON.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    /// How many keys it has from now on.
    keys: usize,
    /// What the host says of it.
    message: &'a str,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    match &args.what {
        None => list(&args.hosts.connect(env).await?, output).await?,
        Some(What::Get(named)) => get(env, named, output).await?,
        Some(What::Put(put)) => self::put(env, put, output).await?,
        Some(What::Rm(named)) => remove(env, named, output).await?,
    }
    Ok(EXIT_OK)
}

async fn list(hosts: &Hosts, output: &Output) -> Result<(), CliError> {
    let all = all(hosts).await?;
    if output.json {
        output.document(&all)?;
    } else if all.is_empty() {
        output.line("no configurations: `lattice config put NAME KEY=VALUE` makes one")?;
    } else {
        table(&all).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(())
}

/// All configurations, by name: as many questions as it takes.
async fn all(hosts: &Hosts) -> Result<Vec<Listed>, CliError> {
    let mut all = Vec::<Listed>::new();
    loop {
        let after = all.last().map(|last| last.name.clone()).unwrap_or_default();
        let body = json!(ListConfigs { after }).to_string();
        let Configs { mut configs, more } =
            from_value(hosts.ask_own("config.list", body.as_bytes()).await?.unwrap_or_default())?;
        let is_last = !more || configs.is_empty();
        all.append(&mut configs);
        if is_last {
            return Ok(all);
        }
    }
}

fn table(all: &[Listed]) -> Table {
    let mut table = Table::new(&["NAME", "KEYS", "APP"]);
    for Listed { name, keys, app } in all {
        let app = app.as_deref().map_or_else(|| "-".to_owned(), plain);
        table.row(vec![plain(name), keys.to_string(), app]);
    }
    table
}

async fn get(env: &Env, Named { name, hosts }: &Named, output: &Output) -> Result<(), CliError> {
    check_name(name)?;
    let hosts = hosts.connect(env).await?;
    let values = find(&hosts, name).await?.ok_or_else(|| missing(name))?;
    if output.json {
        output.document(&values)?;
    } else {
        values.iter().try_for_each(|(key, value)| output.line(format!("{}={}", plain(key), plain(value))))?;
    }
    Ok(())
}

async fn put(env: &Env, args: &Put, output: &Output) -> Result<(), CliError> {
    check_name(&args.name)?;
    let values = values(args)?;
    let hosts = args.hosts.connect(env).await?;
    let reply = hosts.reply(&format!("config.put.{}", args.name), &json!(values)).await;
    let said =
        reply.map_err(|error| error.or_try("fewer or shorter values: a configuration has 12 KiB at most"))?.message;
    if output.json {
        output.document(&Document { name: &args.name, keys: values.len(), message: &said })?;
    } else {
        output.line(format!("{}: {}, with {}", args.name, plain(&said), count(values.len(), "key")))?;
    }
    Ok(())
}

async fn remove(env: &Env, Named { name, hosts }: &Named, output: &Output) -> Result<(), CliError> {
    check_name(name)?;
    let hosts = hosts.connect(env).await?;
    // To remove what is not there is no failure for a host, but a slip of who types.
    find(&hosts, name).await?.ok_or_else(|| missing(name))?;
    let said = hosts.reply(&format!("config.del.{name}"), &json!({})).await?.message;
    if output.json {
        output.document(&Document { name, keys: 0, message: &said })?;
    } else {
        output.line(format!("{name}: {}", plain(&said)))?;
    }
    Ok(())
}

/// What the configuration of that name says, if there is one.
pub(super) async fn find(hosts: &Hosts, name: &str) -> Result<Option<Map>, CliError> {
    hosts.ask(&format!("config.get.{name}"), &json!({})).await?.map(from_value).transpose()
}

fn missing(name: &str) -> CliError {
    CliError::new(format!("there is no configuration {name}")).next("lattice config   lists those that there are")
}

/// Whether a configuration can be asked for by that name: it ends a subject.
///
/// # Errors
/// Says what is accepted.
pub(super) fn check_name(name: &str) -> Result<(), CliError> {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && !"*>".contains(c);
    if name.split('.').all(|word| !word.is_empty() && word.chars().all(fits)) {
        return Ok(());
    }
    let expected = "letters without blanks, '*' and '>', and no '.' at an end or beside another are accepted";
    Err(CliError::usage(format!("{name:?} cannot be the name of a configuration: {expected}")))
}

/// The file's, and in their place what is typed.
fn values(args: &Put) -> Result<Map, CliError> {
    let mut values = args.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    values.extend(typed(&args.values).map_err(|why| {
        CliError::usage(why).next(format!("lattice config put {} greeting='good morning'", args.name))
    })?);
    Ok(values)
}

fn typed(texts: &[String]) -> Result<Map, String> {
    let mut values = Map::new();
    for text in texts {
        let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
        // It may be a secret that went astray.
        let (key, value) = parts.ok_or("a value has no key: KEY=VALUE is accepted, where KEY is not empty")?;
        if values.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key} is said twice: one value for each key is accepted"));
        }
    }
    Ok(values)
}

fn read_file(path: &Path) -> Result<Map, CliError> {
    let wrong = |why: String| {
        CliError::usage(format!("{}: {why}", path.display()))
            .next("a flat map: `greeting = \"hello\"` a line (TOML), or {\"greeting\": \"hello\"} (JSON)")
    };
    let text = read_text(path, FILE_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(wrong)
}

/// A flat map, in JSON if it begins as an object, and otherwise in TOML. Errors do not show values.
fn parse(text: &str) -> Result<Map, String> {
    if text.trim_start().starts_with('{') {
        let read: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        return flat(read, |value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Bool(is) => Some(is.to_string()),
            serde_json::Value::Number(number) => (number.is_i64() || number.is_u64()).then(|| number.to_string()),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        });
    }
    let read: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1);
        let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
        format!("is no TOML{line}: {}", error.message())
    })?;
    flat(read, |value| match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(is) => Some(is.to_string()),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    })
}

fn flat<T>(read: impl IntoIterator<Item = (String, T)>, text: impl Fn(T) -> Option<String>) -> Result<Map, String> {
    let one = |(key, value): (String, T)| match text(value) {
        Some(text) => Ok((key, text)),
        None => Err(format!("{key:?}: a text, a whole number, true or false is accepted")),
    };
    read.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn files_are_flat_maps() {
        let expected = map(&[("a.b", "x = y"), ("n", "-7"), ("on", "true")]);
        assert_eq!(parse("\"a.b\" = \"x = y\"\nn = -7\non = true\n"), Ok(expected.clone()));
        assert_eq!(parse(" {\"a.b\": \"x = y\", \"n\": -7, \"on\": true}"), Ok(expected));
        assert_eq!(parse(""), Ok(Map::new()));
        let refused = |text: &str, why: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{text}: {error}");
        };
        refused("n = 1.5", "\"n\": a text, a whole number");
        refused("[t]\nsecret = \"hush\"", "\"t\": a text");
        refused("{\"n\": null}", "\"n\": a text");
        refused("{\"n\": [\"hush\"]}", "\"n\": a text");
        refused("{\"n\": \"hush\"", "is no JSON: EOF");
        refused("a = \"hush\"\nb = \"hush", "is no TOML in line 2");
    }

    #[test]
    fn values_are_typed_once_each() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(typed(&texts(&["a=b=c", "d="])), Ok(map(&[("a", "b=c"), ("d", "")])));
        assert_eq!(typed(&texts(&["a=b", "a=c"])).unwrap_err(), "a is said twice: one value for each key is accepted");
        for text in ["hush", "=hush"] {
            let error = typed(&texts(&[text])).unwrap_err();
            assert!(error.contains("KEY=VALUE is accepted") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn names_end_a_subject() {
        for name in ["words", "shop.http-of-web", "a/b", "ä"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "a\nb"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn configurations_are_a_table() {
        let listed =
            |name: &str, keys, app: Option<&str>| Listed { name: name.into(), keys, app: app.map(str::to_owned) };
        let all = [listed("shop.web", 2, Some("shop")), listed("wo\u{1b}rds", 1, None)];
        let lines: Vec<_> = table(&all).lines().collect();
        assert_eq!(lines, ["NAME         KEYS  APP", "shop.web     2     shop", "wo\\u{1b}rds  1     -"]);
    }
}
