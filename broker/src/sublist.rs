//! Who is interested: a trie of filters, one level for each token.
//!
//! A leaf holds the subscriptions of clients (plain, or by queue group) and the interest of neighbours' members.
//! Everything iterated is ordered, so that equal histories give equal answers. Caching of answers is left to the
//! account, which knows when they are stale.

use crate::few::Few;
use crate::message::UpstreamId;
use crate::subject::tokens;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Numbers an attached neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NeighborId(pub(crate) u32);

/// Whose interest, behind a neighbour, and in which queue group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberKey {
    pub(crate) neighbor: NeighborId,
    pub(crate) member: u32,
    pub(crate) detail: Detail,
}

/// What tells several interests of one member in one filter apart. Most have nothing of it, and cost one word.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Detail(Option<Box<Rare>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rare {
    via: Option<UpstreamId>,
    queue: Option<Box<[u8]>>,
}

impl Detail {
    pub(crate) fn new(via: Option<UpstreamId>, queue: Option<&[u8]>) -> Self {
        Self((via.is_some() || queue.is_some()).then(|| Box::new(Rare { via, queue: queue.map(Into::into) })))
    }

    /// The upstream server whose interest it is.
    pub(crate) fn via(&self) -> Option<UpstreamId> {
        self.0.as_ref()?.via
    }

    pub(crate) fn queue(&self) -> Option<&[u8]> {
        self.0.as_ref()?.queue.as_deref()
    }
}

/// All interest in one filter.
#[derive(Debug)]
pub(crate) struct Entries<S> {
    local: Option<Box<Subscriptions<S>>>,
    /// Neighbours' members, with their weight.
    pub(crate) members: Few<MemberKey, u32>,
    /// Of the filter, as long as there are members.
    id: FilterId,
}

/// Numbers a filter that members are interested in, for as long as there are any: they are many, and each is remembered
/// with all its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilterId(u32);

/// The filters that have numbers.
#[derive(Debug, Default)]
struct Filters {
    texts: Vec<Option<Box<[u8]>>>,
    free: Vec<FilterId>,
}

impl Filters {
    fn number(&mut self, filter: &[u8]) -> FilterId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.texts.push(None);
            FilterId(u32::try_from(self.texts.len() - 1).expect("memory is full before"))
        });
        self.texts[id.0 as usize] = Some(filter.into());
        id
    }

    fn forget(&mut self, id: FilterId) {
        self.texts[id.0 as usize] = None;
        self.free.push(id);
        if self.free.len() == self.texts.len() {
            *self = Self::default();
        }
    }
}

/// A member's interest that was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) weight: u32,
    pub(crate) filter: FilterId,
    /// The member has no other interest in the filter.
    pub(crate) is_last: bool,
}

/// Those of clients in one filter, in the order of their ids.
#[derive(Debug)]
struct Subscriptions<S> {
    plain: Vec<(u64, S)>,
    groups: BTreeMap<Box<[u8]>, Vec<(u64, S)>>,
}

impl<S> Entries<S> {
    fn new() -> Box<Self> {
        Box::new(Self { local: None, members: Few::default(), id: FilterId(0) })
    }

    /// Plain subscriptions in the order of their ids.
    pub(crate) fn plain(&self) -> &[(u64, S)] {
        self.local.as_ref().map_or(&[], |local| &local.plain)
    }

