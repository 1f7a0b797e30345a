//! The spool keeps order, forgets nothing, and stays within its bounds.

use super::*;
use engine::{Action, Event, Question, SessionId};
use media::StreamKey;
use std::sync::Arc;

const LIMITS: SpoolLimits = SpoolLimits { facts: 1_000, age: Duration::from_secs(3600) };

fn target(url: &str) -> Target {
    Target::parse(url, Duration::from_secs(1)).unwrap()
}

fn event(what: What, session: u64, name: &str) -> Numbered {
    let key = StreamKey::parse("live", name, 64).unwrap();
    let request = Arc::new(Question {
        session: SessionId(session),
        shard: 0,
        action: Action::Publish,
        key: key.clone(),
        query: [("a".into(), "b".into())].into(),
        peer: "10.0.0.1:9".parse().unwrap(),
        protocol: "rtmp",
        user_agent: "x".into(),
        host: "".into(),
    });
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let ended = matches!(what, What::PublishEnded | What::PlayEnded);
    let reason = ended.then(|| "ended by peer".to_owned());
    let (session, accepted) = (SessionId(session), at);
    let event = Event {
        what,
        session,
        shard: 0,
        key,
        generation: 1,
        request,
        accepted,
        at,
        bytes_in: 1,
        bytes_out: 2,
        reason,
    };
    Numbered { id: session.0, sequence: session.0, event }
}

fn put_events(spool: &Spool, targets: &[Target], events: &[Numbered]) {
    for event in events {
        spool.record(targets, &[(event, &Fields::of_event(event))]).unwrap();
    }
}

fn taken(spool: &Spool, target: &Target) -> Vec<(String, String)> {
    let due = spool.take(&target.url, 100, &AtomicBool::new(false)).unwrap();
    let action = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["action"].to_string();
    due.iter().map(|fact| (fact.stream.clone(), action(&fact.body))).collect()
}

#[test]
fn bodies_have_the_known_fields() {
    let text = Fields::of_event(&event(What::PublishEnded, 7, "a")).text();
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (field, expected) in [
        ("id", json!("7")),
        ("ip", json!("10.0.0.1:9")),
        ("app", json!("live")),
        ("name", json!("a")),
        ("query", json!({"a": "b"})),
        ("protocol", json!("rtmp")),
        ("createtime", json!(1000)),
        ("endtime", json!(1000)),
        ("inbytes", json!(1)),
        ("outbytes", json!(2)),
        ("action", json!("donePublish")),
        ("generation", json!(1)),
        ("reason", json!("ended by peer")),
        ("user_agent", json!("x")),
    ] {
        assert_eq!(body[field], expected, "{field}");
    }
}

#[test]
fn one_at_a_time_and_in_order_for_each_stream_and_target() {
    let targets = [target("http://a/"), target("http://b/ actions=donePublish")];
    let spool = Spool::open(None, LIMITS, &targets).unwrap();
    use What::*;
    put_events(
        &spool,
        &targets,
        &[event(PublishStarted, 1, "a"), event(PublishStarted, 2, "b"), event(PublishEnded, 1, "a")],
    );
    let first = spool.take("http://a/", 100, &AtomicBool::new(false)).unwrap();
    assert_eq!(first.iter().map(|f| f.stream.as_str()).collect::<Vec<_>>(), ["live/a", "live/b"]);
    // Busy ones are not given twice.
    assert!(spool.take("http://a/", 100, &AtomicBool::new(false)).unwrap().is_empty());
    spool.done("http://a/", &first[0]).unwrap();
    assert_eq!(taken(&spool, &targets[0]), [("live/a".into(), "\"donePublish\"".into())]);
    // One that failed waits, and is the same then.
    assert!(!spool.again("http://a/", &first[1], Duration::from_secs(60)).unwrap());
    assert!(taken(&spool, &targets[0]).is_empty());
    assert!(spool.next("http://a/").unwrap().unwrap() > Duration::from_secs(50));
    spool.again("http://a/", &first[1], Duration::ZERO).unwrap();
    let again = spool.take("http://a/", 100, &AtomicBool::new(false)).unwrap();
    assert_eq!((&again[0].body, again[0].event, again[0].attempts), (&first[1].body, first[1].event, 1));
    // Nothing is taken by whoever has ended.
    spool.again("http://a/", &again[0], Duration::ZERO).unwrap();
    assert!(spool.take("http://a/", 100, &AtomicBool::new(true)).unwrap().is_empty());
    assert_eq!(spool.take("http://a/", 100, &AtomicBool::new(false)).unwrap().len(), 1);
    // The other target wants one kind alone.
    assert_eq!(taken(&spool, &targets[1]), [("live/a".into(), "\"donePublish\"".into())]);
    assert_eq!(spool.counts("http://b/").unwrap().waiting, 1);
}

