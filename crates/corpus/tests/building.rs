//! From inputs to shards: the same for any number of threads, and again after any interruption.

mod common;

use std::ops::ControlFlow;
use std::sync::Mutex;

use common::{byte_level, documents, encoder, files, pack, sequences, small, write_plain};
use corpus::{Error, Manifest, MaskSettings, Next, PackSettings, Packing, Progress, Shards, build};
use tokenizer::PairFrame;

fn kinds() -> Vec<PackSettings> {
    let masking = Some(MaskSettings { whole_words: true, ..MaskSettings::default() });
    let full = |cross_documents| Packing::Full { cross_documents };
    vec![
        small(PackSettings::default()),
        small(PackSettings { copies: 3, masking, ..PackSettings::default() }),
        small(PackSettings { packing: full(true), copies: 2, ..PackSettings::default() }),
        small(PackSettings { packing: full(false), group_bytes: 1 << 20, ..PackSettings::default() }),
    ]
}

#[test]
fn shards_and_manifest_are_the_same_bytes_for_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let inputs: Vec<_> = (0..4)
        .map(|i| write_plain(&dir.path().join(format!("{i}.txt")), &documents(i * 100, 40 + 60 * (i % 2))))
        .collect();
    for (kind, settings) in kinds().iter().enumerate() {
        let folder = |threads: usize| dir.path().join(format!("out-{kind}-{threads}"));
        for threads in [1, 2, 13] {
            pack(&inputs, settings, &folder(threads), threads).unwrap();
        }
        let one = files(&folder(1));
        assert!(one.iter().filter(|(name, _)| name.ends_with(".tokens")).count() > 6, "{kind}");
        assert_eq!(one, files(&folder(2)), "{kind}");
        assert_eq!(one, files(&folder(13)), "{kind}");
    }
}

#[test]
fn pairs_are_framed_and_say_where_their_second_segment_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let input = write_plain(&dir.path().join("a.txt"), &documents(0, 120));
    let manifest = pack(&[input], &small(PackSettings::default()), &dir.path().join("out"), 2).unwrap();
    let all = sequences(&dir.path().join("out"));
    assert_eq!(manifest.sequences, all.len() as u64);
    assert_eq!(manifest.tokens, all.iter().map(|s| s.ids.len() as u64).sum::<u64>());
    assert_eq!((manifest.documents, manifest.tokenizer.mask), (120, Some(4)));
    for sequence in &all {
        let (a, b) = sequence.ids.split_at(sequence.second);
        assert!(sequence.ids.len() <= 32 && a[0] == 2 && a.last() == Some(&3), "{sequence:?}");
        assert_eq!(b.is_empty(), sequence.next == Next::Single);
        assert!(b.is_empty() || b.last() == Some(&3));
        assert_eq!(sequence.type_ids(PairFrame::Bert).iter().filter(|t| **t == 1).count(), b.len());
    }
    let count = |next| all.iter().filter(|s| s.next == next).count();
    assert!(count(Next::Random) > count(Next::Follows) && count(Next::Follows) > 20, "{}", count(Next::Follows));
}

#[test]
fn pairs_of_a_roberta_tokenizer_have_two_separators_and_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let input = write_plain(&dir.path().join("a.txt"), &documents(0, 40));
    let (out, settings) = (dir.path().join("out"), small(PackSettings::default()));
    let manifest =
        build(&[input], &byte_level(), &settings, &out, 2, &|_: Progress| ControlFlow::Continue(())).unwrap();
    assert_eq!(manifest.tokenizer.pairs, PairFrame::Roberta);
    assert_eq!(Manifest::read(&out).unwrap(), manifest);
    let all = sequences(&out);
    for sequence in &all {
        let (a, b) = sequence.ids.split_at(sequence.second);
        assert!(sequence.ids.len() <= 32 && a[0] == 0 && sequence.ids.last() == Some(&2), "{sequence:?}");
        assert_eq!(a.ends_with(&[2, 2]), !b.is_empty(), "{sequence:?}");
        assert!(sequence.type_ids(manifest.tokenizer.pairs).iter().all(|segment| *segment == 0));
    }
    assert!(all.iter().filter(|s| s.next != Next::Single).count() > 20);
}

