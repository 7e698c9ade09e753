//! Streams as two tasks see them, over a whole world: what TCP promises, and what it does when it cannot.

use crate::{Degrade, Link, World, WorldConfig};
use lattice_broker::env::{Env, Stream};
use proptest::prelude::*;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Log<T> = Arc<Mutex<Vec<T>>>;

const LIMIT: Duration = Duration::from_secs(600);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn read_some(stream: &dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        poll_fn(|cx| stream.poll_read_ready(cx)).await?;
        match stream.try_read(buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

async fn write_all(stream: &dyn Stream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        match stream.try_write_vectored(&[IoSlice::new(data)]) {
            Ok(written) => data = &data[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Accepts one stream on port 80 of host `i` and keeps what it does with it in the log.
fn serve<F>(world: &World, i: usize, service: impl FnOnce(Arc<dyn Stream>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut listener = world.host(i).env().tcp_listen(([0, 0, 0, 0], 80).into()).unwrap();
    world.spawn_on(i, async move {
        let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        service(stream).await;
    });
}

/// Connects host `i` to port 80 of host 0.
fn client<F>(world: &World, i: usize, program: impl FnOnce(Env, io::Result<Arc<dyn Stream>>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (env, to) = (world.host(i).env(), world.addr(0, 80));
    world.spawn_on(i, async move {
        let stream = env.tcp_connect(to).await;
        program(env, stream).await;
    });
}

/// Reads to the end, noting every result.
async fn drain(stream: &dyn Stream, log: Log<Result<usize, ErrorKind>>) {
    let mut buf = [0; 4096];
    loop {
        let result = read_some(stream, &mut buf).await.map_err(|error| error.kind());
        log.lock().unwrap().push(result);
        if !matches!(result, Ok(1..)) {
            return;
        }
    }
}

fn world(hosts: usize) -> World {
    World::new(1, WorldConfig::hosts(hosts))
}

fn filled<T>(log: &Log<T>) -> impl FnMut() -> bool + use<T> {
    let log = log.clone();
    move || !log.lock().unwrap().is_empty()
}

#[test]
fn half_close_lets_the_answer_through() {
    let mut world = world(2);
    serve(&world, 0, async |stream| {
        let mut buf = [0; 64];
        let mut got = Vec::new();
        loop {
            match read_some(&*stream, &mut buf).await.unwrap() {
                0 => break,
                len => got.extend_from_slice(&buf[..len]),
            }
        }
        write_all(&*stream, &got).await.unwrap();
    });
    let echoed = Log::default();
    let log = echoed.clone();
    client(&world, 1, async move |_, stream| {
        let stream = stream.unwrap();
        write_all(&*stream, b"hello").await.unwrap();
        stream.shutdown_write();
        assert_eq!(write_all(&*stream, b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        drain(&*stream, log).await;
    });
    // Half a round trip more than connecting takes, then the answer.
    let took = world.run_until(|| echoed.lock().unwrap().len() == 2, LIMIT).unwrap();
    assert_eq!(*echoed.lock().unwrap(), [Ok(5), Ok(0)]);
    assert!((Duration::from_millis(40)..Duration::from_millis(60)).contains(&took), "{took:?}");
    world.run_for(secs(1));
    assert_eq!(world.usage().streams, 0);
}

#[test]
fn the_window_stops_a_writer_until_the_reader_reads() {
    let mut world = world(2);
    let gate = Arc::new(tokio::sync::Notify::new());
    let (opened, read) = (gate.clone(), Log::default());
    let log = read.clone();
    serve(&world, 0, async move |stream| {
        opened.notified().await;
        drain(&*stream, log).await;
    });
    let written = Log::default();
    let log = written.clone();
    client(&world, 1, async move |_, stream| {
        let stream = stream.unwrap();
        for _ in 0..100 {
            write_all(&*stream, &[7; 10_000]).await.unwrap();
            log.lock().unwrap().push(());
        }
    });
    world.run_for(secs(30));
    assert_eq!(written.lock().unwrap().len(), 26, "256 KiB hold 26 whole writes of 10,000 bytes");
    gate.notify_one();
    world.run_until(|| read.lock().unwrap().last() == Some(&Ok(0)), LIMIT).unwrap();
    assert_eq!(read.lock().unwrap().iter().flatten().sum::<usize>(), 1_000_000);
}

/// Goal: the end of a stream waits behind a full window as bytes do, and the other direction goes on meanwhile.
#[test]
fn a_half_close_behind_a_full_window_comes_after_all_bytes() {
    let mut world = world(2);
    let (gate, read, answered) = (Arc::new(tokio::sync::Notify::new()), Log::default(), Log::default());
    let (opened, log) = (gate.clone(), read.clone());
    serve(&world, 0, async move |stream| {
        write_all(&*stream, b"while you wait").await.unwrap();
        opened.notified().await;
        drain(&*stream, log).await;
        write_all(&*stream, b"and after").await.unwrap();
    });
    let log = answered.clone();
    client(&world, 1, async move |_, stream| {
        let stream = stream.unwrap();
        write_all(&*stream, &[1; 256 * 1024]).await.unwrap();
        stream.shutdown_write();
        drain(&*stream, log).await;
    });
    world.run_for(secs(5));
    assert_eq!((bytes(&answered), read.lock().unwrap().len()), (14, 0));
    gate.notify_one();
    world.run_until(|| answered.lock().unwrap().last() == Some(&Ok(0)), LIMIT).unwrap();
    assert_eq!((bytes(&read), bytes(&answered)), (256 * 1024, 23));
}

/// Goal: a writer that waits for the window learns at once that its stream has been reset.
#[test]
fn a_reset_wakes_a_writer_that_waits_for_the_window() {
    let mut world = world(2);
    serve(&world, 0, async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let failed = Log::default();
    let log = failed.clone();
    client(&world, 1, async move |_, stream| {
        let error = write_all(&*stream.unwrap(), &[1; 1024 * 1024]).await.unwrap_err();
        log.lock().unwrap().push(error.kind());
    });
    world.run_for(secs(5));
    assert!(failed.lock().unwrap().is_empty());
    world.reset_streams(0);
    world.run_for(Duration::from_millis(1));
    assert_eq!(*failed.lock().unwrap(), [ErrorKind::ConnectionReset]);
}

#[test]
fn killing_a_host_resets_its_peers_and_frees_its_ports() {
    let mut world = world(2);
    serve(&world, 0, async |stream| drain(&*stream, Log::default()).await);
    let seen = Log::default();
    let log = seen.clone();
    client(&world, 1, async move |_, stream| drain(&*stream.unwrap(), log).await);
    world.run_for(secs(1));
    assert_eq!(world.usage().streams, 2);
    world.kill(0);
    world.run_until(filled(&seen), LIMIT).unwrap();
    assert_eq!(*seen.lock().unwrap(), [Err(ErrorKind::ConnectionReset)]);
    assert_eq!(world.usage().streams, 0);
    world.boot(0);
    assert_eq!(world.host(0).incarnation(), 1);
    serve(&world, 0, async |_| {});
}

fn connect_error(world: &mut World, i: usize) -> (ErrorKind, Duration) {
    let seen = Log::default();
    let log = seen.clone();
    client(world, i, async move |_, stream| log.lock().unwrap().push(stream.unwrap_err().kind()));
    let took = world.run_until(filled(&seen), LIMIT).unwrap();
    let kind = seen.lock().unwrap()[0];
    (kind, took)
}

#[test]
fn connecting_to_nobody_is_refused_after_a_round_trip_and_across_a_cut_times_out() {
    let mut world = world(2);
    let (kind, took) = connect_error(&mut world, 1);
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    assert!((Duration::from_millis(20)..Duration::from_millis(25)).contains(&took), "{took:?}");
    world.cut(0, 1);
    let (kind, took) = connect_error(&mut world, 1);
    assert_eq!(kind, ErrorKind::TimedOut);
    assert!((secs(120)..secs(250)).contains(&took), "{took:?}");
    world.heal();
    serve(&world, 0, async |stream| drain(&*stream, Log::default()).await);
    world.cut_one_way(0, 1);
    let (kind, took) = connect_error(&mut world, 1);
    assert_eq!(kind, ErrorKind::TimedOut, "the answer is what does not come through");
    assert!((secs(119)..secs(122)).contains(&took), "{took:?}");
    world.kill(0);
    world.heal();
    assert_eq!(connect_error(&mut world, 1).0, ErrorKind::ConnectionRefused);
}

#[test]
fn what_listens_on_loopback_cannot_be_reached_from_elsewhere() {
    let mut world = world(2);
    let env = world.host(0).env();
    let _listener = env.tcp_listen(([127, 0, 0, 1], 80).into()).unwrap();
    assert_eq!(env.tcp_listen(([0, 0, 0, 0], 80).into()).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(connect_error(&mut world, 1).0, ErrorKind::ConnectionRefused);
    let seen = Log::default();
    let log = seen.clone();
    world.spawn_on(0, async move {
        let stream = env.tcp_connect(([127, 0, 0, 1], 80).into()).await.unwrap();
        log.lock().unwrap().push(stream.local_addr().ip());
    });
    assert!(world.run_until(filled(&seen), LIMIT).unwrap() < Duration::from_millis(1));
    assert!(seen.lock().unwrap()[0].is_loopback());
}

/// A client that writes a byte each 100 ms to a server that reads; both log how it ends for them.
fn chatter(world: &World) -> (Log<Result<usize, ErrorKind>>, Log<ErrorKind>) {
    let (read, failed) = (Log::default(), Log::default());
    let (reading, failing) = (read.clone(), failed.clone());
    serve(world, 0, async move |stream| drain(&*stream, reading).await);
    client(world, 1, async move |env, stream| {
        let stream = stream.unwrap();
        loop {
            if let Err(error) = write_all(&*stream, b"x").await {
                return failing.lock().unwrap().push(error.kind());
            }
            env.sleep(Duration::from_millis(100)).await;
        }
    });
    (read, failed)
}

fn bytes(log: &Log<Result<usize, ErrorKind>>) -> usize {
    log.lock().unwrap().iter().flatten().sum()
}

#[test]
fn a_cut_stalls_and_everything_arrives_after_it() {
    let mut world = world(2);
    let (read, failed) = chatter(&world);
    world.run_for(secs(5));
    let before = bytes(&read);
    let cut = world.cut(0, 1);
    world.run_for(secs(10));
    assert_eq!(bytes(&read), before);
    world.lift(cut);
    world.run_for(secs(20));
    let arrived = bytes(&read);
    assert!((340..=350).contains(&arrived), "all of 35 s arrived: {arrived}");
    assert!(failed.lock().unwrap().is_empty());
    assert!(world.bites()[0].hits > 0);
}

/// Goal: a long cut ends the sender's end and leaves the receiver half open, as it does without a simulator.
#[test]
fn a_long_cut_times_the_sender_out() {
    let mut world = world(2);
    let (read, failed) = chatter(&world);
    world.run_for(secs(5));
    world.cut(0, 1);
    let took = world.run_until(filled(&failed), LIMIT).unwrap();
    assert_eq!(*failed.lock().unwrap(), [ErrorKind::TimedOut]);
    assert!((secs(119)..secs(122)).contains(&took), "{took:?}");
    world.heal();
    world.run_for(secs(10));
    assert!(read.lock().unwrap().iter().all(Result::is_ok), "the receiver has not noticed");
}

/// Goal: a reset that a cut swallows is not sent again: the peer learns of the crash when it sends.
#[test]
fn an_end_left_half_open_is_reset_when_it_sends() {
    let mut world = world(2);
    let (gate, ended) = (Arc::new(tokio::sync::Notify::new()), Log::default());
    let (opened, log) = (gate.clone(), ended.clone());
    serve(&world, 0, async move |stream| {
        opened.notified().await;
        write_all(&*stream, b"still there?").await.unwrap();
        drain(&*stream, log).await;
    });
    client(&world, 1, async |_, stream| drain(&*stream.unwrap(), Log::default()).await);
    world.run_for(secs(1));
    world.cut(0, 1);
    world.kill(1);
    world.run_for(secs(1));
    world.heal();
    world.run_for(secs(300));
    assert_eq!((world.usage().streams, ended.lock().unwrap().len()), (1, 0));
    gate.notify_one();
    world.run_until(filled(&ended), secs(1)).unwrap();
    assert_eq!(*ended.lock().unwrap(), [Err(ErrorKind::ConnectionReset)]);
    world.run_for(secs(1));
    assert_eq!(world.usage().streams, 0);
}

/// Goal: where acknowledgements do not come back, a sender gives up although its bytes arrive.
#[test]
fn a_one_way_cut_of_the_acknowledgements_times_the_sender_out() {
    let mut world = world(2);
    let (read, failed) = chatter(&world);
    world.run_for(secs(5));
    let before = bytes(&read);
    world.cut_one_way(0, 1);
    world.run_until(filled(&failed), LIMIT).unwrap();
    assert_eq!(*failed.lock().unwrap(), [ErrorKind::TimedOut]);
    assert!(bytes(&read) > before);
}

#[test]
fn loss_costs_time_and_no_bytes() {
    let mut world = world(2);
    world.degrade(&[0], &[1], Degrade { loss: 0.2, ..Degrade::default() });
    let (read, failed) = chatter(&world);
    world.run_for(secs(60));
    let arrived = bytes(&read);
    assert!((560..=600).contains(&arrived), "{arrived}");
    assert!(failed.lock().unwrap().is_empty());
}

#[test]
fn the_rate_of_a_link_bounds_a_stream() {
    let mut world = world(2);
    world.link(1, 0, Link { rate: Some(100_000), ..Link::default() });
    let read = Log::default();
    let log = read.clone();
    serve(&world, 0, async move |stream| drain(&*stream, log).await);
    client(&world, 1, async |_, stream| write_all(&*stream.unwrap(), &[1; 1_000_000]).await.unwrap());
    let took = world.run_until(|| read.lock().unwrap().last() == Some(&Ok(0)), LIMIT).unwrap();
    assert!((secs(10)..secs(12)).contains(&took), "{took:?}");
}

#[test]
fn closing_with_unread_bytes_resets_and_dropping_a_listener_resets_its_backlog() {
    let mut world = world(2);
    let listener = world.host(0).env().tcp_listen(([0, 0, 0, 0], 80).into()).unwrap();
    let seen = Log::default();
    let log = seen.clone();
    client(&world, 1, async move |_, stream| drain(&*stream.unwrap(), log).await);
    world.run_for(secs(1));
    drop(listener);
    world.run_until(filled(&seen), LIMIT).unwrap();
    assert_eq!(*seen.lock().unwrap(), [Err(ErrorKind::ConnectionReset)]);
    serve(&world, 0, async |stream| {
        poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
    });
    seen.lock().unwrap().clear();
    let log = seen.clone();
    client(&world, 1, async move |_, stream| {
        let stream = stream.unwrap();
        write_all(&*stream, b"unread").await.unwrap();
        drain(&*stream, log).await;
    });
    world.run_until(filled(&seen), LIMIT).unwrap();
    assert_eq!(*seen.lock().unwrap(), [Err(ErrorKind::ConnectionReset)]);
}

#[test]
fn giving_up_a_connection_attempt_leaves_nothing_behind() {
    let mut world = world(2);
    let mut listener = world.host(0).env().tcp_listen(([0, 0, 0, 0], 80).into()).unwrap();
    let (env, to) = (world.host(1).env(), world.addr(0, 80));
    world.spawn_on(1, async move {
        assert!(env.timeout(Duration::from_millis(5), env.tcp_connect(to)).await.is_err());
        assert!(env.timeout(Duration::from_millis(15), env.tcp_connect(to)).await.is_err());
    });
    let ended = Log::default();
    let log = ended.clone();
    world.spawn_on(0, async move {
        let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        drain(&*stream, log).await;
    });
    world.run_until(filled(&ended), LIMIT).unwrap();
    world.run_for(secs(1));
    assert_eq!((world.usage().streams, world.usage().tasks), (0, 0));
}

/// Goal: a host that gets another address loses its streams as slowly as TCP does, and no others.
#[test]
fn another_address_strands_the_streams_to_other_hosts_only() {
    let mut world = world(3);
    let (read, failed) = chatter(&world);
    let within = Log::default();
    let log = within.clone();
    let env = world.host(1).env();
    let mut listener = env.tcp_listen(([127, 0, 0, 1], 81).into()).unwrap();
    world.spawn_on(1, async move {
        let dialled = env.tcp_connect(([127, 0, 0, 1], 81).into()).await.unwrap();
        let accepted = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        loop {
            write_all(&*dialled, b"x").await.unwrap();
            read_some(&*accepted, &mut [0; 8]).await.unwrap();
            log.lock().unwrap().push(env.now());
            env.sleep(Duration::from_millis(100)).await;
        }
    });
    world.run_for(secs(5));
    let fault = world.readdress(1);
    world.run_for(Duration::from_millis(20));
    let before = bytes(&read);
    let took = world.run_until(filled(&failed), LIMIT).unwrap();
    assert_eq!((failed.lock().unwrap()[0], bytes(&read)), (ErrorKind::TimedOut, before));
    assert!((secs(119)..secs(122)).contains(&took), "{took:?}");
    assert!(within.lock().unwrap().len() > 1_200, "{}", within.lock().unwrap().len());
    assert!(world.bites()[fault.0].hits > 5, "{:?}", world.bites());
}

/// Goal: what dials and what listens goes by the present address.
#[test]
fn streams_begin_at_the_present_address() {
    let mut world = world(2);
    let env = world.host(0).env();
    let old = world.addr(0, 80);
    let mut listener = env.tcp_listen(old).unwrap();
    world.readdress(0);
    let (env, seen) = (world.host(1).env(), Log::default());
    let (log, new) = (seen.clone(), world.addr(0, 80));
    world.spawn_on(1, async move {
        let error = env.tcp_connect(old).await.unwrap_err();
        log.lock().unwrap().push(Err(error.kind()));
        let found = env.resolve("host-0:80").await.unwrap();
        let stream = env.tcp_connect(found[0]).await.unwrap();
        log.lock().unwrap().push(Ok(stream.peer_addr()));
    });
    world.spawn_on(0, async move {
        poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    });
    world.run_for(secs(1));
    assert_eq!(*seen.lock().unwrap(), [Err(ErrorKind::HostUnreachable), Ok(new)]);
    assert_ne!(old, new);
}

/// Goal: a reset from the way hits both ends, within the host too, and attempts; a new stream works.
#[test]
fn a_reset_of_all_streams_fails_both_ends_and_attempts() {
    let mut world = world(3);
    let (served, dialled, attempt) = (Log::default(), Log::default(), Log::default());
    for (i, to) in [(1, world.addr(0, 80)), (0, ([127, 0, 0, 1], 80).into())] {
        let (env, log) = (world.host(i).env(), dialled.clone());
        world.spawn_on(i, async move {
            let stream = env.tcp_connect(to).await.unwrap();
            drain(&*stream, log).await;
        });
    }
    let mut listener = world.host(0).env().tcp_listen(([0, 0, 0, 0], 80).into()).unwrap();
    let (env, log) = (world.host(0).env(), served.clone());
    world.spawn_on(0, async move {
        while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let log = log.clone();
            env.spawn(async move { drain(&*stream, log).await });
        }
    });
    let (env, to, log) = (world.host(0).env(), world.addr(2, 80), attempt.clone());
    world.cut(0, 2);
    world.spawn_on(0, async move {
        let error = env.tcp_connect(to).await.unwrap_err();
        log.lock().unwrap().push(error.kind());
    });
    world.run_for(secs(1));
    let fault = world.reset_streams(0);
    world.run_for(secs(1));
    let reset = ErrorKind::ConnectionReset;
    assert_eq!(*dialled.lock().unwrap(), [Err(reset); 2]);
    assert_eq!(*served.lock().unwrap(), [Err(reset); 2]);
    assert_eq!(*attempt.lock().unwrap(), [reset]);
    assert_eq!((world.bites()[fault.0].hits, world.usage().streams), (3, 0));
    client(&world, 1, async |_, stream| write_all(&*stream.unwrap(), b"again").await.unwrap());
    world.run_for(secs(1));
    assert!(served.lock().unwrap().contains(&Ok(5)));
}

/// Goal: bytes that had arrived before a reset are still read, as on Linux; then the reset shows.
#[test]
fn what_arrived_before_a_reset_can_be_read() {
    let mut world = world(2);
    let (gate, seen) = (Arc::new(tokio::sync::Notify::new()), Log::default());
    let (opened, log) = (gate.clone(), seen.clone());
    serve(&world, 0, async move |stream| {
        opened.notified().await;
        drain(&*stream, log).await;
    });
    client(&world, 1, async |env, stream| {
        let stream = stream.unwrap();
        write_all(&*stream, b"in time").await.unwrap();
        env.sleep(secs(2)).await;
        assert_eq!(write_all(&*stream, b"late").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    world.run_for(secs(1));
    assert_eq!(world.reset_streams(1), world.bites()[0].fault);
    gate.notify_one();
    world.run_for(secs(2));
    assert_eq!(*seen.lock().unwrap(), [Ok(7), Err(ErrorKind::ConnectionReset)]);
    assert_eq!(world.usage().tasks, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the sizes of writes and reads, the link and a cut in between: the bytes arrive as they were written.
    #[test]
    fn bytes_arrive_as_they_were_written(
        seed: u64,
        writes in proptest::collection::vec(1usize..60_000, 1..20),
        read_size in 1usize..40_000,
        loss in 0.0..0.3f64,
        jitter_ms in 0u64..50,
        cut_ms in 0u64..2_000,
    ) {
        let link = Link { loss, jitter: Duration::from_millis(jitter_ms), ..Link::default() };
        let mut world = World::new(seed, WorldConfig { link, ..WorldConfig::hosts(2) });
        let total: usize = writes.iter().sum();
        let sent: Vec<u8> = (0..total).map(|n| (n % 251) as u8).collect();
        let (got, data) = (Log::default(), sent.clone());
        let log = got.clone();
        serve(&world, 0, async move |stream| {
            let mut buf = vec![0; read_size];
            while let Ok(len @ 1..) = read_some(&*stream, &mut buf).await {
                log.lock().unwrap().extend_from_slice(&buf[..len]);
            }
        });
        client(&world, 1, async move |_, stream| {
            let stream = stream.unwrap();
            let mut data = &data[..];
            for len in writes {
                let (now, later) = data.split_at(len);
                write_all(&*stream, now).await.unwrap();
                data = later;
            }
        });
        world.run_for(Duration::from_millis(100));
        world.cut(0, 1);
        world.run_for(Duration::from_millis(cut_ms));
        world.heal();
        world.run_until(|| got.lock().unwrap().len() >= total, LIMIT).unwrap();
        prop_assert!(*got.lock().unwrap() == sent);
        world.run_for(LIMIT);
        prop_assert_eq!(world.usage().streams, 0);
    }
}
