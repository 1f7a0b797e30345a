//! Tokens (JWT): a claim for the application, the name and the action, an expiry, and a signature.
//!
//! Which algorithms are good is said by the configuration, never by the token: `none`, and HMAC with a public key, are refused
//! whatever a header says.

use super::{Check, Verdict, by_action, parameter};
use crate::config::Pattern;
use engine::Question;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Most keys of a set.
const MAX_KEYS: usize = 100;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA (PKCS 1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    const fn theirs(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// What is needed and known.
#[derive(Clone, Default)]
pub struct JwtConfig {
    /// Whether publishers need one.
    pub publish: bool,
    /// Whether viewers need one.
    pub play: bool,
    /// Name of the parameter.
    pub parameter: String,
    /// Secret for HS256; empty: that is not allowed.
    pub secret: String,
    /// Public key in PEM, and whether it is RSA or EC.
    pub public_key: Option<(Algorithm, Vec<u8>)>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// See the module.
pub struct Jwt {
    publish: bool,
    play: bool,
    parameter: String,
    leeway: Duration,
    fixed: Vec<Key>,
    /// Those of the set, which are fetched again from time to time.
    set: RwLock<Vec<Key>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Actions {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    nbf: Option<u64>,
    sub: Option<String>,
    app: Option<String>,
    name: Option<String>,
    action: Option<Actions>,
}

impl Jwt {
    /// With the keys of the configuration.
    ///
    /// # Errors
    /// If the public key is none.
    pub fn new(config: JwtConfig) -> Result<Self, String> {
        let JwtConfig { publish, play, parameter, secret, public_key, leeway } = config;
        let mut fixed = Vec::new();
        if !secret.is_empty() {
            let key = DecodingKey::from_secret(secret.as_bytes());
            fixed.push(Key { id: None, algorithm: Algorithm::Hs256, key });
        }
        if let Some((algorithm, pem)) = public_key {
            let key = match algorithm {
                Algorithm::Es256 => DecodingKey::from_ec_pem(&pem),
                _ => DecodingKey::from_rsa_pem(&pem),
            };
            fixed.push(Key { id: None, algorithm, key: key.map_err(|error| error.to_string())? });
        }
        Ok(Self { publish, play, parameter, leeway, fixed, set: RwLock::default() })
    }

    /// Takes a JSON Web Key Set in place of the one before; gives how many of its keys are of use.
    ///
    /// # Errors
    /// If it is none, or no key in it is of use.
    pub fn take_set(&self, text: &str) -> Result<usize, String> {
        let set: JwkSet = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut keys = Vec::new();
        for jwk in set.keys.iter().take(MAX_KEYS) {
            let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
            let kind = match &jwk.algorithm {
                jsonwebtoken::jwk::AlgorithmParameters::RSA(_) => Algorithm::Rs256,
                jsonwebtoken::jwk::AlgorithmParameters::EllipticCurve(_) => Algorithm::Es256,
                // A secret does not belong into a set that is published.
                _ => continue,
            };
            if named.as_deref().is_some_and(|name| Algorithm::parse(name) != Some(kind)) {
                continue;
            }
            if let Ok(key) = DecodingKey::from_jwk(jwk) {
                keys.push(Key { id: jwk.common.key_id.clone(), algorithm: kind, key });
            }
        }
        if keys.is_empty() {
            return Err("there is no RSA or P-256 key in it".into());
        }
        let count = keys.len();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(count)
    }

    /// Begins with the set of another.
    pub fn adopt_set(&self, other: &Self) {
        let keys = other.set.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn claims(&self, token: &str) -> Result<Claims, String> {
        let header = decode_header(token).map_err(|error| format!("jwt: malformed: {error}"))?;
        let candidates = self.candidates(&header);
        if candidates.is_empty() {
            return Err(format!("jwt: no key for algorithm {:?} and kid {:?}", header.alg, header.kid));
        }
        let mut last = String::new();
        for key in candidates {
            let mut validation = Validation::new(key.algorithm.theirs());
            // Times are checked below, against our own clock.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => last = format!("jwt: {error}"),
            }
        }
        Err(last)
    }

    /// Keys that a token of this header may have been signed with.
    fn candidates(&self, header: &Header) -> Vec<Key> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &&Key| {
            key.algorithm.theirs() == header.alg
                && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        };
        self.fixed.iter().chain(set.iter()).filter(fits).cloned().collect()
    }
}

impl Check for Jwt {
    fn check(&self, question: &Question, now: SystemTime) -> Verdict {
        if !by_action(question.action, self.publish, self.play) {
            return Verdict::Pass;
        }
        let token = match parameter(question, &self.parameter) {
            Ok(Some(token)) if token.len() <= MAX_TOKEN_BYTES => token,
            Ok(Some(_)) => return Verdict::Refused("jwt: too long".into()),
            Ok(None) => return Verdict::Missing("jwt: there is none in the URL"),
            Err(()) => return Verdict::Refused("jwt: there are several in the URL".into()),
        };
        match self.claims(token).and_then(|claims| allowed(claims, question, now, self.leeway)) {
            Ok(user) => Verdict::Proved(user),
            Err(why) => Verdict::Refused(why),
        }
    }
}

fn allowed(
    claims: Claims,
    question: &Question,
    now: SystemTime,
    leeway: Duration,
) -> Result<Option<String>, String> {
    let (now, leeway) = (now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(), leeway.as_secs());
    if claims.exp.saturating_add(leeway) < now {
        return Err(format!("jwt: expired {} s ago", now - claims.exp));
    }
    if claims.nbf.is_some_and(|from| from > now.saturating_add(leeway)) {
        return Err("jwt: not good yet (nbf)".into());
    }
    for (claim, pattern, asked) in
        [("app", &claims.app, question.key.app()), ("name", &claims.name, question.key.name())]
    {
        if let Some(pattern) = pattern
            && !Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(asked))
        {
            return Err(format!("jwt: not good for this {claim}"));
        }
    }
    let asked = by_action(question.action, "publish", "play");
    let may = match &claims.action {
        None => true,
        Some(Actions::One(action)) => action == asked,
        Some(Actions::Many(actions)) => actions.iter().any(|action| action == asked),
    };
    if !may {
        return Err(format!("jwt: not good to {}", by_action(question.action, "publish", "play")));
    }
    Ok(claims.sub)
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwt(publish {}, play {}, {} keys)", self.publish, self.play, self.fixed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;
    use engine::Action::{self, Play, Publish};
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::{Value, json};
    use std::process::{Command, Stdio};

    const SECRET: &str = "a secret of some length";

    fn config() -> JwtConfig {
        JwtConfig {
            publish: true,
            play: true,
            parameter: "token".into(),
            secret: SECRET.into(),
            ..JwtConfig::default()
        }
    }

    fn hs256(claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    fn check(jwt: &Jwt, action: Action, token: &str) -> Verdict {
        jwt.check(&question(action, "live/room", &[("token", token)]), at(1_000))
    }

    fn refused(verdict: Verdict, word: &str) {
        assert!(matches!(&verdict, Verdict::Refused(why) if why.contains(word)), "{word}: {verdict:?}");
    }

    #[test]
    fn claims_decide() {
        let jwt = Jwt::new(config()).unwrap();
        let proved = |claims: Value, action| check(&jwt, action, &hs256(&claims));
        assert_eq!(proved(json!({"exp": 1000, "sub": "eve"}), Play), Verdict::Proved(Some("eve".into())));
        let all = json!({"exp": 2000, "nbf": 1000, "app": "li*", "name": "room", "action": ["publish", "x"]});
        assert_eq!(proved(all.clone(), Publish), Verdict::Proved(None));
        refused(proved(all, Play), "not good to play");
        refused(proved(json!({"exp": 999}), Play), "expired 1 s ago");
        refused(proved(json!({"sub": "eve"}), Play), "exp");
        refused(proved(json!({"exp": 2000, "nbf": 1001}), Play), "nbf");
        refused(proved(json!({"exp": 2000, "app": "vip"}), Play), "app");
        refused(proved(json!({"exp": 2000, "name": "r"}), Play), "name");
        refused(proved(json!({"exp": 2000, "action": "publish"}), Play), "play");
        refused(proved(json!({"exp": -1}), Play), "jwt");
        let none = question(Play, "live/room", &[]);
        assert!(matches!(jwt.check(&none, at(0)), Verdict::Missing(_)));
        refused(check(&jwt, Play, &"x".repeat(MAX_TOKEN_BYTES + 1)), "too long");
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        let jwt = Jwt::new(config()).unwrap();
        let good = hs256(&json!({"exp": 2000}));
        let parts: Vec<&str> = good.split('.').collect();
        let encoded = |text: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
        };
        let none = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), parts[1]);
        let none_signed = format!("{}.{}.{}", encoded(r#"{"alg":"none"}"#), parts[1], parts[2]);
        let other = format!("{}.{}.{}", parts[0], encoded(r#"{"exp":9000}"#), parts[2]);
        for wrong in [none.as_str(), &none_signed, &other, "", ".", "..", "a.b.c", &good[..good.len() - 2]] {
            assert!(matches!(check(&jwt, Play, wrong), Verdict::Refused(_)), "{wrong}");
        }
    }

    /// A key pair by the openssl program: private and public in PEM.
    fn pair(arguments: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let private =
            Command::new("openssl").arg("genpkey").args(arguments).stderr(Stdio::null()).output().unwrap();
        let file =
            std::env::temp_dir().join(format!("shardcast-jwt-{}-{}", std::process::id(), arguments.len()));
        std::fs::write(&file, &private.stdout).unwrap();
        let public = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&file).output().unwrap();
        std::fs::remove_file(file).unwrap();
        (private.stdout, public.stdout)
    }

    #[test]
    fn public_keys_are_good_for_their_own_algorithm_alone() {
        let claims = json!({"exp": 2000});
        let (rsa, rsa_public) = pair(&["-algorithm", "RSA"]);
        let (ec, ec_public) = pair(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        let rs256 = encode(
            &Header::new(jsonwebtoken::Algorithm::RS256),
            &claims,
            &EncodingKey::from_rsa_pem(&rsa).unwrap(),
        )
        .unwrap();
        let es256 = encode(
            &Header::new(jsonwebtoken::Algorithm::ES256),
            &claims,
            &EncodingKey::from_ec_pem(&ec).unwrap(),
        )
        .unwrap();
        // Signed with the public key's text as if that were a secret.
        let confused = encode(&Header::default(), &claims, &EncodingKey::from_secret(&rsa_public)).unwrap();
        let with = |algorithm, pem: &[u8]| {
            let public_key = Some((algorithm, pem.to_vec()));
            Jwt::new(JwtConfig { secret: String::new(), public_key, ..config() })
        };
        let by_rsa = with(Algorithm::Rs256, &rsa_public).unwrap();
        assert_eq!(check(&by_rsa, Play, &rs256), Verdict::Proved(None));
        refused(check(&by_rsa, Play, &es256), "no key");
        refused(check(&by_rsa, Play, &confused), "no key");
        let by_ec = with(Algorithm::Es256, &ec_public).unwrap();
        assert_eq!(check(&by_ec, Play, &es256), Verdict::Proved(None));
        refused(check(&by_ec, Play, &rs256), "no key");
        assert!(with(Algorithm::Rs256, b"nonsense").is_err());
    }

    #[test]
    fn keys_of_a_set_are_found_by_their_number_and_replaced() {
        let (ec, _) = pair(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        let key = EncodingKey::from_ec_pem(&ec).unwrap();
        let mut jwk =
            jsonwebtoken::jwk::Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("one".into());
        let set = json!({ "keys": [jwk, { "kty": "oct", "k": "AAAA" }] }).to_string();
        let jwt = Jwt::new(JwtConfig { secret: String::new(), ..config() }).unwrap();
        let token = |kid: &str| {
            let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
            header.kid = Some(kid.into());
            encode(&header, &json!({"exp": 2000}), &key).unwrap()
        };
        refused(check(&jwt, Play, &token("one")), "no key");
        assert_eq!(jwt.take_set(&set), Ok(1));
        assert_eq!(check(&jwt, Play, &token("one")), Verdict::Proved(None));
        refused(check(&jwt, Play, &token("two")), "no key");
        for wrong in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
            assert!(jwt.take_set(wrong).is_err(), "{wrong}");
        }
        assert_eq!(check(&jwt, Play, &token("one")), Verdict::Proved(None));
    }
}
