//! From the handshake to the answer to `publish` or `play`: the same for both roles but for a few commands.

use super::dial::Dial;
use super::status::{Status, StatusCode};
use crate::container::flv::Form;
use crate::rtmp::capability;
use crate::rtmp::chunk::Message;
use crate::rtmp::command::{Command, object, text};
use crate::rtmp::handshake::ConnectingHandshake;
use crate::rtmp::link::Link;
use crate::rtmp::message::{Control, kind};
use crate::rtmp::outbox::Outbox;
use crate::rtmp::url::stream_name;
use crate::{Error, Event, Input};
use media::MetaValue;

/// Time that a player says it buffers, in milliseconds: what ffmpeg says.
const BUFFER_MS: u32 = 3000;
/// Transaction numbers; the answers are told apart by them.
const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE: f64 = 4.0;
const REQUEST: f64 = 5.0;

/// How far the connecting side has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Before the end of the handshake.
    Handshake,
    /// `connect` is out.
    Connecting,
    /// `createStream` is out.
    Creating,
    /// `publish` or `play` is out.
    Asking,
    /// The server agreed.
    Active,
    /// The server said no.
    Refused(Status),
    /// The server ended what it had agreed to.
    Stopped(Status),
    /// The connection is over for another reason.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publish,
    Play,
}

/// See the module.
pub(super) struct Dialer {
    pub dial: Dial,
    pub link: Link,
    role: Role,
    progress: Progress,
    handshake: Option<Box<ConnectingHandshake>>,
    stream_id: u32,
    server_form: Form,
    last_status: Option<Status>,
    closed: bool,
}

impl Dialer {
    pub fn new(dial: Dial, role: Role, seed: u64) -> Self {
        let mut link = Link::new(dial.chunks);
        let handshake = ConnectingHandshake::new(dial.handshake, seed, link.outbox.bytes());
        Self {
            dial,
            link,
            role,
            progress: Progress::Handshake,
            handshake: Some(Box::new(handshake)),
            stream_id: 0,
            server_form: Form::LEGACY,
            last_status: None,
            closed: false,
        }
    }

