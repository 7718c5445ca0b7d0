//! What a model that is asked questions takes: its windows, and the version of SQuAD that its head is of.

use encoder_spec::TaskHeadConfig;
use glue_squad::squad::{SquadVersion, WindowConfig};
use tokenizer::PairFrame;

use crate::{Error, Result};

/// What is chosen of the windows of questions and texts; `None` stands for the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowChoice {
    /// Tokens of a window, at most [default: BERT's 384, or what the model takes].
    pub max_len: Option<usize>,
    /// By how many tokens a window starts after the one before [default: BERT's 128].
    pub stride: Option<usize>,
    /// Tokens of a question, at most [default: BERT's 64, or half of the room in a window].
    pub max_query: Option<usize>,
}

impl WindowChoice {
    /// Windows for a model of `positions` tokens whose tokenizer puts special tokens around pairs as `frame` has them. A model of few
    /// positions has room for shorter questions: at most `(max_len - special) / 2` tokens, unless a length is chosen.
    ///
    /// # Errors
    /// [`Error::WindowTooLong`]; [`Error::Data`]: lengths that leave no room for a text, or a stride of 0.
    pub fn windows(self, positions: usize, frame: PairFrame) -> Result<WindowConfig> {
        let bert = WindowConfig::bert();
        let max_len = self.max_len.unwrap_or(bert.max_len.min(positions));
        if max_len > positions {
            return Err(Error::WindowTooLong { max_len, positions });
        }
        let room = max_len.saturating_sub(frame.special()) / 2;
        let config = WindowConfig {
            max_len,
            stride: self.stride.unwrap_or(bert.stride),
            max_query: self.max_query.unwrap_or(bert.max_query.min(room.max(1))),
            ..bert
        };
        config.check_in(frame)?;
        Ok(config)
    }
}

/// The version of SQuAD by which a head of spans answers, which its task names.
///
/// # Errors
/// [`Error::NotSquad`]: the task names none.
pub fn squad_version(head: &TaskHeadConfig) -> Result<SquadVersion> {
    head.task
        .parse()
        .map_err(|reason: glue_squad::Error| Error::NotSquad { task: head.task.clone(), reason: reason.to_string() })
}

#[cfg(test)]
mod tests {
    use encoder_spec::TaskHeadKind;

    use super::*;

    fn lengths(config: WindowConfig) -> [usize; 3] {
        [config.max_len, config.stride, config.max_query]
    }

    #[test]
    fn a_model_of_few_positions_reads_shorter_questions_by_default() {
        let chosen = WindowChoice::default();
        let windows = |positions, frame| lengths(chosen.windows(positions, frame).unwrap());
        assert_eq!(windows(512, PairFrame::Bert), [384, 128, 64]);
        assert_eq!(windows(131, PairFrame::Bert), [131, 128, 64]);
        assert_eq!(windows(32, PairFrame::Bert), [32, 128, 14]);
        assert_eq!(windows(32, PairFrame::Roberta), [32, 128, 14]);
        assert_eq!(windows(5, PairFrame::Bert), [5, 128, 1]);
        assert!(chosen.windows(4, PairFrame::Bert).unwrap_err().to_string().contains("at least 5"));
        assert!(chosen.windows(5, PairFrame::Roberta).unwrap_err().to_string().contains("at least 6"));
    }

    #[test]
    fn chosen_lengths_are_kept_or_refused() {
        let chosen = WindowChoice { max_len: Some(40), stride: Some(7), max_query: Some(30) };
        assert_eq!(lengths(chosen.windows(64, PairFrame::Bert).unwrap()), [40, 7, 30]);
        let refused = |chosen: WindowChoice| chosen.windows(64, PairFrame::Bert).unwrap_err().to_string();
        assert_eq!(
            refused(WindowChoice { max_len: Some(65), ..chosen }),
            "a window of 65 tokens is asked for; the model takes 64"
        );
        assert!(refused(WindowChoice { max_query: Some(40), ..chosen }).contains("too small"));
        assert!(refused(WindowChoice { stride: Some(0), ..chosen }).contains("stride"));
    }

    #[test]
    fn the_task_of_a_head_names_its_version() {
        let head = |task| TaskHeadConfig::new(task, TaskHeadKind::Span, Vec::new());
        assert_eq!(squad_version(&head("squad-v2")).unwrap(), SquadVersion::V2);
        let message = squad_version(&head("quiz")).unwrap_err().to_string();
        assert!(message.contains("the head `quiz`") && message.contains("squad-v1"), "{message}");
    }
}
