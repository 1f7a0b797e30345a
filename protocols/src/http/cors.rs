//! Which pages of other origins may read an answer: the CORS protocol of the Fetch standard.
//!
//! Credentials are never allowed together with `*`.

use super::{Request, ResponseHead};

/// Longest origin that is echoed, in bytes: scheme, host as DNS allows it, port.
const MAX_ORIGIN_BYTES: usize = 512;
/// Longest list of header names that a preflight gets back, in bytes.
const MAX_HEADER_LIST_BYTES: usize = 1024;
/// How long a browser may remember a preflight's answer, in seconds: the longest that Chromium takes is two hours.
const MAX_AGE_SECONDS: &str = "7200";

/// Which origins are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowOrigin {
    /// Whichever asks.
    #[default]
    Echo,
    /// `*`.
    Any,
    /// This one.
    Fixed(String),
    /// None: no header is sent.
    None,
}

/// What the answers say of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins.
    pub origin: AllowOrigin,
    /// Whether a page may send its user's cookies along; without effect for `*`.
    pub credentials: bool,
}

impl Cors {
    /// From a configured value: `None` echoes, an empty one sends nothing.
    pub fn new(allow_origin: Option<&str>) -> Self {
        let origin = match allow_origin {
            None => AllowOrigin::Echo,
            Some("") => AllowOrigin::None,
            Some("*") => AllowOrigin::Any,
            Some(fixed) => AllowOrigin::Fixed(fixed.to_owned()),
        };
        Self { origin, credentials: false }
    }

    /// Writes the headers of an answer to a request from this origin.
    pub fn write(&self, head: ResponseHead, origin: Option<&str>) -> ResponseHead {
        let head = match (&self.origin, origin) {
            (AllowOrigin::None, _) => return head,
            (AllowOrigin::Any, _) => return head.header("Access-Control-Allow-Origin", "*"),
            (AllowOrigin::Echo, None) => return head.header("Vary", "Origin"),
            (AllowOrigin::Echo, Some(origin)) => {
                head.header("Access-Control-Allow-Origin", origin).header("Vary", "Origin")
            }
            (AllowOrigin::Fixed(fixed), _) => {
                head.header("Access-Control-Allow-Origin", fixed).header("Vary", "Origin")
            }
        };
        if self.credentials { head.header("Access-Control-Allow-Credentials", "true") } else { head }
    }

    /// The answer to OPTIONS: what is allowed here, and a preflight's answer if it is one. `methods`:
    /// comma-separated.
    pub fn preflight(&self, request: &Request, methods: &str, keep: bool) -> Vec<u8> {
        let mut head = ResponseHead::new(204).header("Allow", methods);
        head = self.write(head, origin(request));
        if self.origin != AllowOrigin::None && request.headers.text("access-control-request-method").is_some()
        {
            head = head.header("Access-Control-Allow-Methods", methods);
            if let Some(names) = request.headers.text("access-control-request-headers").filter(|n| is_list(n))
            {
                head = head.header("Access-Control-Allow-Headers", names);
            }
            if request.headers.text("access-control-request-private-network") == Some("true") {
                head = head.header("Access-Control-Allow-Private-Network", "true");
            }
            head = head.header("Access-Control-Max-Age", MAX_AGE_SECONDS);
        }
        head.connection(keep, request.version).finish()
    }
}

/// The origin of a request, if it can be one.
pub(crate) fn origin(request: &Request) -> Option<&str> {
    let origin = request.headers.text("origin")?;
    let fine = origin.len() <= MAX_ORIGIN_BYTES && origin.bytes().all(|byte| byte.is_ascii_graphic());
    (fine && !origin.is_empty()).then_some(origin)
}

fn is_list(names: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(&byte);
    names.len() <= MAX_HEADER_LIST_BYTES && names.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, RequestReader};

    fn request(lines: &str) -> Request {
        let head = format!("OPTIONS /a HTTP/1.1\r\n{lines}\r\n");
        RequestReader::new(HeadLimits::default()).push(head.as_bytes()).unwrap().unwrap().0
    }

    fn written(cors: &Cors, origin: Option<&str>) -> String {
        String::from_utf8(cors.write(ResponseHead::new(200), origin).finish()).unwrap()
    }

    #[test]
    fn each_policy() {
        for (config, origin, expected) in [
            (None, Some("http://a"), "Access-Control-Allow-Origin: http://a\r\nVary: Origin\r\n"),
            (None, None, "Vary: Origin\r\n"),
            (Some("*"), Some("http://a"), "Access-Control-Allow-Origin: *\r\n"),
            (Some("http://b"), Some("http://a"), "Access-Control-Allow-Origin: http://b\r\nVary: Origin\r\n"),
            (Some(""), Some("http://a"), ""),
        ] {
            assert_eq!(
                written(&Cors::new(config), origin),
                format!("HTTP/1.1 200 OK\r\n{expected}\r\n"),
                "{config:?}"
            );
        }
        let any = Cors { origin: AllowOrigin::Any, credentials: true };
        assert!(!written(&any, Some("http://a")).contains("Credentials"));
        let echo = Cors { origin: AllowOrigin::Echo, credentials: true };
        assert!(written(&echo, Some("http://a")).contains("Allow-Credentials: true"));
        assert!(!written(&echo, None).contains("Credentials"));
    }

    #[test]
    fn a_preflight_gets_what_it_asked_for() {
        let asked = "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-a, range\r\nAccess-Control-Request-Private-Network: true\r\n";
        let answer = Cors::default().preflight(&request(asked), "GET, POST", true);
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "HTTP/1.1 204 No Content\r\nAllow: GET, POST\r\nAccess-Control-Allow-Origin: http://a\r\nVary: Origin\r\nAccess-Control-Allow-Methods: GET, POST\r\nAccess-Control-Allow-Headers: x-a, range\r\nAccess-Control-Allow-Private-Network: true\r\nAccess-Control-Max-Age: 7200\r\n\r\n"
        );
        let answer = Cors::default().preflight(&request(""), "GET", true);
        assert_eq!(answer, b"HTTP/1.1 204 No Content\r\nAllow: GET\r\nVary: Origin\r\n\r\n");
        let none = Cors::new(Some("")).preflight(&request(asked), "GET", true);
        assert_eq!(none, b"HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n");
    }

    #[test]
    fn strange_origins_are_not_echoed() {
        let long = format!("Origin: http://{}\r\n", "a".repeat(600));
        for lines in ["Origin: a b\r\n", "Origin: ä\r\n", "Origin:\r\n", long.as_str()] {
            assert_eq!(origin(&request(lines)), None, "{lines:.20}");
        }
        assert_eq!(origin(&request("Origin: null\r\n")), Some("null"));
    }
}
