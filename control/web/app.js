"use strict";
// The page's player: one stream at a time through mpegts.js, over HTTP-FLV or WS-FLV from the server of this page.
// The chosen stream and transport stand in the address (#live/demo or #ws:live/demo), so that it can be shared.

const RETRY_FIRST_MS = 1000;
const RETRY_MOST_MS = 8000;
const STATUS_MS = 1000;

const at = (id) => document.getElementById(id);
const video = at("video");
const form = at("choice");

let player = null;
let retry = null;
let retryMs = RETRY_FIRST_MS;
let wanted = false;
let seen = { frames: 0, time: 0 };
let rate = { kibPerSecond: 0, total: 0, time: 0 };

const choice = () => ({ path: at("path").value.trim().replace(/^\/+|\/+$/g, ""), over: form.elements.over.value });

function address(kind, path) {
  const secure = location.protocol === "https:";
  const name = path.split("/").map(encodeURIComponent).join("/");
  if (kind === "rtmp") return `rtmp://${location.hostname}:1935/${name}`;
  if (kind === "ws") return `${secure ? "wss" : "ws"}://${location.host}/${name}.flv`;
  return `${location.protocol}//${location.host}/${name}.flv`;
}

function say(state, kind, message) {
  const badge = at("state");
  badge.textContent = state;
  badge.className = `badge ${kind}`;
  at("message").hidden = !message;
  at("message").textContent = message || "";
}

function showAddresses() {
  const { path } = choice();
  const rtmp = address("rtmp", path);
  const cut = rtmp.lastIndexOf("/");
  const texts = {
    "obs-server": rtmp.slice(0, cut),
    "obs-key": rtmp.slice(cut + 1),
    push: `ffmpeg -re -i FILE -c:v libx264 -bf 0 -g 50 -c:a aac -f flv ${rtmp}`,
    http: `ffplay ${address("http", path)}`,
    ws: address("ws", path),
    rtmp: `ffplay ${rtmp}`,
  };
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = texts[element.dataset.say];
}

function close() {
  clearTimeout(retry);
  retry = null;
  if (!player) return;
  const old = player;
  player = null;
  old.destroy();
}

function stop() {
  wanted = false;
  close();
  say("stopped", "", "Stopped.");
}

function play() {
  wanted = true;
  retryMs = RETRY_FIRST_MS;
  const { path, over } = choice();
  history.replaceState(null, "", `#${over === "ws" ? "ws:" : ""}${path}`);
  showAddresses();
  open();
}

function open() {
  close();
  const { path, over } = choice();
  if (!mpegts.getFeatureList().mseLivePlayback) {
    say("no player", "bad", "This browser has no Media Source Extensions, so it cannot play FLV.\nUse the addresses beside.");
    return;
  }
  say("connecting", "", `Connecting to ${path} …`);
  seen = { frames: 0, time: performance.now() };
  rate = { kibPerSecond: 0, total: 0, time: performance.now() };
  const mine = mpegts.createPlayer(
    { type: "flv", isLive: true, url: address(over, path) },
    { enableStashBuffer: false, liveSync: true, liveSyncMaxLatency: 2.0, liveSyncTargetLatency: 0.8 },
  );
  player = mine;
  mine.on(mpegts.Events.ERROR, (kind, detail, more) => {
    if (player === mine) failed(path, detail, more);
  });
  mine.on(mpegts.Events.LOADING_COMPLETE, () => {
    if (player === mine) again(`${path} has ended.`);
  });
  mine.on(mpegts.Events.STATISTICS_INFO, (info) => {
    if (player !== mine) return;
    // The player tells the bytes of the last second, no total.
    const now = performance.now();
    const speed = info.speed || 0;
    rate = { kibPerSecond: speed, total: rate.total + speed * 1024 * ((now - rate.time) / 1000), time: now };
  });
  mine.on(mpegts.Events.MEDIA_INFO, (info) => {
    if (player === mine) at("codecs").textContent = [info.videoCodec, info.audioCodec].filter(Boolean).join(", ") || "–";
  });
  mine.attachMediaElement(video);
  mine.load();
  // Refused only without a gesture and with sound: then muted.
  mine.play().catch(() => {
    if (player !== mine) return;
    mute(true);
    mine.play().catch(() => {});
  });
}

function failed(path, detail, more) {
  const code = more && more.code;
  // Of a WebSocket that could not be opened a page is not told why.
  if (choice().over === "ws" && detail === "Exception") {
    again(`Nobody publishes ${path} now, or the server cannot be reached.`);
    return;
  }
  if (code === 404) again(`Nobody publishes ${path} now.`);
  else if (code === 403) again(`The server does not allow ${path} to be played.`);
  else if (detail === "FormatUnsupported" || detail === "CodecUnsupported" || detail === "MediaMSEError") {
    again(`This browser cannot play this stream (${(more && more.msg) || detail}).`);
  } else again(`The connection for ${path} failed (${(more && more.msg) || detail}).`);
}

function again(why) {
  close();
  if (!wanted) return;
  say("waiting", "bad", `${why}\nTrying again in ${Math.round(retryMs / 1000)} s.`);
  retry = setTimeout(open, retryMs);
  retryMs = Math.min(retryMs * 2, RETRY_MOST_MS);
}

function mute(on) {
  video.muted = on;
  at("unmute").textContent = on ? "Sound on" : "Sound off";
  at("unmute").setAttribute("aria-pressed", String(!on));
}

function amount(bytes) {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function showStatus() {
  if (!player) return;
  const quality = video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : { totalVideoFrames: 0, droppedVideoFrames: 0 };
  const now = performance.now();
  const fps = ((quality.totalVideoFrames - seen.frames) * 1000) / Math.max(1, now - seen.time);
  seen = { frames: quality.totalVideoFrames, time: now };
  at("size").textContent = video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "no picture";
  at("fps").textContent = `${Math.max(0, fps).toFixed(0)} fps`;
  at("dropped").textContent = String(quality.droppedVideoFrames);
  at("rate").textContent = `${(rate.kibPerSecond * 8.192).toFixed(0)} kbit/s`;
  at("bytes").textContent = amount(rate.total);
  const ranges = video.buffered;
  const ahead = ranges.length ? ranges.end(ranges.length - 1) - video.currentTime : 0;
  at("latency").textContent = `${Math.max(0, ahead).toFixed(2)} s`;
}

video.addEventListener("playing", () => {
  retryMs = RETRY_FIRST_MS;
  if (player) say("live", "live", "");
});
video.addEventListener("waiting", () => {
  if (player && video.readyState < 3) say("buffering", "", "");
});
at("unmute").addEventListener("click", () => mute(!video.muted));
at("stop").addEventListener("click", stop);
at("path").addEventListener("input", showAddresses);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  play();
});
for (const radio of form.elements.over) radio.addEventListener("change", () => wanted && play());
for (const button of document.querySelectorAll(".copy button")) {
  button.addEventListener("click", async () => {
    const text = button.previousElementSibling.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Not a secure origin: mark the text, so that Ctrl-C takes it.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Ctrl-C";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

const asked = decodeURIComponent(location.hash.slice(1));
if (asked) {
  form.elements.over.value = asked.startsWith("ws:") ? "ws" : "http";
  at("path").value = asked.replace(/^ws:/, "");
}
mpegts.LoggingControl.enableAll = false;
showAddresses();
setInterval(showStatus, STATUS_MS);
play();
