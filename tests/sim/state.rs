//! State without a coordinator, on whole nodes in the simulator: two halves of a lattice that change things apart from each
//! other agree after the heal.
//!
//! `LATTICE_SIM_SEEDS` plays so many seeds instead.

use lattice::host::double::Double;
use lattice::host::runner::{Runner as _, Spec};
use lattice::host::state::{Key, State};
use lattice::ports::Client;
use lattice::sim::Nodes;
use lattice::wiring;
use lattice_netsim::{World, WorldConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NODES: usize = 6;
const LEFT: [usize; 3] = [0, 1, 2];
const RIGHT: [usize; 3] = [3, 4, 5];
/// How soon after a heal all agree.
const SOON: Duration = Duration::from_secs(10);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Six hosts in a ring with a chord.
struct Site {
    world: World,
    nodes: Arc<Nodes>,
    /// What runs on each host, in its present life.
    doubles: Arc<Mutex<BTreeMap<usize, Arc<Double>>>>,
}

impl Site {
    fn formed(seed: u64) -> Self {
        let mut world = World::new(seed, WorldConfig::hosts(NODES));
        let edges = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (5, 0), (4, 1)];
        let doubles: Arc<Mutex<BTreeMap<usize, Arc<Double>>>> = Arc::default();
        let made = Arc::clone(&doubles);
        let runners = move |i| {
            let double = Arc::new(Double::default());
            made.lock().unwrap().insert(i, Arc::clone(&double));
            double as _
        };
        let nodes = Arc::new(Nodes::new(&world, NODES, &edges).hosting(Box::new(runners)));
        world.install(0..NODES, Arc::clone(&nodes) as _);
        (0..NODES).for_each(|i| world.boot(i));
        let mut site = Self { world, nodes, doubles };
        site.wait("all reach all", secs(20), |site| (0..NODES).all(|i| site.reaches(i) == NODES - 1));
        site
    }

    fn wait(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.world.now();
        while !done(self) {
            assert!(self.world.now() < start + limit, "seed {}: not within {limit:?}: {what}", self.world.seed());
            self.world.run_for(Duration::from_millis(50));
        }
        self.world.now() - start
    }

    fn reaches(&self, i: usize) -> usize {
        self.nodes.node(i).map_or(0, |node| node.reachable())
    }

    fn state(&self, i: usize) -> State {
        self.nodes.node(i).unwrap().host().unwrap().state().clone()
    }

    fn alike(&self, some: &[usize]) -> bool {
        let first = self.state(some[0]).digest();
        some.iter().all(|i| self.state(*i).digest() == first)
    }

    fn write(&self, i: usize, key: &Key, value: Option<&str>) {
        self.state(i).write(key.clone(), value.map(|text| text.as_bytes().to_vec())).unwrap();
    }

    /// Asks on host `i` what is served somewhere, without waiting for the answer; how many it goes to.
    fn ask(&self, i: usize, operation: &str, body: &str) -> usize {
        let client: Arc<dyn Client> = wiring::client(self.nodes.node(i).unwrap().broker());
        client.publish(&format!("wasmbus.ctl.v1.default.{operation}"), Some(b"nobody.listens"), body.as_bytes())
    }

    /// Has an app be wanted, asked for on host `i`.
    fn deploy(&self, i: usize, app: &str) {
        let client: Arc<dyn Client> = wiring::client(self.nodes.node(i).unwrap().broker());
        let asked = client.publish("lattice.ctl.v1.default.app.put.shop", Some(b"nobody.listens"), app.as_bytes());
        assert_eq!(asked, 1, "seed {}", self.world.seed());
    }

    /// Instances of component `id` on each host of `some` that lives.
    fn instances(&self, id: &str, some: &[usize]) -> Vec<u32> {
        let doubles = self.doubles.lock().unwrap();
        let count = |i: &usize| doubles[i].specs().get(id).map_or(0, |spec| spec.count);
        some.iter().map(count).collect()
    }

    /// Whether there are so many instances on `some`, evenly.
    fn has(&self, id: &str, count: u32, some: &[usize]) -> bool {
        let each = self.instances(id, some);
        let even = |share: &u32| (*share).abs_diff(count / some.len() as u32) <= 1;
        each.iter().sum::<u32>() == count && each.iter().all(even)
    }

    /// A counter of the records, over all nodes.
    fn count(&self, name: &str) -> u64 {
        let of = |i| self.state(i).counters().into_iter().find(|(known, _)| *known == name).unwrap().1;
        (0..NODES).map(of).sum()
    }

    fn runs(&self, i: usize) -> Vec<String> {
        self.doubles.lock().unwrap()[&i].running().into_iter().map(|one| one.id).collect()
    }
}

