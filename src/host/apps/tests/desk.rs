use crate::host::apps::answer;
use crate::host::control::tests::{Memory, facts};
use crate::host::control::{Answer, Books, Desk, Reply};
use serde_json::{Value, json};

/// A desk, and what is said at it about apps.
struct Talk(Desk, Books);

impl Talk {
    fn new() -> Self {
        let books = Books::new(Memory::new());
        Self(Desk::new(facts(), books.clone()), books)
    }

    /// Asks for apps.
    fn app(&self, operation: &str, body: &Value) -> Answer {
        let subject = format!("lattice.ctl.v1.default.{operation}");
        answer(&self.0, &self.1, &subject, body.to_string().as_bytes()).unwrap()
    }

    #[track_caller]
    fn refused(&self, operation: &str, body: &Value, why: &str) {
        let answer = self.app(operation, body);
        let reply = answer.reply.unwrap();
        assert!(!reply.success && reply.message.contains(why), "{operation}: {reply:?}");
        assert_eq!(answer.events, []);
    }
}

fn greeter() -> Value {
    json!({
        "components": { "hello": {
            "image": "file:///hello", "spread": { "instances": 3 }, "config": ["hello-words"],
        } },
        "providers": { "web": { "image": "wasmcloud+builtin://http-server" } },
        "configs": { "hello-words": { "greeting": "hi", "secret": "x" } },
        "links": [{
            "source_id": "web", "target": "hello", "wit_namespace": "wasi", "wit_package": "http",
            "interfaces": ["incoming-handler"],
        }],
    })
}

/// Goal: an app is planned without a change, written, changed, listed and removed, with all that belongs to it.
#[test]
fn apps_are_written_down_as_a_whole() {
    let talk = Talk::new();
    let planned = talk.app("app.plan.greeter", &greeter());
    let changes = json!([
        { "action": "add", "what": "component", "name": "hello", "detail": "file:///hello, 3 in all" },
        { "action": "add", "what": "provider", "name": "web", "detail": "wasmcloud+builtin://http-server" },
        { "action": "add", "what": "configuration", "name": "hello-words", "detail": "greeting, secret" },
        { "action": "add", "what": "link", "name": "default of web for wasi:http",
          "detail": "web calls wasi:http/incoming-handler of hello" },
    ]);
    assert_eq!(planned, Answer::from(Reply::with(changes.clone())));
    assert_eq!((talk.1.apps("default").len(), talk.1.links().len()), (0, 0));

    let put = talk.app("app.put.greeter", &greeter());
    assert_eq!(put.reply, Some(Reply::with(changes)));
    assert_eq!(put.events.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["config_set", "linkdef_set"]);
    assert_eq!((talk.1.links().len(), talk.1.config("hello-words").unwrap().len()), (1, 2));
    assert_eq!(talk.app("app.put.greeter", &greeter()).reply, Some(Reply::with(json!([]))), "nothing has changed");

    let mut other = greeter();
    other["components"]["hello"]["spread"] = json!({ "per_host": 1 });
    other["links"][0]["target"] = json!("elsewhere");
    other["configs"] = json!({});
    let changed = talk.app("app.put.greeter", &other);
    assert_eq!(
        changed.events.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["linkdef_deleted", "linkdef_set", "config_deleted"]
    );
    assert_eq!((talk.1.links()[0].target.as_str(), talk.1.config("hello-words")), ("elsewhere", None));
    let listed = talk.app("app.list", &json!({})).reply.unwrap().response.unwrap();
    assert_eq!(listed["greeter"]["components"]["hello"]["spread"], json!({ "per_host": 1 }));

    let deleted = talk.app("app.del.greeter", &json!({}));
    assert_eq!(deleted.events.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["linkdef_deleted"]);
    assert_eq!((talk.1.apps("default").len(), talk.1.links().len()), (0, 0));
    talk.refused("app.del.greeter", &json!({}), "there is no app \"greeter\": there are none");
}

