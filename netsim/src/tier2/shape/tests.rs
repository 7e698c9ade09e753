use super::*;
use crate::link::Degrade;

const MS: Nanos = 1_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn still() -> Link {
    Link { delay: ms(10), jitter: Duration::ZERO, mtu_bytes: PACKET_MAX - HEADERS, ..Link::default() }
}

/// An IPv4 packet of `len` bytes that carries `number`.
fn packet(to: HostId, number: u64, len: usize) -> Vec<u8> {
    let mut packet = vec![0; len.max(28)];
    packet[0] = 0x45;
    packet[16..20].copy_from_slice(&address(to, 0).octets());
    packet[20..28].copy_from_slice(&number.to_be_bytes());
    packet
}

/// Sends `count` packets from 0 to 1, each `gap` after the other; what arrives, as number and time on the way.
fn through(shape: &mut Shape, count: u64, gap: Nanos, len: usize) -> Vec<(u64, Nanos)> {
    (0..count).for_each(|number| shape.packet(number * gap, 0, &packet(1, number, len)));
    let mut arrived = Vec::new();
    while let Some(departure) = shape.departure(Nanos::MAX) {
        assert_eq!(departure.to, 1);
        let number = u64::from_be_bytes(departure.packet[20..28].try_into().unwrap());
        arrived.push((number, departure.due - number * gap));
    }
    arrived
}

fn share(part: usize, of: u64) -> f64 {
    part as f64 / of as f64
}

#[test]
fn the_delay_is_exact_and_each_direction_has_its_own() {
    let mut shape = Shape::new(1, 3, still());
    shape.links().set(1, 0, Link { delay: ms(30), ..still() });
    shape.packet(0, 0, &packet(1, 0, 100));
    shape.packet(0, 1, &packet(0, 0, 100));
    assert_eq!(shape.next_due(), Some(10 * MS));
    assert_eq!(shape.departure(10 * MS - 1), None);
    assert_eq!(shape.departure(10 * MS).map(|departure| departure.to), Some(1));
    assert_eq!(shape.departure(30 * MS).map(|departure| (departure.to, departure.due)), Some((0, 30 * MS)));
    assert_eq!((shape.next_due(), shape.held_bytes), (None, 0));
}

#[test]
fn jitter_spreads_over_its_range_and_keeps_order() {
    let mut shape = Shape::new(1, 2, Link { jitter: ms(20), ..still() });
    let arrived = through(&mut shape, 2_000, 50 * MS, 100);
    let times = || arrived.iter().map(|(_, took)| *took);
    assert!(times().min().unwrap() < 11 * MS && times().max().unwrap() > 29 * MS);
    assert!(times().all(|took| (10 * MS..=30 * MS).contains(&took)));
    let close = through(&mut Shape::new(1, 2, Link { jitter: ms(20), ..still() }), 2_000, MS, 100);
    assert!(close.is_sorted_by_key(|(number, _)| *number));
}

#[test]
fn loss_duplication_and_reordering_are_as_often_as_asked() {
    let lossy = through(&mut Shape::new(1, 2, Link { loss: 0.2, ..still() }), 10_000, MS, 100);
    assert!((0.78..0.82).contains(&share(lossy.len(), 10_000)), "{}", lossy.len());
    let doubled = through(&mut Shape::new(1, 2, Link { duplicate: 0.1, ..still() }), 10_000, MS, 100);
    assert!((1.085..1.115).contains(&share(doubled.len(), 10_000)), "{}", doubled.len());
    let mixed = through(&mut Shape::new(1, 2, Link { reorder: 0.1, ..still() }), 10_000, MS, 100);
    let late = mixed.iter().filter(|(_, took)| *took > 10 * MS).count();
    assert!((0.085..0.115).contains(&share(late, 10_000)), "{late}");
    assert!(!mixed.is_sorted_by_key(|(number, _)| *number));
}

/// Goal: 972 bytes after the headers, 100 kB/s: one packet in 9.72 ms, and no more waiting than the queue holds.
#[test]
fn the_rate_holds_and_its_queue_is_bounded() {
    let link = Link { rate: Some(100_000), queue_bytes: 20_000, ..still() };
    let mut shape = Shape::new(1, 2, link);
    let arrived = through(&mut shape, 2_000, MS, 1_000);
    let longest = arrived.iter().map(|(_, took)| *took).max().unwrap();
    assert!((200 * MS..=230 * MS).contains(&longest), "{longest}");
    assert!((200..=230).contains(&arrived.len()), "{}", arrived.len());
    assert_eq!(shape.links().counters.overflowed, 2_000 - arrived.len() as u64);
}

