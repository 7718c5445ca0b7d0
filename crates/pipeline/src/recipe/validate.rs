//! Checks of a recipe: what types cannot say.

use glue_squad::task::Task;
use kd::cache::{ByteSize, CacheStorage, Room};
use train::engine::TrainConfig;

use super::{Begin, Inherit, Recipe};
use crate::phase::{phases, trainings};

/// A setting of the training `key` that cannot be.
fn of_key(key: &str, error: train::Error) -> String {
    match error {
        train::Error::Setting { field, message } => format!("`{key}.{field}`: {message}"),
        other => format!("`{key}`: {other}"),
    }
}

/// More trainings of one kind than anybody waits for.
const MOST_TRAININGS: u32 = 100;

impl Recipe {
    /// Checks what types cannot: sizes that fit each other.
    ///
    /// # Errors
    /// A message naming the key.
    pub fn check(&self) -> Result<(), String> {
        self.check_sizes()?;
        self.check_tasks()?;
        self.distill.check().map_err(|e| format!("`distill`: {e}"))?;
        if let Some(objective) = &self.final_.distill {
            objective.check().map_err(|e| format!("`final.distill`: {e}"))?;
        }
        if let Some(given) = self.compare.inherit.filter(|given| !given.suits_plain_networks()) {
            let given = format!("{given:?}").to_lowercase();
            return Err(format!(
                "`compare.inherit` ({given}): a plain network is no slice of a supernet; give \"nothing\" or \"teacher\""
            ));
        }
        self.check_inputs()?;
        self.check_task_steps()?;
        self.check_phases()?;
        self.check_encoder_search()?;
        self.check_compare()?;
        self.check_students()?;
        self.check_counts()
    }

