//! A session that was allowed to play: it waits for the stream, then the engine serves it alone.

use super::{Bridge, Heard, LOOK, Left, Why};
use crate::table::AnySession;
use engine::{Attach, Peer, PeerState, Shard};
use media::{Moment, Refusal, StopReason};
use protocols::{Error, Event, Input, Output, PlayRequest, Session, Verdict};
use rt::Either;

impl Bridge {
    pub(super) async fn play(mut self, request: PlayRequest) -> Left {
        match self.wait_for(&request).await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return self.refuse(refusal).await,
            Err(why) => return self.gone(why).await,
        }
        self.tell(Input::Verdict(Verdict::Allow));
        let drained = self.drain(None);
        if drained.ended {
            if let Err(why) = self.send(&drained).await {
                return self.gone(why).await;
            }
            return Left::Free(self);
        }
        if let Some(error) = drained.closed {
            return self.gone(Why::Session(error)).await;
        }
        self.attach(request, drained.out);
        Left::Gone
    }

    /// Waits for the stream while listening to the peer, which may leave.
    async fn wait_for(&mut self, request: &PlayRequest) -> Result<Result<(), Refusal>, Why> {
        let shard = self.shard().clone();
        let record = self.guard.record();
        let waiting = shard.await_stream(&record, &request.key);
        let mut waiting = std::pin::pin!(waiting);
        loop {
            let until = shard.now().plus(LOOK);
            match rt::either(waiting.as_mut(), self.listen(until)).await {
                Either::Left(found) => return Ok(found),
                Either::Right(heard) => match heard?.0 {
                    Heard::Eof => return Err(Why::Eof),
                    Heard::Stop(reason) => return Err(Why::Stop(reason)),
                    Heard::Bytes | Heard::Time => {
                        let drained = self.drain(None);
                        if let Some(error) = drained.closed {
                            return Err(Why::Session(error));
                        }
                        self.send(&drained).await?;
                        // A session keeps further requests until it knows the verdict of this one.
                        if drained.ended || drained.request.is_some() {
                            return Err(Why::Session(Some(Error::misbehaved("asks before it is answered"))));
                        }
                    }
                },
            }
        }
    }

    fn attach(self, request: PlayRequest, greeting: Vec<u8>) {
        let Self { local, conn, session, guard, .. } = self;
        let shard = local.shard.clone();
        let transport = match conn.park() {
            Ok(parked) => parked.into_transport(),
            Err(error) => {
                guard.end(format!("socket: {error}"));
                return;
            }
        };
        let now = shard.now();
        tracing::info!(
            session = %guard.id(),
            stream = %request.key,
            peer = %guard.peer(),
            protocol = guard.protocol(),
            shard = shard.index(),
            "playing"
        );
        guard.step("playing", now);
        let peer = SessionPeer { session, shard: shard.clone() };
        shard.attach(Attach {
            transport,
            peer: Box::new(peer),
            session: guard,
            key: request.key,
            rendition: request.rendition,
            start: request.start,
            greeting,
        });
    }
}

/// A session as a viewer's protocol side in the engine.
struct SessionPeer {
    session: AnySession,
    shard: Shard,
}

impl SessionPeer {
    fn drain(&mut self, now: Moment, out: &mut Vec<u8>) -> PeerState {
        loop {
            match self.session.poll(now) {
                Output::Bytes(bytes) => out.extend_from_slice(&bytes),
                Output::Wait(_) => return PeerState::Open,
                Output::Event(Event::Leniency(name)) => self.shard.count_leniency(name),
                Output::Event(Event::Closed(error)) => {
                    return PeerState::Ended(error.map(|error| error.what));
                }
                Output::Event(Event::PlayEnd) => return PeerState::Ended(None),
                Output::Event(_) => {}
            }
        }
    }
}

impl Peer for SessionPeer {
    fn bytes(&mut self, now: Moment, bytes: &[u8], out: &mut Vec<u8>) -> PeerState {
        let _ = self.session.handle(now, Input::Bytes(bytes));
        self.drain(now, out)
    }

    fn tick(&mut self, now: Moment, out: &mut Vec<u8>) -> PeerState {
        let _ = self.session.handle(now, Input::Tick);
        self.drain(now, out)
    }

    fn stop(&mut self, now: Moment, reason: StopReason, out: &mut Vec<u8>) {
        let _ = self.session.handle(now, Input::Stop(reason));
        self.drain(now, out);
    }
}
