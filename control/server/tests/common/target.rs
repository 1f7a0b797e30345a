//! A callback target whose behaviour can be changed while it runs.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What it does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    /// Answers 200 with this body.
    Says(String),
    /// After a while, 200.
    Slow(Duration),
    /// With another status.
    Status(u16),
    /// Not at all, until its mood changes.
    Hangs,
    /// Closes the connection.
    Closes,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Told {
    pub body: Value,
    pub text: String,
    pub event: Option<u64>,
    pub signature: Option<(String, String)>,
    /// It was answered 200.
    pub taken: bool,
}

#[derive(Default)]
struct State {
    mood: Option<Mood>,
    told: Vec<Told>,
}

/// See the module.
pub struct CallbackTarget {
    pub addr: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl CallbackTarget {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || stream.ok().map(|stream| serve(stream, &shared)));
            }
        });
        Self { addr, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/notify", self.addr)
    }

    pub fn set(&self, mood: Mood) {
        self.shared.0.lock().unwrap().mood = Some(mood);
        self.shared.1.notify_all();
    }

    pub fn told(&self) -> Vec<Told> {
        self.shared.0.lock().unwrap().told.clone()
    }

    /// Of these actions.
    pub fn told_of(&self, action: &str) -> Vec<Told> {
        self.told().into_iter().filter(|told| told.body["action"] == action).collect()
    }
}

fn serve(stream: TcpStream, shared: &(Mutex<State>, Condvar)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut length, mut event, mut time, mut sign) = (0, None, None, None);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-shardcast-event-id" => event = Some(value.parse().unwrap()),
                "x-shardcast-timestamp" => time = Some(value.to_owned()),
                "x-shardcast-signature" => sign = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let text = String::from_utf8(body).unwrap();
        let at = {
            let mut state = shared.0.lock().unwrap();
            let body = serde_json::from_str(&text).unwrap();
            state.told.push(Told { body, text, event, signature: time.zip(sign), taken: false });
            state.told.len() - 1
        };
        let (status, answer) = answer(shared)?;
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).ok()?;
        if status == 200 {
            shared.0.lock().unwrap().told[at].taken = true;
        }
    }
}

/// Status and body; `None`: the connection is closed.
fn answer(shared: &(Mutex<State>, Condvar)) -> Option<(u16, String)> {
    let mut state = shared.0.lock().unwrap();
    loop {
        match state.mood.clone() {
            None => return Some((200, String::new())),
            Some(Mood::Says(text)) => return Some((200, text)),
            Some(Mood::Slow(wait)) => {
                drop(state);
                std::thread::sleep(wait);
                return Some((200, String::new()));
            }
            Some(Mood::Status(status)) => return Some((status, String::new())),
            Some(Mood::Closes) => return None,
            Some(Mood::Hangs) => state = shared.1.wait(state).unwrap(),
        }
    }
}
