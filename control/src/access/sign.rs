//! Node Media Server's signed addresses: `sign=<exp>-<md5hex("/app/name-<exp>-<secret>")>`, with `exp` in seconds since 1970.
//!
//! The path has no extension whatever the protocol, so one signature is good for all of them. A session is checked when it
//! begins and not cut off when its signature expires.

use super::{Check, Verdict, by_action, parameter};
use engine::Question;
use md5::{Digest, Md5};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// Secrets of signatures.
#[derive(Clone, Default)]
pub struct Secrets {
    /// For all applications that have none of their own.
    pub common: Vec<String>,
    /// Application and secret; of several of one application each is good.
    pub of_apps: Vec<(String, String)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} common, {} of applications)", self.common.len(), self.of_apps.len())
    }
}

impl Secrets {
    fn of<'a>(&'a self, app: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let own = move |entry: &&(String, String)| entry.0 == app;
        if self.of_apps.iter().any(|entry| own(&entry)) {
            Box::new(self.of_apps.iter().filter(own).map(|(_, secret)| secret.as_str()))
        } else {
            Box::new(self.common.iter().map(String::as_str))
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sign {
    /// Whether publishers need one.
    pub publish: bool,
    /// Whether viewers need one.
    pub play: bool,
    /// Whether peers on this machine need none.
    pub exempt_localhost: bool,
    /// Secrets.
    pub secrets: Secrets,
}

impl Check for Sign {
    fn check(&self, question: &Question, now: SystemTime) -> Verdict {
        let local = question.peer.ip().to_canonical().is_loopback();
        if !by_action(question.action, self.publish, self.play) || (self.exempt_localhost && local) {
            return Verdict::Pass;
        }
        let sign = match parameter(question, "sign") {
            Ok(Some(sign)) => sign,
            Ok(None) => return Verdict::Missing("sign: there is none in the URL"),
            Err(()) => return Verdict::Refused("sign: there are several in the URL".into()),
        };
        let Some((expires, hash)) = split(sign) else {
            return Verdict::Refused(
                "sign: malformed; it must be <seconds since 1970>-<md5 in hexadecimal>".into(),
            );
        };
        let path = format!("/{}/{}", question.key.app(), question.key.name());
        let right = self.secrets.of(question.key.app()).fold(false, |right, secret| {
            let expected = md5_hex(&format!("{path}-{expires}-{secret}"));
            right | bool::from(expected.as_bytes().ct_eq(hash.as_bytes()))
        });
        if !right {
            return Verdict::Refused(format!("sign: wrong for {path}; look at secret, path and expiry"));
        }
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if expires < seconds {
            return Verdict::Refused(format!("sign: expired {} s ago", seconds - expires));
        }
        Verdict::Proved(None)
    }
}

/// Expiry and hash; exactly two parts.
fn split(sign: &str) -> Option<(u64, &str)> {
    let (expires, hash) = sign.split_once('-')?;
    let digits = (1..=19).contains(&expires.len()) && expires.bytes().all(|byte| byte.is_ascii_digit());
    let hex = hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // One that is written otherwise is hashed otherwise.
    let plain = expires.len() == 1 || !expires.starts_with('0');
    (digits && hex && plain).then(|| expires.parse().ok().map(|expires| (expires, hash)))?
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;
    use engine::Action::{Play, Publish};

    fn sign(secret: &str) -> Sign {
        let secrets = Secrets { common: vec![secret.into()], of_apps: vec![] };
        Sign { publish: true, play: true, exempt_localhost: false, secrets }
    }

    #[test]
    fn known_signatures_are_good_until_they_expire() {
        for (secret, key, exp, hash) in [
            ("nodemedia2017privatekey", "live/stream", 1_503_458_721, "80c1d1ad2e0c2ab63eebb50eed64201a"),
            ("authkey@2019", "live/stream", 1_575_453_962, "22d7d03aa3fe7d880f29bed08ccb25f0"),
            ("nodemedia2017privatekey", "live/stream123", 1_490_235_000, "d03af0812548d315279936ad76f912be"),
            ("unit-test-key", "live/room1", 1_893_456_000, "900b708e0d197c1d81457f830f567ff1"),
        ] {
            let value = format!("{exp}-{hash}");
            let asked = question(Publish, key, &[("sign", &value)]);
            assert_eq!(sign(secret).check(&asked, at(exp)), Verdict::Proved(None));
            let late = sign(secret).check(&asked, at(exp + 1));
            assert!(matches!(late, Verdict::Refused(why) if why.contains("expired 1 s ago")));
            assert!(
                matches!(sign("other").check(&asked, at(0)), Verdict::Refused(why) if why.contains("wrong"))
            );
            // The same for another path.
            let elsewhere = question(Publish, "live/other", &[("sign", &value)]);
            assert!(matches!(sign(secret).check(&elsewhere, at(0)), Verdict::Refused(_)));
        }
    }

    #[test]
    fn what_is_malformed_repeated_or_missing_is_refused() {
        let good = "1893456000-900b708e0d197c1d81457f830f567ff1";
        let check =
            |query: &[(&str, &str)]| sign("unit-test-key").check(&question(Play, "live/room1", query), at(0));
        assert_eq!(check(&[("x", "1"), ("sign", good)]), Verdict::Proved(None));
        assert!(matches!(check(&[("x", "1")]), Verdict::Missing(_)));
        assert!(matches!(check(&[("sign", good), ("sign", good)]), Verdict::Refused(_)));
        let upper = good.to_ascii_uppercase();
        let zeros = format!("0{good}");
        let long = format!("{good}0");
        let more = format!("{good}-1");
        for wrong in [
            "",
            "-",
            "1893456000",
            "1893456000-",
            "-900b708e0d197c1d81457f830f567ff1",
            &upper,
            &zeros,
            &long,
            &more,
            "+1893456000-900b708e0d197c1d81457f830f567ff1",
            "99999999999999999999-900b708e0d197c1d81457f830f567ff1",
            "1893456000 -900b708e0d197c1d81457f830f567ff1",
            "1893456000-900b708e0d197c1d81457f830f567ff\u{e9}",
        ] {
            assert!(matches!(check(&[("sign", wrong)]), Verdict::Refused(_)), "{wrong}");
        }
    }

    #[test]
    fn switches_secrets_of_applications_and_the_exemption() {
        let value = "1893456000-900b708e0d197c1d81457f830f567ff1";
        let mut sign = sign("common");
        sign.secrets.of_apps = vec![("live".into(), "old".into()), ("live".into(), "unit-test-key".into())];
        let asked = |action| question(action, "live/room1", &[("sign", value)]);
        assert_eq!(sign.check(&asked(Play), at(0)), Verdict::Proved(None));
        assert!(matches!(
            sign.check(&question(Play, "vip/room1", &[("sign", value)]), at(0)),
            Verdict::Refused(_)
        ));
        sign.play = false;
        assert_eq!(sign.check(&question(Play, "live/room1", &[]), at(0)), Verdict::Pass);
        let mut local = question(Publish, "live/room1", &[]);
        local.peer = "[::ffff:127.0.0.1]:5".parse().unwrap();
        assert!(matches!(sign.check(&local, at(0)), Verdict::Missing(_)));
        sign.exempt_localhost = true;
        assert_eq!(sign.check(&local, at(0)), Verdict::Pass);
        assert!(!format!("{sign:?}").contains("unit-test-key"));
    }
}
