//! Patterns of stream names: `live/*`.
//!
//! `*` stands for any run of characters, the empty one and `/` included; everything else stands for itself. Matching is
//! linear in the length of both but for one step back to the last `*`.

/// Longest pattern, in bytes.
const MAX_BYTES: usize = 256;

/// A checked pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// `None`: empty, too long, or with characters that no stream name has.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MAX_BYTES;
        let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        (fits && clean).then(|| Self(text.to_owned()))
    }

    /// Whether `app/name` fits.
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), name.as_bytes());
        // Behind the last `*`, and what of the name that `*` has not taken yet.
        let mut back: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern, rest) {
                ([b'*', after @ ..], _) => {
                    pattern = after;
                    back = Some((after, rest));
                }
                ([], []) => return true,
                ([p, after @ ..], [c, tail @ ..]) if p == c => {
                    pattern = after;
                    rest = tail;
                }
                _ => match back {
                    Some((after, [_, tail @ ..])) => {
                        pattern = after;
                        rest = tail;
                        back = Some((after, tail));
                    }
                    _ => return false,
                },
            }
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_run() {
        for (pattern, name, expected) in [
            ("*", "live/demo", true),
            ("*", "live/studio/demo", true),
            ("live/*", "live/demo", true),
            ("live/*", "live/a/b", true),
            ("live/*", "livestock/demo", false),
            ("live/*", "vip/demo", false),
            ("live/demo", "live/demo", true),
            ("live/demo", "live/demo2", false),
            ("live/demo", "live/dem", false),
            ("*/demo", "live/demo", true),
            ("*/demo", "live/demo2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**", "a", true),
            ("live/ä*", "live/äö", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_end_in_good_time() {
        let pattern = Pattern::parse(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(&"a".repeat(99)));
        assert!(pattern.matches(&"a".repeat(1000)));
    }

    #[test]
    fn what_no_name_can_be_is_no_pattern() {
        for wrong in ["", "live demo", "a\n", &"x".repeat(257)] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong:?}");
        }
    }
}
