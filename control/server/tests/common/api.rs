//! The admin API as a user of curl sees it.

use super::Server;
use serde_json::Value;
use std::process::{Command, Stdio};

/// Asks at one address with one token.
#[derive(Clone)]
pub struct Asker {
    pub base: String,
    pub token: Option<String>,
}

impl Asker {
    /// At the API's own address, with a token of the first user, whose password the server printed.
    pub fn admin(server: &Server) -> Self {
        let mut asker = Self { base: format!("http://{}", server.admin), token: None };
        let password = first_password(server);
        asker.token = Some(asker.login("admin", &password));
        asker
    }

    /// The same at another address.
    pub fn at(&self, base: String) -> Self {
        Self { base, token: self.token.clone() }
    }

    /// Somebody else.
    pub fn with(&self, token: Option<&str>) -> Self {
        Self { base: self.base.clone(), token: token.map(str::to_owned) }
    }

    pub fn login(&self, name: &str, password: &str) -> String {
        let body = serde_json::json!({ "username": name, "password": password });
        let (status, answer) = self.call("POST", "/api/v1/login", Some(&body));
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Status and JSON of an answer; what is no JSON is a string.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut arguments = vec!["-X".to_owned(), method.to_owned()];
        if let Some(body) = body {
            arguments.extend(["-H".into(), "content-type: application/json".into()]);
            arguments.extend(["--data-binary".into(), body.to_string()]);
        }
        self.curl(path, &arguments)
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// With arguments of curl.
    pub fn curl(&self, path: &str, arguments: &[String]) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-k", "-m", "30", "-w", "\n%{http_code}"]).args(arguments);
        if let Some(token) = &self.token {
            curl.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        let out = curl.arg(format!("{}{path}", self.base)).stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        let answer = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
        (status.parse().unwrap(), answer)
    }
}

/// What the server printed when it made the first user.
pub fn first_password(server: &Server) -> String {
    let log = server.log();
    let (_, after) = log.split_once("admin / ").unwrap();
    after.split_whitespace().next().unwrap().to_owned()
}
