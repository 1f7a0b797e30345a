//! A scenario: what is published, who watches, for how long, and on which cores everybody runs. A small TOML file.

use media::LatencyClass;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most streams: their number must fit the mark.
const MAX_STREAMS: usize = 1_000_000;
/// Most viewers of all kinds: 500 source addresses.
const MAX_VIEWERS: usize = 10_000_000;

/// A whole scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One word, used in file names.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// What each publisher sends.
    #[serde(default)]
    pub clip: Clip,
    /// Who publishes.
    #[serde(default)]
    pub publish: Publish,
    /// Who watches.
    #[serde(default)]
    pub view: View,
    /// How long.
    #[serde(default)]
    pub time: Time,
    /// The server under test and the cores.
    #[serde(default)]
    pub server: Server,
}

/// What is published: a file, or a made clip of an exact rate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clip {
    /// An FLV file (H.264 and AAC) to replay in a loop; the made clip if not given.
    pub file: Option<PathBuf>,
    /// Rate of the made pictures, in kbit/s.
    pub video_kbps: u32,
    /// Rate of the made sound, in kbit/s; 0: no sound.
    pub audio_kbps: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Distance of keyframes, in milliseconds.
    pub gop_ms: u32,
}

/// Who publishes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publish {
    /// How many streams.
    pub streams: usize,
    /// New publishers a second; 0: all at once.
    pub ramp: u32,
}

/// A protocol to watch over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// FLV over HTTP.
    HttpFlv,
    /// FLV in WebSocket messages.
    WsFlv,
    /// RTMP.
    Rtmp,
}

/// Who watches. Viewers are dealt to the streams in turn.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct View {
    /// How many viewers at full rate.
    pub viewers: usize,
    /// Over what; viewers are dealt to the protocols in turn.
    pub protocols: Vec<Protocol>,
    /// New viewers a second; 0: all at once (a join storm).
    pub ramp: u32,
    /// Latency class asked for (a query that only Shardcast knows); the server's default if not given.
    #[serde(with = "class_name")]
    pub class: Option<LatencyClass>,
    /// Several classes instead: the scenario is run once with each, as `name-class`.
    #[serde(with = "class_names", skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<LatencyClass>,
    /// Further viewers that read at a tenth of the rate.
    pub slow: usize,
    /// Further viewers that never read.
    pub stalled: usize,
    /// Viewers that leave, and others that come instead, each second.
    pub churn: u32,
    /// So many viewers are read at once, and their delays counted; the others are read in rounds once they have
    /// joined, every byte compared all the same.
    pub prompt: usize,
    /// Length of such a round, in milliseconds. From 40 on the kernel acknowledges before the viewer reads, by a
    /// timer on the server's core.
    pub round_ms: u64,
}

/// How long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// After the ramps, before anything is counted, in milliseconds.
    pub settle_ms: u64,
    /// What is counted, in milliseconds.
    pub measure_ms: u64,
}

/// The server under test and the cores.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Cores of the server, as a list; one shard a core.
    pub cores: Vec<usize>,
    /// Cores of the generator.
    pub generator_cores: Vec<usize>,
    /// `--set key=value` of Shardcast.
    pub set: Vec<String>,
}

impl Default for Clip {
    fn default() -> Self {
        Self { file: None, video_kbps: 450, audio_kbps: 50, fps: 25, gop_ms: 2_000 }
    }
}

impl Default for Publish {
    fn default() -> Self {
        Self { streams: 1, ramp: 0 }
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            viewers: 100,
            protocols: vec![Protocol::HttpFlv],
            ramp: 500,
            class: None,
            classes: Vec::new(),
            slow: 0,
            stalled: 0,
            churn: 0,
            prompt: 250,
            round_ms: 30,
        }
    }
}

impl Default for Time {
    fn default() -> Self {
        Self { settle_ms: 3_000, measure_ms: 15_000 }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self { cores: vec![0], generator_cores: vec![1], set: Vec::new() }
    }
}