fn seeds(usual: u64) -> u64 {
    std::env::var("LATTICE_SIM_SEEDS").map_or(usual, |seeds| seeds.parse().expect("a number of seeds"))
}

/// Changes on both sides of a cut: the sides' own, and the same keys.
fn change_apart(site: &mut Site) {
    for i in 0..NODES {
        let id = site.nodes.ids()[i];
        let side = if LEFT.contains(&i) { "left" } else { "right" };
        site.write(i, &Key::owned(id, "labels"), Some(side));
        site.write(i, &Key::shared(format!("of/{side}/{i}")), Some("here alone"));
        let scale = format!(r#"{{"component_ref":"file:///{i}","component_id":"c{i}","count":2}}"#);
        assert_eq!(site.ask(i, &format!("component.scale.{id}"), &scale), 1);
        site.world.run_for(Duration::from_millis(137));
        site.write(i, &Key::shared("both"), Some(&format!("{side} {i}")));
        let target = format!(
            r#"{{"source_id":"s","target":"t{i}","wit_namespace":"n","wit_package":"p{side}","interfaces":["i"]}}"#
        );
        assert_eq!(site.ask(i, "link.put", &target), 1, "a side serves itself, once");
    }
    site.write(0, &Key::shared("gone"), None);
    site.write(5, &Key::shared("never seen on the left"), None);
}

/// Goal: after the heal all six agree, soon; what each has written of itself, and what a side alone has written, stands;
/// what both have written is one of the two, everywhere the same; what runs goes on.
#[test]
fn two_halves_agree_after_the_heal() {
    let mut longest = Duration::ZERO;
    for seed in 1..=seeds(20) {
        let mut site = Site::formed(seed);
        site.write(0, &Key::shared("gone"), Some("before"));
        site.write(2, &Key::shared("never seen on the left"), Some("before"));
        site.wait("all alike", secs(10), |site| site.alike(&[0, 1, 2, 3, 4, 5]));
        let cut = site.world.partition(&[&LEFT, &RIGHT]);
        site.wait("the halves have lost each other", secs(20), |site| (0..NODES).all(|i| site.reaches(i) == 2));
        change_apart(&mut site);
        if seed % 3 == 0 {
            site.world.restart(4);
        }
        site.world.run_for(secs(20));
        assert!(site.alike(&LEFT) && site.alike(&RIGHT) && !site.alike(&[0, 3]), "seed {seed}");
        let repaired = site.count("repaired");
        site.world.lift(cut);
        site.wait("all reach all", secs(60), |site| (0..NODES).all(|i| site.reaches(i) == NODES - 1));
        let took = site.wait("all alike", SOON, |site| site.alike(&[0, 1, 2, 3, 4, 5]));
        longest = longest.max(took);
        assert!(site.count("repaired") > repaired, "seed {seed}: what was written apart came by a repair");
        check(&site, seed);
    }
    println!("all alike at most {longest:?} after all reached all");
}

fn check(site: &Site, seed: u64) {
    let state = site.state(0);
    for (i, id) in site.nodes.ids().into_iter().enumerate() {
        let side = if LEFT.contains(&i) { "left" } else { "right" };
        assert_eq!(state.get(&Key::owned(id, "labels")), Some(side.as_bytes().to_vec()), "seed {seed}");
        assert_eq!(state.get(&Key::shared(format!("of/{side}/{i}"))), Some(b"here alone".to_vec()), "seed {seed}");
        assert!(state.get(&Key::owned(id, format!("run/c{i}"))).is_some(), "seed {seed}");
        assert_eq!(site.runs(i), [format!("c{i}")], "seed {seed}");
    }
    assert_eq!(state.get(&Key::shared("both")), Some(b"right 5".to_vec()), "seed {seed}: the last one stands");
    assert_eq!(state.list(None, "gone"), [], "seed {seed}");
    assert_eq!(state.list(None, "never"), [], "seed {seed}");
    assert_eq!(
        state.list(None, "link/").len(),
        2,
        "seed {seed}: each side's first link stands, the others were refused"
    );
}

/// Goal: the same seed gives the same run, with hosts.
#[test]
fn hosts_do_not_disturb_the_seed() {
    let run = || {
        let mut site = Site::formed(4);
        site.write(1, &Key::shared("a"), Some("b"));
        site.world.run_for(secs(40));
        site.world.trace_hash()
    };
    assert_eq!(run(), run());
}

/// Goal: at rest a node says hardly anything: nothing is repaired, and all nodes together tell a digest in two minutes or so.
#[test]
fn little_is_said_at_rest() {
    let mut site = Site::formed(5);
    site.write(1, &Key::shared("a"), Some("b"));
    site.world.run_for(secs(400));
    let (digests, repairs) = (site.count("digests"), site.count("repairs"));
    site.world.run_for(secs(1280));
    assert_eq!(site.count("repairs"), repairs);
    let told = site.count("digests") - digests;
    assert!((5..60).contains(&told), "{told}");
}

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
/// How soon after hosts have come or gone apps are as they are wanted.
const SETTLED: Duration = Duration::from_secs(5);

fn shop(carts: u32) -> String {
    format!(
        r#"{{"components":{{
            "cart":{{"image":"file:///cart","spread":{{"instances":{carts}}}}},
            "watch":{{"image":"file:///watch","spread":{{"per_host":1}}}}
        }}}}"#
    )
}

