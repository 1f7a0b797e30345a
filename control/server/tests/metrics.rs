//! A real Prometheus reads the metrics, and the dashboard's questions have answers in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::play::connect;
use common::server::{Setup, free_port, scratch};
use common::{Mode, Player, Publisher, SOON, media, play::Over, tools, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

fn dashboard() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana.json")
}

#[test]
fn each_panel_of_the_dashboard_has_an_answer_in_prometheus() {
    // Nobody is there to be called back: what waits is a figure too.
    let notify = format!("http://127.0.0.1:{}/ actions=postPublish|postPlay", free_port());
    let server = Setup::new(Mode::Epoll)
        .set("notify.targets", notify)
        .set("server.cores", "0-1")
        .set("server.request_timeout_ms", 1_000)
        .start();
    let folder = scratch().join("prometheus");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("prometheus.yml");
    let admin = server.admin;
    std::fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\nscrape_configs:\n  - job_name: shardcast\n    static_configs:\n      - targets: ['{admin}']\n"
        ),
    )
    .unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut prometheus = tools::start(
        Command::new(tools::tool("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .arg("--log.level=warn"),
    );
    let mut publisher = Publisher::start(&server, "shown");
    let player = Player::start(&server, Over::Http, "shown");
    publisher.send_paced(&media::H264_AAC.tags(), 4.0);
    player.wait_frames(1);
    // One that says nothing, one that says nonsense, and one that says what is passed over.
    let silent = connect(server.http);
    let mut wrong = connect(server.http);
    wrong.write_all(b"nonsense\r\n\r\n").unwrap();
    let mut odd = connect(server.http);
    odd.write_all(b"GET /live/shown.flv HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    odd.read_exact(&mut [0; 64]).unwrap();
    odd.write_all(b"x").unwrap();

    let text = std::fs::read_to_string(dashboard()).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for expression in targets.map(|target| target["expr"].as_str().unwrap()) {
        // Rates need two scrapes.
        let answer = until(expression, SOON, || {
            let answer = query(&listen, expression)?;
            assert_eq!(answer["status"], "success", "{expression}: {answer}");
            answer["data"]["result"].as_array().filter(|series| !series.is_empty()).cloned()
        });
        for series in &answer {
            let name = series["metric"]["job"].as_str();
            assert!(name.is_none_or(|name| name == "shardcast"), "{expression}: {series}");
        }
    }
    drop((silent, wrong, odd));
    let up = query(&listen, "up").unwrap();
    assert_eq!(up["data"]["result"][0]["value"][1], "1", "{up}");
    let viewers = until("the viewer is counted", SOON, || {
        query(&listen, "shardcast_viewers").filter(|answer| answer["data"]["result"][0]["value"][1] == "1")
    });
    assert_eq!(viewers["data"]["result"].as_array().unwrap().len(), 1, "{viewers}");
    prometheus.kill();
    std::fs::remove_dir_all(folder).unwrap();
}

fn query(listen: &str, expression: &str) -> Option<Value> {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "10", "--get", "--data-urlencode", &format!("query={expression}")]);
    let out = curl.arg(format!("http://{listen}/api/v1/query")).stderr(Stdio::null()).output().unwrap();
    serde_json::from_slice(&out.stdout).ok()
}

/// Grafana's own types read it, and find the panels and their questions.
#[test]
fn grafana_reads_the_dashboard() {
    let read = "import json, sys
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.prometheus import Dataquery
import grafana_foundation_sdk.cog.plugins as plugins
plugins.register_default_plugins()
dashboard = Dashboard.from_json(json.load(open(sys.argv[1])))
for panel in dashboard.panels:
    assert panel.title and panel.type_val and panel.grid_pos.w > 0, panel.title
    for target in panel.targets:
        assert isinstance(target, Dataquery) and target.expr, panel.title
print(dashboard.uid, len(dashboard.panels))
";
    let out =
        tools::run(Command::new(tools::tool("venv-grafana/bin/python")).arg("-c").arg(read).arg(dashboard()));
    let text = String::from_utf8(out).unwrap();
    let (uid, panels) = text.trim().split_once(' ').unwrap();
    assert!(uid == "shardcast" && panels.parse::<usize>().unwrap() > 10, "{text}");
}