    /// Takes one input; what the server sends as media goes to `media`.
    pub fn handle(
        &mut self,
        input: Input<'_>,
        mut media: impl FnMut(Message, &mut Outbox) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let result = match input {
            Input::Bytes(mut bytes) => loop {
                match self.read(&mut bytes) {
                    Ok(Some(message)) => {
                        if let Err(error) = media(message, &mut self.link.outbox) {
                            break Err(error);
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
            Input::Eof => {
                self.close(None);
                Ok(())
            }
            Input::Stop(_) => {
                self.leave();
                Ok(())
            }
            Input::Verdict(_) | Input::Tick => Ok(()),
        };
        if let Err(error) = result {
            self.close(Some(error));
        }
        result
    }

    /// The next message that is media; `None` once all of `input` was taken.
    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(input, self.link.outbox.bytes())? {
                return Ok(None);
            }
            self.handshake = None;
            self.link.outbox.event(Event::Step("handshake"));
            self.connect();
        }
        while !self.closed {
            let Some(message) = self.link.read(input)? else {
                self.link.acknowledge();
                break;
            };
            match message.kind {
                kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                    self.command(&Command::parse(message.kind, &message.payload)?)?;
                }
                kind::AUDIO | kind::VIDEO | kind::DATA_AMF0 | kind::DATA_AMF3 | kind::AGGREGATE => {
                    return Ok(Some(message));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Takes leave and closes.
    pub fn leave(&mut self) {
        if !self.closed && self.stream_id > 0 {
            if self.role == Role::Publish {
                self.link.command(0, "FCUnpublish", 6.0, vec![MetaValue::Null, self.name()]);
            }
            let id = MetaValue::Number(f64::from(self.stream_id));
            self.link.command(0, "deleteStream", 7.0, vec![MetaValue::Null, id]);
        }
        self.close(None);
    }

    /// Ends the session; only the first reason counts.
    fn close(&mut self, why: Option<Error>) {
        if self.closed {
            return;
        }
        self.closed = true;
        if !matches!(self.progress, Progress::Refused(_) | Progress::Stopped(_)) {
            self.progress = Progress::Closed;
        }
        self.link.outbox.event(Event::Closed(why));
    }

    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn is_active(&self) -> bool {
        self.progress == Progress::Active
    }

    pub const fn stream_id(&self) -> u32 {
        self.stream_id
    }

    /// The spelling that the dial and the server's announcement come to.
    pub const fn form(&self) -> Form {
        self.dial.form.form(self.server_form)
    }

    pub const fn last_status(&self) -> Option<&Status> {
        self.last_status.as_ref()
    }

    pub fn buffered_bytes(&self) -> usize {
        let handshake = self.handshake.as_ref().map_or(0, |handshake| handshake.buffered_bytes());
        self.link.buffered_bytes().saturating_add(handshake)
    }

    fn connect(&mut self) {
        self.link.announce_chunk_size(self.dial.chunk_size.clamp(1, 65536));
        let mut fields = vec![("app", text(self.dial.key.app()))];
        if self.role == Role::Publish {
            fields.push(("type", text("nonprivate")));
        }
        fields.push(("flashVer", text(&self.dial.agent)));
        fields.push(("tcUrl", text(&self.dial.tc_url())));
        if self.role == Role::Play {
            fields.push(("fpad", MetaValue::Bool(false)));
            for (name, value) in [
                ("capabilities", 15.0),
                ("audioCodecs", 4071.0),
                ("videoCodecs", 252.0),
                ("videoFunction", 1.0),
            ] {
                fields.push((name, MetaValue::Number(value)));
            }
        }
        fields.extend(capability::of_codes(&self.dial.fourccs));
        self.link.command(0, "connect", CONNECT, vec![object(&fields)]);
        self.progress = Progress::Connecting;
    }

    fn command(&mut self, command: &Command) -> Result<(), Error> {
        match command.name.as_str() {
            "_result" => {
                self.result(command);
                Ok(())
            }
            "_error" => self.error(command),
            "onStatus" => self.status(Status::of(command)),
            "close" => {
                self.close(None);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[allow(clippy::float_cmp)] // transactions are our own small whole numbers
    fn result(&mut self, command: &Command) {
        if command.transaction == CONNECT && self.progress == Progress::Connecting {
            self.server_form = capability::announced(&command.object);
            self.last_status = Some(Status::of(command));
            self.link.outbox.event(Event::Step("connect"));
            self.create();
        } else if command.transaction == CREATE && self.progress == Progress::Creating {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
            let stream_id = command.number(0).unwrap_or(1.0) as u32;
            self.stream_id = stream_id;
            self.ask();
        }
    }

    fn create(&mut self) {
        self.progress = Progress::Creating;
        if self.role == Role::Publish {
            self.link.command(0, "releaseStream", RELEASE, vec![MetaValue::Null, self.name()]);
            self.link.command(0, "FCPublish", FC_PUBLISH, vec![MetaValue::Null, self.name()]);
        }
        self.link.command(0, "createStream", CREATE, vec![MetaValue::Null]);
    }

    fn ask(&mut self) {
        self.progress = Progress::Asking;
        let id = self.stream_id;
        if self.role == Role::Publish {
            self.link.command(id, "publish", REQUEST, vec![MetaValue::Null, self.name(), text("live")]);
        } else {
            let live_or_recorded = MetaValue::Number(-2000.0);
            self.link.command(id, "play", REQUEST, vec![MetaValue::Null, self.name(), live_or_recorded]);
            self.link.control(Control::SetBufferLength(id, BUFFER_MS));
        }
    }

    /// An `_error` ends the session only where its answer is needed: servers send it for `releaseStream` too.
    #[allow(clippy::float_cmp)] // as in `result`
    fn error(&mut self, command: &Command) -> Result<(), Error> {
        let needed = match self.progress {
            Progress::Connecting => CONNECT,
            Progress::Creating => CREATE,
            _ => REQUEST,
        };
        if command.transaction != needed {
            return Ok(());
        }
        self.refused(Status { is_error: true, ..Status::of(command) })
    }

    fn status(&mut self, status: Status) -> Result<(), Error> {
        self.last_status = Some(status.clone());
        let agreed = match self.role {
            Role::Publish => status.code == StatusCode::PublishStart,
            Role::Play => matches!(status.code, StatusCode::PlayStart | StatusCode::PlayPublishNotify),
        };
        match self.progress {
            Progress::Asking if agreed => {
                self.progress = Progress::Active;
                let step = if self.role == Role::Publish { "publish" } else { "play" };
                self.link.outbox.event(Event::Step(step));
            }
            Progress::Active if status.is_error || ends(&status.code) => {
                self.progress = Progress::Stopped(status);
                self.close(None);
            }
            Progress::Connecting | Progress::Creating | Progress::Asking if status.is_error => {
                return self.refused(status);
            }
            _ => {}
        }
        Ok(())
    }

    fn refused(&mut self, status: Status) -> Result<(), Error> {
        let what = match (&self.progress, self.role) {
            (Progress::Connecting, _) => "connect refused by the server",
            (_, Role::Publish) => "publish refused by the server",
            (_, Role::Play) => "play refused by the server",
        };
        self.progress = Progress::Refused(status);
        Err(Error::misbehaved(what))
    }

    fn name(&self) -> MetaValue {
        MetaValue::Text(stream_name(&self.dial.key, &self.dial.query))
    }
}

const fn ends(code: &StatusCode) -> bool {
    matches!(
        code,
        StatusCode::PlayStop
            | StatusCode::PlayUnpublishNotify
            | StatusCode::UnpublishSuccess
            | StatusCode::ConnectClosed
    )
}
