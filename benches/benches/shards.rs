//! Text to packed shards, and shards to batches, on the text of the pocket data.
//!
//! Groups are `shards/tokenize` (the fast tokenizer beside the library), `shards/pack/THREADS` (files to shards on the disk),
//! `shards/load/32x128` (batches with one thread, without and with dynamic masking), whose throughput is in tokens, and
//! `shards/examples/TASK` (a training split of the pocket data, or of `data/glue` in `EFFICIENTBERT_SHARED`: read and encoded), whose
//! throughput is in examples.

#![allow(clippy::disallowed_methods, reason = "where real data is depends on the machine")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use corpus::{
    Input, Loader, LoaderSettings, Manifest, MaskSettings, PackSettings, Shards, Vocabulary, WindowPlan, build,
    split_sentences,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use glue_squad::features;
use glue_squad::task::{Split, TaskKind};
use tokenizer::{TextEncoder, WordCache, WordEncoder};

/// The pocket corpus so many times: enough for several blocks.
const REPEATS: usize = 24;

fn pocket() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|folder| folder.join("datasets/pocket")).find(|folder| folder.is_dir());
    found.expect("datasets/pocket in the workspace")
}

struct Setup {
    encoder: TextEncoder,
    text: String,
    dir: tempfile::TempDir,
    inputs: Vec<Input>,
}

fn setup() -> Setup {
    let encoder = TextEncoder::from_dir(&pocket()).expect("the pocket tokenizer");
    let text = std::fs::read_to_string(pocket().join("corpus.txt")).expect("the pocket corpus");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("corpus.txt");
    std::fs::write(&path, format!("{text}\n\n").repeat(REPEATS)).expect("room for the text");
    let inputs = vec![Input::detect(&path, "text").expect("plain text")];
    Setup { encoder, text, dir, inputs }
}

fn pack(setup: &Setup, out: &Path, threads: usize) -> Manifest {
    // Nothing of an earlier pass may be there: a rerun makes nothing.
    let _ = std::fs::remove_dir_all(out);
    let settings = PackSettings::default();
    build(&setup.inputs, &setup.encoder, &settings, out, threads, &|_| ControlFlow::Continue(())).expect("packed text")
}

fn tokenize(criterion: &mut Criterion) {
    let setup = setup();
    let words = WordEncoder::new(&setup.encoder).expect("a tokenizer");
    let sentences: Vec<&str> = setup.text.lines().flat_map(split_sentences).collect();
    let (mut cache, mut ids) = (WordCache::default(), Vec::new());
    for sentence in &sentences {
        words.encode(sentence, &mut cache, &mut ids).expect("known characters");
    }
    let mut group = criterion.benchmark_group("shards/tokenize");
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            ids.clear();
            for sentence in &sentences {
                words.encode(black_box(sentence), &mut cache, &mut ids).expect("known characters");
            }
            ids.len()
        });
    });
    group.bench_function("library", |bencher| {
        let encode = |s: &&str| setup.encoder.encode_plain(black_box(s)).expect("known characters").len();
        bencher.iter(|| sentences.iter().map(encode).sum::<usize>());
    });
    group.finish();
}

fn packing(criterion: &mut Criterion) {
    let setup = setup();
    let out = setup.dir.path().join("out");
    let tokens = pack(&setup, &out, 1).tokens;
    let mut group = criterion.benchmark_group("shards/pack");
    group.throughput(Throughput::Elements(tokens)).sample_size(10);
    for threads in [1, 2] {
        group.bench_function(threads.to_string(), |bencher| bencher.iter(|| pack(&setup, &out, threads).tokens));
    }
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    let setup = setup();
    let out = setup.dir.path().join("out");
    pack(&setup, &out, 2);
    let vocabulary = Vocabulary::of(&setup.encoder).expect("a vocabulary");
    let mut group = criterion.benchmark_group("shards/load/32x128");
    for (name, masking) in [("plain", None), ("masked", Some(MaskSettings::default()))] {
        let shards = Shards::open(&out).expect("shards");
        let plan = WindowPlan::new(shards.len(), 32, 1).expect("a plan");
        let settings = LoaderSettings { masking, ..LoaderSettings::default() };
        let loader = Loader::new(shards, plan, Some(&vocabulary), &settings).expect("a loader");
        let tokens = loader.batch(0).expect("a batch").tokens.tokens();
        group.throughput(Throughput::Elements(tokens as u64));
        let mut step = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                step += 1;
                loader.batch(black_box(step)).expect("a batch").tokens.batch
            });
        });
    }
    group.finish();
}

fn examples(criterion: &mut Criterion) {
    let shared = std::env::var_os("EFFICIENTBERT_SHARED").map(PathBuf::from);
    let (glue, model) = match &shared {
        Some(shared) => (shared.join("data/glue"), shared.join("models/minilm-l6-h384-uncased")),
        None => (pocket(), pocket()),
    };
    let encoder = TextEncoder::from_dir(&model).expect("a tokenizer");
    for task in [TaskKind::Sst2, TaskKind::Mnli] {
        // The pocket data have no MNLI.
        if task.find_all(&glue, Split::Train).is_err() {
            continue;
        }
        let encode = || {
            let examples = task.read_split(&glue, Split::Train).expect("a training split").examples;
            features::encode(&encoder, &examples, 128).expect("known characters")
        };
        let count = encode().len();
        let mut group = criterion.benchmark_group(format!("shards/examples/{}", task.name()));
        group.throughput(Throughput::Elements(count as u64)).sample_size(10);
        group.bench_function("encode", |bencher| bencher.iter(|| encode().len()));
        group.finish();
    }
}

criterion_group!(benches, tokenize, packing, loading, examples);
criterion_main!(benches);
