//! Which worker computes what, and the buffers.

use std::ops::Range;

use cpu_kernels::matmul::{COL_GROUP, Input, ROW_GROUP};

use crate::Model;
use crate::batch::Batch;
use crate::buffer::{Buffer, LINE};

/// Least and most tokens that a lane takes through the layers at once, unless a single sequence is longer: what is between
/// two products should stay in a core's cache, but weights are read again for every such chunk.
const CHUNK: [usize; 2] = [128, 512];
/// Bytes of weights that are worth another token in the chunk.
const BYTES_PER_TOKEN: usize = 256 << 10;
/// What reading all weights once costs, in tokens: a product with few rows waits for its weights. Least and most: weights that
/// do not fit the last-level cache come from memory, which all cores share.
const WEIGHTS: [usize; 2] = [24, 96];
/// Bytes of weights that cost one more.
const BYTES_PER_COST: usize = 2 << 20;
/// How much slower workers are that share tokens, in percent: each reads what others have just written, and waits.
const SHARING: [usize; 2] = [20, 10];

/// What a lane of workers needs: values between steps, and packed operands.
#[derive(Default)]
pub(crate) struct Lane {
    places: Vec<Buffer>,
    /// First values of `places`, for the workers.
    pub pointers: Vec<Pointer>,
    pub slots: Vec<Input>,
}

/// A place that workers share as the program says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pointer(pub *mut f32);

// SAFETY: an address. Each use explains why no other thread uses it at the same time.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Lane {
    /// Makes room for chunks of `tokens`.
    pub fn reserve(&mut self, model: &Model, tokens: usize) {
        if self.places.len() < model.places.len() {
            self.places.resize_with(model.places.len(), Buffer::default);
        }
        self.pointers.clear();
        for (place, &width) in self.places.iter_mut().zip(&model.places) {
            place.reserve(tokens * stride(width));
            self.pointers.push(Pointer(place.pointer()));
        }
        if self.slots.len() < model.slots.len() {
            self.slots.resize_with(model.slots.len(), Input::default);
        }
        for (input, slot) in self.slots.iter_mut().zip(&model.slots) {
            input.reserve(tokens, slot.width, slot.precision);
        }
    }
}

/// Distance of rows of `width` values: whole cache lines, but no multiple of 2 KiB, which would put a column of 16 rows
/// into one set of the first-level cache.
pub(crate) fn stride(width: usize) -> usize {
    let lines = width.div_ceil(LINE);
    (lines + usize::from(lines.is_multiple_of(32))) * LINE
}

/// How a batch is divided: lanes of neighboring workers, each with neighboring sequences, and each divided into parts
/// that have a range of the tokens.
#[derive(Default)]
pub(crate) struct Division {
    /// Lane `l` takes the sequences `bounds[l]..bounds[l + 1]`.
    bounds: Vec<usize>,
    /// Parts of a lane.
    parts: usize,
    /// Most tokens of a chunk of several sequences.
    chunk: usize,
}

impl Division {
    /// Chooses lanes and parts for `workers` and a model with `weights` bytes: the finer the division, the more often weights
    /// are read; the coarser, the more is read that another worker has just written.
    pub fn plan(&mut self, batch: &Batch<'_>, workers: usize, weights: usize) {
        let chunk = (weights / BYTES_PER_TOKEN).clamp(CHUNK[0], CHUNK[1]);
        let reading = (weights / BYTES_PER_COST).clamp(WEIGHTS[0], WEIGHTS[1]);
        let most = workers.min(batch.sequences()).max(1);
        let mut best = (usize::MAX, 1, 1);
        for lanes in (1..=most).rev() {
            let busiest = busiest(batch, lanes);
            for parts in (1..=(workers / lanes).min(busiest.div_ceil(ROW_GROUP)).max(1)).rev() {
                let cost = cost(busiest, (chunk, reading), workers / lanes, parts);
                if cost < best.0 {
                    best = (cost, lanes, parts);
                }
            }
        }
        let (_, lanes, parts) = best;
        (self.chunk, self.parts) = (chunk * parts, parts);
        self.bounds.clear();
        self.bounds.extend((0..=lanes).map(|lane| boundary(batch, lane, lanes)));
    }

    pub fn parts(&self) -> usize {
        self.parts
    }

    pub fn lanes(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Chunks of sequences of a lane.
    pub fn chunks<'a>(&self, batch: &'a Batch<'_>, lane: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        let (mut next, end, chunk) = (self.bounds[lane], self.bounds[lane + 1], self.chunk);
        std::iter::from_fn(move || {
            let first = next;
            while next < end && (next == first || batch.offsets[next + 1] - batch.offsets[first] <= chunk) {
                next += 1;
            }
            (next > first).then_some(first..next)
        })
    }

    /// Most tokens of a chunk of the lane.
    pub fn tokens(&self, batch: &Batch<'_>, lane: usize) -> usize {
        self.chunks(batch, lane).map(|c| batch.offsets[c.end] - batch.offsets[c.start]).max().unwrap_or(0)
    }
}

/// First sequence of `lane` of `lanes`: the one that starts nearest to an even share of the tokens.
fn boundary(batch: &Batch<'_>, lane: usize, lanes: usize) -> usize {
    let ideal = batch.tokens() * lane / lanes;
    let after = batch.offsets.partition_point(|&o| o < ideal);
    let distance = |s: usize| batch.offsets[s].abs_diff(ideal);
    if after > 0 && distance(after - 1) <= distance(after) { after - 1 } else { after }
}