    /// Sizes of the student and of a timed pass.
    ///
    /// # Errors
    /// A message naming the key.
    pub(super) fn check_sizes(&self) -> Result<(), String> {
        let positive = [
            ("max_len", self.max_len),
            ("length_window", self.length_window),
            ("student.layers", self.student.layers),
            ("student.hidden", self.student.hidden),
            ("student.embed", self.student.embed),
            ("student.heads", self.student.heads),
            ("latency.batch", self.latency.batch),
            ("latency.seq", self.latency.seq),
            ("latency.runs", self.latency.runs),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("`{key}` must be at least 1"));
        }
        if self.log_every == Some(0) {
            return Err("`log_every` must be at least 1".into());
        }
        if self.max_len < 8 {
            return Err("`max_len` must be at least 8".into());
        }
        if !self.student.hidden.is_multiple_of(self.student.heads) {
            return Err(format!(
                "`student.heads` ({}) must divide `student.hidden` ({})",
                self.student.heads, self.student.hidden
            ));
        }
        if !(0.0..0.9).contains(&self.data.hold_out) || self.data.hold_out == 0.0 {
            return Err("`data.hold_out` must be above 0 and below 0.9".into());
        }
        Ok(())
    }

    fn check_tasks(&self) -> Result<(), String> {
        if self.tasks.is_empty() {
            return Err("`tasks` must name at least one task".into());
        }
        self.tasks.iter().try_for_each(|task| task.check_trainable().map_err(|e| format!("`tasks`: {e}")))?;
        let twice = self.tasks.iter().enumerate().find(|(i, task)| self.tasks[..*i].contains(task));
        twice.map_or(Ok(()), |(_, task)| Err(format!("`tasks` names {} twice", task.name())))
    }

    /// Teacher, tasks and text go together: all given, or all made by the run.
    fn check_inputs(&self) -> Result<(), String> {
        let (teacher, data) = (&self.teacher, &self.data);
        // The texts of described tasks are a corpus where no other is given.
        let has_texts = self.tasks.iter().any(Task::is_described);
        let lacks_text = data.glue.is_some() && data.corpus.is_empty() && self.reads_text() && !has_texts;
        let message = if lacks_text || data.glue.is_none() && !data.corpus.is_empty() {
            "`data.glue` and `data.corpus` go together: give both (--data, --corpus) or neither"
        } else if data.glue.is_some() && teacher.model.is_none() && teacher.tokenizer.is_none() {
            "`teacher.model` is needed for real data (--teacher DIR): the scratch teacher has no tokenizer for it; with \
             `teacher.tokenizer` one is learned from `data.corpus`"
        } else if teacher.model.is_some() && (teacher.tokenizer.is_some() || teacher.pretrain.is_some()) {
            "`teacher.tokenizer` and `teacher.pretrain` have no effect with `teacher.model` (--teacher): they are for a teacher from \
             scratch; leave the model out, or take another recipe"
        } else if teacher.tokenizer.is_some() && data.corpus.is_empty() {
            "`teacher.tokenizer` is learned from `data.corpus`, which is missing: give text files (--corpus), and with them the data \
             of the task (--data, or --train)"
        } else if teacher.model.is_some() && data.glue.is_none() {
            "a teacher model needs real data: give `data.glue` and `data.corpus` (--data, --corpus)"
        } else if teacher.model.is_none() && teacher.scratch.is_none() {
            "`teacher.model` must be given, and with it `data.glue` and `data.corpus` (--teacher DIR --data DIR --corpus PATH); or \
             `teacher.scratch` alone, for data that are generated"
        } else if teacher.pretrain.as_ref().is_some_and(|phase| phase.train.steps == 0) {
            "`teacher.pretrain.steps` must be at least 1; without `teacher.pretrain` nothing is pre-trained"
        } else if teacher.trim_vocab == Some(0) {
            "`teacher.trim_vocab` must be at least 1"
        } else if teacher.trim_vocab.is_some() && teacher.model.is_none() {
            "`teacher.trim_vocab` (--trim-vocab) needs `teacher.model`: generated data have a vocabulary of their own, and \
             `teacher.tokenizer.vocab_size` says how large a learned one is"
        } else if teacher.cache.place != CacheStorage::Off && teacher.cache.max_bytes == Room::Bytes(ByteSize(0)) {
            "`teacher.cache.max_bytes` is 0, so nothing could be kept; `teacher.cache.where = \"off\"` says so"
        } else {
            return match &teacher.tokenizer {
                Some(settings) => settings.check().map_err(|e| format!("`teacher.tokenizer`: {e}")),
                None => Ok(()),
            };
        };
        Err(message.into())
    }

    /// Steps of single tasks: each is one of the recipe's, and the training is possible with them.
    fn check_task_steps(&self) -> Result<(), String> {
        let teacher = &self.teacher;
        if !teacher.per_task && !teacher.task_steps.is_empty() {
            return Err(
                "`teacher.task_steps` has no effect without `teacher.per_task = true`: one teacher learns all \
                        tasks together"
                    .into(),
            );
        }
        for (task, &steps) in &teacher.task_steps {
            let key = format!("teacher.task_steps.{}", task.name());
            if !self.tasks.contains(task) {
                let tasks: Vec<&str> = self.tasks.iter().map(Task::name).collect();
                return Err(format!("`{key}`: the task is not in `tasks` ({})", tasks.join(", ")));
            }
            if steps == 0 {
                return Err(format!("`{key}` must be at least 1"));
            }
            teacher.fine_tune_on(task).train_config(0).validate().map_err(|e| of_key(&key, e))?;
        }
        Ok(())
    }

    fn check_phases(&self) -> Result<(), String> {
        let phases = phases(self);
        for (of, training) in trainings(&phases) {
            let (key, phase) = (training.key, &training.settings);
            if phase.batch_size == 0 {
                return Err(format!("`{key}.batch_size` must be at least 1"));
            }
            if phase.length_window == Some(0) {
                return Err(format!("`{key}.length_window` must be at least 1"));
            }
            if phase.train.eval_every > 0 && !training.evaluated {
                return Err(format!("`{key}.eval_every` has no effect: nothing is evaluated in this phase"));
            }
            if !of.has_checkpoints() {
                let usual = TrainConfig::new(1, 1.0).keep_last;
                for (name, set) in [
                    ("checkpoint_every", phase.train.checkpoint_every > 0),
                    ("keep_last", phase.train.keep_last != usual),
                ] {
                    if set {
                        return Err(format!("`{key}.{name}` has no effect: candidates keep no checkpoints"));
                    }
                }
            }
            phase.train_config(0).validate().map_err(|e| of_key(key, e))?;
            if phase.max_len > self.max_len || (1..8).contains(&phase.max_len) {
                return Err(format!("`{key}.max_len` must be 0 or between 8 and `max_len` ({})", self.max_len));
            }
        }
        Ok(())
    }

    /// What goes with a search among whole encoders.
    fn check_encoder_search(&self) -> Result<(), String> {
        let Some(choices) = &self.search.encoder else { return Ok(()) };
        choices.check().map_err(|e| format!("`search.encoder`: {e}"))?;
        if self.warm_up.train.steps > 0 {
            return Err("`warm_up.steps` has no effect with `search.encoder`: candidates are no slices of one largest student; set it to 0".into());
        }
        if matches!(self.final_.inherit, Inherit::WarmUp | Inherit::Supernet) {
            return Err(
                "`final.inherit` is \"teacher\" or \"nothing\" with `search.encoder`: there is no supernet".into()
            );
        }
        let (one, two, three) = (self.search.stage1.trials, self.search.stage2.trials, self.search.stage3.trials);
        if two > one || three > two {
            return Err(format!(
                "`search.stage1.trials`, `search.stage2.trials` and `search.stage3.trials` ({one}, {two}, {three}): with `search.encoder` the best of a stage go on to the next, so there cannot be more"
            ));
        }
        Ok(())
    }

    fn check_students(&self) -> Result<(), String> {
        let (wanted, trials) = (u8::from(self.final_.students), self.search.stage3.trials);
        match trials < u64::from(wanted) {
            true => Err(format!(
                "`final.students` is {wanted}, but `search.stage3.trials` {trials}: the students are trials of stage 3"
            )),
            false => Ok(()),
        }
    }

    fn check_compare(&self) -> Result<(), String> {
        if self.compare.seeds == 0 {
            return Err("`compare.seeds` must be at least 1".into());
        }
        let longest = [("random", self.compare.random), ("seeds", self.compare.seeds)];
        match longest.into_iter().find(|(_, number)| *number > MOST_TRAININGS) {
            Some((key, number)) => Err(format!("`compare.{key}` is {number}; more than {MOST_TRAININGS} is a mistake")),
            None => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        let (search, stages) = (&self.search, [&self.search.stage1, &self.search.stage2]);
        // A whole encoder that begins as its teacher has the teacher's heads.
        let scores_at_once = search.encoder.is_some() && self.student.begin == Begin::Teacher && !self.teacher.per_task;
        let zero = [
            ("search.stage1.trials", stages[0].trials),
            ("search.stage2.trials", stages[1].trials),
            ("search.stage3.trials", search.stage3.trials),
            // Candidates are told apart by the scores of heads, which only these train.
            ("search.stage1.proxy.task.steps", if scores_at_once { 1 } else { stages[0].proxy.task.train.steps }),
            ("search.stage2.proxy.task.steps", stages[1].proxy.task.train.steps),
            ("search.stage3.task.steps", search.stage3.task.train.steps),
            ("final.task.steps", self.final_.task.train.steps),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, number)| *number == 0) {
            return Err(format!("`{key}` must be at least 1"));
        }
        if self.teacher.fine_tune.train.steps == 0 && self.teacher.model.is_none() {
            return Err("`teacher.fine_tune.steps` must be at least 1 where the teacher is made from scratch".into());
        }
        Ok(())
    }
}
