//! From where one may publish and play.

use super::{Check, Verdict, by_action};
use engine::Question;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::SystemTime;

/// Networks; an address inside IPv6 that is one of IPv4 is taken as that.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Publishers come from these; empty: from anywhere.
    pub publish_allow: Vec<IpNet>,
    /// Publishers do not come from these, even if they are in the others.
    pub publish_deny: Vec<IpNet>,
    /// Viewers come from these; empty: from anywhere.
    pub play_allow: Vec<IpNet>,
    /// Viewers do not come from these, even if they are in the others.
    pub play_deny: Vec<IpNet>,
}

impl Check for Addresses {
    fn check(&self, question: &Question, _: SystemTime) -> Verdict {
        let (allow, deny) = by_action(
            question.action,
            (&self.publish_allow, &self.publish_deny),
            (&self.play_allow, &self.play_deny),
        );
        let from = question.peer.ip().to_canonical();
        if holds(deny, from) {
            Verdict::Refused("the address is in a list of those that are not allowed".into())
        } else if !allow.is_empty() && !holds(allow, from) {
            Verdict::Refused("the address is in no list of those that are allowed".into())
        } else {
            Verdict::Pass
        }
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;
    use engine::Action::{Play, Publish};

    #[test]
    fn denial_wins_and_an_empty_list_allows_all() {
        let nets = |text: &str| vec![text.parse().unwrap()];
        let addresses = Addresses {
            publish_allow: nets("10.0.0.0/8"),
            publish_deny: nets("10.9.0.0/16"),
            play_deny: nets("2001:db8::/32"),
            ..Addresses::default()
        };
        let check = |action, peer: &str| {
            let mut question = question(action, "live/a", &[]);
            question.peer = peer.parse().unwrap();
            addresses.check(&question, at(0)) == Verdict::Pass
        };
        assert!(check(Publish, "10.1.2.3:1") && check(Publish, "[::ffff:10.1.2.3]:1"));
        assert!(!check(Publish, "10.9.1.1:1") && !check(Publish, "11.0.0.1:1"));
        assert!(check(Play, "11.0.0.1:1") && !check(Play, "[2001:db8::1]:1"));
    }
}
