//! Small clips, made once by ffmpeg into the build folder.

use super::flv::{self, Tag};
use super::tools::{ffmpeg, ffmpeg_new, run};
use std::path::PathBuf;

/// A clip: its name, and how ffmpeg makes it.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    pub name: &'static str,
    arguments: &'static str,
    /// Only the system's ffmpeg has the encoder.
    old: bool,
}

const fn clip(name: &'static str, arguments: &'static str) -> Clip {
    Clip { name, arguments, old: false }
}

/// Three seconds of moving picture with two B-frames between others, a keyframe a second, and AAC.
pub const H264_AAC: Clip = clip("h264_aac", "{video} {audio} -c:v libx264 -bf 2 -g 25 -c:a aac -ar 44100");
pub const H265_AAC: Clip = clip(
    "h265_aac",
    "{video} {audio} -c:v libx265 -g 25 -x265-params log-level=none:bframes=2 -c:a aac -ar 44100",
);
pub const AV1_AAC: Clip =
    clip("av1_aac", "{video} {audio} -c:v libaom-av1 -usage realtime -cpu-used 8 -g 25 -c:a aac -ar 44100");
pub const VP9_AAC: Clip = clip(
    "vp9_aac",
    "{video} {audio} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -c:a aac -ar 44100",
);
pub const H264_OPUS: Clip =
    clip("h264_opus", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a libopus -ar 48000 -ac 2");
pub const H264_G711A: Clip =
    clip("h264_g711a", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a pcm_alaw -ar 8000 -ac 1");
pub const H264_G711U: Clip =
    clip("h264_g711u", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a pcm_mulaw -ar 8000 -ac 1");
pub const H264_SPEEX: Clip = Clip {
    name: "h264_speex",
    arguments: "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a libspeex -ar 16000 -ac 1",
    old: true,
};
pub const H264_NELLYMOSER: Clip =
    clip("h264_nellymoser", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a nellymoser -ar 16000 -ac 1");
pub const H264_MP3: Clip =
    clip("h264_mp3", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a libmp3lame -ar 44100");
pub const H264_AC3: Clip =
    clip("h264_ac3", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a ac3 -ar 48000 -ac 2");
pub const H264_FLAC: Clip =
    clip("h264_flac", "{video} {audio} -c:v libx264 -bf 0 -g 25 -c:a flac -sample_fmt s16 -ar 48000 -ac 2");
pub const VIDEO_ALONE: Clip = clip("video_alone", "{video} -c:v libx264 -bf 2 -g 25");
pub const AUDIO_ALONE: Clip = clip("audio_alone", "{audio} -c:a aac -ar 44100");
/// Another size and rate of sound than [`H264_AAC`].
pub const SMALL: Clip = clip(
    "small",
    "-f lavfi -i testsrc2=s=160x90:r=25:d=3 {audio} -c:v libx264 -bf 0 -g 25 -c:a aac -ar 48000",
);

impl Clip {
    /// The FLV file.
    pub fn file(&self) -> PathBuf {
        let folder = super::server::scratch().parent().unwrap().join("test-media");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.flv", self.name));
        if !file.exists() {
            // Whoever comes second replaces it by its like.
            let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
            let made = folder.join(format!("{}.{}.{thread}.part", self.name, std::process::id()));
            let mut command = if self.old { ffmpeg() } else { ffmpeg_new() };
            let arguments = self
                .arguments
                .replace("{video}", "-f lavfi -i testsrc2=s=320x180:r=25:d=3")
                .replace("{audio}", "-f lavfi -i sine=f=440:r=48000:d=3");
            command.arg("-y").args(arguments.split_whitespace());
            command.args(["-pix_fmt", "yuv420p", "-flags", "+bitexact", "-f", "flv"]).arg(&made);
            run(&mut command);
            std::fs::rename(made, &file).unwrap();
        }
        file
    }

    /// Its path as text.
    pub fn path(&self) -> String {
        self.file().to_str().unwrap().to_owned()
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<Tag> {
        flv::parse(&std::fs::read(self.file()).unwrap())
    }
}

/// Script, configurations and the rest of a clip's tags.
pub fn split(tags: &[Tag]) -> (Vec<Tag>, Vec<Tag>) {
    tags.iter().cloned().partition(|tag| !tag.is_frame())
}

/// Repeats a clip's frames behind one another for `times`, with stamps that go on; first what stands before them.
pub fn looped(tags: &[Tag], times: u32) -> Vec<Tag> {
    let (mut all, frames) = split(tags);
    let configs: Vec<Tag> = std::mem::take(&mut all).into_iter().filter(|tag| tag.ms == 0).collect();
    let first = frames.iter().map(|tag| tag.ms).min().unwrap();
    let last = frames.iter().map(|tag| tag.ms).max().unwrap();
    let span = last - first + 40;
    all.extend(configs);
    for turn in 0..times {
        all.extend(frames.iter().map(|tag| Tag { ms: tag.ms + turn * span, ..tag.clone() }));
    }
    all
}
