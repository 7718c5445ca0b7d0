//! Some sequences on their way through the steps of a program.

use std::ops::Range;

use cpu_kernels::attention::{Head, Near, Scratch, attend};
use cpu_kernels::matmul::{Epilogue, MatRef, OneUse, ROW_GROUP, multiply};

use super::{Run, Workers};
use crate::compile::PackedWeights;
use crate::parts::Laps;
use crate::plan::{Lane, QUERY_BLOCK, block, near_block, stride};
use crate::program::{AttentionStep, Domain, Memory, Product, RowOp, Step, Sync, View, Work};
use crate::rows::{Rows, combine, normalize, pad, to_unit_length, turn, unary};
use crate::team::{Worker, share};

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

fn shifted_back(range: Range<usize>, by: usize) -> Range<usize> {
    range.start - by..range.end - by
}

/// Scores that a thread holds at once, at most, where it takes whole heads: the longest sequences of a BERT have a quarter of that.
const SCORES: usize = 1 << 20;

/// Some sequences on their way through the steps, as one worker sees them.
pub(super) struct Chunk<'a> {
    run: &'a Run<'a>,
    lane: &'a Lane,
    workers: &'a Workers<'a>,
    /// The part's tokens, counted from the chunk's first.
    own: Range<usize>,
    first_sequence: usize,
    sequences: usize,
    first_token: usize,
    /// Where the current head's values start, and how many a row has.
    pub(super) logits: usize,
    pub(super) outputs: usize,
}

impl<'a> Chunk<'a> {
    pub(super) fn new(run: &'a Run<'a>, lane: &'a Lane, sequences: Range<usize>, workers: &'a Workers<'a>) -> Self {
        let (from, to) = (run.batch.offsets[sequences.start], run.batch.offsets[sequences.end]);
        Self {
            run,
            lane,
            workers,
            own: share(to - from, ROW_GROUP, workers.index, workers.parts),
            first_sequence: sequences.start,
            sequences: sequences.len(),
            first_token: from,
            logits: 0,
            outputs: 0,
        }
    }

    /// The rows of a step that this worker's group computes, and the group: tokens belong to parts, and the few rows of
    /// sequences are divided among the whole lane.
    fn group(&self, domain: Domain) -> (Range<usize>, &Worker<'a>) {
        match domain {
            Domain::Tokens => (self.own.clone(), &self.workers.part),
            Domain::Sequences => (0..self.sequences, &self.workers.all),
        }
    }

    /// The rows of this chunk in a place. Scratch holds one chunk, the outputs hold all.
    fn view(&self, view: View, domain: Domain) -> Rows {
        let hidden = self.run.model.hidden;
        let first = match domain {
            Domain::Tokens => self.first_token,
            Domain::Sequences => self.first_sequence,
        };
        let (pointer, offset, stride) = match view.place {
            Memory::Scratch(i) => (self.lane.pointers[i], 0, stride(self.run.model.places[i])),
            Memory::Hidden => (self.run.hidden, self.first_token * hidden, hidden),
            Memory::Pooled => (self.run.pooled, self.first_sequence * hidden, hidden),
            Memory::Logits => (self.run.logits, self.logits + first * self.outputs, self.outputs),
        };
        Rows { start: pointer.0.wrapping_add(offset + view.column), stride }
    }

    /// Takes the sequences through `steps`; the worker that has a clock reads it after each part.
    pub(super) fn steps(&self, steps: &[Step], mut laps: Option<&mut Laps<'_>>) {
        for step in steps {
            match step.sync {
                Sync::None => {}
                Sync::Part => self.workers.part.barrier(),
                Sync::Lane => self.workers.all.barrier(),
            }
            if let Some(laps) = laps.as_deref_mut() {
                laps.arrived();
            }
            match &step.work {
                Work::Rows(ops) => self.row_ops(ops, step.domain, laps.as_deref_mut()),
                Work::Product(product) => self.product(product, step.domain),
                Work::Attention(attention) => self.attention(attention),
            }
            if let Some(laps) = laps.as_deref_mut() {
                laps.worked(&step.work);
            }
        }
        if let Some(laps) = laps {
            laps.arrived();
        }
    }