    /// Queue subscriptions by group, in the order of their ids.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&[u8], &[(u64, S)])> {
        let groups = self.local.iter().flat_map(|local| &local.groups);
        groups.map(|(name, members)| (&**name, &**members))
    }

    /// The members of one queue group.
    pub(crate) fn group(&self, name: &[u8]) -> &[(u64, S)] {
        self.local.as_ref().and_then(|local| local.groups.get(name)).map_or(&[], |members| members)
    }

    fn list(&mut self, queue: Option<&[u8]>) -> &mut Vec<(u64, S)> {
        let Subscriptions { plain, groups } = &mut **self.local.get_or_insert_default();
        match queue {
            None => plain,
            Some(group) if groups.contains_key(group) => groups.get_mut(group).expect("just found"),
            Some(group) => groups.entry(group.into()).or_default(),
        }
    }

    /// Takes a subscription out; returns how many are left of its kind, or `None` when it was not there.
    fn remove(&mut self, queue: Option<&[u8]>, id: u64) -> Option<usize> {
        let local = self.local.as_mut()?;
        let list = match queue {
            None => &mut local.plain,
            Some(group) => local.groups.get_mut(group)?,
        };
        let at = list.binary_search_by_key(&id, |(other, _)| *other).ok()?;
        list.remove(at);
        let left = list.len();
        if let Some(group) = queue
            && left == 0
        {
            local.groups.remove(group);
        }
        if local.plain.is_empty() && local.groups.is_empty() {
            self.local = None;
        }
        Some(left)
    }

    /// What a member of a neighbour has.
    fn of(&self, owner: (NeighborId, u32)) -> impl Iterator<Item = &MemberKey> {
        let (neighbor, member) = owner;
        let first = MemberKey { neighbor, member, detail: Detail::default() };
        let keys = self.members.range_from(&first).map(|(key, _)| key);
        keys.take_while(move |key| (key.neighbor, key.member) == owner)
    }

    fn is_empty(&self) -> bool {
        self.local.is_none() && self.members.is_empty()
    }
}

type Token = SmallVec<[u8; 16]>;

#[derive(Debug)]
struct Node<S> {
    children: BTreeMap<Token, Box<Self>>,
    star: Option<Box<Self>>,
    /// Of the filter that ends here.
    here: Option<Box<Entries<S>>>,
    /// Of the filter that ends in `>` below here.
    tail: Option<Box<Entries<S>>>,
}

/// The trie. `S` is the handle of a subscription.
#[derive(Debug)]
pub(crate) struct Sublist<S> {
    root: Node<S>,
    filters: Filters,
}

impl<S> Default for Subscriptions<S> {
    fn default() -> Self {
        Self { plain: Vec::new(), groups: BTreeMap::new() }
    }
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Self { children: BTreeMap::new(), star: None, here: None, tail: None }
    }
}

impl<S> Default for Sublist<S> {
    fn default() -> Self {
        Self { root: Node::default(), filters: Filters::default() }
    }
}

impl<S> Sublist<S> {
    /// True when nobody is interested in anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Adds a subscription; returns how many the filter now has of its kind (plain, or in that group).
    /// Ids grow from call to call.
    pub(crate) fn insert(&mut self, filter: &[u8], queue: Option<&[u8]>, id: u64, subscription: S) -> usize {
        let list = self.root.entries(filter).list(queue);
        let at = list.partition_point(|(other, _)| *other < id);
        list.insert(at, (id, subscription));
        list.len()
    }

    /// Removes a subscription; returns how many the filter has left of its kind, or `None` when it was not there.
    pub(crate) fn remove(&mut self, filter: &[u8], queue: Option<&[u8]>, id: u64) -> Option<usize> {
        self.root.edit(&mut tokens(filter), &mut |entries| entries.remove(queue, id))?
    }

    /// Sets a member's weight, which is not 0; returns the former one, and the filter's number.
    pub(crate) fn set_member(&mut self, filter: &[u8], key: &MemberKey, weight: u32) -> (u32, FilterId) {
        let entries = self.root.entries(filter);
        if entries.members.is_empty() {
            entries.id = self.filters.number(filter);
        }
        (entries.members.insert(key.clone(), weight).unwrap_or(0), entries.id)
    }

    /// Removes a member's interest, if there is any.
    pub(crate) fn remove_member(&mut self, filter: &[u8], key: &MemberKey) -> Option<Removed> {
        let mut remove = |entries: &mut Entries<S>| {
            let weight = entries.members.remove(key)?;
            let is_last = entries.of((key.neighbor, key.member)).next().is_none();
            Some((Removed { weight, filter: entries.id, is_last }, entries.members.is_empty()))
        };
        let (removed, is_unused) = self.root.edit(&mut tokens(filter), &mut remove).flatten()?;
        if is_unused {
            self.filters.forget(removed.filter);
        }
        Some(removed)
    }

    /// A filter that members are interested in, and under what the member `owner` is.
    pub(crate) fn member(&self, id: FilterId, owner: (NeighborId, u32)) -> Option<(Box<[u8]>, Vec<MemberKey>)> {
        let filter = self.filters.texts.get(id.0 as usize)?.clone()?;
        let keys = self.find(&filter)?.of(owner).cloned().collect();
        Some((filter, keys))
    }

