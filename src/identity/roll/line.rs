//! Which root key speaks for the lattice, as the roll has it: taking in a line of them, keeping it on the disk, and what
//! follows for chains and revocations that are there already.
//!
//! ```text
//! root/<generation: u64><part: u8>     number of parts: u8, then a part of the line
//! ```
//!
//! A line is longer than a record may be. So each one is written under a number of its own before the one before it is
//! deleted, and the newest that is whole counts. Only when it is written does it hold.

use super::{PREFIX, Roll, SCAN, State, StoreError, beginning, bucket_of, revoked_key};
use crate::codec;
use crate::identity::chain::Chain;
use crate::identity::key::PublicKey;
use crate::identity::line::{Line, News};
use crate::identity::succession::{Expelled, Succession, SuccessionError};
use crate::identity::{Identity, NodeId, revocation};
use crate::store::{Record, VALUE_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;

const LINE_PREFIX: &[u8] = b"root/";
/// Bytes of a line in one record.
const PART: usize = VALUE_MAX - 1;

/// What is written of a line: its first key is the roll's.
type Written = (Vec<Succession>, Option<Vec<Expelled>>);

impl Roll {
    /// Goes on with what the disk has of the line, and else with what `identity` has; before anything else is read.
    pub(super) fn read_line(&self, identity: &Identity) -> Result<(), StoreError> {
        let written = self.generations()?.into_values().rev().find_map(|parts| self.line_in(&parts));
        let line = written.unwrap_or_else(|| Line::new(self.root));
        // What contradicts the disk has been replaced by the word of this node's user.
        let line = line.grown(identity.line()).ok().flatten().unwrap_or(line);
        self.lock().line = Arc::new(line.with_rival(None));
        Ok(())
    }

    /// The records of each line on the disk, the newest last.
    fn generations(&self) -> Result<BTreeMap<u64, Vec<Record>>, StoreError> {
        let mut found = BTreeMap::<u64, Vec<Record>>::new();
        let mut after = None;
        loop {
            let records = self.store.scan(LINE_PREFIX, after.as_deref(), SCAN)?;
            let Some((last, _)) = records.last() else { return Ok(found) };
            after = Some(last.clone());
            for (key, value) in records {
                let number = key[LINE_PREFIX.len()..].first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                found.entry(number).or_default().push((key, value));
            }
        }
    }

    /// The line in `parts`, if they are all there.
    fn line_in(&self, parts: &[Record]) -> Option<Line> {
        let (_, first) = parts.first()?;
        let is_whole = usize::from(*first.first()?) == parts.len();
        let bytes: Vec<u8> = parts.iter().filter_map(|(_, value)| value.get(1..)).flatten().copied().collect();
        let (steps, expelled): Written = is_whole.then(|| codec::decode(&bytes).ok()).flatten()?;
        Line::of(self.root, steps, expelled).ok()
    }

    /// Writes `line` down, and deletes what was written before.
    fn write_line(&self, line: &Line) -> Result<(), StoreError> {
        let before = self.generations()?;
        let number = before.keys().next_back().map_or(0, |last| last + 1);
        let bytes = codec::encode(&(line.steps(), line.expelled()));
        let count = u8::try_from(bytes.chunks(PART).len()).expect("a line fits a few parts");
        for (at, part) in (0_u8..).zip(bytes.chunks(PART)) {
            self.store.put(&line_key(number, at), &[&[count], part].concat()).inspect_err(|_| {
                // Not whole, and so of no account, whether it can be deleted or not.
                (0..at).for_each(|at| drop(self.store.delete(&line_key(number, at))));
            })?;
        }
        for (key, _) in before.into_values().flatten() {
            // One that stays is older than the one that counts.
            let _ = self.store.delete(&key);
        }
        Ok(())
    }

    /// The root keys in their order, with who stays out.
    #[must_use]
    pub fn line(&self) -> Arc<Line> {
        Arc::clone(&self.lock().line)
    }

    /// Takes in what a neighbour tells of the root keys, as [`Roll::succeed`].
    ///
    /// # Errors
    /// [`SuccessionError`], also of what is no line.
    pub fn hear(&self, news: News) -> Result<bool, SuccessionError> {
        if self.line().covers(&news.steps) {
            return Ok(false);
        }
        self.succeed(&Line::of(self.root, news.steps, Some(news.expelled))?)
    }

    /// Goes by `told`, which is of this lattice, if it goes on where the line that is known ends, or tells who stays out where
    /// that was not known. True when it was new; then only what its steps name of old keys' certificates goes on, whom it
    /// names is out, and else of revocations by a root only those of the new one count.
    ///
    /// # Errors
    /// [`SuccessionError::Rival`], which is remembered until the next start; [`SuccessionError::Store`]. The line is as it was.
    pub fn succeed(&self, told: &Line) -> Result<bool, SuccessionError> {
        let _writing = self.writing();
        let line = self.line();
        match line.grown(told) {
            Ok(None) => return Ok(false),
            Ok(Some(grown)) => self.go_by(grown)?,
            Err(error) => {
                let line = Line::clone(&line).with_rival(Some(told.current()));
                self.lock().line = Arc::new(line);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Goes by `told`, which is of this lattice, whatever was known: for the user of this node, who knows better.
    ///
    /// # Errors
    /// [`SuccessionError::Older`] when it is a part of what is known; [`SuccessionError::Store`]. Nothing has changed then.
    pub fn follow_instead(&self, told: &Line) -> Result<(), SuccessionError> {
        let _writing = self.writing();
        let line = self.line();
        if told.steps().len() < line.steps().len() && line.steps().starts_with(told.steps()) {
            return Err(SuccessionError::Older { last: told.current(), current: line.current() });
        }
        self.go_by(told.clone().with_rival(None))
    }

    /// Writes `line` down, and takes out what does not count by it. This node's own chain comes back in, if it counts.
    fn go_by(&self, line: Line) -> Result<(), SuccessionError> {
        self.write_line(&line).inspect_err(|error| {
            tracing::warn!(%error, "another root key is refused, since it cannot be written down");
        })?;
        let mut state = self.lock();
        state.line = Arc::new(line);
        let (chains, revocations) = (state.take_void(), state.take_unfounded(self.root));
        state.insert(&self.own);
        drop(state);
        let gone = revocations.into_iter().map(revoked_key).chain(chains.iter().map(|chain| self.key_of(chain)));
        for key in gone {
            // One that stays on the disk is judged anew when it is read.
            let _ = self.store.delete(&key);
        }
        Ok(())
    }

    /// Under which a chain is kept: one of each signer that is an issuer, and all of the root's, since its key may have been
    /// stolen, and a thief's must not take the place of a genuine one.
    pub(super) fn key_of(&self, chain: &Chain) -> Vec<u8> {
        let (node, _) = chain.node().expect("only members are put");
        match chain.signer() {
            Some((key, _)) => [PREFIX, &node.0, &key.0].concat(),
            None => [PREFIX, &node.0, &self.root.0, &chain.id().to_be_bytes()].concat(),
        }
    }
}

fn line_key(number: u64, part: u8) -> Vec<u8> {
    [LINE_PREFIX, &number.to_be_bytes(), &[part]].concat()
}

impl State {
    /// Whether the root's signature at the top of `chain` still counts.
    pub(super) fn goes_on(&self, chain: &Chain) -> bool {
        self.line.keeps(&chain.warrants()[0])
    }

    /// Whether `by` has revoked `node`: an issuer, or a root, also one that was replaced.
    pub(super) fn has_revoked(&self, (by, node): (PublicKey, NodeId)) -> bool {
        self.revoked.contains_key(&(by, node)) || by == self.line.first() && self.line.expels(node)
    }

    /// Takes out the chains that lead to a certificate of a root that does not go on.
    fn take_void(&mut self) -> Vec<Arc<Chain>> {
        let void: Vec<_> = self.chains.values().filter(|chain| !self.goes_on(chain)).cloned().collect();
        for chain in &void {
            let id = chain.id();
            self.chains.remove(&id);
            self.digests[bucket_of(id)] = self.digests[bucket_of(id)].wrapping_sub(id);
            let Some((node, claims)) = chain.node() else { continue };
            self.members.remove(&(beginning(node), id));
            self.nodes -= usize::from(!self.knows(node));
            // Several members may have answered it: it has used the voucher for as long as one of those chains is there.
            if let Some(used) = &claims.voucher
                && self.admitted(node, PublicKey(used.key)).is_none()
                && let Some(nodes) = self.uses.get_mut(&used.key)
            {
                nodes.remove(&node);
            }
        }
        void
    }

    /// Takes out the revocations that neither the root of now has signed nor an issuer that goes on and is not out itself.
    fn take_unfounded(&mut self, root: PublicKey) -> Vec<(PublicKey, NodeId)> {
        let stands = |known: &revocation::Revocation| match known.signer.first() {
            Some(top) => {
                self.line.keeps(top) && !revocation::pairs_of(root, &known.signer).any(|pair| self.has_revoked(pair))
            }
            None => known.verify(root, self.line.current()).is_ok(),
        };
        let unfounded: Vec<_> =
            self.revoked.iter().filter(|(_, known)| !stands(known)).map(|(pair, _)| *pair).collect();
        for pair in &unfounded {
            self.revoked.remove(pair);
        }
        unfounded
    }
}

#[cfg(test)]
mod tests;
