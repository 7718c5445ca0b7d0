//! A running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle as Task;

use crate::engine::Engine;
use crate::event::{Event, Events};
use crate::http::{App, Shared, listen, router};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::settings::Settings;
use crate::{Error, Result};

/// A server that answers until it is told to stop.
pub struct Server {
    runtime: Runtime,
    serving: Task<()>,
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    address: SocketAddr,
}

/// What others tell a running server.
#[derive(Clone)]
pub struct Handle {
    app: Shared,
    stop: watch::Sender<bool>,
}

impl Handle {
    /// Answers what was accepted, then stops.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Reads all model directories again; requests go on meanwhile, each with the model that it began with. A model that cannot be read
    /// stays as it was, and an [`Event::ReloadFailed`] says why. Gives how many were replaced.
    pub fn reload(&self) -> usize {
        self.app.models.reload()
    }
}

impl Server {
    /// Reads the models, starts threads and listens.
    ///
    /// # Errors
    /// Settings that make no sense, a model directory that cannot be served, an address that cannot be listened at.
    pub fn start(settings: Settings, events: Events) -> Result<Self> {
        settings.check()?;
        let metrics = Arc::new(Metrics::default());
        // Neither the program's pool, whose threads may be busy or wait for this server, nor one for both: a reload takes its time, and
        // requests are answered meanwhile.
        let pool = |name: &'static str, what: &'static str| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(settings.threads.batches)
                .thread_name(move |number| format!("serve-{name}-{number}"))
                .build()
                .map_err(|cause| Error::Start { what, cause: std::io::Error::other(cause) })
        };
        let (loading, parts) =
            (pool("load", "the threads that pack weights")?, pool("part", "the threads of windows")?);
        let told = (Arc::clone(&metrics), events.clone());
        let models = Models::read(settings.models.clone(), settings.precision, loading, told)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.http)
            // For large JSON, and a reload.
            .max_blocking_threads(settings.threads.http.saturating_mul(4))
            .thread_name("serve-http")
            .enable_all()
            .build()
            .map_err(|cause| Error::Start { what: "the threads of connections", cause })?;
        let asked = settings.address;
        let listening = runtime.block_on(TcpListener::bind(asked));
        let listener = listening.map_err(|cause| Error::Listen { address: asked, cause })?;
        let address = listener.local_addr().map_err(|cause| Error::Listen { address: asked, cause })?;
        let (engine, threads) = Engine::start(settings.limits, settings.threads, events.clone(), Arc::clone(&metrics))?;
        let app = Arc::new(App::new(engine, models, Arc::new(parts), (metrics, events), &settings));
        let (stop, stopped) = watch::channel(false);
        let handle = Handle { app: Arc::clone(&app), stop };
        if settings.signals {
            // Before anybody hears that it listens: a signal that comes then is not to end the process.
            listen_to_signals(&runtime, handle.clone())?;
        }
        let routes = router(Arc::clone(&app));
        let serving = runtime.spawn(listen::serve(listener, routes, Arc::clone(&app), stopped));
        (app.events)(&Event::Listening { address });
        Ok(Self { runtime, serving, handle, threads, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What others tell it by.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until it was told to stop and all is answered.
    pub fn wait(self) {
        let Self { runtime, serving, handle, threads, .. } = self;
        // A task that failed has nothing more to answer.
        let _ = runtime.block_on(serving);
        handle.app.engine.close();
        // A reload that is running ends here.
        drop(runtime);
        for thread in threads {
            let _ = thread.join();
        }
        let events: &Events = &handle.app.events;
        events(&Event::Stopped);
    }
}

/// From now on SIGTERM and Ctrl-C stop the server, and SIGHUP reads the models again.
///
/// # Errors
/// The system gives no signals.
fn listen_to_signals(runtime: &Runtime, handle: Handle) -> Result<()> {
    let _inside = runtime.enter();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|cause| Error::Start { what: "listening to signals", cause });
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let mut hang_up = listen(SignalKind::hangup())?;
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => handle.stop(),
                    _ = interrupt.recv() => handle.stop(),
                    _ = hang_up.recv() => {
                        let handle = handle.clone();
                        tokio::task::spawn_blocking(move || handle.reload());
                    }
                }
            }
        });
    }
    #[cfg(not(unix))]
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop();
        }
    });
    Ok(())
}
