use super::*;
use crate::mesh::frame::SEQ_MAX;
use crate::mesh::start_of_time;
use proptest::prelude::*;

/// A resequencer, what has come out of it, and the time.
struct World {
    rows: Resequencer,
    now: Instant,
    out: Vec<(u8, u64)>,
    missing: u64,
}

fn frame(boot: u64, seq: u64) -> Vec<u8> {
    [&[boot as u8][..], &seq.to_le_bytes()].concat()
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self { rows: Resequencer::new(bounds), now: start_of_time(), out: Vec::new(), missing: 0 }
    }

    fn take(&mut self, boot: u64, seq: u64) -> Verdict {
        let now = self.now;
        let verdict = self.rows.admit(|| now, ((7, 0), boot, seq), &frame(boot, seq), |_| true);
        if matches!(verdict, Verdict::Next | Verdict::Closes) {
            self.out.push((boot as u8, seq));
        }
        self.drain();
        verdict
    }

    fn drain(&mut self) {
        while let Some(frame) = self.rows.ready() {
            self.out.push((frame[0], u64::from_le_bytes(frame[1..].try_into().unwrap())));
        }
        self.missing += self.rows.tally().missing;
    }

    fn pass(&mut self, ms: u64) -> Vec<Range> {
        self.now += Duration::from_millis(ms);
        let asked = self.rows.expire(self.now);
        self.drain();
        asked.into_iter().flat_map(|question| question.ranges).collect()
    }

    fn told(&mut self, boot: u64, last: u64, gone: &[Range]) {
        self.rows.told(self.now, ((7, 0), boot, last), gone, |_| true);
        self.drain();
    }

    fn numbers(&self) -> Vec<u64> {
        self.out.iter().map(|(_, seq)| *seq).collect()
    }
}

#[test]
fn what_was_overtaken_is_put_back_in_order() {
    let mut world = World::new(Bounds::default());
    assert_eq!([1, 4, 3, 4].map(|seq| world.take(1, seq)), {
        [Verdict::Next, Verdict::Held, Verdict::Held, Verdict::Duplicate]
    });
    assert_eq!(world.take(1, 2), Verdict::Closes);
    assert_eq!((world.numbers(), world.rows.held(), world.rows.due()), (vec![1, 2, 3, 4], 0, None));
    assert_eq!(world.take(1, 3), Verdict::Duplicate);
}

/// Goal: what one publisher's row misses holds up no other's; a new life of the origin begins them all.
#[test]
fn rows_of_one_origin_wait_for_themselves_alone() {
    let (now, mut rows) = (start_of_time(), Resequencer::new(Bounds::default()));
    let mut admit = |row, boot, seq| rows.admit(|| now, ((7, row), boot, seq), &frame(boot, seq), |_| true);
    assert_eq!([admit(0, 1, 2), admit(1, 1, 1), admit(1, 1, 2)], [Verdict::Held, Verdict::Next, Verdict::Next]);
    assert_eq!((admit(1, 2, 1), admit(0, 1, 1)), (Verdict::Held, Verdict::StaleBoot));
    assert_eq!((admit(2, 1, 1), admit(2, 2, 1)), (Verdict::StaleBoot, Verdict::Next));
    let ready: Vec<u8> = std::iter::from_fn(|| rows.ready()).map(|frame| frame[0]).collect();
    assert_eq!(ready, [1, 2], "what was held of the old life comes before the new one");
    assert_eq!((rows.held(), rows.due()), (0, None));
}

#[test]
fn the_first_message_of_a_row_is_waited_for() {
    let mut world = World::new(Bounds::default());
    assert_eq!(world.take(1, 2), Verdict::Held);
    assert_eq!(world.take(1, 1), Verdict::Closes);
    assert_eq!(world.numbers(), [1, 2]);
}

#[test]
fn a_gap_is_asked_for_more_and_more_rarely_and_given_up_in_the_end() {
    let mut world = World::new(Bounds::default());
    for seq in [1, 3, 6] {
        world.take(1, seq);
    }
    assert_eq!(world.pass(74), []);
    assert_eq!(world.pass(1), [(2, 2), (4, 5)]);
    let asked = (1..4_900).filter(|_| !world.pass(1).is_empty()).count();
    assert_eq!((asked, world.numbers()), (5, vec![1]));
    world.pass(100);
    assert_eq!((world.numbers(), world.missing, world.rows.due()), (vec![1, 3, 6], 3, None));
    assert_eq!(world.take(1, 2), Verdict::Duplicate, "it was given up");
}

#[test]
fn what_the_origin_no_longer_has_is_not_waited_for() {
    let mut world = World::new(Bounds::default());
    for seq in [1, 4, 9] {
        world.take(1, seq);
    }
    world.told(1, 9, &[(2, 3), (7, 8)]);
    world.pass(2_499);
    assert_eq!(world.numbers(), [1], "it may still be on its way");
    world.pass(1);
    assert_eq!((world.numbers(), world.missing), (vec![1, 4], 2));
    world.take(1, 5);
    world.take(1, 6);
    world.pass(2_500);
    assert_eq!((world.numbers(), world.missing), (vec![1, 4, 5, 6, 9], 4));
}