    /// The entries of one filter, if there are any.
    pub(crate) fn find(&self, filter: &[u8]) -> Option<&Entries<S>> {
        let mut node = &self.root;
        for token in tokens(filter) {
            node = match token {
                b">" => return node.tail.as_deref(),
                b"*" => node.star.as_deref()?,
                token => node.children.get(token)?,
            };
        }
        node.here.as_deref()
    }

    /// Visits the entries of all filters that match `subject`.
    pub(crate) fn matching<'a>(&'a self, subject: &[u8], visit: &mut impl FnMut(&'a Entries<S>)) {
        let parts: SmallVec<[&[u8]; 16]> = tokens(subject).collect();
        if !parts.iter().any(|part| part.is_empty()) {
            self.root.matching(&parts, visit);
        }
    }

    /// Visits all filters with their entries, in order.
    pub(crate) fn walk(&self, visit: &mut impl FnMut(&[u8], &Entries<S>)) {
        self.root.walk(&mut Vec::new(), visit);
    }
}

impl<S> Node<S> {
    /// The entries of `filter`, made when they are missing.
    fn entries(&mut self, filter: &[u8]) -> &mut Entries<S> {
        let mut node = self;
        for token in tokens(filter) {
            node = match token {
                b">" => return node.tail.get_or_insert_with(Entries::new),
                b"*" => node.star.get_or_insert_default(),
                // Looked up as a slice first: most tokens are there already.
                _ if node.children.contains_key(token) => node.children.get_mut(token).expect("just found"),
                _ => node.children.entry(Token::from_slice(token)).or_default(),
            };
        }
        node.here.get_or_insert_with(Entries::new)
    }

    /// Changes the entries of a filter, when there are any, and removes what has become empty.
    fn edit<'f, R>(
        &mut self,
        rest: &mut impl Iterator<Item = &'f [u8]>,
        change: &mut impl FnMut(&mut Entries<S>) -> R,
    ) -> Option<R> {
        match rest.next() {
            None => edit_entries(&mut self.here, change),
            Some(b">") => edit_entries(&mut self.tail, change),
            Some(b"*") => {
                let result = self.star.as_mut()?.edit(rest, change);
                if self.star.as_ref().is_some_and(|star| star.is_empty()) {
                    self.star = None;
                }
                result
            }
            Some(token) => {
                let child = self.children.get_mut(token)?;
                let result = child.edit(rest, change);
                if child.is_empty() {
                    self.children.remove(token);
                }
                result
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.star.is_none() && self.here.is_none() && self.tail.is_none()
    }

    fn matching<'a>(&'a self, rest: &[&[u8]], visit: &mut impl FnMut(&'a Entries<S>)) {
        let Some((token, rest)) = rest.split_first() else {
            if let Some(entries) = &self.here {
                visit(entries);
            }
            return;
        };
        if let Some(entries) = &self.tail {
            visit(entries);
        }
        if let Some(star) = &self.star {
            star.matching(rest, visit);
        }
        if let Some(child) = self.children.get(*token) {
            child.matching(rest, visit);
        }
    }

    fn walk(&self, filter: &mut Vec<u8>, visit: &mut impl FnMut(&[u8], &Entries<S>)) {
        let len = filter.len();
        let below = |filter: &mut Vec<u8>, token: &[u8]| {
            filter.truncate(len);
            if len > 0 {
                filter.push(b'.');
            }
            filter.extend_from_slice(token);
        };
        if let Some(entries) = &self.here {
            visit(filter, entries);
        }
        if let Some(entries) = &self.tail {
            below(filter, b">");
            visit(filter, entries);
        }
        if let Some(star) = &self.star {
            below(filter, b"*");
            star.walk(filter, visit);
        }
        for (token, child) in &self.children {
            below(filter, token);
            child.walk(filter, visit);
        }
        filter.truncate(len);
    }
}

fn edit_entries<S, R>(slot: &mut Option<Box<Entries<S>>>, change: &mut impl FnMut(&mut Entries<S>) -> R) -> Option<R> {
    let entries = slot.as_mut()?;
    let result = change(entries);
    if entries.is_empty() {
        *slot = None;
    }
    Some(result)
}

#[cfg(test)]
mod tests;
