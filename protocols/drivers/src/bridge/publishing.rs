//! A session that was allowed to publish, until its publication ends.

use super::{Bridge, Heard, Left, Why};
use crate::burst::Burst;
use engine::Publication;
use media::StopReason;
use protocols::{Input, PublishRequest, Verdict};
use rt::Either;

impl Bridge {
    pub(super) async fn publish(mut self, request: PublishRequest) -> Left {
        let publication = match self.shard().publish(&self.guard, &request.key).await {
            Ok(publication) => publication,
            Err(refusal) => return self.refuse(refusal).await,
        };
        self.tell(Input::Verdict(Verdict::Allow));
        match self.feed(publication).await {
            Ok(()) => {
                self.guard.clear_request();
                Left::Free(self)
            }
            Err(why) => self.gone(why).await,
        }
    }

    /// Feeds the stream until the publisher ends properly (`Ok`) or otherwise.
    async fn feed(&mut self, publication: Publication) -> Result<(), Why> {
        let (properly, fed) = self.feed_until_end(&publication).await;
        if let Err(why) = &fed {
            // Before the publication ends, which tells why.
            self.guard.end(why.text());
        }
        if properly {
            publication.end();
        }
        fed
    }

    /// What the publisher said last, and whether that was a proper end.
    async fn feed_until_end(&mut self, publication: &Publication) -> (bool, Result<(), Why>) {
        let stop = publication.stop();
        let mut last_media = self.shard().now();
        let mut burst = Burst::default();
        loop {
            let drained = self.drain(Some(publication));
            if burst.is_whole() || drained.ended || drained.closed.is_some() {
                publication.flush();
                burst.flushed();
            }
            let now = self.shard().now();
            if drained.media {
                last_media = now;
                self.guard.step("first packet", now);
            }
            let sent = self.send(&drained).await;
            if drained.ended || matches!(drained.closed, Some(None)) {
                return (true, drained.closed.map_or(Ok(()), |closed| Err(Why::Session(closed))));
            }
            if let Some(error) = drained.closed {
                return (false, Err(Why::Session(error)));
            }
            if sent.is_err() {
                return (false, sent);
            }
            let idle = last_media.plus(self.shard().config().publish.idle_timeout);
            if now >= idle {
                self.shard().count_limit("publisher idle");
                return (false, Err(Why::Stop(StopReason::Idle)));
            }
            let until = drained.wait.map_or(idle, |wait| wait.min(idle));
            let until = burst.patience().map_or(until, |patience| until.min(now.plus(patience)));
            let next = async {
                if burst.is_over()
                    && let Some(rest) = publication.rest()
                {
                    burst.rest();
                    self.conn.hush(true);
                    rest.await;
                    self.conn.hush(false);
                }
                self.listen(publication.due().map_or(until, |due| due.min(until))).await
            };
            let heard = match rt::either(stop.wait(), next).await {
                Either::Left(reason) => return (false, Err(Why::Stop(reason))),
                Either::Right(Err(why)) => return (false, Err(why)),
                Either::Right(Ok((heard, n))) => {
                    burst.read(n, self.local.scratch.borrow().len());
                    heard
                }
            };
            match heard {
                Heard::Bytes => {}
                Heard::Eof => self.tell(Input::Eof),
                Heard::Time => self.tell(Input::Tick),
                Heard::Stop(reason) => return (false, Err(Why::Stop(reason))),
            }
            if matches!(heard, Heard::Eof) {
                let last = self.drain(Some(publication));
                publication.flush();
                let sent = self.send(&last).await;
                return (last.ended, sent.and_then(|()| Err(last.closed.map_or(Why::Eof, Why::Session))));
            }
        }
    }
}
