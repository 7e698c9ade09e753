//! The numbers that an origin gives: one row for each destination's life, 1, 2, 3, …
//!
//! By them the destination puts frames in order and sees what is missing, which is left to `resequence.rs`; what the
//! origin tells of its rows, and when, to `plane/recover.rs`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows that are remembered: twice as many as a database has nodes.
const ROWS_MAX: usize = 8192;
/// How often the same last number is told: the word may get lost.
const TOLD_MAX: u8 = 3;

/// The rows of one origin.
#[derive(Debug, Default)]
pub struct Numbering {
    rows: BTreeMap<u32, Row>,
}

#[derive(Debug)]
struct Row {
    /// The life of the destination that the numbers count in.
    life: u16,
    /// How often `told` was told.
    times: u8,
    last: u64,
    told: u64,
}

impl Numbering {
    /// The number of the next frame for `destination`, and the life of it that it counts in. `life` says which one a new
    /// row is for; nothing when it is not known.
    pub fn next(&mut self, destination: u32, life: impl FnOnce() -> Option<u16>) -> Option<(u64, u16)> {
        let row = match self.rows.entry(destination) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(row) => row.insert(Row { life: life()?, times: 0, last: 0, told: 0 }),
        };
        row.last += 1;
        Some((row.last, row.life))
    }

    /// The last number that was given in the row of that life of `destination`.
    #[must_use]
    pub fn last(&self, destination: u32, life: u16) -> Option<u64> {
        self.rows.get(&destination).filter(|row| row.life == life).map(|row| row.last)
    }

    /// Begins the rows anew whose destinations have another life now; `life` knows those that can be reached.
    pub fn renew(&mut self, life: impl Fn(u32) -> Option<u16>) {
        for (destination, row) in &mut self.rows {
            if let Some(life) = life(*destination).filter(|life| *life != row.life) {
                *row = Row { life, times: 0, last: 0, told: 0 };
            }
        }
    }

    /// The destinations that have something to be told: numbers since the last time, or a word that may be lost.
    pub fn untold(&self) -> impl Iterator<Item = u32> {
        let untold = |row: &Row| row.last != row.told || (row.last > 0 && row.times < TOLD_MAX);
        self.rows.iter().filter(move |(_, row)| untold(row)).map(|(destination, _)| *destination)
    }

    /// The last number of the row of `destination`, and its life: it is being told.
    pub fn tell(&mut self, destination: u32) -> Option<(u64, u16)> {
        let row = self.rows.get_mut(&destination)?;
        row.times = if row.told == row.last { row.times.saturating_add(1) } else { 1 };
        row.told = row.last;
        Some((row.last, row.life))
    }

    /// Forgets destinations that are not `known`, once there are very many. One that comes back would see its numbers
    /// start again and refuse them, so this is for the numbers of nodes that came and went, never for those at hand.
    pub fn prune(&mut self, known: impl Fn(u32) -> bool) {
        if self.rows.len() > ROWS_MAX {
            self.rows.retain(|destination, _| known(*destination));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_for_each_destination() {
        let mut numbering = Numbering::default();
        let mut next = |destination| numbering.next(destination, || Some(5));
        assert_eq!([next(7), next(7), next(9)], [Some((1, 5)), Some((2, 5)), Some((1, 5))]);
        assert_eq!((numbering.next(8, || None), numbering.last(7, 5), numbering.last(7, 4)), (None, Some(2), None));
    }

    #[test]
    fn another_life_of_the_destination_begins_a_new_row() {
        let mut numbering = Numbering::default();
        for destination in [7, 7, 9] {
            numbering.next(destination, || Some(5));
        }
        numbering.renew(|destination| (destination == 7).then_some(6));
        assert_eq!(numbering.next(7, || None), Some((1, 6)));
        assert_eq!(numbering.next(9, || None), Some((2, 5)), "it is out of reach, and may come back as it was");
    }

    #[test]
    fn the_same_number_is_told_a_few_times_only() {
        let mut numbering = Numbering::default();
        numbering.next(7, || Some(5));
        let told = (0..10).filter(|_| numbering.untold().any(|d| d == 7) && numbering.tell(7) == Some((1, 5))).count();
        assert_eq!(told, usize::from(TOLD_MAX));
        numbering.next(7, || Some(5));
        assert_eq!(numbering.untold().collect::<Vec<_>>(), [7]);
    }
}