#[test]
fn full_packing_uses_every_token_once_and_fills_every_sequence_but_the_last_of_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let input = write_plain(&dir.path().join("a.txt"), &documents(0, 60));
    let settings = PackSettings { packing: Packing::Full { cross_documents: true }, ..small(PackSettings::default()) };
    let settings = PackSettings { shard_text_bytes: 1 << 20, ..settings };
    pack(std::slice::from_ref(&input), &settings, &dir.path().join("out"), 2).unwrap();
    let all = sequences(&dir.path().join("out"));
    assert_eq!(all.iter().filter(|s| s.ids.len() < 32).count(), 1);
    let encoder = encoder();
    let mut wanted: Vec<u32> = documents(0, 60).iter().flat_map(|d| encoder.encode_plain(d).unwrap()).collect();
    let mut found: Vec<u32> = all.iter().flat_map(|s| s.ids.clone()).filter(|id| ![2, 3].contains(id)).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
    let within = PackSettings { packing: Packing::Full { cross_documents: false }, ..settings };
    pack(&[input], &within, &dir.path().join("within"), 2).unwrap();
    for sequence in sequences(&dir.path().join("within")) {
        assert_eq!(sequence.ids.iter().filter(|id| **id == 3).count(), 1);
        assert_eq!(sequence.next, Next::Single);
    }
}

#[test]
fn a_rerun_makes_only_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut inputs: Vec<_> =
        (0..2).map(|i| write_plain(&dir.path().join(format!("{i}.txt")), &documents(i * 100, 90))).collect();
    let settings = small(PackSettings::default());
    let last = Mutex::new(Progress::default());
    let run = |inputs: &[_]| {
        let note = |p: Progress| {
            let mut last = last.lock().unwrap();
            if p.shards_reused + p.shards_written >= last.shards_reused + last.shards_written {
                *last = p;
            }
            ControlFlow::Continue(())
        };
        *last.lock().unwrap() = Progress::default();
        let manifest = build(inputs, &encoder(), &settings, &out, 2, &note).unwrap();
        let last = *last.lock().unwrap();
        assert_eq!((last.bytes_read, last.tokens), (last.bytes_total, manifest.tokens));
        (manifest, last.shards_reused, last.shards_written)
    };
    let (manifest, reused, written) = run(&inputs);
    assert!(reused == 0 && written > 6 && written == manifest.shards.len() as u64);
    let first = files(&out);
    assert_eq!(run(&inputs), (manifest.clone(), written, 0));

    // One shard is gone, one is cut short, one has another byte; and once without what says how many there are.
    for forget in [false, true] {
        let path = |i: usize| out.join(&manifest.shards[i].file);
        std::fs::remove_file(path(1)).unwrap();
        std::fs::write(path(2), &std::fs::read(path(2)).unwrap()[..200]).unwrap();
        let mut bytes = std::fs::read(path(4)).unwrap();
        bytes[150] ^= 1;
        std::fs::write(path(4), bytes).unwrap();
        if forget {
            std::fs::remove_dir_all(out.join("parts")).unwrap();
            std::fs::remove_file(out.join("manifest.json")).unwrap();
        }
        let (again, reused, made) = run(&inputs);
        // Without the record, the shorter last shard of each of the two parts cannot be told from a torn one.
        let unsure = if forget { 2 } else { 0 };
        assert!(again == manifest && made <= 3 + unsure && reused + made == written, "{reused} {made}");
        assert_eq!(files(&out), first);
    }

    // Another input: only its shards are made. An input less: its shards go.
    inputs.push(write_plain(&dir.path().join("2.txt"), &documents(500, 30)));
    let (more, reused, made) = run(&inputs);
    assert_eq!((reused, made), (written, more.shards.len() as u64 - written));
    let (less, _, made) = run(&inputs[1..]);
    assert_eq!((made, less.inputs.len()), (0, 2));
    assert_eq!(std::fs::read_dir(out.join("shards")).unwrap().count(), less.shards.len());
    assert_eq!(std::fs::read_dir(out.join("parts")).unwrap().count(), 2);
}

