//! Small random models and servers for them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serve::{Event, ModelSource, Server, Settings};
use tempfile::TempDir;

pub const WORDS: &str = "a the quiet film was good bad Ana lives in Bonn . , who ? she he ##s";

/// Heads by the name of the model that has them.
pub fn heads(kind: &str) -> Vec<TaskHeadConfig> {
    let tags = || ["O", "B-PER", "I-PER", "B-LOC"].map(str::to_owned).to_vec();
    match kind {
        "labels" => vec![task_head(TaskKind::Sst2.task()), task_head(TaskKind::Rte.task())],
        "number" => vec![task_head(TaskKind::Stsb.task())],
        "tokens" => vec![TaskHeadConfig::new("ner", TaskHeadKind::Tags, tags())],
        "answers" => vec![task_head(glue_squad::squad::SquadVersion::V2.task())],
        "answers-v1" => vec![task_head(glue_squad::squad::SquadVersion::V1.task())],
        "multi" => vec![TaskHeadConfig::new("mood", TaskHeadKind::MultiLabel, vec!["sad".into(), "glad".into()])],
        "vectors" => {
            let vector = encoder_spec::VectorConfig { normalize: false, ..Default::default() };
            vec![TaskHeadConfig::embedding("embedding", vector)]
        }
        "states" => Vec::new(),
        other => panic!("{other}"),
    }
}

/// Writes a model of these sizes into `dir`; its weights follow from the seed.
pub fn write(dir: &Path, heads: Vec<TaskHeadConfig>, (hidden, layers, positions): (usize, usize, usize), seed: u64) {
    let words = WORDS.to_lowercase();
    let words: Vec<&str> = words.split(' ').collect();
    let mut config = BertConfig {
        task_heads: heads,
        max_position_embeddings: positions,
        ..BertConfig::bert(words.len(), hidden, layers, 4, 2 * hidden)
    };
    config.hidden_dropout_prob = 0.0;
    if dir.exists() {
        std::fs::remove_dir_all(dir).unwrap();
    }
    model_dir::write_untrained(dir, config, &words, seed).expect("a model directory");
}

/// A running server, its models and its events.
pub struct Running {
    pub server: Option<Server>,
    pub address: SocketAddr,
    pub events: Arc<Mutex<Vec<serde_json::Value>>>,
    pub folder: TempDir,
}

impl Running {
    /// Serves one small model for each name.
    pub fn of(kinds: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        Self::sized(kinds, (32, 2, 64), change)
    }

    pub fn sized(kinds: &[&str], size: (usize, usize, usize), change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = |kind: &&str| {
            let dir = folder.path().join(kind);
            write(&dir, heads(kind), size, 1);
            ModelSource { name: (*kind).to_owned(), dir }
        };
        let mut settings = Settings::new(kinds.iter().map(source).collect());
        settings.limits.drain = std::time::Duration::from_millis(100);
        change(&mut settings);
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&events);
        // Not all that many hostile requests make: memory is to stay flat.
        let keep = move |event: &Event<'_>| {
            let mut kept = kept.lock().unwrap();
            if kept.len() < 2000 || !matches!(event, Event::Request(_)) {
                kept.push(serde_json::to_value(event).unwrap());
            }
        };
        let server = Server::start(settings, Arc::new(keep)).expect("the server starts");
        Self { address: server.address(), server: Some(server), events, folder }
    }

    pub fn dir(&self, kind: &str) -> PathBuf {
        self.folder.path().join(kind)
    }

    /// Events of this kind.
    pub fn events_of(&self, kind: &str) -> Vec<serde_json::Value> {
        self.events.lock().unwrap().iter().filter(|event| event["event"] == kind).cloned().collect()
    }

    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.handle().stop();
            server.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
