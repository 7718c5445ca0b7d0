//! The Hugging Face hub wherever the command line names a model or a file of data.

use std::path::{Path, PathBuf};

use ::hub::{Error, Event, Found, Hub, RepoFile, RepoId, Settings, repo_of_snapshot};

use crate::context::Context;
use crate::downloads;
use crate::error::CliError;
use crate::interrupt;

/// A value of the command line that may name something on the hub; it becomes the path of what is in the cache then.
pub struct Named<'a> {
    option: &'static str,
    value: Value<'a>,
}

enum Value<'a> {
    Model(&'a mut PathBuf),
    /// The path of a model, or the name of something else.
    Text(&'a mut String),
    File(&'a mut PathBuf),
}

impl<'a> Named<'a> {
    pub fn model(option: &'static str, path: &'a mut PathBuf) -> Self {
        Self { option, value: Value::Model(path) }
    }

    pub fn text(option: &'static str, text: &'a mut String) -> Self {
        Self { option, value: Value::Text(text) }
    }

    pub fn file(option: &'static str, path: &'a mut PathBuf) -> Self {
        Self { option, value: Value::File(path) }
    }
}

/// What a value names.
enum Meant {
    Model(RepoId),
    File(RepoFile),
}

/// Downloads what the values name and puts paths in their place; values that name nothing on the hub stay as they are.
pub fn resolve(named: Vec<Named<'_>>, context: &Context) -> Result<(), CliError> {
    let mut opened = None;
    for Named { option, value } in named {
        let text = match &value {
            Value::Model(path) | Value::File(path) => path.to_str().unwrap_or_default().to_owned(),
            Value::Text(text) => (**text).clone(),
        };
        let meant = match &value {
            Value::File(_) => file_of(&text),
            Value::Model(_) | Value::Text(_) => model_of(&text),
        };
        let Some(meant) = meant.map_err(|error| explained(option, error))? else { continue };
        if opened.is_none() {
            opened = Some(Hub::new(settings()?).map_err(|error| explained(option, error))?);
        }
        let Some(hub) = &opened else { continue };
        let found = fetch(hub, &meant, context).map_err(|error| explained(option, error))?;
        if let Some(reason) = &found.unasked {
            context.progress.warn(&format!(
                "{option} {text}: the hub could not be asked for a newer one ({reason}); commit {} of the cache is used",
                found.commit
            ));
        }
        match value {
            Value::Model(path) | Value::File(path) => *path = found.path,
            Value::Text(text) => *text = found.path.to_string_lossy().into_owned(),
        }
    }
    Ok(())
}

/// A path that exists always wins.
fn exists(text: &str) -> bool {
    text.is_empty() || Path::new(text).exists()
}

/// The model of the hub that a value means. `a/b` means none where there is a folder `a`: it is a misspelled path then.
fn model_of(text: &str) -> Result<Option<Meant>, Error> {
    if exists(text) {
        return Ok(None);
    }
    if text.starts_with("hf:") {
        return RepoId::model(text).map(|repo| Some(Meant::Model(repo)));
    }
    let is_local = text.split_once('/').is_some_and(|(folder, _)| Path::new(folder).exists());
    Ok(RepoId::model(text).ok().filter(|_| !is_local).map(Meant::Model))
}

/// The file of the hub that a value means, likewise.
fn file_of(text: &str) -> Result<Option<Meant>, Error> {
    let is_marked = text.starts_with("hf:");
    // `datasets/ORG`
    let folder = Path::new(text).components().take(2).collect::<PathBuf>();
    let is_local = !is_marked && folder.exists();
    if exists(text) || is_local || !(is_marked || RepoFile::is_meant(text)) {
        return Ok(None);
    }
    RepoFile::parse(text).map(|file| Some(Meant::File(file)))
}

/// Whether a value that names no path could name a model behind `hf:`.
pub fn may_be_model(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.starts_with("hf:") && RepoId::model(text).is_ok())
}

fn fetch(hub: &Hub, meant: &Meant, context: &Context) -> Result<Found, Error> {
    let progress = &context.progress;
    // What has arrived is kept however the program ends; the handler is for the message.
    let interruptible = interrupt::install(progress).is_ok();
    let mut watch = |event: &Event<'_>| match event {
        // Small files have no checksum that is known; their size is compared.
        Event::Fetched { verified: false, .. } => progress.finish(),
        event => downloads::show(event, progress),
    };
    let found = match meant {
        Meant::Model(repo) => hub.model(repo, interrupt::flag(), &mut watch),
        Meant::File(file) => hub.file(file, interrupt::flag(), &mut watch),
    };
    progress.finish();
    if interruptible && !interrupt::requested() {
        // What comes next dies of Ctrl-C as every program does, unless it has something to save.
        interrupt::nothing_to_save();
    }
    found
}

