//! `Line`: the root keys of a lattice in their order, from the one that has made it to the one that speaks for it now, with
//! the nodes that stay revoked of before. It is taken in as a whole or not at all.
//!
//! A root has one heir. Nobody can tell two heirs apart who were both named by the holder of the old key, so a node stays with
//! the one that it has heard of first, and says that there was another. What one step says is `succession.rs`'s, what is kept
//! on the disk `roll/line.rs`'s.

use super::NodeId;
use super::chain::Chain;
use super::key::PublicKey;
use super::lattice_text::Kind;
use super::succession::{Expelled, SUCCESSIONS_MAX, Succession, SuccessionError, digest_of};
use super::warrant::Warrant;
use bincode::{Decode, Encode};

const TEXT: Kind = Kind { scheme: "latroot2:", what: "a succession", they_are: "it is" };
/// Characters of a line as text, at most: a full one has some 76,000.
pub const LINE_TEXT_MAX: usize = 128 << 10;

/// The root keys, as far as they are known. It only grows, but by the word of a node's own user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    first: PublicKey,
    /// Each begins where the one before it ends.
    steps: Vec<Succession>,
    /// Who stays out by the last step, in order. None while only the steps are known, as an invite tells them.
    expelled: Option<Vec<Expelled>>,
    /// The last heir that was refused since there was another.
    rival: Option<PublicKey>,
}

/// A line as members tell it each other; whoever takes it in has to check it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct News {
    /// All successions, the first one first.
    pub steps: Vec<Succession>,
    /// Who stays out by the last one.
    pub expelled: Vec<Expelled>,
}

impl Line {
    /// The line of a lattice whose root key was never replaced.
    #[must_use]
    pub const fn new(first: PublicKey) -> Self {
        Self { first, steps: Vec::new(), expelled: Some(Vec::new()), rival: None }
    }

    /// The line of exactly these successions, with those who stay out by the last one as far as that is known.
    ///
    /// # Errors
    /// [`SuccessionError`] of the first thing that does not fit.
    pub fn of(
        first: PublicKey,
        steps: Vec<Succession>,
        expelled: Option<Vec<Expelled>>,
    ) -> Result<Self, SuccessionError> {
        if steps.len() > SUCCESSIONS_MAX {
            return Err(SuccessionError::Full);
        }
        let broken = |why| Err(SuccessionError::Broken { why });
        let Some(last) = steps.last() else {
            let nobody = expelled.is_none_or(|list| list.is_empty());
            return if nobody { Ok(Self::new(first)) } else { broken("nobody is expelled where no key was replaced") };
        };
        if let Some(list) = &expelled {
            last.verify_expelled(list)?;
        }
        let mut keys = vec![first.0];
        for step in &steps {
            if keys.last() != Some(&step.old) {
                return broken("it does not begin with the key that spoke for the lattice before");
            }
            if keys.contains(&step.new) {
                return broken("its new key is an old one");
            }
            step.verify(first)?;
            keys.push(step.new);
        }
        Ok(Self { first, steps, expelled, rival: None })
    }

    /// The same, and one step more with those who stay out by it.
    ///
    /// # Errors
    /// [`SuccessionError`]: it does not fit.
    pub fn and(&self, step: Succession, expelled: Vec<Expelled>) -> Result<Self, SuccessionError> {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self::of(self.first, steps, Some(expelled))
    }

    /// The key that has made the lattice and names it.
    #[must_use]
    pub const fn first(&self) -> PublicKey {
        self.first
    }

    /// The key that speaks for the lattice now.
    #[must_use]
    pub fn current(&self) -> PublicKey {
        self.steps.last().map_or(self.first, |step| PublicKey(step.new))
    }

    /// Whether `key` speaks for the lattice, or has done so.
    #[must_use]
    pub fn has(&self, key: PublicKey) -> bool {
        key == self.first || self.steps.iter().any(|step| step.new == key.0)
    }

