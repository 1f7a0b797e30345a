//! The checks that the configuration asks for.

use super::{
    Addresses, Algorithm, Check, Checks, Jwt, JwtConfig, KeyEntry, Keys, Limits, Names, Patterns, Secrets,
    Sign, Step,
};
use crate::config::{CheckName, Settings};
use std::sync::Arc;

/// Checks and bounds, as configured.
pub struct Configured {
    /// The checks, in order.
    pub checks: Checks,
    /// The one that takes keys from a set, if it does.
    pub jwt: Option<Arc<Jwt>>,
    /// Bounds.
    pub limits: Limits,
}

impl Configured {
    /// From settings that were checked.
    ///
    /// # Errors
    /// One line, if a key file cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let jwt = Arc::new(jwt(settings)?);
        let mut names = Names::default();
        for text in &settings.auth.names {
            names.add(text).ok_or_else(|| format!("auth.names: {text} names a key twice"))?;
        }
        // Those that are not named come behind, in their own order.
        let mut order = settings.auth.order.clone();
        order.extend(CheckName::ALL.into_iter().filter(|check| !settings.auth.order.contains(check)));
        let steps = order.into_iter().map(|check| step(check, settings, &jwt)).collect();
        let set = !settings.auth.jwks.is_empty();
        Ok(Self {
            checks: Checks { names: Arc::new(names), steps },
            jwt: set.then_some(jwt),
            limits: limits(settings),
        })
    }
}

fn step(name: CheckName, settings: &Settings, jwt: &Arc<Jwt>) -> Step {
    let Settings { auth, publish, play, .. } = settings;
    let check: Arc<dyn Check> = match name {
        CheckName::Callback => return Step::Callback,
        CheckName::Addresses => Arc::new(Addresses {
            publish_allow: auth.publish_allow.clone(),
            publish_deny: auth.publish_deny.clone(),
            play_allow: auth.play_allow.clone(),
            play_deny: auth.play_deny.clone(),
        }),
        CheckName::Patterns => {
            Arc::new(Patterns { publish: publish.allow.clone(), play: play.allow.clone() })
        }
        CheckName::Keys => Arc::new(Keys {
            entries: auth.keys.iter().filter_map(|text| KeyEntry::parse(text)).collect(),
            parameter: auth.key_parameter.clone(),
        }),
        CheckName::Sign => Arc::new(Sign {
            publish: auth.sign_publish,
            play: auth.sign_play,
            exempt_localhost: auth.sign_exempt_localhost,
            secrets: secrets(settings),
        }),
        CheckName::Jwt => Arc::clone(jwt) as Arc<dyn Check>,
    };
    Step::Check(check)
}

fn secrets(settings: &Settings) -> Secrets {
    let auth = &settings.auth;
    let common = [&auth.secret, &auth.second_secret];
    Secrets {
        common: common.into_iter().filter(|secret| !secret.is_empty()).cloned().collect(),
        of_apps: auth
            .secrets
            .iter()
            .filter_map(|text| text.split_once('='))
            .map(|(app, secret)| (app.to_owned(), secret.to_owned()))
            .collect(),
    }
}

fn jwt(settings: &Settings) -> Result<Jwt, String> {
    let auth = &settings.auth;
    let config = |public_key| JwtConfig {
        publish: auth.jwt_publish,
        play: auth.jwt_play,
        parameter: auth.jwt_parameter.clone(),
        secret: auth.jwt_secret.clone(),
        public_key,
        leeway: auth.jwt_leeway_ms,
    };
    let Some(path) = &auth.jwt_key_file else { return Jwt::new(config(None)) };
    let told = |why: String| format!("auth.jwt_key_file = {}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| told(error.to_string()))?;
    Jwt::new(config(Some((Algorithm::Rs256, pem.clone()))))
        .or_else(|_| Jwt::new(config(Some((Algorithm::Es256, pem)))))
        .map_err(|_| told("must be an RSA or P-256 public key in PEM".into()))
}

const fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        publishers_per_address: limits.publishers_per_address,
        viewers_per_address: limits.viewers_per_address,
        publishers_per_user: limits.publishers_per_user,
        viewers_per_user: limits.viewers_per_user,
        viewers_per_stream: limits.viewers_per_stream,
    }
}
