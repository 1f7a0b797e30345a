//! A scenario: what is published, who watches, for how long, and on which cores everybody runs. A small TOML file.

use media::LatencyClass;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Further viewers that read at a tenth of the rate.
    pub slow: usize,
    /// Further viewers that never read.
    pub stalled: usize,
    /// Viewers that leave, and others that come instead, each second.
    pub churn: u32,
    /// So many viewers are read at once, and their delays counted; the others are read every 40 ms once they have
    /// joined, every byte compared all the same.
    pub prompt: usize,
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
            slow: 0,
            stalled: 0,
            churn: 0,
            prompt: 1000,
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
    /// Reads a file.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let scenario: Self =
            toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.message()))?;
        scenario.check().map_err(|what| format!("{}: {what}", path.display()))?;
        Ok(scenario)
    }

    /// The time that is counted.
    pub const fn measured(&self) -> Duration {
        Duration::from_millis(self.time.measure_ms)
    }

    fn check(&self) -> Result<(), String> {
        let rules = [
            (self.name.is_empty() || self.name.contains(['/', ' ']), "name: one word is wanted"),
            (self.publish.streams == 0, "publish.streams: 1 or more"),
            (self.view.viewers > 0 && self.view.protocols.is_empty(), "view.protocols: one or more"),
            (self.clip.fps == 0 || self.clip.fps > 240, "clip.fps: 1 to 240"),
            (self.clip.gop_ms < 100, "clip.gop_ms: 100 or more"),
            (self.time.measure_ms == 0, "time.measure_ms: 1 or more"),
            (self.server.cores.is_empty(), "server.cores: one or more"),
            (self.server.generator_cores.is_empty(), "server.generator_cores: one or more"),
        ];
        rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, what)| Err(what.into()))
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