#[test]
fn what_finds_no_room_or_gets_too_old_is_given_up_and_counted() {
    let targets = [target("http://a/")];
    let spool = Spool::open(None, SpoolLimits { facts: 3, ..LIMITS }, &targets).unwrap();
    let events: Vec<Numbered> = (0..5).map(|n| event(What::PublishStarted, n, &format!("s{n}"))).collect();
    put_events(&spool, &targets, &events);
    let counts = spool.counts("http://a/").unwrap();
    assert_eq!((counts.waiting, counts.dead), (3, 2));
    // One that is being sent stays, and so does the order behind it.
    let one = [target("http://one/")];
    let events: Vec<Numbered> = (0..6).map(|n| event(What::PublishStarted, n, "same")).collect();
    put_events(&spool, &one, &events[..1]);
    let sent = spool.take("http://one/", 10, &AtomicBool::new(false)).unwrap();
    put_events(&spool, &one, &events[1..]);
    assert_eq!(spool.counts("http://one/").unwrap().waiting, 3);
    assert!(spool.take("http://one/", 10, &AtomicBool::new(false)).unwrap().is_empty());
    spool.done("http://one/", &sent[0]).unwrap();
    let next = spool.take("http://one/", 10, &AtomicBool::new(false)).unwrap();
    assert!(next[0].body.contains("\"id\":\"4\""), "{}", next[0].body);
    let due = spool.take("http://a/", 10, &AtomicBool::new(false)).unwrap();
    assert_eq!(
        due.iter().map(|fact| fact.stream.as_str()).collect::<Vec<_>>(),
        ["live/s2", "live/s3", "live/s4"]
    );
    spool.limit(SpoolLimits { age: Duration::ZERO, ..LIMITS });
    std::thread::sleep(Duration::from_millis(3));
    assert!(spool.again("http://a/", &due[0], Duration::ZERO).unwrap());
    let counts = spool.counts("http://a/").unwrap();
    assert_eq!((counts.waiting, counts.dead), (2, 3));
}

#[test]
fn all_is_there_after_the_process_died_and_open_sessions_are_ended() {
    let folder = std::env::temp_dir().join(format!("shardcast-spool-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let targets = [target("http://a/")];
    let spool = Spool::open(Some(&folder), LIMITS, &targets).unwrap();
    assert_eq!(
        (spool.number("live/a"), spool.number("live/a"), spool.number("live/b")),
        (Ok(1), Ok(1), Ok(1)),
        "a number is used when its event is written, not when it is asked for"
    );
    use What::*;
    put_events(
        &spool,
        &targets,
        &[event(PublishStarted, 1, "a"), event(PlayStarted, 2, "a"), event(PlayStarted, 3, "a")],
    );
    put_events(&spool, &targets, &[Numbered { sequence: 4, ..event(PlayEnded, 3, "a") }]);
    let busy = spool.take("http://a/", 10, &AtomicBool::new(false)).unwrap();
    assert_eq!(busy.len(), 1);
    assert!(Spool::open(Some(&folder), LIMITS, &targets).err().unwrap().contains("another server"));
    // As if it had been killed: nothing is finished.
    drop(spool);
    let spool = Spool::open(Some(&folder), LIMITS, &targets).unwrap();
    let mut actions = Vec::new();
    loop {
        let due = spool.take("http://a/", 1, &AtomicBool::new(false)).unwrap();
        let Some(fact) = due.first() else { break };
        let body: serde_json::Value = serde_json::from_str(&fact.body).unwrap();
        actions.push(format!("{} {}", body["action"].as_str().unwrap(), body["id"].as_str().unwrap()));
        if actions.len() == 1 {
            assert_eq!(fact.body, busy[0].body);
        }
        if actions.len() == 5 {
            assert_eq!((&body["reason"], &body["sequence"]), (&json!("the server died"), &json!(5)));
        }
        spool.done("http://a/", fact).unwrap();
    }
    assert_eq!(
        actions,
        ["postPublish 1", "postPlay 2", "postPlay 3", "donePlay 3", "donePlay 2", "donePublish 1"]
    );
    assert_eq!(spool.number("live/a"), Ok(7));
    drop(spool);
    let spool = Spool::open(Some(&folder), LIMITS, &targets).unwrap();
    assert_eq!(spool.counts("http://a/").unwrap().waiting, 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let targets = [target("http://a/")];
    let spool = Spool::open(None, LIMITS, &targets).unwrap();
    let events = [event(What::PublishStarted, 1, "a"), event(What::PublishStarted, 2, "b")];
    put_events(&spool, &targets, &events);
    let due = spool.take("http://a/", 10, &AtomicBool::new(false)).unwrap();
    // As it looks when the clock was set back by a day after the first try.
    spool.again("http://a/", &due[0], Duration::from_secs(86_400)).unwrap();
    spool.again("http://a/", &due[1], Duration::from_secs(86_400)).unwrap();
    assert!(spool.take("http://a/", 10, &AtomicBool::new(false)).unwrap().is_empty());
    assert_eq!(spool.next("http://a/"), Ok(Some(Duration::ZERO)));
    assert_eq!(spool.take("http://a/", 10, &AtomicBool::new(false)).unwrap().len(), 2);
}