    fn row_ops(&self, ops: &[RowOp], domain: Domain, mut laps: Option<&mut Laps<'_>>) {
        let (rows, group) = self.group(domain);
        let mine = shifted(group.share(rows.len(), ROW_GROUP), rows.start);
        // A group of rows goes through all operations while it is in a near cache.
        for start in mine.clone().step_by(ROW_GROUP) {
            let rows = start..mine.end.min(start + ROW_GROUP);
            for (number, op) in ops.iter().enumerate() {
                // SAFETY: the rows are this worker's share. Places hold a row for each of the chunk's tokens, wide enough
                // for what the program keeps there; barriers keep other steps' workers away from them.
                unsafe { self.row_op(op, domain, rows.clone()) };
                if let Some(laps) = laps.as_deref_mut() {
                    laps.row_op(number);
                }
            }
        }
    }

    /// Computes one operation on these rows.
    ///
    /// # Safety
    /// No other thread uses these rows of the places involved.
    unsafe fn row_op(&self, op: &RowOp, domain: Domain, rows: Range<usize>) {
        let view = |v: &View| self.view(*v, domain);
        // SAFETY: the caller's promise; the operands of an operation are different places where it says so.
        unsafe {
            match op {
                RowOp::Words { out } => {
                    let (words, out) = (&self.run.model.words, view(out));
                    rows.for_each(|i| words.get(self.id(i), out.write(i, words.width())));
                }
                RowOp::Trigram { out } => {
                    let (width, out) = (self.run.model.words.width(), view(out));
                    rows.for_each(|i| self.trigram(i, out.write(i, 3 * width)));
                }
                RowOp::Positions { x } => {
                    let x = view(x);
                    rows.for_each(|i| self.add_position(i, x.write(i, self.run.model.hidden)));
                }
                RowOp::Turn { x, heads, width, turns } => {
                    let (x, turns) = (view(x), &self.run.model.turns[*turns]);
                    rows.for_each(|i| {
                        let position = self.run.positions[self.first_token + i] as usize;
                        turn(x.write(i, heads * width), *width, turns, position);
                    });
                }
                RowOp::First { x, out } => {
                    let (x, out) = (self.view(*x, Domain::Tokens), view(out));
                    let width = self.run.model.hidden;
                    for i in rows {
                        let token = self.run.batch.offsets[self.first_sequence + i] - self.first_token;
                        out.write(i, width).copy_from_slice(x.read(token, width));
                    }
                }
                RowOp::Mean { x, out } => {
                    let (x, out, width) = (self.view(*x, Domain::Tokens), view(out), self.run.model.hidden);
                    rows.for_each(|i| self.mean(i, x, out.write(i, width)));
                }
                RowOp::Unit { x, width } => {
                    let x = view(x);
                    rows.for_each(|i| to_unit_length(x.write(i, *width)));
                }
                RowOp::Norm { x, residual, norm, out } => {
                    let norm = &self.run.model.norms[*norm];
                    let (width, x, out) = (norm.weight.len(), view(x), view(out));
                    let residual = residual.as_ref().map(view);
                    for i in rows {
                        normalize(norm, x.write(i, width), residual.map(|r| r.read(i, width)), out.write(i, width));
                    }
                }
                RowOp::Unary { activation, x, out, width } => {
                    let (x, out) = (view(x), view(out));
                    rows.for_each(|i| unary(*activation, x, out, i, *width));
                }
                RowOp::Binary { op, a, b, out, width } => {
                    let places = [view(a), view(b), view(out)];
                    rows.for_each(|i| combine(*op, places, i, *width));
                }
                RowOp::Tail { op, x, out, columns } => {
                    let (x, out, start, width) = (view(x), view(out), columns.start, columns.len());
                    for i in rows {
                        x.row(i).add(start).copy_to(out.row(i).add(start), width);
                        pad(*op, &mut out.write(i, columns.end)[start..]);
                    }
                }
                RowOp::Pack { x, slot } => {
                    let x = view(x);
                    self.lane.slots[*slot].pack(rows, x.start, x.stride);
                }
            }
        }
    }

