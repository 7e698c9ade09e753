//! The numbers that an origin gives: a few rows for each destination's life, each 1, 2, 3, …
//!
//! All that one publisher sends is in the same row, so that it stays in order; what others send is mostly in another one, and
//! neither waits for the other.//!
//! By them the destination puts frames in order and sees what is missing, which is left to `resequence.rs`; what the
//! origin tells of its rows, and when, to `plane/recover.rs`.

use super::frame::ROWS;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows that are remembered: twice as many as a database's nodes have.
const ROWS_MAX: usize = 8192 * ROWS as usize;
/// How often the same last number is told: the word may get lost.
const TOLD_MAX: u8 = 3;

/// Whose row, and which of them.
pub type RowOf = (u32, u8);

/// The row that messages of a publisher are in: one after the other of them in another one.
#[must_use]
pub fn row_of(flow: u64) -> u8 {
    (flow % u64::from(ROWS)) as u8
}

/// The rows of one origin.
#[derive(Debug, Default)]
pub struct Numbering {
    rows: BTreeMap<RowOf, Row>,
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
    /// The number of the next frame in a row, and the life of the destination that it counts in. `life` says which one a
    /// new row is for; nothing when it is not known.
    pub fn next(&mut self, row: RowOf, life: impl FnOnce() -> Option<u16>) -> Option<(u64, u16)> {
        let row = match self.rows.entry(row) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(row) => row.insert(Row { life: life()?, times: 0, last: 0, told: 0 }),
        };
        row.last += 1;
        Some((row.last, row.life))
    }

    /// The last number that was given in a row, if that is for this life of the destination.
    #[must_use]
    pub fn last(&self, row: RowOf, life: u16) -> Option<u64> {
        self.rows.get(&row).filter(|row| row.life == life).map(|row| row.last)
    }

    /// Begins the rows anew whose destinations have another life now; `life` knows those that can be reached.
    pub fn renew(&mut self, life: impl Fn(u32) -> Option<u16>) {
        for ((destination, _), row) in &mut self.rows {
            if let Some(life) = life(*destination).filter(|life| *life != row.life) {
                *row = Row { life, times: 0, last: 0, told: 0 };
            }
        }
    }

    /// The rows whose destinations have something to be told: numbers since the last time, or a word that may be lost.
    pub fn untold(&self) -> impl Iterator<Item = RowOf> {
        let untold = |row: &Row| row.last != row.told || (row.last > 0 && row.times < TOLD_MAX);
        self.rows.iter().filter(move |(_, row)| untold(row)).map(|(of, _)| *of)
    }

    /// The last number of a row, and the life that it is for: it is being told.
    pub fn tell(&mut self, row: RowOf) -> Option<(u64, u16)> {
        let row = self.rows.get_mut(&row)?;
        row.times = if row.told == row.last { row.times.saturating_add(1) } else { 1 };
        row.told = row.last;
        Some((row.last, row.life))
    }

    /// Forgets destinations that are not `known`, once there are very many. One that comes back would see its numbers
    /// start again and refuse them, so this is for the numbers of nodes that came and went, never for those at hand.
    pub fn prune(&mut self, known: impl Fn(u32) -> bool) {
        if self.rows.len() > ROWS_MAX {
            self.rows.retain(|(destination, _), _| known(*destination));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_in_each_row() {
        let mut numbering = Numbering::default();
        let mut next = |destination, row| numbering.next((destination, row), || Some(5));
        assert_eq!([next(7, 0), next(7, 0), next(9, 0)], [Some((1, 5)), Some((2, 5)), Some((1, 5))]);
        assert_eq!([next(7, 3), next(7, 0)], [Some((1, 5)), Some((3, 5))]);
        assert_eq!(numbering.next((8, 0), || None), None);
        assert_eq!((numbering.last((7, 0), 5), numbering.last((7, 0), 4)), (Some(3), None));
    }

    #[test]
    fn publishers_that_come_one_after_the_other_have_rows_of_their_own() {
        let rows: std::collections::BTreeSet<u8> = (1_000..1_000 + u64::from(ROWS)).map(row_of).collect();
        assert_eq!(rows, (0..ROWS).collect());
    }

    #[test]
    fn another_life_of_the_destination_begins_new_rows() {
        let mut numbering = Numbering::default();
        for row in [(7, 0), (7, 0), (7, 1), (9, 0)] {
            numbering.next(row, || Some(5));
        }
        numbering.renew(|destination| (destination == 7).then_some(6));
        assert_eq!(numbering.next((7, 0), || None), Some((1, 6)));
        assert_eq!(numbering.next((7, 1), || None), Some((1, 6)));
        assert_eq!(numbering.next((9, 0), || None), Some((2, 5)), "it is out of reach, and may come back as it was");
    }

    #[test]
    fn the_same_number_is_told_a_few_times_only() {
        let (mut numbering, row) = (Numbering::default(), (7, 2));
        numbering.next(row, || Some(5));
        let told =
            (0..10).filter(|_| numbering.untold().any(|r| r == row) && numbering.tell(row) == Some((1, 5))).count();
        assert_eq!(told, usize::from(TOLD_MAX));
        numbering.next(row, || Some(5));
        assert_eq!(numbering.untold().collect::<Vec<_>>(), [row]);
    }
}
