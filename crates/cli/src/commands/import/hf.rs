//! Hugging Face checkpoints.

use bert_core::weights::{NameFormat, Tensors};
use bert_core::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::squad::SquadVersion;
use kd::span::span_head;
use searched_ffn::{AnyModel, Parts, span_head_as_classifier};

use super::{ImportArgs, Imported, read_weights};
use crate::context::Context;
use crate::error::{CliError, ResultExt};

pub(super) fn import(args: &ImportArgs, context: &Context) -> Result<Imported, CliError> {
    let mut config = BertConfig::load(&args.config).hint("--config takes the checkpoint's config.json")?;
    let mut tensors = modern_names(read_weights(&args.weights)?);
    drop_where(&mut tensors, context, "the next-sentence head", |name| name.starts_with("cls.seq_relationship."));
    if args.encoder_only {
        drop_where(&mut tensors, context, "heads", |name| {
            ["cls.", "classifier", "qa_outputs."].iter().any(|head| name.starts_with(head))
        });
        config.task_heads.clear();
    }
    if config.task_heads.is_empty() {
        config.task_heads.extend(task_head(args, &config, &tensors)?);
    } else if args.task.is_some() {
        return Err(CliError::usage("--task: the configuration already names the heads' tasks"));
    }
    let tensors = span_head_as_classifier(tensors);
    let parts = Parts::of_names(tensors.0.keys());
    let format = NameFormat::HuggingFace(config.model_type);
    let model = AnyModel::build(&config, parts, &context.device).context(args.config.display().to_string())?;
    let model = model
        .apply(tensors, format, &args.weights)
        .hint("the weights must belong to --config; --encoder-only leaves heads behind")?;
    Ok(Imported { config, model })
}

/// TensorFlow's names of scale and shift survive in old checkpoints..
fn modern_names(tensors: Tensors) -> Tensors {
    let rename = |name: String| {
        let name = match name.strip_suffix("LayerNorm.gamma") {
            Some(stem) => format!("{stem}LayerNorm.weight"),
            None => name,
        };
        match name.strip_suffix("LayerNorm.beta") {
            Some(stem) => format!("{stem}LayerNorm.bias"),
            None => name,
        }
    };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}

fn drop_where(tensors: &mut Tensors, context: &Context, what: &str, is_dropped: impl Fn(&str) -> bool) {
    let before = tensors.0.len();
    tensors.0.retain(|name, _| !is_dropped(name));
    let dropped = before - tensors.0.len();
    if dropped > 0 {
        context.progress.message(&format!("left behind: {what} ({dropped} tensors)"));
    }
}

/// The head that the file holds, under the task the person names.
fn task_head(args: &ImportArgs, config: &BertConfig, tensors: &Tensors) -> Result<Option<TaskHeadConfig>, CliError> {
    if tensors.0.contains_key("qa_outputs.weight") {
        let version = args.task.as_ref().and_then(|task| task.parse::<SquadVersion>().ok());
        return version.map(|version| Some(span_head(version))).ok_or_else(|| {
            CliError::usage("the file holds a span head (`qa_outputs.weight`) whose task is not known")
                .with_hint("name it with --task squad-v1 or squad-v2, or leave it behind with --encoder-only")
        });
    }
    let Some(weight) = tensors.0.get("classifier.weight") else {
        return match &args.task {
            Some(task) => Err(CliError::usage(format!("--task {task}: the file holds no `classifier.weight`"))),
            None => Ok(None),
        };
    };
    let Some(task) = args.task.clone() else {
        return Err(CliError::usage("the file holds a task head (`classifier.weight`) whose task is not known")
            .with_hint("name it with --task, or leave it behind with --encoder-only"));
    };
    let outputs = weight.shape.first().copied().unwrap_or(0);
    if outputs <= 1 {
        return Ok(Some(TaskHeadConfig { task, kind: TaskHeadKind::Regression, labels: Vec::new() }));
    }
    let named = config.extra.get("id2label");
    let label = |i: usize| {
        let name = named.and_then(|m| m.get(i.to_string())).and_then(|v| v.as_str());
        name.map_or_else(|| i.to_string(), ToOwned::to_owned)
    };
    let labels = (0..outputs).map(label).collect();
    Ok(Some(TaskHeadConfig { task, kind: TaskHeadKind::Classification, labels }))
}
