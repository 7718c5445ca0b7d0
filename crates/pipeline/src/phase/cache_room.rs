//! How many bytes of the teacher's answers are worth keeping on this machine, where the recipe leaves that open.

use bert_core::BertConfig;
use kd::cache::{ByteSize, CacheStorage, Format, Room, TeacherLayers};

use super::batch_order::{BatchOrders, Shared};
use super::distillation::plan;
use super::supernet::frame;
use super::{Data, PhaseSpec};
use crate::Result;
use crate::disk::size;
use crate::inputs::Inputs;
use crate::recipe::Recipe;

/// Trainings that see a batch whose answer is worth memory: the candidates of a search are so many, while winner and baseline are two,
/// for which thousands of answers would be kept to save each of them once.
const IN_MEMORY: u64 = 5;
/// The same on the disk, where everything that is asked twice is kept.
const ON_DISK: u64 = 2;
/// Part of the free memory that is taken: models, moments and batches need some too.
const PART_OF_MEMORY: u64 = 4;
/// The least part of what is asked again that is worth keeping.
const LEAST_PART: u64 = 20;
/// Most bytes where nobody knows what is free, and on the disk.
const MOST: u64 = 2 << 30;
/// Batches that are looked at to know how large one is.
const SAMPLE: u64 = 64;

/// What the cache may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRoom {
    /// Most bytes.
    pub bytes: ByteSize,
    /// What was chosen and why; `None` where the recipe says it.
    pub story: Option<String>,
}

/// The room of a run's cache: what the recipe says, else what is asked for again often enough, within a part of the `free` memory of
/// the processor; on other devices, whose memory is not known, within 2 GiB.
///
/// # Errors
/// Files that cannot be read.
pub fn cache_room(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    inputs: &Inputs,
    teacher: &BertConfig,
    free: Option<u64>,
) -> Result<CacheRoom> {
    let settings = recipe.teacher.cache;
    if let Room::Bytes(bytes) = settings.max_bytes {
        return Ok(CacheRoom { bytes, story: None });
    }
    let (times, most) = match settings.place {
        CacheStorage::Off => return Ok(CacheRoom { bytes: ByteSize(0), story: None }),
        CacheStorage::Memory => (IN_MEMORY, free.map_or(MOST, |free| free / PART_OF_MEMORY)),
        CacheStorage::Disk => (ON_DISK, MOST),
    };
    let mut asked = 0;
    for shared in BatchOrders::of(recipe, phases).shared(times) {
        asked += bytes(recipe, inputs, teacher, &shared)?;
    }
    let (bytes, story) = choose(settings.place, asked, most, free);
    Ok(CacheRoom { bytes: ByteSize(bytes), story: Some(story) })
}

/// The room for `asked` bytes that will be asked for again, and why.
fn choose(place: CacheStorage, asked: u64, most: u64, free: Option<u64>) -> (u64, String) {
    let bound = match (place, free) {
        (CacheStorage::Memory, Some(_)) => "a quarter of the free memory".to_string(),
        _ => format!("the usual {}", size(MOST)),
    };
    let place = if place == CacheStorage::Disk { "on the disk" } else { "in memory" };
    if asked == 0 {
        return (0, "teacher cache: nothing is kept, since no batch is shown to many trainings".into());
    }
    if asked <= most {
        return (
            asked,
            format!("teacher cache: at most {} {place}, all answers that are asked for repeatedly", size(asked)),
        );
    }
    let (all, most_shown) = (size(asked), size(most));
    if most < asked / LEAST_PART {
        let story =
            format!("teacher cache: nothing is kept; {all} will be asked for again, but {bound} is only {most_shown}");
        return (0, story);
    }
    (most, format!("teacher cache: at most {most_shown} {place}, {bound}; {all} are asked for repeatedly"))
}

/// Bytes of the teacher's answers for the batches of `shared`, a little more rather than less.
fn bytes(recipe: &Recipe, inputs: &Inputs, teacher: &BertConfig, shared: &Shared<'_>) -> Result<u64> {
    let Shared { training, batches } = *shared;
    let settings = &training.settings;
    let plan = plan(training, &frame(recipe, teacher), teacher)?;
    let layers = TeacherLayers::of(&plan);
    let looked_at = batches.min(SAMPLE);
    let step = |i: u64| i * batches / looked_at;
    let mut values = 0;
    let mut add = |rows: usize, width: usize| values += values_of(&layers, teacher, rows as u64, width as u64);
    match training.data {
        Data::Text => {
            let text = inputs.text(recipe, settings)?;
            for i in 0..looked_at {
                let batch = text.batch(step(i))?;
                add(batch.batch, batch.seq);
            }
        }
        Data::Tasks => {
            let tasks = inputs.tasks(recipe, settings)?.0;
            for i in 0..looked_at {
                let (_, batch) = tasks.batch(step(i))?;
                add(batch.batch, batch.seq);
            }
        }
    }
    let each = if recipe.teacher.cache.format == Format::F16 { 2 } else { 4 };
    let all = values * each * batches / looked_at;
    // Where not all were looked at, the others may be larger.
    Ok(if looked_at < batches { all + all / 10 } else { all })
}

/// Numbers that are kept of one batch.
fn values_of(layers: &TeacherLayers, teacher: &BertConfig, rows: u64, width: u64) -> u64 {
    let (states, scores, values) = (layers.states.len() as u64, layers.scores.len() as u64, layers.values.len() as u64);
    let heads = teacher.num_attention_heads as u64;
    let positions = rows * width;
    positions * (states * teacher.state_width() as u64 + scores * heads * width + values * teacher.hidden_size as u64)
        // The answer itself: no task has more classes.
        + 4 * rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn what_is_asked_again_is_kept_as_far_as_a_part_of_the_memory_reaches() {
        let choose = |asked, free: u64| choose(CacheStorage::Memory, asked, free / PART_OF_MEMORY, Some(free));
        let (bytes, said) = choose(180 * MB, 8000 * MB);
        assert!(bytes == 180 * MB && said.contains("at most 180 MB in memory, all answers"), "{said}");
        let (bytes, said) = choose(180 * MB, 400 * MB);
        assert!(
            bytes == 100 * MB && said.contains("at most 100 MB in memory, a quarter of the free memory; 180 MB"),
            "{said}"
        );
        let (bytes, said) = choose(180_000 * MB, 400 * MB);
        assert!(bytes == 0 && said.contains("nothing is kept; 180 GB"), "{said}");
        let (bytes, said) = choose(0, 400 * MB);
        assert!(bytes == 0 && said.contains("no batch is shown to many"), "{said}");
    }

    #[test]
    fn numbers_of_a_batch_are_those_of_the_layers_that_are_compared() {
        let teacher = BertConfig::bert(50, 16, 4, 2, 32);
        let layers = TeacherLayers { states: vec![0, 4], scores: vec![1], values: vec![3] };
        // Two states of 16, one layer of 2 x 8 scores for each position, values of 16; 3 x 8 positions.
        assert_eq!(values_of(&layers, &teacher, 3, 8), 24 * (2 * 16 + 2 * 8 + 16) + 12);
    }
}
