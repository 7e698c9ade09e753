use super::super::*;
use crate::host::control::request::{Map, ScaleComponent};
use crate::host::control::{Provider, Workload};
use crate::identity::NodeId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ME: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn component(spread: Spread) -> Component {
    Component { image: "file:///a".to_owned(), spread, on: Map::new(), config: Vec::new(), limits: Map::new() }
}

fn kept(spread: Spread) -> Kept {
    Kept { components: [("c".to_owned(), component(spread))].into(), ..Kept::default() }
}

fn of_app(app: &str) -> Map {
    [(OF_APP.to_owned(), app.to_owned())].into()
}

fn workload(count: u32) -> Workload {
    Workload { image: "file:///a".to_owned(), count, annotations: of_app("app"), ..Workload::default() }
}

fn seen() -> Seen {
    Seen { in_reach: true, ..Seen::default() }
}

/// A host that looks, in a lattice that the test changes.
struct Stage {
    keeper: Keeper,
    view: View,
    start: Instant,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to one")]
    fn of(app: Kept, hosts: &[NodeId]) -> Self {
        let start = Instant::now();
        let view = View {
            me: ME,
            apps: [("app".to_owned(), Some(app))].into(),
            hosts: hosts.iter().map(|host| (*host, seen())).collect(),
            providers: BTreeMap::new(),
        };
        let mut stage = Self { keeper: Keeper::new(start), view, start };
        assert_eq!(stage.look(secs(0)).acts, [], "nothing is done at once");
        stage
    }

    fn look(&mut self, at: Duration) -> Look {
        self.keeper.look(self.start + at, &self.view, |_| false)
    }

    fn runs(&mut self, host: NodeId, workload: Option<Workload>) {
        let runs = &mut self.view.hosts.get_mut(&host).unwrap().runs;
        runs.clear();
        runs.extend(workload.map(|workload| ("c".to_owned(), workload)));
    }

    fn reaches(&mut self, host: NodeId, in_reach: bool) {
        self.view.hosts.get_mut(&host).unwrap().in_reach = in_reach;
    }

    /// Looks, and expects that component `c` is to have so many instances, or that nothing is to be done.
    #[track_caller]
    fn expect(&mut self, at: Duration, count: Option<u32>) {
        let counts: Vec<u32> = self.look(at).acts.iter().map(count_of).collect();
        assert_eq!(counts, count.into_iter().collect::<Vec<_>>(), "at {at:?}");
    }
}

fn count_of(act: &Act) -> u32 {
    match act {
        Act::Scale(ScaleComponent { component_id, count, .. }) if component_id == "c" => *count,
        act => panic!("{act:?}"),
    }
}

#[test]
fn a_host_waits_for_the_others_at_its_start() {
    let mut stage = Stage::of(kept(Spread::Instances(4)), &[ME]);
    let look = stage.look(secs(0));
    assert_eq!((look.acts.len(), look.again), (0, Some(stage.start + secs(3))));
    stage.expect(secs(3), Some(4));
}

#[test]
fn what_fails_is_tried_again_less_and_less_often() {
    let mut stage = Stage::of(kept(Spread::Instances(1)), &[ME]);
    stage.expect(secs(3), Some(1));
    let look = stage.look(secs(4));
    assert_eq!((look.acts.len(), look.again), (0, Some(stage.start + secs(8))));
    stage.expect(secs(8), Some(1));
    stage.expect(secs(17), None);
    stage.expect(secs(18), Some(1));
    // Another wish is another matter, and so is the same one after it has been met.
    stage.view.apps.insert("app".to_owned(), Some(kept(Spread::Instances(2))));
    stage.expect(secs(19), Some(2));
    stage.runs(ME, Some(workload(2)));
    stage.expect(secs(20), None);
    stage.runs(ME, None);
    stage.expect(secs(21), Some(2));
}

#[test]
fn what_is_being_changed_is_left_alone() {
    let mut stage = Stage::of(kept(Spread::Instances(1)), &[ME]);
    stage.expect(secs(0), None);
    let look = stage.keeper.look(stage.start + secs(5), &stage.view, |id| id == "c");
    assert_eq!(look.acts, []);
}

/// Goal: who has too much keeps it until another has run its share for a while, and takes it back when that one is lost.
#[test]
fn an_instance_is_given_up_only_when_another_is_there() {
    let mut stage = Stage::of(kept(Spread::Instances(4)), &[ME]);
    stage.expect(secs(3), Some(4));
    stage.runs(ME, Some(workload(4)));
    stage.expect(secs(4), None);

    stage.view.hosts.insert(OTHER, seen());
    [10, 11, 14].into_iter().for_each(|at| stage.expect(secs(at), None));
    stage.runs(OTHER, Some(workload(2)));
    stage.view.hosts.get_mut(&OTHER).unwrap().idle.insert("c".to_owned());
    stage.expect(secs(15), None);
    stage.view.hosts.get_mut(&OTHER).unwrap().idle.clear();
    stage.expect(secs(16), Some(2));
    stage.runs(ME, Some(workload(2)));
    stage.expect(secs(17), None);

    stage.reaches(OTHER, false);
    stage.expect(secs(20), None);
    stage.expect(secs(21), Some(4));
    stage.runs(ME, Some(workload(4)));
    stage.reaches(OTHER, true);
    // It counts again at 23, and has so for long enough at 25.
    [22, 23, 24].into_iter().for_each(|at| stage.expect(secs(at), None));
    stage.expect(secs(25), Some(2));
    // One that has said that it goes is not waited for.
    stage.runs(ME, Some(workload(2)));
    stage.view.hosts.remove(&OTHER);
    stage.expect(secs(30), Some(4));
}