impl Scenario {
    /// Reads a file; one scenario, or one for each class it names.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Vec<Self>, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|what| format!("{}: {what}", path.display()))
    }

    fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut one: Self = toml::from_str(text).map_err(|error| one_line(&error))?;
        one.check()?;
        let classes = std::mem::take(&mut one.view.classes);
        if classes.is_empty() {
            return Ok(vec![one]);
        }
        let of = |class: LatencyClass| {
            let view = View { class: Some(class), ..one.view.clone() };
            Self { name: format!("{}-{}", one.name, class.name()), view, ..one.clone() }
        };
        Ok(classes.into_iter().map(of).collect())
    }

    /// The time that is counted.
    pub const fn measured(&self) -> Duration {
        Duration::from_millis(self.time.measure_ms)
    }

    fn check(&self) -> Result<(), String> {
        let rules = [
            (self.name.is_empty() || self.name.contains(['/', ' ']), "name: one word is wanted"),
            (self.publish.streams == 0, "publish.streams: 1 or more"),
            (self.publish.streams > MAX_STREAMS, "publish.streams: 1000000 or fewer"),
            (self.view.all() > MAX_VIEWERS, "view: 10000000 viewers of all kinds or fewer"),
            (self.view.all() > 0 && self.view.protocols.is_empty(), "view.protocols: one or more"),
            (!(1..=1000).contains(&self.view.round_ms), "view.round_ms: 1 to 1000"),
            (self.view.churn > 0 && self.view.viewers == 0, "view.churn: there are no viewers"),
            (self.view.class.is_some() && !self.view.classes.is_empty(), "view: class or classes, not both"),
            (self.clip.fps == 0 || self.clip.fps > 240, "clip.fps: 1 to 240"),
            (self.clip.gop_ms < 100, "clip.gop_ms: 100 or more"),
            (self.time.measure_ms == 0, "time.measure_ms: 1 or more"),
            (self.server.cores.is_empty(), "server.cores: one or more"),
            (self.server.generator_cores.is_empty(), "server.generator_cores: one or more"),
        ];
        rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, what)| Err(what.into()))
    }
}

impl View {
    /// Viewers of every kind.
    pub const fn all(&self) -> usize {
        self.viewers.saturating_add(self.slow).saturating_add(self.stalled)
    }
}

/// What is wrong, and in which line.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}

mod class_names {
    use super::LatencyClass;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(classes: &[LatencyClass], to: S) -> Result<S::Ok, S::Error> {
        classes.iter().map(|class| class.name()).collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LatencyClass>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let class = |name: &String| name.parse().map_err(|()| D::Error::custom("live, normal or bulk"));
        names.iter().map(class).collect()
    }
}

mod class_name {
    use super::LatencyClass;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option)] // The form that serde calls.
    pub fn serialize<S: Serializer>(class: &Option<LatencyClass>, to: S) -> Result<S::Ok, S::Error> {
        match class {
            Some(class) => to.serialize_str(class.name()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LatencyClass>, D::Error> {
        let Some(name) = Option::<String>::deserialize(from)? else { return Ok(None) };
        name.parse().map(Some).map_err(|()| D::Error::custom("live, normal or bulk"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_needs_to_be_said() {
        let [scenario] = &Scenario::parse("name = \"x\"").unwrap()[..] else { panic!() };
        assert_eq!((scenario.view.viewers, scenario.publish.streams), (100, 1));
        assert_eq!(scenario.measured(), Duration::from_secs(15));
    }

    #[test]
    fn one_scenario_a_class() {
        let text = "name = \"x\"\n[view]\nclasses = [\"live\", \"bulk\"]";
        let all = Scenario::parse(text).unwrap();
        let names: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.view.class)).collect();
        assert_eq!(names, [("x-live", Some(LatencyClass::Live)), ("x-bulk", Some(LatencyClass::Bulk))]);
        let line = serde_json::to_string(&all[0]).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&line).unwrap().name, "x-live");
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for (text, what) in [
            ("", "missing field `name`"),
            ("name = \"a b\"", "name: one word"),
            ("name = \"x\"\nnmae = 1", "unknown field `nmae`"),
            ("name = \"x\"\n[publish]\nstreams = 0", "publish.streams"),
            ("name = \"x\"\n[view]\nprotocols = []", "view.protocols"),
            ("name = \"x\"\n[view]\nprotocols = [\"hls\"]", "unknown variant `hls`"),
            ("name = \"x\"\n[view]\nclass = \"fast\"", "live, normal or bulk"),
            ("name = \"x\"\n[view]\nclass = \"live\"\nclasses = [\"bulk\"]", "not both"),
            ("name = \"x\"\n[view]\nviewers = -1", "invalid value"),
            ("name = \"x\"\n[clip]\nfps = 0", "clip.fps"),
            ("name = \"x\"\n[time]\nmeasure_ms = 0", "time.measure_ms"),
            ("name = \"x\"\n[server]\ncores = []", "server.cores"),
        ] {
            let told = Scenario::parse(text).unwrap_err();
            assert!(told.contains(what) && !told.contains('\n'), "{text}: {told}");
        }
    }

    #[test]
    fn the_scenarios_that_come_with_it_are_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut names = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            for one in Scenario::load(&entry.unwrap().path()).unwrap() {
                assert!(names.insert(one.name.clone()), "{} twice", one.name);
                assert!(!one.about.is_empty(), "{}", one.name);
            }
        }
        assert!(names.len() >= 12, "{names:?}");
    }
}
