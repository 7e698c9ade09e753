//! Hosts that hand images to each other, at one broker.

use super::*;
use crate::ports::{Deliveries, Delivery};
use crate::wiring;
use lattice_broker::{Broker, Config};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::time::Duration;
use tempfile::TempDir;

struct Host {
    images: Images,
    shelf: Shelf,
    folder: TempDir,
}

struct Stage {
    env: Env,
    broker: Broker,
}

impl Stage {
    fn set() -> Self {
        let env = Env::tokio();
        let broker = Broker::new(env.clone(), Config::default()).unwrap();
        Self { env, broker }
    }

    fn host(&self, id: &str) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path().join("images"), Bounds::default());
        let images = Images::start(Parts {
            env: self.env.clone(),
            host: id.to_owned(),
            lattice: "default".to_owned(),
            payload_max: 1 << 20,
            nodes: wiring::client(&self.broker),
            clients: wiring::client(&self.broker),
            shelf: shelf.clone(),
        });
        Host { images: images.unwrap(), shelf, folder }
    }

    async fn ask(&self, operation: &str, body: &[u8]) -> Value {
        let client = wiring::client(&self.broker);
        let mut answers = client.subscribe("answers", None, 10).unwrap();
        let subject = format!("lattice.ctl.v1.default.image.{operation}");
        assert_eq!(client.publish(&subject, Some(b"answers"), body), 1, "{operation}");
        serde_json::from_slice(&next(&self.env, &mut answers).await.payload).unwrap()
    }
}

async fn next(env: &Env, deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    let next = poll_fn(|cx| deliveries.poll_next(cx));
    env.timeout(Duration::from_secs(20), next).await.expect("a message within 20 s")
}

fn component(len: usize) -> (Digest, Vec<u8>) {
    let mut bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
    (Digest::of(&bytes), bytes)
}

/// Goal: a client puts an image on a host in chunks, sees it listed, and removes it; what is wrong is named.
#[tokio::test]
async fn clients_put_list_and_remove() {
    let stage = Stage::set();
    let host = stage.host("NHOST");
    let (digest, image) = component(1_000);
    let put = |offset: usize| format!("put.NHOST.{}.1000.{offset}", digest.to_hex());
    let progress =
        |have: u64, done: bool| json!({ "success": true, "message": "", "response": { "have": have, "done": done } });
    assert_eq!(stage.ask(&put(0), b"").await, progress(0, false));
    assert_eq!(stage.ask(&put(0), &image[..600]).await, progress(600, false));
    assert_eq!(stage.ask(&put(0), &image[..600]).await, progress(600, false));
    assert_eq!(stage.ask(&put(600), &image[600..]).await, progress(1_000, true));
    assert_eq!(stage.ask(&put(0), b"").await, progress(1_000, true));
    let listed = stage.ask("list.NHOST", b"").await;
    assert_eq!(listed["response"], json!([{ "digest": digest.to_string(), "size": 1_000 }]));
    let unknown = stage.ask("eat.NHOST", b"").await;
    assert!(unknown["success"] == json!(false) && unknown["message"].as_str().unwrap().contains("image.eat.NHOST"));
    let body = json!({ "digest": digest.to_hex() }).to_string();
    assert_eq!(stage.ask("del.NHOST", body.as_bytes()).await["message"], json!("image removed"));
    assert_eq!(stage.ask("list.NHOST", b"").await["response"], json!([]));
    host.images.stop();
}

/// Goal: who wants an image has it of whoever keeps it, many at once and large ones too, and gives it to others then.
#[tokio::test]
async fn images_go_from_host_to_host() {
    let stage = Stage::set();
    let (digest, image) = component(1 << 20);
    let (first, second, third) = (stage.host("N1"), stage.host("N2"), stage.host("N3"));
    assert!(first.shelf.put(digest, 1 << 20, 0, &image).unwrap().done);
    let wanted = futures_util::future::join(second.images.obtain(digest), second.images.obtain(digest));
    assert_eq!(wanted.await, (Ok(()), Ok(())));
    assert_eq!(std::fs::read(second.shelf.path(digest)).unwrap(), image);
    assert_eq!(second.images.obtain(digest).await, Ok(()));
    first.images.stop();
    drop(first);
    assert_eq!(third.images.obtain(digest).await, Ok(()));
    assert!(third.folder.path().join("images").join(format!("{}.wasm", digest.to_hex())).exists());
    second.images.stop();
    third.images.stop();
    assert_eq!(third.images.obtain(Digest::of(b"")).await, Err(PullError::Stopping { digest: Digest::of(b"") }));
}

/// Goal: what nobody has is said to be missing, and what a host keeps in a damaged form is not taken for it.
#[tokio::test]
async fn what_is_missing_or_damaged_is_named() {
    let stage = Stage::set();
    let (digest, mut image) = component(300_000);
    let (first, second) = (stage.host("N1"), stage.host("N2"));
    let missing = second.images.obtain(digest).await.unwrap_err();
    assert_eq!(missing, PullError::Missing { digest });
    assert!(missing.to_string().ends_with("lattice push it again"));
    assert!(first.shelf.put(digest, 300_000, 0, &image).unwrap().done);
    image[299_999] ^= 1;
    std::fs::write(first.shelf.path(digest), &image).unwrap();
    let found = Digest::of(&image);
    assert_eq!(second.images.obtain(digest).await, Err(PullError::Shelf(ShelfError::Other { digest, found })));
    assert_eq!(second.shelf.list().unwrap(), []);
}