#[test]
fn a_run_that_is_stopped_anywhere_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = [write_plain(&dir.path().join("a.txt"), &documents(0, 150))];
    let settings = small(PackSettings::default());
    pack(&inputs, &settings, &dir.path().join("whole"), 1).unwrap();
    let whole = files(&dir.path().join("whole"));
    for after in [0, 1, 3, 6] {
        let out = dir.path().join(format!("stopped-{after}"));
        let stop =
            |p: Progress| if p.shards_written >= after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let error = build(&inputs, &encoder(), &settings, &out, 2, &stop).unwrap_err();
        assert!(matches!(error, Error::Stopped), "{error}");
        assert!(Shards::open(&out).is_err(), "a manifest before the end");
        pack(&inputs, &settings, &out, 2).unwrap();
        assert_eq!(files(&out), whole);
    }
}

#[test]
fn a_folder_of_another_packing_or_one_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let inputs = [write_plain(&dir.path().join("a.txt"), &documents(0, 10))];
    let settings = small(PackSettings::default());
    pack(&inputs, &settings, &out, 1).unwrap();
    let before = files(&out);
    let other = pack(&inputs, &PackSettings { seed: 1, ..settings.clone() }, &out, 1).unwrap_err().to_string();
    assert!(other.contains("seed was 42, now it is 1") && other.contains("manifest.json"), "{other}");
    assert_eq!(files(&out), before);
    let lock = std::fs::File::options().write(true).create(true).truncate(false).open(out.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(pack(&inputs, &settings, &out, 1).unwrap_err(), Error::InUse { .. }));
}

#[test]
fn inputs_without_text_and_broken_ones_are_errors_that_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let settings = small(PackSettings::default());
    let blank = write_plain(&dir.path().join("blank.txt"), &["\n \n".to_owned()]);
    let message = pack(&[blank.clone(), blank], &settings, &out, 2).unwrap_err().to_string();
    assert!(message.contains("no text in the 2 inputs") && message.contains("blank.txt"), "{message}");
    assert!(pack(&[], &settings, &out, 2).unwrap_err().to_string().contains("at least one input"));
    let good = write_plain(&dir.path().join("good.txt"), &documents(0, 200));
    let bad = write_plain(&dir.path().join("bad.txt"), &documents(0, 1));
    std::fs::write(&bad.path, b"Fine.\nb\xffd\n").unwrap();
    for threads in [1, 4] {
        let message = pack(&[good.clone(), bad.clone()], &settings, &out, threads).unwrap_err().to_string();
        assert!(message.contains("bad.txt:2: byte 2"), "{message}");
    }
    let gone = corpus::Input { path: dir.path().join("gone.txt"), ..good };
    assert!(pack(&[gone], &settings, &out, 1).unwrap_err().to_string().contains("gone.txt"));
}

#[test]
fn text_without_any_mark_is_packed_in_pieces_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let words = "a b c d ".repeat(400_000);
    let input = write_plain(&dir.path().join("a.txt"), &[words]);
    let packing = Packing::Pairs { short_seq_prob: 0.0, random_next: 0.0 };
    let settings = PackSettings { packing, ..PackSettings::default() };
    let manifest = pack(&[input], &settings, &dir.path().join("out"), 2).unwrap();
    let specials = 3 * manifest.sequences;
    assert!((1_600_000..=1_600_000 + specials).contains(&manifest.tokens), "{}", manifest.tokens);
    assert!(manifest.tokens - 1_600_000 >= 2 * manifest.sequences);
    assert!(manifest.sequences < 1_600_000 / 124, "{}", manifest.sequences);
}
