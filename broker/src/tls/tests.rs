//! TLS over a pipe in memory: handshake, partial reads, writes without room, both kinds of end.

use super::*;
use crate::pipe::Pipe;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::future::Future;
use std::pin::pin;
use std::task::Waker;

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

struct Pair {
    pipe: Arc<Pipe>,
    server: TlsStream,
    client: ClientConnection,
}

/// Both ends, after a handshake in which each read and write moved at most `step` bytes.
fn pair(step: usize) -> Pair {
    let (server, client) = configs();
    let pipe = Arc::new(Pipe::default());
    lock(&pipe.0).step = step;
    let mut client = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
    let mut accept = pin!(TlsStream::accept(pipe.clone(), server));
    let mut cx = Context::from_waker(Waker::noop());
    let server = loop {
        send(&mut client, &pipe);
        let polled = accept.as_mut().poll(&mut cx);
        receive(&mut client, &pipe);
        if let Poll::Ready(server) = polled {
            break server.unwrap();
        }
    };
    Pair { pipe, server, client }
}

fn send(client: &mut ClientConnection, pipe: &Pipe) {
    while client.wants_write() {
        client.write_tls(&mut lock(&pipe.0).to_server).unwrap();
    }
}

/// The plaintext in all that the server has sent since the last time.
fn receive(client: &mut ClientConnection, pipe: &Pipe) -> Vec<u8> {
    let records = std::mem::take(&mut lock(&pipe.0).to_client);
    let (mut rest, mut text) = (&records[..], Vec::new());
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
        // Without an end of the stream it is "would block" that ends this.
        let _ = client.reader().read_to_end(&mut text);
    }
    text
}

fn is_read_ready(pair: &Pair) -> bool {
    pair.server.poll_read_ready(&mut Context::from_waker(Waker::noop())).map(Result::unwrap).is_ready()
}

fn is_write_ready(pair: &Pair) -> bool {
    pair.server.poll_write_ready(&mut Context::from_waker(Waker::noop())).map(Result::unwrap).is_ready()
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn what_is_decrypted_is_ready_until_it_is_read() {
    let mut pair = pair(usize::MAX);
    assert!(!is_read_ready(&pair));
    assert!(would_block(pair.server.try_read(&mut [0; 8])));
    pair.client.writer().write_all(b"PING\r\nPONG\r\n").unwrap();
    send(&mut pair.client, &pair.pipe);
    let mut buf = [0; 5];
    let mut text = Vec::new();
    while is_read_ready(&pair) {
        let len = pair.server.try_read(&mut buf).unwrap();
        assert!(len > 0);
        text.extend_from_slice(&buf[..len]);
    }
    assert_eq!(text, b"PING\r\nPONG\r\n");
}

#[test]
fn records_arrive_and_leave_in_pieces() {
    let mut pair = pair(3);
    let sent: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
    pair.client.set_buffer_limit(None);
    pair.client.writer().write_all(&sent).unwrap();
    send(&mut pair.client, &pair.pipe);
    let (mut buf, mut text) = (vec![0; 30_000], Vec::new());
    while is_read_ready(&pair) {
        match pair.server.try_read(&mut buf) {
            Ok(len) => text.extend_from_slice(&buf[..len]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(text == sent);
    assert_eq!(pair.server.try_write_vectored(&[IoSlice::new(b"PI"), IoSlice::new(b"NG")]).unwrap(), 4);
    assert_eq!(receive(&mut pair.client, &pair.pipe), b"PING");
}

#[test]
fn a_write_counts_once_its_records_are_written_and_the_rest_is_bounded() {
    let mut pair = pair(usize::MAX);
    lock(&pair.pipe.0).room = 1000;
    let sent: Vec<u8> = (0..200_000_u32).map(|i| (i / 7) as u8).collect();
    let (mut written, mut text) = (0, Vec::new());
    while written < sent.len() {
        match pair.server.try_write_vectored(&[IoSlice::new(&sent[written..])]) {
            Ok(len) => written += len,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                assert!(!is_write_ready(&pair));
                assert!(would_block(pair.server.try_write_vectored(&[IoSlice::new(&sent[written..])])));
                text.extend(receive(&mut pair.client, &pair.pipe));
                assert!(text.len() <= written + RECORDS_MAX, "{} after {written}", text.len());
            }
        }
    }
    text.extend(receive(&mut pair.client, &pair.pipe));
    assert!(text == sent);
    assert!(is_write_ready(&pair));
}

#[test]
fn the_end_of_writing_is_noticed_and_reading_goes_on() {
    let mut pair = pair(usize::MAX);
    lock(&pair.pipe.0).room = 5;
    pair.server.shutdown_write();
    assert!(!lock(&pair.pipe.0).is_shut, "the notice has not left");
    lock(&pair.pipe.0).room = usize::MAX;
    assert!(!is_read_ready(&pair));
    assert!(lock(&pair.pipe.0).is_shut);
    receive(&mut pair.client, &pair.pipe);
    assert!(pair.client.process_new_packets().unwrap().peer_has_closed());

    pair.client.writer().write_all(b"PONG\r\n").unwrap();
    send(&mut pair.client, &pair.pipe);
    assert!(is_read_ready(&pair));
    assert_eq!(pair.server.try_read(&mut [0; 64]).unwrap(), 6);
}

#[test]
fn a_client_that_will_send_no_more_still_gets_what_is_written() {
    let mut pair = pair(usize::MAX);
    pair.client.send_close_notify();
    send(&mut pair.client, &pair.pipe);
    for _ in 0..2 {
        assert!(is_read_ready(&pair));
        assert_eq!(pair.server.try_read(&mut [0; 64]).unwrap(), 0);
    }
    assert_eq!(pair.server.try_write_vectored(&[IoSlice::new(b"+OK\r\n")]).unwrap(), 5);
    assert_eq!(receive(&mut pair.client, &pair.pipe), b"+OK\r\n");
}

#[test]
fn a_client_that_leaves_without_notice_is_at_its_end() {
    let pair = pair(usize::MAX);
    lock(&pair.pipe.0).has_client_left = true;
    for _ in 0..2 {
        assert!(is_read_ready(&pair));
        assert_eq!(pair.server.try_read(&mut [0; 64]).unwrap(), 0);
    }
}

#[test]
fn plain_text_is_no_handshake_and_neither_is_silence() {
    let (server, _) = configs();
    for (text, kind) in [(&b"CONNECT {}\r\n"[..], io::ErrorKind::InvalidData), (b"", io::ErrorKind::UnexpectedEof)] {
        let pipe = Arc::new(Pipe::default());
        lock(&pipe.0).to_server.extend(text);
        lock(&pipe.0).has_client_left = true;
        let mut accept = pin!(TlsStream::accept(pipe.clone(), server.clone()));
        match accept.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), kind),
            other => panic!("{other:?}"),
        }
    }
}
