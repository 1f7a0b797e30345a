//! Push keys: a publisher comes with a key in place of a name, and the stream appears under its public name.
//!
//! Nobody may publish the public name itself, nor play by the key, for viewers must not learn it.

use super::Denied;
use engine::{Action, Question};
use media::StreamKey;
use std::collections::{HashMap, HashSet};

/// Longest application and name, in bytes.
const NAME_BYTES: usize = 512;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Names {
    public: HashMap<String, StreamKey>,
    protected: HashSet<String>,
}

impl Names {
    /// Adds `app/pushkey=app/name`; gives nothing if it is not of that form, or the key has a name already.
    pub fn add(&mut self, text: &str) -> Option<()> {
        let (key, name) = text.split_once('=')?;
        let (key, name) = (parsed(key.trim())?, parsed(name.trim())?);
        if key == name || self.public.contains_key(key.as_str()) {
            return None;
        }
        self.protected.insert(name.as_str().to_owned());
        self.public.insert(key.as_str().to_owned(), name);
        Some(())
    }

    /// What may be shown of a stream that somebody asks for: viewers must not learn push keys.
    pub fn shown<'a>(&'a self, asked: &'a StreamKey) -> &'a StreamKey {
        self.public.get(asked.as_str()).unwrap_or(asked)
    }

    /// The public name of what is asked for, if it has one.
    ///
    /// # Errors
    /// A publisher of a public name, a viewer of a key.
    pub fn public(&self, question: &Question) -> Result<Option<StreamKey>, Denied> {
        let (asked, public) = (question.key.as_str(), self.public.get(question.key.as_str()));
        match question.action {
            Action::Publish if public.is_none() && self.protected.contains(asked) => {
                Err(Denied::because("the name is published by its push key alone (auth.names)"))
            }
            Action::Publish => Ok(public.cloned()),
            Action::Play if public.is_some() => {
                Err(Denied::because("a push key cannot be played (auth.names)"))
            }
            Action::Play => Ok(None),
        }
    }
}

fn parsed(text: &str) -> Option<StreamKey> {
    let (app, name) = text.rsplit_once('/')?;
    StreamKey::parse(app, name, NAME_BYTES).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::question;
    use super::*;
    use engine::Action::{Play, Publish};

    #[test]
    fn keys_publish_names_and_names_are_played() {
        let mut names = Names::default();
        names.add("live/k3y = live/room").unwrap();
        let public = |action, key| names.public(&question(action, key, &[]));
        assert_eq!(public(Publish, "live/k3y").unwrap().unwrap().as_str(), "live/room");
        assert!(public(Publish, "live/room").is_err() && public(Play, "live/k3y").is_err());
        assert_eq!(public(Play, "live/room"), Ok(None));
        let key = |text: &str| parsed(text).unwrap();
        assert_eq!(names.shown(&key("live/k3y")), &key("live/room"));
        assert_eq!(names.shown(&key("live/x")), &key("live/x"));
        assert_eq!(public(Publish, "live/other"), Ok(None));
        for wrong in ["live/k3y=live/again", "a", "a/b", "a/b=", "a/b=a/b", "=a/b"] {
            assert_eq!(names.clone().add(wrong), None, "{wrong}");
        }
    }
}