#[test]
fn a_lost_tail_is_seen_when_the_origin_tells_its_last_number() {
    let mut world = World::new(Bounds::default());
    world.take(1, 1);
    world.told(1, 1, &[]);
    assert_eq!(world.rows.due(), None);
    world.told(1, 3, &[]);
    assert_eq!(world.pass(75), [(2, 3)]);
    world.take(1, 2);
    world.take(1, 3);
    assert_eq!((world.numbers(), world.rows.due()), (vec![1, 2, 3], None));
    world.told(1, 5, &[(4, 5)]);
    world.pass(2_500);
    assert_eq!((world.missing, world.rows.due()), (2, None));
}

#[test]
fn each_part_of_a_tail_is_waited_for_from_when_it_was_known() {
    let mut world = World::new(Bounds::default());
    world.take(1, 1);
    world.told(1, 3, &[(2, 3)]);
    world.pass(2_000);
    world.told(1, 5, &[(2, 5)]);
    world.told(1, 6, &[(2, 6)]);
    world.pass(500);
    assert_eq!(world.missing, 2);
    world.pass(1_999);
    assert_eq!(world.missing, 2);
    world.pass(1);
    assert_eq!((world.missing, world.rows.due()), (5, None));
}

#[test]
fn what_a_link_may_hold_longer_is_waited_for_longer() {
    let bounds = Bounds { gone_time: Duration::from_secs(4), ..Bounds::default() };
    let mut world = World::new(bounds);
    world.told(1, 1, &[(1, 1)]);
    world.pass(3_999);
    assert_eq!(world.missing, 0);
    world.pass(1);
    assert_eq!(world.missing, 1);
}

#[test]
fn a_new_life_of_the_origin_begins_anew_and_its_old_frames_are_refused() {
    let mut world = World::new(Bounds::default());
    world.take(1, 1);
    world.take(1, 3);
    assert_eq!(world.take(2, 1), Verdict::Held);
    assert_eq!(world.out, [(1, 1), (1, 3), (2, 1)], "what was held of the old life comes before the new one");
    assert_eq!(world.take(1, 4), Verdict::StaleBoot);
    assert_eq!(world.take(2, 2), Verdict::Next);
}

#[test]
fn a_full_room_gives_up_the_oldest_gap() {
    let bounds = Bounds { origin_bytes_max: 3 * (9 + OVERHEAD), ..Bounds::default() };
    let mut world = World::new(bounds);
    for seq in [2, 3, 5, 7] {
        world.take(1, seq);
    }
    assert_eq!((world.numbers(), world.missing), (vec![2, 3], 1));
    assert!(world.rows.held() <= bounds.origin_bytes_max);
}

#[test]
fn forged_origins_cost_bounded_memory_and_harm_nobody_at_hand() {
    let mut rows = Resequencer::new(Bounds::default());
    let now = start_of_time();
    assert_eq!(rows.admit(|| now, ((1, 0), 1, 1), b"", |o| o == 1), Verdict::Next);
    for forged in 100..100_000 {
        assert_eq!(rows.admit(|| now, ((forged, 0), 1, 1), b"", |o| o == 1), Verdict::Next);
        assert!(rows.rows.len() <= ROWS_MAX);
    }
    assert_eq!(rows.admit(|| now, ((1, 0), 1, 1), b"", |o| o == 1), Verdict::Duplicate);
    assert_eq!(
        rows.admit(|| now, ((99, 0), 1, 5), b"", |o| o == 1),
        Verdict::Next,
        "others were forgotten, perhaps this one"
    );
}

proptest! {
    /// Any order, any repeats, any losses, any pauses: each number comes out once and in order, or is counted.
    #[test]
    fn each_comes_out_once_and_in_order_or_is_counted(
        arrivals in proptest::collection::vec((1u64..40, 0u64..400), 0..200),
        room in 1usize..30,
    ) {
        let bounds = Bounds { origin_bytes_max: room * (9 + OVERHEAD), ..Bounds::default() };
        let mut world = World::new(bounds);
        for &(seq, pause) in &arrivals {
            world.pass(pause);
            world.take(1, seq);
            prop_assert!(world.rows.held() <= bounds.origin_bytes_max);
        }
        let last = arrivals.iter().map(|(seq, _)| *seq).max().unwrap_or(0);
        world.told(1, last, &[]);
        for _ in 0..50 {
            world.pass(5_000);
        }
        let numbers = world.numbers();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(numbers.len() as u64 + world.missing, last);
        prop_assert_eq!((world.rows.held(), world.rows.due()), (0, None));
    }

    /// With room and time enough, whatever arrives at all comes out.
    #[test]
    fn nothing_that_arrives_is_lost(order in Just((1u64..60).collect::<Vec<_>>()).prop_shuffle()) {
        let mut world = World::new(Bounds::default());
        for seq in order {
            world.take(1, seq);
        }
        prop_assert_eq!(world.numbers(), (1..60).collect::<Vec<_>>());
    }
}

/// Goal: a member that tells of numbers of origins that there are not costs a bounded amount of memory, no room for genuine
/// rows, and no sum that overflows.
#[test]
fn what_is_told_of_origins_that_there_are_not_is_bounded() {
    let mut world = World::new(Bounds::default());
    for origin in 0..100_000 {
        world.rows.told(world.now, ((1_000 + origin, 0), 1, SEQ_MAX), &[], |origin| origin < 1_000);
    }
    assert_eq!((world.rows.gaps.len(), world.rows.rows.len() <= ROWS_MAX), (TOLD_MAX, true));
    assert_eq!([1, 2].map(|seq| world.take(1, seq)), [Verdict::Next; 2]);
    world.now += Duration::from_secs(10);
    world.rows.expire(world.now);
    assert!(world.rows.gaps.is_empty() && world.rows.tally().missing == u64::MAX);
}
