//! Hugging Face checkpoints.

use bert_core::BertConfig;
use bert_core::weights::{NameFormat, Tensors};
use searched_ffn::{AnyModel, Parts, span_head_as_classifier};

use super::heads::task_head;
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