/// Goal: a host that comes and goes all the time is what it was, and keeps nobody from anything.
#[test]
fn a_host_that_flaps_disturbs_nobody() {
    let mut stage = Stage::of(kept(Spread::Instances(4)), &[ME, OTHER]);
    stage.expect(secs(3), Some(2));
    stage.runs(ME, Some(workload(2)));
    stage.runs(OTHER, Some(workload(2)));
    for tick in 0..100 {
        stage.reaches(OTHER, tick % 2 == 0);
        stage.expect(secs(10) + Duration::from_millis(400) * tick, None);
    }
    stage.view.apps.insert("app".to_owned(), Some(kept(Spread::Instances(6))));
    stage.reaches(OTHER, true);
    stage.expect(secs(51), Some(3));
    stage.view.apps.clear();
    stage.runs(ME, Some(workload(3)));
    stage.reaches(OTHER, false);
    stage.expect(secs(52), Some(0));
}

/// Goal: another image takes the place of all that runs, also of what is too much, which goes once the others have it.
#[test]
fn another_image_is_there_before_the_surplus_of_the_old_one_goes() {
    let mut stage = Stage::of(kept(Spread::Instances(2)), &[ME, OTHER]);
    let old = Workload { image: "file:///old".to_owned(), ..workload(5) };
    stage.runs(ME, Some(old.clone()));
    stage.runs(OTHER, Some(old));
    stage.expect(secs(3), Some(5));
    stage.runs(ME, Some(workload(5)));
    stage.expect(secs(10), None);
    stage.runs(OTHER, Some(workload(1)));
    stage.expect(secs(11), Some(1));
}

/// Goal: what runs for an app that was given up goes, also where another app wants the same, and this host has no share of it.
#[test]
fn what_another_app_has_started_is_not_left_behind() {
    let mut app = kept(Spread::Instances(1));
    app.components.get_mut("c").unwrap().on = [("zone".to_owned(), "there".to_owned())].into();
    let mut stage = Stage::of(app, &[ME, OTHER]);
    stage.view.hosts.get_mut(&OTHER).unwrap().labels = [("zone".to_owned(), "there".to_owned())].into();
    stage.runs(ME, Some(Workload { annotations: of_app("old"), ..workload(1) }));
    stage.expect(secs(3), None);
    stage.runs(OTHER, Some(workload(1)));
    stage.expect(secs(5), Some(0));
    stage.runs(ME, Some(Workload { annotations: Map::new(), ..workload(1) }));
    stage.expect(secs(6), None);
}

/// Goal: what is remembered and does not run is started, and what nobody wants of that is forgotten.
#[test]
fn what_does_not_run_is_started() {
    let mut stage = Stage::of(kept(Spread::PerHost(1)), &[ME]);
    stage.runs(ME, Some(workload(1)));
    stage.view.hosts.get_mut(&ME).unwrap().idle.insert("c".to_owned());
    stage.expect(secs(3), Some(1));
    stage.view.apps.clear();
    stage.expect(secs(4), Some(0));
}

#[test]
fn what_no_app_wants_ends_at_once_and_what_a_person_runs_stays() {
    let mut stage = Stage::of(Kept::default(), &[ME]);
    stage.runs(ME, Some(workload(1)));
    stage.expect(secs(0), None);
    stage.expect(secs(3), Some(0));
    stage.runs(ME, Some(Workload { annotations: Map::new(), ..workload(1) }));
    stage.expect(secs(4), None);
    // An app that a later version has written is not judged.
    stage.runs(ME, Some(workload(1)));
    stage.view.apps.insert("app".to_owned(), None);
    stage.expect(secs(20), None);
    stage.view.apps.clear();
    stage.expect(secs(21), Some(0));
}

#[test]
fn providers_run_where_labels_say() {
    let server = Server {
        image: "wasmcloud+builtin://http-server".to_owned(),
        config: Vec::new(),
        on: [("edge".to_owned(), "yes".to_owned())].into(),
    };
    let app = Kept { providers: [("web".to_owned(), server.clone())].into(), ..Kept::default() };
    let mut stage = Stage::of(app, &[ME]);
    stage.look(secs(0));
    assert_eq!(stage.look(secs(3)).acts, []);
    stage.view.hosts.get_mut(&ME).unwrap().labels = server.on.clone();
    assert!(matches!(&stage.look(secs(4)).acts[..], [Act::Start(start)] if start.provider_id == "web"));
    assert_eq!(stage.look(secs(5)).acts, [], "tried a moment ago");
    let runs = Provider { image: server.image, config: Vec::new(), annotations: of_app("app") };
    stage.view.providers.insert("web".to_owned(), runs);
    assert_eq!(stage.look(secs(6)).acts, []);
    stage.view.hosts.get_mut(&ME).unwrap().labels.clear();
    assert!(matches!(&stage.look(secs(7)).acts[..], [Act::Stop(stop)] if stop.provider_id == "web"));
}
