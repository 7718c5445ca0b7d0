//! Damaged inputs of every form: text or an error that names the file, never a panic.

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use common::{documents, pack, small};
use corpus::{Input, PackSettings, inputs_of};
use proptest::prelude::*;

/// Files of every form by name.
fn samples() -> &'static Vec<(&'static str, Vec<u8>)> {
    static SAMPLES: OnceLock<Vec<(&'static str, Vec<u8>)>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let documents = documents(0, 12);
        let plain = documents.join("\n\n").into_bytes();
        let json: String = documents.iter().map(|d| serde_json::json!({"id": 1, "text": d}).to_string() + "\n").collect();
        let extract: String = documents.iter().map(|d| format!("<doc id=\"1\" title=\"T\">\n{d}\n</doc>\n")).collect();
        let page = |d: &String| {
            format!("<page><ns>0</ns><text>'''{d}''' [[a|b]] {{{{c}}}} &amp; &lt;ref&gt;d&lt;/ref&gt; <![CDATA[e]]></text></page>\n")
        };
        let dump = format!("<mediawiki>\n{}</mediawiki>", documents.iter().map(page).collect::<String>());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&plain).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
        vec![
            ("a.txt", plain),
            ("a.jsonl", json.into_bytes()),
            ("wiki_00", extract.into_bytes()),
            ("a.xml", dump.into_bytes()),
            ("a.txt.gz", gzip.finish().unwrap()),
            ("a.txt.bz2", bzip2.finish().unwrap()),
            ("a.txt.zst", zstd),
        ]
    })
}

fn check(path: &Path, out: &Path) -> Result<(), TestCaseError> {
    let input = match Input::detect(path, "text") {
        Ok(input) => input,
        Err(error) => {
            let message = error.to_string();
            prop_assert!(message.contains(&*path.to_string_lossy()), "{}", message);
            return Ok(());
        }
    };
    if let Err(error) = pack(&[input], &small(PackSettings::default()), out, 1) {
        let message = error.to_string();
        prop_assert!(message.contains(&*path.to_string_lossy()), "{}", message);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_damaged_input_is_read_or_refused(
        which in 0_usize..7, changes in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..4), cut in prop::option::of(0.0..1.0_f64),
    ) {
        let (name, bytes) = &samples()[which];
        let mut bytes = bytes.clone();
        for (place, byte) in changes {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        check(&path, &dir.path().join("out"))?;
    }

    #[test]
    fn any_bytes_under_any_name_are_read_or_refused(
        name in prop::sample::select(vec!["a.txt", "a.jsonl", "a.parquet", "a.xml", "a.tokens", "wiki_00"]),
        magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"BZh9", b"PAR1", b"<doc id=\"1\">\n", b"<page>", b"{\"text\":"]),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, [magic, &body].concat()).unwrap();
        check(&path, &dir.path().join("out"))?;
    }
}

#[test]
fn the_samples_are_good_before_they_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in samples() {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let inputs = inputs_of(dir.path(), "text").unwrap();
    let out = tempfile::tempdir().unwrap();
    let manifest = pack(&inputs, &small(PackSettings::default()), out.path(), 2).unwrap();
    assert_eq!((manifest.inputs.len(), manifest.documents), (7, 7 * 12));
}