#[test]
fn a_cut_stops_one_direction_until_it_is_lifted() {
    let mut shape = Shape::new(1, 3, still());
    let fault = shape.links().faults.cut(0, &[0], &[1], false);
    shape.packet(0, 0, &packet(1, 0, 100));
    assert_eq!(shape.next_due(), None);
    shape.packet(0, 1, &packet(0, 0, 100));
    shape.packet(0, 0, &packet(2, 0, 100));
    assert_eq!(shape.under_way.len(), 2);
    shape.links().lift(MS, fault);
    shape.packet(MS, 0, &packet(1, 0, 100));
    assert_eq!(shape.under_way.len(), 3);
    assert_eq!(shape.links().faults.bites()[0].hits, 1);
}

#[test]
fn a_fault_worsens_what_is_there() {
    let mut shape = Shape::new(1, 2, still());
    let fault = shape.links().faults.degrade(0, &[0], &[1], true, Degrade { delay: ms(40), ..Degrade::default() });
    assert_eq!(through(&mut shape, 1, MS, 100), [(0, 50 * MS)]);
    shape.links().lift(0, fault);
    assert_eq!(through(&mut Shape::new(1, 2, still()), 1, MS, 100), [(0, 10 * MS)]);
}

#[test]
fn a_full_frame_passes_and_a_longer_one_does_not() {
    let mut shape = Shape::new(1, 2, still());
    shape.packet(0, 0, &packet(1, 0, PACKET_MAX));
    shape.packet(0, 0, &packet(1, 0, PACKET_MAX + 1));
    assert_eq!((shape.under_way.len(), shape.links().counters.oversized), (1, 1));
}

#[test]
fn what_is_for_nobody_here_is_dropped() {
    let mut shape = Shape::new(1, 2, still());
    let mut multicast = packet(1, 0, 100);
    multicast[16..20].copy_from_slice(&[224, 0, 0, 22]);
    let mut v6 = packet(1, 0, 100);
    v6[0] = 0x60;
    for strange in [&multicast[..], &v6, &packet(7, 0, 100), &packet(0, 0, 100), &[], &[0x45; 19]] {
        shape.packet(0, 0, strange);
    }
    assert_eq!((shape.next_due(), shape.links().counters.sent), (None, 0));
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut shape = Shape::new(1, 2, Link { delay: Duration::from_secs(60), ..still() });
    let fit = HELD_BYTES_MAX / PACKET_MAX;
    (0..fit as u64 + 5).for_each(|number| shape.packet(0, 0, &packet(1, number, PACKET_MAX)));
    assert_eq!((shape.under_way.len(), shape.links().counters.overflowed), (fit, 5));
}

#[test]
fn a_seed_decides_everything() {
    let rough = Link { jitter: ms(20), loss: 0.1, duplicate: 0.1, reorder: 0.1, ..still() };
    let run = |seed| through(&mut Shape::new(seed, 2, rough), 500, MS, 100);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Goal: a host that has moved gets what is sent to its new address alone; the rest hits the fault that moved it.
#[test]
fn packets_to_an_old_address_get_nowhere() {
    let mut shape = Shape::new(1, 2, still());
    let fault = shape.links().faults.note(0, "another address for 1".to_owned());
    shape.readdress(1, fault);
    shape.packet(0, 0, &packet(1, 0, 100));
    assert_eq!(shape.next_due(), None);
    let mut moved = packet(1, 1, 100);
    moved[16..20].copy_from_slice(&shape.address(1).octets());
    shape.packet(0, 0, &moved);
    assert_eq!(shape.departure(10 * MS).map(|departure| (departure.to, departure.packet)), Some((1, moved)));
    assert_eq!((shape.links().counters.misaddressed, shape.links().faults.bites()[0].hits), (1, 1));
}

/// Goal: who is out of reach gets nothing, without any fault.
#[test]
fn a_closed_network_carries_between_linked_hosts_alone() {
    let mut shape = Shape::new(1, 3, still());
    shape.links().close(&[(1, 0)]);
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
        shape.packet(0, from, &packet(to, 0, 100));
    }
    let arrived: Vec<HostId> = std::iter::from_fn(|| shape.departure(10 * MS)).map(|departure| departure.to).collect();
    assert_eq!((arrived, shape.links().counters.unlinked), (vec![1, 0], 2));
}
