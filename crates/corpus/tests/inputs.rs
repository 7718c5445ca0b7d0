//! The same documents in every form give the same sequences.

mod common;

use std::io::Write;
use std::path::Path;

use common::{documents, pack, sequences, small};
use corpus::{Format, Input, PackSettings, Sequence};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn parquet(path: &Path, documents: &[String]) {
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    let schema = "message m { required int64 id; optional binary text (UTF8); }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, std::sync::Arc::default()).unwrap();
    for group in documents.chunks(25) {
        let mut rows = writer.next_row_group().unwrap();
        let mut ids = rows.next_column().unwrap().unwrap();
        let numbers: Vec<i64> = (0..group.len() as i64).collect();
        ids.typed::<parquet::data_type::Int64Type>().write_batch(&numbers, None, None).unwrap();
        ids.close().unwrap();
        let mut texts = rows.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = group.iter().map(|d| ByteArray::from(d.as_str())).collect();
        let levels = vec![1; values.len()];
        texts.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        texts.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

fn by_content(mut all: Vec<Sequence>) -> Vec<Vec<u32>> {
    all.sort_by(|a, b| a.ids.cmp(&b.ids));
    all.into_iter().map(|s| s.ids).collect()
}

#[test]
fn every_form_and_packing_of_a_file_gives_the_same_sequences() {
    let dir = tempfile::tempdir().unwrap();
    let documents = documents(0, 80);
    let plain = documents.join("\n\n").into_bytes();
    let json: String = documents.iter().map(|d| serde_json::json!({"id": 1, "body": d}).to_string() + "\n").collect();
    let tagged = |(i, d): (usize, &String)| {
        format!("<doc id=\"{i}\" url=\"u\" title=\"T{i}\">\nT{i}\n\n{}\n</doc>\n\n", d.replace('\n', "\n\n"))
    };
    let extract: String = documents.iter().enumerate().map(tagged).collect();
    let page = |d: &String| format!("<page><title>T</title><ns>0</ns><revision><text>{d}</text></revision></page>\n");
    let dump = format!("<mediawiki>\n{}</mediawiki>", documents.iter().map(page).collect::<String>());
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("a.txt", &plain);
    write("a.txt.gz", &[gzip(&plain[..1000]), gzip(&plain[1000..])].concat());
    write("a.txt.zst", &[zstd(&plain[..1000]), zstd(&plain[1000..])].concat());
    write("a.bz2", &bzip2(&plain));
    write("a.jsonl", json.as_bytes());
    write("a.json.gz", &gzip(json.as_bytes()));
    write("wiki_00", extract.as_bytes());
    write("wiki_01.bz2", &bzip2(extract.as_bytes()));
    write("pages-articles.xml.bz2", &bzip2(dump.as_bytes()));
    parquet(&dir.path().join("a.parquet"), &documents);
    // Whole blocks, and no draws from other documents: what then differs between the forms is the streams of random numbers only.
    let packing = corpus::Packing::Full { cross_documents: true };
    let settings = PackSettings { packing, shard_text_bytes: 1 << 20, ..small(PackSettings::default()) };
    let mut wanted: Option<Vec<Vec<u32>>> = None;
    for (name, field, format) in [
        ("a.txt", "text", Format::Plain),
        ("a.txt.gz", "text", Format::Plain),
        ("a.txt.zst", "text", Format::Plain),
        ("a.bz2", "text", Format::Plain),
        ("a.jsonl", "body", Format::JsonLines { field: "body".to_owned() }),
        ("a.json.gz", "body", Format::JsonLines { field: "body".to_owned() }),
        ("wiki_00", "text", Format::WikiExtractor),
        ("wiki_01.bz2", "text", Format::WikiExtractor),
        ("pages-articles.xml.bz2", "text", Format::MediaWiki),
        ("a.parquet", "text", Format::Parquet { field: "text".to_owned() }),
    ] {
        let input = Input::detect(&dir.path().join(name), field).unwrap();
        assert_eq!(input.format, format, "{name}");
        let out = dir.path().join(format!("out-{name}"));
        let manifest = pack(&[input], &settings, &out, 2).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((manifest.documents, manifest.inputs[0].name.as_str()), (80, name));
        let found = by_content(sequences(&out));
        assert_eq!(&found, wanted.get_or_insert_with(|| found.clone()), "{name}");
    }
}

#[test]
fn what_is_wrong_in_an_input_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let settings = small(PackSettings::default());
    let message = |name: &str, bytes: &[u8], field: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let packed = Input::detect(&path, field).and_then(|i| pack(&[i], &settings, &dir.path().join("out"), 2));
        packed.unwrap_err().to_string()
    };
    assert!(
        message("a.jsonl", b"{\"text\": \"a\"}\n{\"x\": 1}", "text")
            .contains("a.jsonl, line 2: the object has no `text`")
    );
    let cut = &gzip("Some text. ".repeat(5000).as_bytes());
    assert!(message("a.gz", &cut[..cut.len() / 2], "text").contains("a.gz"));
    assert!(message("a.xml", b"<mediawiki><page><text>a", "text").contains("a.xml, byte"));
    assert!(message("wiki_00", b"<doc id=\"1\">\nabc\n", "text").contains("wiki_00, line 1"));
    assert!(message("a.parquet", b"PAR1 and so on", "text").contains("a.parquet"));
    let path = dir.path().join("b.parquet");
    parquet(&path, &documents(0, 3));
    let bytes = std::fs::read(&path).unwrap();
    let missing = message("b.parquet", &bytes, "body");
    assert!(missing.contains("b.parquet") && missing.contains("`body`") && missing.contains("text"), "{missing}");
    assert!(message("b.parquet", &bytes, "id").contains("row 1: column `id` holds numbers"));
}