#[test]
fn what_cannot_be_an_app_is_refused_whole() {
    let talk = Talk::new();
    talk.app("app.put.greeter", &greeter());
    let mut other = greeter();
    talk.refused("app.put.second", &other, "component hello is of app greeter already");
    other["components"] = json!({ "hi": { "image": "a", "spread": { "instances": 1 } } });
    talk.refused("app.put.second", &other, "provider web is of app greeter already");
    other["providers"] = json!({});
    talk.refused("app.put.second", &other, "configuration hello-words is of app greeter already");
    other["configs"] = json!({});
    talk.refused("app.put.second", &other, "link default of web for wasi:http is of app greeter already");

    talk.refused("app.put.a.b", &greeter(), "1 to 100 letters");
    talk.refused("app.put.new", &json!({}), "neither components nor providers");
    talk.refused("app.put.new", &json!({ "component": {} }), "unknown field `component`");
    let with = |field: &str, value: Value| {
        let mut app = json!({ "components": { "x": { "image": "a", "spread": { "instances": 1 } } } });
        app["components"]["x"][field] = value;
        app
    };
    talk.refused("app.put.new", &with("spread", json!({ "instances": 0 })), "0 instances: expected 1 to 10000");
    talk.refused("app.put.new", &with("image", json!("")), "image is \"\": it must not be empty");
    talk.refused("app.put.new", &with("limits", json!({ "max_memory": "1" })), "max_memory_limit");
    let nats = json!({ "providers": { "x": { "image": "ghcr.io/messaging-nats" } } });
    talk.refused("app.put.new", &nats, "expected wasmcloud+builtin://http-server");
    talk.refused("app.take.new", &json!({}), "unknown operation app.take.new");
    assert_eq!(talk.1.apps("default").len(), 1);
}

/// Goal: a link that somebody else has made is not taken over, and nothing of the app is there then.
#[test]
fn an_app_does_not_take_a_link_over() {
    let talk = Talk::new();
    let mut link = greeter()["links"][0].clone();
    link["target"] = json!("elsewhere");
    talk.1.put_link(&serde_json::from_value(link).unwrap()).unwrap();
    talk.refused("app.put.greeter", &greeter(), "sends incoming-handler to elsewhere already");
    assert_eq!((talk.1.apps("default").len(), talk.1.config("hello-words")), (0, None));
}

/// Goal: what cannot be kept is refused before anything of it is.
#[test]
fn an_app_that_is_too_large_leaves_nothing_behind() {
    let talk = Talk::new();
    let mut large = greeter();
    let component = json!({ "image": "x".repeat(200), "spread": { "instances": 1 } });
    for n in 0..70 {
        large["components"][format!("c{n}")] = component.clone();
    }
    talk.refused("app.put.greeter", &large, "the value of app/default/greeter has");
    let mut large = greeter();
    large["configs"]["hello-words"]["long"] = json!("x".repeat(13_000));
    talk.refused("app.plan.greeter", &large, "the value of config/hello-words has");
    let mut long = greeter();
    long["links"][0]["source_id"] = json!("s".repeat(100));
    long["links"][0]["name"] = json!("n".repeat(100));
    long["links"][0]["wit_package"] = json!("p".repeat(100));
    talk.refused("app.put.greeter", &long, "the name of a record has");
    let mut twice = greeter();
    let mut link = twice["links"][0].clone();
    link["interfaces"] = json!(["other"]);
    twice["links"].as_array_mut().unwrap().push(link);
    talk.refused("app.put.greeter", &twice, "two links are default of web for wasi:http");
    assert_eq!((talk.1.links().len(), talk.1.config("hello-words"), talk.1.apps("default").len()), (0, None, 0));
}

/// Goal: of two apps that were deployed apart from each other, and have a link and a configuration in common, one can be given up
/// without the other's harm.
#[test]
fn what_two_apps_have_stays_for_the_other() {
    let talk = Talk::new();
    talk.app("app.put.greeter", &greeter());
    let kept = talk.1.app("default", "greeter").unwrap();
    talk.1.set_app("default", "second", Some(&kept)).unwrap();
    assert_eq!(talk.app("app.del.second", &json!({})).events, []);
    assert_eq!((talk.1.links().len(), talk.1.config("hello-words").unwrap().len()), (1, 2));
    assert_eq!(talk.app("app.del.greeter", &json!({})).events.len(), 2);
    assert_eq!((talk.1.links().len(), talk.1.config("hello-words")), (0, None));
}