    /// The mean over the tokens of sequence `i` that are not masked; of all where all are.
    ///
    /// # Safety
    /// No other thread writes the tokens' rows of `x`.
    unsafe fn mean(&self, i: usize, x: Rows, out: &mut [f32]) {
        let tokens = self.run.batch.range(self.first_sequence + i);
        let is_seen = |token: &usize| self.run.bias.get(*token).is_none_or(|&bias| bias == 0.0);
        let all_masked = !tokens.clone().any(|token| is_seen(&token));
        let (mut count, width) = (0, out.len());
        out.fill(0.0);
        for token in tokens.filter(|token| all_masked || is_seen(token)) {
            // SAFETY: the caller's promise.
            cpu_kernels::elementwise::binary::add_in_place(out, unsafe { x.read(token - self.first_token, width) });
            count += 1;
        }
        let factor = 1.0 / count.max(1) as f32;
        out.iter_mut().for_each(|value| *value *= factor);
    }

    /// Token id of row `i`.
    fn id(&self, i: usize) -> usize {
        self.run.batch.ids[self.first_token + i] as usize
    }

    fn trigram(&self, i: usize, out: &mut [f32]) {
        let (run, token) = (self.run, self.first_token + i);
        let position = run.positions[token];
        let last = run.positions.get(token + 1).is_none_or(|&p| p == 0);
        let next = if last {
            // The sequence's number is needed here only, so it is looked up.
            let sequence = run.batch.offsets.partition_point(|&o| o <= token) - 1;
            run.batch.followers.get(sequence).copied().flatten()
        } else {
            Some(run.batch.ids[token + 1])
        };
        let previous = (position > 0).then(|| run.batch.ids[token - 1]);
        let width = run.model.words.width();
        for (id, part) in [next, Some(run.batch.ids[token]), previous].into_iter().zip(out.chunks_exact_mut(width)) {
            match id {
                Some(id) => run.model.words.get(id as usize, part),
                None => part.fill(0.0),
            }
        }
    }

    fn add_position(&self, i: usize, x: &mut [f32]) {
        let (run, token) = (self.run, self.first_token + i);
        let segment = run.batch.segments.get(token).copied().unwrap_or(0);
        // In the order of the definition, so that sums round alike.
        for (table, at) in [(&run.model.segments, segment), (&run.model.positions, run.positions[token])] {
            if let Some(table) = table {
                let row = &table[at as usize * x.len()..][..x.len()];
                cpu_kernels::elementwise::binary::add_in_place(x, row);
            }
        }
    }

    fn product(&self, product: &Product, domain: Domain) {
        let linear = &self.run.model.linears[product.linear];
        let (all, group) = self.group(domain);
        let (rows, cols) = block(all.len(), linear.weights.outputs(), group.index(), group.count());
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        let rows = shifted(rows, all.start);
        let out = self.view(product.out.whole(), domain);
        let input = &self.lane.slots[product.slot];
        let epilogue = Epilogue { activation: product.activation, ..Epilogue::default() };
        match &linear.weights {
            PackedWeights::Ready(weights) => {
                let epilogue = Epilogue { bias: Some(&linear.bias), ..epilogue };
                // SAFETY: the slot's rows were packed in an earlier step, which the group's workers have finished; ranges of
                // different workers do not overlap and start at multiples of the groups; the place has a row for each of the
                // domain.
                unsafe { multiply(input, weights, rows, cols, out.start, out.stride, &epilogue) };
            }
            PackedWeights::AtUse(unpacked) => {
                // SAFETY: workers have different numbers in the team.
                let memory = unsafe { self.run.one_use.get(self.workers.all.number()) };
                let parts = unpacked.parts();
                for first in cols.clone().step_by(OneUse::COLUMNS) {
                    let piece = first..cols.end.min(first + OneUse::COLUMNS);
                    let weights = memory.pack(&parts, piece.clone(), unpacked.precision());
                    let epilogue = Epilogue { bias: Some(&linear.bias[piece.clone()]), ..epilogue };
                    let start = out.start.wrapping_add(first);
                    // SAFETY: as above; pieces start at multiples of the groups, and their columns are a part of the worker's.
                    unsafe { multiply(input, weights, rows.clone(), 0..piece.len(), start, out.stride, &epilogue) };
                }
            }
        }
    }

