//! The head of a SQuAD task in a model's configuration.

use encoder_spec::{BertConfig, TaskHeadConfig, TaskHeadKind};
use glue_squad::squad::SquadVersion;

use crate::{Error, Result};

/// The head that a SQuAD task needs, as the configuration of a model carries it.
pub fn span_head(version: SquadVersion) -> TaskHeadConfig {
    TaskHeadConfig { task: version.name().into(), kind: TaskHeadKind::Span, labels: Vec::new() }
}

/// Position of the head for `version` among the heads of a model.
///
/// A head of the other version does not do: one that learned on v1.1 has no null score, and one that learned on v2.0 was told to
/// point at the `[CLS]` where it doubts.
///
/// # Errors
/// [`Error::Mismatch`] listing the heads that exist, or saying that the head is of another kind.
pub fn span_head_index(config: &BertConfig, version: SquadVersion) -> Result<usize> {
    let heads = &config.task_heads;
    let is_meant = |h: &TaskHeadConfig| h.task.parse::<SquadVersion>().is_ok_and(|v| v == version);
    let index = heads.iter().position(is_meant).ok_or_else(|| {
        let known: Vec<&str> = heads.iter().map(|h| h.task.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Error::Mismatch(format!("the model has no head for task {version}; its heads: {known}"))
    })?;
    match heads[index].kind {
        TaskHeadKind::Span => Ok(index),
        kind => Err(Error::Mismatch(format!("the model's head for task {version} is of another kind: {kind:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_heads(task_heads: Vec<TaskHeadConfig>) -> BertConfig {
        BertConfig { task_heads, ..BertConfig::bert(9, 4, 1, 2, 6) }
    }

    #[test]
    fn the_head_is_found_by_version_in_every_spelling() {
        let squad = TaskHeadConfig { task: "SQuAD2.0".into(), ..span_head(SquadVersion::V2) };
        let config = with_heads(vec![span_head(SquadVersion::V1), squad]);
        assert_eq!(span_head_index(&config, SquadVersion::V1).unwrap(), 0);
        assert_eq!(span_head_index(&config, SquadVersion::V2).unwrap(), 1);
    }

    #[test]
    fn a_head_of_another_version_or_kind_is_refused() {
        let found = span_head_index(&with_heads(vec![span_head(SquadVersion::V1)]), SquadVersion::V2).unwrap_err();
        assert!(found.to_string().contains("no head for task squad-v2; its heads: squad-v1"), "{found}");
        let found = span_head_index(&with_heads(Vec::new()), SquadVersion::V1).unwrap_err();
        assert!(found.to_string().contains("its heads: none"), "{found}");
        let other = TaskHeadConfig { kind: TaskHeadKind::Regression, ..span_head(SquadVersion::V1) };
        let found = span_head_index(&with_heads(vec![other]), SquadVersion::V1).unwrap_err();
        assert!(found.to_string().contains("another kind: Regression"), "{found}");
    }
}
