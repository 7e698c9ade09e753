//! What a node's user can see of the root keys, and do about them: over the roll, whether the node runs or not.

use crate::identity::succession::KEY_MIN;
use crate::identity::{Identity, Line, PublicKey, Roll, Succession, SuccessionError};
use crate::status::{Member, MemberState, RootKey, Roots};
use crate::store::StoreError;

/// A file of root keys was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// What is in it, or the disk.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// It may not survive a loss of power.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes in the line that `text` tells, if it is new, and says whether it was. With `instead`, which is the beginning of the key
/// that it is to end with, in the place of what was known.
///
/// # Errors
/// [`FollowError`]; nothing has changed, but that another heir is remembered.
pub fn follow(roll: &Roll, text: &str, instead: Option<&str>) -> Result<bool, FollowError> {
    let told = Line::from_text(roll.root(), text)?;
    if told.expelled().is_none() {
        let why = "it does not tell who stays revoked".to_owned();
        return Err(SuccessionError::Text { why }.into());
    }
    let Some(expected) = instead else { return Ok(roll.succeed(&told)?) };
    expect(&told, expected)?;
    roll.follow_instead(&told)?;
    Ok(true)
}

/// Whether `line` ends with a key that begins with `expected`, written as commands show it.
fn expect(line: &Line, expected: &str) -> Result<(), SuccessionError> {
    let start = expected.trim().trim_end_matches('…').replace('-', "").to_ascii_uppercase();
    if start.chars().count() < KEY_MIN {
        return Err(SuccessionError::Key { given: expected.to_owned() });
    }
    let last = line.current();
    if !last.to_root_text().starts_with(&start) {
        return Err(SuccessionError::Unexpected { expected: expected.to_owned(), last });
    }
    Ok(())
}

/// The root keys as `lattice root show` shows them; `members` say who is within reach.
#[must_use]
pub fn list(identity: &Identity, roll: &Roll, members: &[Member]) -> Roots {
    let line = roll.line();
    let key = |public: PublicKey, by: Option<&Succession>| RootKey {
        key: public.to_root_text(),
        since_secs: by.map(|step| step.at).filter(|at| *at > 0),
        kept: by.map(|step| step.kept.len()),
    };
    let steps = line.steps().iter().map(|step| key(PublicKey(step.new), Some(step)));
    let away = |member: &&Member| matches!(member.state, MemberState::Lost | MemberState::Unseen);
    Roots {
        keys: std::iter::once(key(line.first(), None)).chain(steps).collect(),
        here: identity.root_key().is_some_and(|root| root.public() == line.current()),
        rival: line.rival().map(PublicKey::to_root_text),
        away: members.iter().filter(away).map(|member| member.name.clone()).collect(),
        file: line.expelled().is_some().then(|| line.to_text()),
    }
}

/// What is wrong with the root keys, if anything is.
pub(super) fn problem(roll: &Roll) -> Option<String> {
    let line = roll.line();
    let (ours, theirs) = (line.current().to_root_text(), line.rival()?.to_root_text());
    Some(format!(
        "a root key has named two successors: this node goes by {}…, and refuses {}…; somebody else may hold the old key",
        &ours[..8],
        &theirs[..8]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use lattice_broker::env::Rng;
    use rand_core::SeedableRng;
    use std::sync::Arc;

    /// Goal: `--instead` believes a file only if it leads to the key that the user means, and never one that is older.
    #[test]
    fn a_file_is_believed_for_the_key_at_its_end() {
        let mut rng = Rng::seed_from_u64(1);
        let founder = Identity::generate_root(&mut rng, "a");
        let open = || Roll::open(&founder, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
        let (roll, other) = (open(), open());
        let original = roll.line().to_text();
        let [ours, theirs] = [7, 8].map(|at| founder.rotate(&mut rng, &roll, &[], at).unwrap());
        let [our_key, their_key] = [&ours, &theirs].map(|rotation| rotation.root.public().to_root_text());
        assert!(follow(&roll, &ours.line.to_text(), None).unwrap());
        assert!(!follow(&roll, &ours.line.to_text(), None).unwrap(), "it is known");
        assert!(!follow(&roll, &original, None).unwrap(), "an older one tells nothing new");
        let error = |instead: Option<&str>| follow(&roll, &theirs.line.to_text(), instead).unwrap_err().to_string();
        assert!(error(None).contains("has another successor here"));
        assert!(error(Some(&their_key[..7])).contains("expected 8 characters"), "{}", error(Some(&their_key[..7])));
        assert!(error(Some(&our_key)).contains("the file leads to the root key"));
        assert_eq!(roll.line().current(), ours.root.public());
        let first = founder.membership().root().to_root_text();
        let older = follow(&roll, &original, Some(&first)).unwrap_err().to_string();
        assert!(older.contains("is known here to have been replaced"), "{older}");
        let as_shown = format!("{}-{}", &their_key[..4], &their_key[4..8]);
        assert!(follow(&roll, &theirs.line.to_text(), Some(&as_shown)).unwrap());
        assert_eq!((roll.line().current(), roll.line().rival()), (theirs.root.public(), None));
        let keys_alone = other.line().keys_alone();
        assert!(keys_alone.expelled().is_some() && theirs.line.keys_alone().expelled().is_none());
        let refused = follow(&other, &theirs.line.keys_alone().to_text(), None).unwrap_err().to_string();
        assert!(refused.contains("does not tell who stays revoked"), "{refused}");
    }
}