    fn attention(&self, step: &AttentionStep) {
        // SAFETY: workers have different numbers in the team.
        let scratch = unsafe { self.run.scratch.get(self.workers.all.number()) };
        let part = &self.workers.part;
        for sequence in self.first_sequence..self.first_sequence + self.sequences {
            let tokens = self.run.batch.range(sequence);
            let first = tokens.start - self.first_token;
            let own = self.own.start.max(first)..self.own.end.min(first + tokens.len());
            if own.is_empty() {
                continue;
            }
            let queries = shifted_back(own, first);
            let bias = self.run.bias.get(tokens.clone()).filter(|b| b.iter().any(|&v| v != 0.0));
            let count = queries.len();
            let reach = step.reach.filter(|reach| reach.saturating_add(1) < tokens.len());
            // Heads are the cheaper division: a head's keys and values are packed once. Where only near tokens are seen, a block of
            // queries has keys of its own anyway. Such blocks begin at the same tokens however the sequence is divided among workers, so
            // that their sums round alike.
            let (size, before) = match reach {
                Some(reach) => (near_block(reach), queries.start % near_block(reach)),
                None if step.heads.is_multiple_of(part.count()) => ((SCORES / tokens.len()).max(QUERY_BLOCK), 0),
                None => (QUERY_BLOCK, 0),
            };
            let blocks = (before + count).div_ceil(size);
            for unit in part.share(step.heads * blocks, 1) {
                let (head, at) = (unit / blocks, unit % blocks);
                let block = queries.start - before + at * size;
                let rows = block.max(queries.start)..queries.end.min(block + size);
                let keys = match reach {
                    None => 0..tokens.len(),
                    Some(reach) => block.saturating_sub(reach)..tokens.len().min((block + size).saturating_add(reach)),
                };
                // SAFETY: queries, keys and values were computed in earlier steps, which all workers of the lane have
                // finished; the units of different workers write different rows or columns.
                unsafe { self.head(step, head, first, (rows, keys), (bias, reach), scratch) };
            }
        }
    }

    /// Computes attention of one head between some queries and keys of the sequence whose rows begin at `first`; `bias` is of all its
    /// tokens.
    ///
    /// # Safety
    /// These rows of the step's places are computed, and no other thread writes these queries' context.
    unsafe fn head(
        &self,
        step: &AttentionStep,
        head: usize,
        first: usize,
        (queries, keys): (Range<usize>, Range<usize>),
        (bias, reach): (Option<&[f32]>, Option<usize>),
        scratch: &mut Scratch,
    ) {
        let column = head * step.width;
        // SAFETY: the caller's promise: the rows exist, and nobody writes them during this step.
        let operand = |view: View, rows: Range<usize>| unsafe {
            let all = self.view(view, Domain::Tokens);
            let count = rows.len();
            let values = (count.max(1) - 1) * all.stride + step.width;
            let start = all.row(first + rows.start).add(column);
            MatRef::new(std::slice::from_raw_parts(start, values), count, step.width, all.stride, 1)
        };
        let job = Head {
            query: operand(step.q, queries.clone()),
            key: operand(step.k, keys.clone()),
            value: operand(step.v, keys.clone()),
            scale: step.scale,
            key_bias: bias.map(|bias| &bias[keys.clone()]),
            near: reach.map(|reach| Near { first_query: queries.start, first_key: keys.start, reach }),
            precision: step.precision,
        };
        let out = self.view(step.out.whole(), Domain::Tokens);
        // SAFETY: as above.
        unsafe { attend(&job, out.row(first + queries.start).add(column), out.stride, scratch) };
    }
}
