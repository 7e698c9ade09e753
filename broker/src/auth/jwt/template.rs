//! Subjects of a scope, with `{{name()}}` and the like in them: what they are for one user.

use super::claims::{Account, Permissions, Rules, User};
use super::token::Token;
use crate::auth::permissions::split;

/// Subjects that one rule may become, as a user and its account may have several tags of a name.
const SUBJECTS_MAX: usize = 256;

/// What `template` is for `user` of `account`; `None` when it cannot be said.
pub(super) fn fill(template: &Permissions, user: &Token<User>, account: &Token<Account>) -> Option<Permissions> {
    let rules = |rules: &Rules| {
        let allow = fill_all(&rules.allow, user, account)?.into_iter().filter(|subject| split(subject).is_some());
        let allow: Vec<String> = allow.collect();
        let mut deny = fill_all(&rules.deny, user, account)?;
        if deny.iter().any(|subject| split(subject).is_none()) {
            return None;
        }
        if allow.is_empty() && !rules.allow.is_empty() {
            // Nothing is left of what was allowed, which is not everything.
            deny.push(">".to_owned());
        }
        Some(Rules { allow, deny })
    };
    let (publish, subscribe) = (rules(&template.publish)?, rules(&template.subscribe)?);
    Some(Permissions { publish, subscribe, resp: template.resp.clone() })
}

fn fill_all(subjects: &[String], user: &Token<User>, account: &Token<Account>) -> Option<Vec<String>> {
    let mut filled = Vec::new();
    for subject in subjects {
        filled.extend(fill_one(subject, user, account)?);
    }
    Some(filled)
}

/// All that `text` becomes.
fn fill_one(text: &str, user: &Token<User>, account: &Token<Account>) -> Option<Vec<String>> {
    let mut made = vec![String::new()];
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (asked, after) = after.split_once("}}")?;
        let values = values(asked, user, account)?;
        if made.len() * values.len() > SUBJECTS_MAX {
            return None;
        }
        let with = |start: &String| values.iter().map(|value| [start, before, value].concat()).collect::<Vec<_>>();
        made = made.iter().flat_map(with).collect();
        rest = after;
    }
    made.iter_mut().for_each(|start| start.push_str(rest));
    Some(made)
}

/// What is asked for between the braces; `None` for what nobody knows.
fn values(asked: &str, user: &Token<User>, account: &Token<Account>) -> Option<Vec<String>> {
    let asked = asked.trim().to_lowercase();
    let tag = |function: &str| asked.strip_prefix(function)?.strip_suffix(')');
    Some(match asked.as_str() {
        "name()" => vec![user.name.clone()],
        "subject()" => vec![user.subject.clone()],
        "account-name()" => vec![account.name.clone()],
        "account-subject()" => vec![account.subject.clone()],
        _ => match (tag("tag("), tag("account-tag(")) {
            (Some(name), _) => tagged(&user.nats.tags, name),
            (None, Some(name)) => tagged(&account.nats.tags, name),
            (None, None) => return None,
        },
    })
}

/// The values of the tags `name:value`.
fn tagged(tags: &[String], name: &str) -> Vec<String> {
    let value = |tag: &String| tag.trim().to_lowercase().strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    tags.iter().filter_map(value).collect()
}