/// Goal: an app has what it wants on each side of a split, which changes it apart from the other, and after the heal once: soon, with as many instances at
/// any time as were there before, and none too many at the end.
#[test]
fn an_app_is_whole_on_each_side_of_a_split() {
    let mut longest = Duration::ZERO;
    for seed in 1..=seeds(20) {
        let mut site = Site::formed(seed);
        site.deploy(2, &shop(8));
        site.wait("the app runs", SOON, |site| site.has("cart", 8, &ALL) && site.has("watch", 6, &ALL));
        let cut = site.world.partition(&[&LEFT, &RIGHT]);
        site.wait("the halves have lost each other", secs(20), |site| (0..NODES).all(|i| site.reaches(i) == 2));
        let halves = |site: &Site| site.has("cart", 8, &LEFT) && site.has("cart", 8, &RIGHT);
        longest = longest.max(site.wait("each half has all", SETTLED, halves));
        site.deploy(0, &shop(4));
        site.wait("the left has half", SOON, |site| site.has("cart", 4, &LEFT) && site.has("cart", 8, &RIGHT));
        site.deploy(5, &shop(10));
        site.wait("the right has more", SOON, |site| site.has("cart", 10, &RIGHT));
        site.world.lift(cut);
        site.wait("all reach all", secs(60), |site| (0..NODES).all(|i| site.reaches(i) == NODES - 1));
        let whole = |site: &Site| {
            assert!(site.instances("cart", &ALL).iter().sum::<u32>() >= 10, "seed {seed}: none is given up too early");
            site.has("cart", 10, &ALL) && site.has("watch", 6, &ALL)
        };
        longest = longest.max(site.wait("what was said last stands, once", SETTLED, whole));
    }
    println!("as it is wanted at most {longest:?} after hosts came or went");
}

/// Goal: what a host ran that died is there again soon, and nothing is too much after it is back.
#[test]
fn an_app_outlives_a_host() {
    for seed in 1..=seeds(20) {
        let mut site = Site::formed(seed);
        site.deploy(1, &shop(9));
        site.wait("the app runs", SOON, |site| site.has("cart", 9, &ALL));
        site.world.kill(3);
        let left = [0, 1, 2, 4, 5];
        site.wait("it is missed", secs(20), |site| left.iter().all(|i| site.reaches(*i) == NODES - 2));
        site.wait("the others run all", SETTLED, |site| site.has("cart", 9, &left));
        site.world.boot(3);
        site.wait("all reach all", secs(60), |site| (0..NODES).all(|i| site.reaches(i) == NODES - 1));
        site.wait("it has its share again", SOON, |site| site.has("cart", 9, &ALL) && site.has("watch", 6, &ALL));
        site.world.run_for(secs(20));
        assert!(site.has("cart", 9, &ALL), "seed {seed}: it stays so");
    }
}

/// Goal: what is remembered and does not run, as after a start without its image, is tried again within the minute.
#[test]
fn what_does_not_run_is_tried_again() {
    let mut site = Site::formed(6);
    site.deploy(1, &shop(6));
    site.wait("the app runs", SOON, |site| site.has("cart", 6, &ALL));
    let ended = {
        let double = site.doubles.lock().unwrap()[&4].clone();
        let spec = Spec { count: 0, ..double.specs()["cart"].clone() };
        double.apply(spec)
    };
    site.world.host(4).env().spawn(async move { ended.await.unwrap() });
    site.wait("it has ended", SOON, |site| site.instances("cart", &[4]) == [0]);
    site.wait("it runs again", secs(40), |site| site.has("cart", 6, &ALL));
}