/// A path for people: what of the hub it is, or the path itself.
pub fn shown(path: &Path) -> String {
    repo_of_snapshot(path).map_or_else(|| path.display().to_string(), |repo| repo.to_string())
}

/// The last part of a path's name; of a model of the hub that of the model.
pub fn last_name(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match repo_of_snapshot(&absolute) {
        Some(repo) => repo.name().rsplit('/').next().unwrap_or_default().to_owned(),
        None => absolute.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    }
}

/// The settings of Hugging Face's own programs, by the same variables.
fn settings() -> Result<Settings, CliError> {
    let variable = |name: &str| std::env::var(name).ok().map(|v| v.trim().to_owned()).filter(|value| !value.is_empty());
    let folder = |name: &str| variable(name).map(|path| in_home(&path));
    let is_on = |name: &str| {
        variable(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str()))
    };
    let home = folder("HF_HOME")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/huggingface")));
    let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
    let Some(cache) = cache.or_else(|| home.as_ref().map(|home| home.join("hub"))) else {
        let error = CliError::failed("the cache of the Hugging Face hub: this user has no home folder");
        return Err(error.with_hint("name a folder in HF_HOME"));
    };
    let token_file = folder("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
    let of_file = || {
        let path = token_file.filter(|_| !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN"))?;
        Some(std::fs::read_to_string(path).ok()?.trim().to_owned()).filter(|token| !token.is_empty())
    };
    let usual = Settings::new(cache);
    Ok(Settings {
        endpoint: variable("HF_ENDPOINT").unwrap_or(usual.endpoint),
        token: variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN")).or_else(of_file),
        offline: is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
        network: downloads::network(),
        cache: usual.cache,
    })
}

/// `~/` as a shell reads it.
fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// What is wrong, with the option, and what to do about it.
fn explained(option: &str, error: Error) -> CliError {
    let hint = match &error {
        Error::Name { .. } => None,
        Error::NoRepository { token: false, .. } => Some(
            "check the spelling, also where a folder of this machine was meant; a private one needs a token: HF_TOKEN, or `hf auth login`",
        ),
        Error::NoRepository { .. } => Some(
            "check the spelling, also where a folder of this machine was meant; a private one needs a token with access",
        ),
        Error::NoRevision { .. } => Some("a revision is a branch, a tag or a whole commit hash behind @"),
        Error::Gated { token: true, .. } => Some("accept the conditions on that page as the owner of the token"),
        Error::Gated { .. } => {
            Some("accept the conditions on that page, and name your token in HF_TOKEN, or use `hf auth login`")
        }
        Error::Token { .. } => Some("the token is that of HF_TOKEN, or of the file `token` in the Hugging Face cache"),
        Error::Offline { .. } => {
            Some("HF_HUB_OFFLINE is set; without it the download begins. HF_HOME names another cache")
        }
        Error::Unreachable { .. } => Some(
            "HF_ENDPOINT names a mirror, HTTPS_PROXY a proxy; without a network, copy the cache of a machine that has one",
        ),
        Error::NoModel { .. } => Some("`efficientbert import` reads safetensors and PyTorch files"),
        Error::Stopped { .. } => Some("the same command continues from there"),
        _ => None,
    };
    let is_usage = matches!(
        error,
        Error::Name { .. }
            | Error::NoRepository { .. }
            | Error::NoRevision { .. }
            | Error::NoFile { .. }
            | Error::NoModel { .. }
    );
    let message = format!("{option}: {error}");
    let said = match &error {
        Error::Stopped { .. } => CliError::interrupted(message),
        _ if is_usage => CliError::usage(message),
        _ => CliError::failed(message),
    };
    said.with_hints(hint)
}