/// Tokens of the lane that has most.
fn busiest(batch: &Batch<'_>, lanes: usize) -> usize {
    let tokens = |lane| batch.offsets[boundary(batch, lane + 1, lanes)] - batch.offsets[boundary(batch, lane, lanes)];
    (0..lanes).map(tokens).max().unwrap_or(0)
}

/// Time that a lane of `workers` in `parts` takes for `tokens`, in hundredths of a worker's time for a token; `reading` is what
/// all weights cost once per chunk.
fn cost(tokens: usize, (chunk, reading): (usize, usize), workers: usize, parts: usize) -> usize {
    let sharers = workers / parts;
    let slower = if sharers == 1 { 100 } else { 100 + SHARING[0] + SHARING[1] * sharers };
    let own = tokens.div_ceil(ROW_GROUP).div_ceil(parts) * ROW_GROUP;
    let chunks = tokens.div_ceil(chunk * parts);
    (own.min(tokens) * slower + chunks * reading * 100) / sharers
}

/// The part of a product's rows and columns that worker `index` of `count` computes.
pub(crate) fn block(rows: usize, cols: usize, index: usize, count: usize) -> (Range<usize>, Range<usize>) {
    if count == 1 {
        return (0..rows, 0..cols);
    }
    let (row_groups, col_groups) = (rows.div_ceil(ROW_GROUP), cols.div_ceil(COL_GROUP));
    // In units of one 32 x 32 block: its arithmetic, and for each column group the reading of its weights.
    let cost = |across: usize| {
        let (r, c) = (row_groups.div_ceil(count / across), col_groups.div_ceil(across));
        (r + 2) * c
    };
    // The widest division among equals: it reads the fewest weights.
    let across = (1..=count).rev().min_by_key(|&across| cost(across)).unwrap_or(1);
    let down = count / across;
    let (row, col) = (index / across, index % across);
    if row >= down {
        return (0..0, 0..0);
    }
    (crate::team::share(rows, ROW_GROUP, row, down), crate::team::share(cols, COL_GROUP, col, across))
}

/// Query rows that one unit of attention takes when heads alone do not occupy all workers.
pub(crate) const QUERY_BLOCK: usize = 32;

/// Query rows that are taken at once where tokens see each other up to `reach` away: with fewer, more of the work would be to pack keys;
/// with more, more of the scores would be of tokens that are too far away.
pub(crate) fn near_block(reach: usize) -> usize {
    reach.max(QUERY_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lanes, parts of each, and tokens of each lane's largest chunk.
    fn divided_with(weights: usize, lengths: &[usize], workers: usize) -> (usize, usize, Vec<usize>) {
        let mut offsets = vec![0];
        lengths.iter().for_each(|l| offsets.push(offsets[offsets.len() - 1] + l));
        let ids = vec![0; offsets[lengths.len()]];
        let batch = Batch { ids: &ids, offsets: &offsets, ..Batch::default() };
        let mut division = Division::default();
        division.plan(&batch, workers, weights);
        let mut covered = Vec::new();
        for lane in 0..division.lanes() {
            for chunk in division.chunks(&batch, lane) {
                let tokens = batch.offsets[chunk.end] - batch.offsets[chunk.start];
                assert!(chunk.len() == 1 || tokens <= CHUNK[1] * division.parts());
                covered.extend(chunk);
            }
        }
        assert_eq!(covered, (0..lengths.len()).collect::<Vec<_>>());
        let tokens = (0..division.lanes()).map(|l| division.tokens(&batch, l)).collect();
        (division.lanes(), division.parts(), tokens)
    }

    fn divided(lengths: &[usize], workers: usize) -> (usize, usize, Vec<usize>) {
        divided_with(64 << 20, lengths, workers)
    }

    #[test]
    fn workers_share_the_tokens_of_a_sequence_where_its_weights_are_too_large_to_be_read_by_each() {
        assert_eq!(divided_with(200 << 20, &[128], 2), (1, 1, vec![128]));
        assert_eq!(divided_with(200 << 20, &[128; 8], 2), (2, 1, vec![512; 2]));
    }

    #[test]
    fn one_sequence_takes_all_workers_and_many_are_divided() {
        assert_eq!(divided(&[128], 1), (1, 1, vec![128]));
        assert_eq!(divided(&[128; 8], 1), (1, 1, vec![256]));
        assert_eq!(divided(&[128], 2), (1, 2, vec![128]));
        assert_eq!(divided(&[20], 2), (1, 1, vec![20]));
        assert_eq!(divided(&[128; 8], 2), (2, 1, vec![256; 2]));
        assert_eq!(divided(&[300, 20, 30], 2), (1, 2, vec![350]));
        assert_eq!(divided(&[1000; 3], 3), (3, 1, vec![1000; 3]));
        assert_eq!(divided(&[128; 4], 8), (4, 2, vec![128; 4]));
        assert_eq!(divided(&[], 2), (1, 1, vec![0]));
    }

    #[test]
    fn blocks_cover_a_product_once() {
        for (rows, cols) in [(1, 2), (128, 540), (33, 1620), (1024, 45), (0, 7)] {
            for count in 1..=9 {
                let mut seen = vec![0; rows * cols];
                for index in 0..count {
                    let (r, c) = block(rows, cols, index, count);
                    for i in r {
                        c.clone().for_each(|j| seen[i * cols + j] += 1);
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{rows} x {cols} by {count}");
            }
        }
    }

    #[test]
    fn strides_are_whole_lines_and_avoid_large_powers_of_two() {
        assert_eq!([1, 16, 540, 512, 1024, 1620].map(stride), [16, 16, 544, 528, 1040, 1632]);
    }
}
