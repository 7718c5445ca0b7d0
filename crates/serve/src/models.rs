//! The models that are served, by name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cpu_runtime::Precision;
use rayon::ThreadPool;

use crate::engine::Loaded;
use crate::event::{Event, Events};
use crate::metrics::Metrics;
use crate::settings::ModelSource;
use crate::{Error, Result};

/// Models by name, each of which a reload may replace. A request keeps the model that it began with.
pub(crate) struct Models {
    sources: Vec<ModelSource>,
    precision: Precision,
    current: RwLock<Vec<Arc<Loaded>>>,
    /// One reload at a time.
    reloading: Mutex<()>,
    /// Threads that pack weights.
    pool: ThreadPool,
    events: Events,
    metrics: Arc<Metrics>,
}

impl Models {
    /// Reads all model directories.
    ///
    /// # Errors
    /// [`Error::Model`] for the first that cannot be served.
    pub fn read(
        sources: Vec<ModelSource>,
        precision: Precision,
        pool: ThreadPool,
        (metrics, events): (Arc<Metrics>, Events),
    ) -> Result<Self> {
        let models =
            Self { sources, precision, current: RwLock::default(), reloading: Mutex::default(), pool, events, metrics };
        let read = |source: &ModelSource| {
            let loaded = models.pool.install(|| Loaded::read(&source.name, &source.dir, precision));
            let loaded = loaded.map_err(|cause| Error::Model {
                name: source.name.clone(),
                dir: source.dir.clone(),
                cause: Box::new(cause),
            })?;
            models.tell(source, &loaded, false);
            Ok(Arc::new(loaded))
        };
        let all = models.sources.iter().map(read).collect::<Result<_>>()?;
        *models.current.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(models)
    }

    fn tell(&self, source: &ModelSource, loaded: &Loaded, reload: bool) {
        let heads = loaded.config.task_heads.iter().map(|head| head.task.as_str()).collect();
        let bytes = loaded.model.bytes();
        (self.events)(&Event::Loaded { model: &source.name, dir: &source.dir, heads, bytes, reload });
        for note in loaded.tokenizer.notes() {
            (self.events)(&Event::Note { model: &source.name, message: &note });
        }
        self.metrics.loaded(&source.name, bytes);
    }

    /// The model that answers where a request names none.
    pub fn first(&self) -> Option<Arc<Loaded>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    /// The model called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<Loaded>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).iter().find(|model| model.name == name).cloned()
    }

    /// All of them, in the order that they were named in.
    pub fn all(&self) -> Vec<Arc<Loaded>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads all directories again. A model that cannot be read stays as it was. Gives how many were replaced.
    pub fn reload(&self) -> usize {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut replaced = 0;
        for (index, source) in self.sources.iter().enumerate() {
            match attempt(|| self.pool.install(|| Loaded::read(&source.name, &source.dir, self.precision))) {
                Ok(loaded) => {
                    self.tell(source, &loaded, true);
                    let loaded = Arc::new(loaded);
                    // The old one is freed outside of the lock, by whoever uses it last.
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    let old = std::mem::replace(&mut current[index], loaded);
                    drop(current);
                    drop(old);
                    replaced += 1;
                    self.metrics.reloaded(true);
                }
                Err(message) => {
                    (self.events)(&Event::ReloadFailed { model: &source.name, dir: &source.dir, message: &message });
                    self.metrics.reloaded(false);
                }
            }
        }
        replaced
    }
}

/// What `read` gives, or why it gives nothing; files that some code does not survive leave the old model in place too.
fn attempt<T>(read: impl FnOnce() -> predict::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(made) => made.map_err(|error| explained(&error)),
        Err(_) => {
            Err("reading the model directory failed in an unforeseen way; please report this as a bug".to_owned())
        }
    }
}

/// An error with its causes, where its message does not have them already.
pub(crate) fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_a_model_is_read_is_a_failed_reload() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let failed = attempt(|| pool.install(|| -> predict::Result<()> { panic!("a table of no rows") }));
        assert!(failed.unwrap_err().contains("report"));
        assert_eq!(attempt(|| Ok(3)), Ok(3));
    }
}