    /// The successions, the first one first.
    #[must_use]
    pub fn steps(&self) -> &[Succession] {
        &self.steps
    }

    /// Who stays out by the last succession, in order; nothing while that is not known.
    #[must_use]
    pub fn expelled(&self) -> Option<&[Expelled]> {
        self.expelled.as_deref()
    }

    /// Whether `node` was revoked by a root that was replaced, and stays so.
    #[must_use]
    pub fn expels(&self, node: NodeId) -> bool {
        let list = self.expelled.as_deref().unwrap_or_default();
        list.binary_search_by(|one| one.node.cmp(&node.0)).is_ok()
    }

    /// The last heir that was refused because there was another.
    #[must_use]
    pub const fn rival(&self) -> Option<PublicKey> {
        self.rival
    }

    /// The same, which has refused `rival`.
    #[must_use]
    pub fn with_rival(self, rival: Option<PublicKey>) -> Self {
        Self { rival, ..self }
    }

    /// The same as an invite tells it: without the nodes that stay out, which are too many for it.
    #[must_use]
    pub fn keys_alone(&self) -> Self {
        let expelled = self.steps.is_empty().then(Vec::new);
        Self { first: self.first, steps: self.steps.clone(), expelled, rival: None }
    }

    /// Whether `steps` tell nothing that is not known here. Looks at no signature.
    #[must_use]
    pub fn covers(&self, steps: &[Succession]) -> bool {
        self.steps.starts_with(steps) && (self.expelled.is_some() || steps.len() < self.steps.len())
    }

    /// What this line becomes by `other`, of the same lattice; nothing when that tells nothing new. A line whose expelled
    /// nodes are not known is taken only where no root key has been replaced yet: else who is out would be forgotten.
    ///
    /// # Errors
    /// [`SuccessionError::Rival`]: they part from each other.
    pub fn grown(&self, other: &Self) -> Result<Option<Self>, SuccessionError> {
        if let Some((ours, theirs)) = self.steps.iter().zip(&other.steps).find(|(ours, theirs)| ours != theirs) {
            return Err(SuccessionError::Rival { old: ours.old, ours: ours.new, theirs: theirs.new });
        }
        let is_new = !self.covers(&other.steps) && (other.expelled.is_some() || self.steps.is_empty());
        Ok(is_new.then(|| other.clone().with_rival(self.rival)))
    }

    /// Why `chain` counts no more, if it leads to what does not go on.
    #[must_use]
    pub fn refuses(&self, chain: &Chain) -> Option<String> {
        let goes_on = self.keeps(&chain.warrants()[0]);
        (!goes_on).then(|| "what a root key has signed that was replaced".to_owned())
    }

    /// Whether `warrant`, which a root has signed, goes on.
    #[must_use]
    pub fn keeps(&self, warrant: &Warrant) -> bool {
        if self.steps.is_empty() {
            return true;
        }
        let digest = digest_of(warrant);
        self.steps.iter().all(|step| step.kept.binary_search(&digest).is_ok())
    }

    /// What is to be told to other members: nothing while the first key speaks, or while who stays out is not known.
    #[must_use]
    pub fn news(&self) -> Option<News> {
        let expelled = self.expelled.clone().filter(|_| !self.steps.is_empty())?;
        Some(News { steps: self.steps.clone(), expelled })
    }

    /// The line as text, for a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        TEXT.encode(self.first, (&self.steps, &self.expelled))
    }

    /// Reads and checks what [`Line::to_text`] wrote for the lattice of `first`.
    ///
    /// # Errors
    /// [`SuccessionError`] says what is wrong.
    pub fn from_text(first: PublicKey, text: &str) -> Result<Self, SuccessionError> {
        let (steps, expelled) = TEXT.decode(first, text).map_err(|why| SuccessionError::Text { why })?;
        Self::of(first, steps, expelled)
    }
}

#[cfg(test)]
mod tests;
