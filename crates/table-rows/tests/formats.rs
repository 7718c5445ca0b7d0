//! Every format, well-formed and not.

use std::path::PathBuf;

use proptest::prelude::*;
use table_rows::{Cell, Format, Layout, Table};

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn rows(name: &str, bytes: &[u8], columns: &[&str], layout: Layout) -> Result<Vec<(Vec<Cell>, String)>, String> {
    let (_dir, path) = file(name, bytes);
    let short = |e: table_rows::Error| e.to_string().replace(&path.display().to_string(), name);
    let mut table = Table::open(&path, &layout).map_err(short)?;
    table.select(columns).map_err(short)?;
    let mut rows = Vec::new();
    while let Some(row) = table.next_row().map_err(short)? {
        rows.push((row.cells, row.place.to_string()));
    }
    Ok(rows)
}

fn texts(name: &str, bytes: &[u8], columns: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let text = |cell: Cell| if let Cell::Text(text) = cell { text } else { format!("{cell:?}") };
    let rows = rows(name, bytes, columns, Layout::default())?;
    Ok(rows.into_iter().map(|(cells, _)| cells.into_iter().map(text).collect()).collect())
}

fn refused(name: &str, bytes: &[u8], columns: &[&str]) -> String {
    rows(name, bytes, columns, Layout::default()).unwrap_err()
}

#[test]
fn fields_in_quotes_hold_commas_quotes_and_line_breaks() {
    let csv = b"\xef\xbb\xbfid,text,label\n1,\"a, \"\"b\"\"\nc\",good\r\n2,d,bad\r3,,good\n";
    assert_eq!(
        texts("x.csv", csv, &["label", "text"]).unwrap(),
        [["good", "a, \"b\"\nc"], ["bad", "d"], ["good", ""]].map(|row| row.map(str::to_owned).to_vec())
    );
    let places: Vec<String> =
        rows("x.csv", csv, &["id"], Layout::default()).unwrap().into_iter().map(|(_, place)| place).collect();
    assert_eq!(places, [":2", ":4", ":5"]);
}

#[test]
fn a_separator_that_is_given_counts_and_one_that_is_missing_is_pointed_out() {
    let layout = Layout { separator: Some(b';'), ..Layout::default() };
    let found = rows("x.csv", b"a;b\n1,5;2\n", &["a", "b"], layout).unwrap();
    assert_eq!(found[0].0, [Cell::Text("1,5".into()), Cell::Text("2".into())]);
    let message = refused("x.csv", b"a;b\n1;2\n", &["a"]);
    assert!(message.starts_with("x.csv: there is no column `a`; the columns are: a;b; if its columns"), "{message}");
}

#[test]
fn a_quote_in_tab_separated_values_is_a_character_like_any_other() {
    let tsv = b"text\tlabel\n\"open quote\tx\nsecond\" \ty\n";
    assert_eq!(
        texts("x.tsv", tsv, &["text"]).unwrap(),
        [["\"open quote"], ["second\" "]].map(|r| r.map(str::to_owned).to_vec())
    );
}

#[test]
fn json_objects_keep_the_kinds_of_their_values() {
    let json = b"{\"t\":\"a\",\"n\":1,\"f\":0.5,\"b\":true,\"l\":[\"x\",2],\"z\":null}\n\n{\"z\":{},\"l\":[],\"b\":false,\"f\":1e3,\"n\":-2,\"t\":\"\"}";
    let found = rows("x.jsonl", json, &["t", "n", "f", "b", "l", "z"], Layout::default()).unwrap();
    let list = vec![Cell::Text("x".into()), Cell::Int(2)];
    let first =
        vec![Cell::Text("a".into()), Cell::Int(1), Cell::Float(0.5), Cell::Bool(true), Cell::List(list), Cell::Null];
    assert_eq!(found[0], (first, ":1".to_owned()));
    assert_eq!((&found[1].0[5], found[1].1.as_str()), (&Cell::Other("{}".into()), ":3"));
}

#[test]
fn parquet_gives_the_columns_that_were_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let texts = parquet_rows::Values::Text(vec![Some("a".into()), None]);
    let numbers = parquet_rows::Values::Number(vec![Some(1.5), Some(2.0)]);
    let columns = [("text".to_owned(), texts), ("score".to_owned(), numbers)];
    std::fs::write(&path, parquet_rows::write(&columns, "a test").unwrap()).unwrap();
    let mut table = Table::open(&path, &Layout::default()).unwrap();
    assert_eq!(table.columns(), ["text", "score"]);
    table.select(&["score", "text"]).unwrap();
    assert_eq!(table.next_row().unwrap().unwrap().cells, [Cell::Float(1.5), Cell::Text("a".into())]);
    assert_eq!(table.next_row().unwrap().unwrap().cells, [Cell::Float(2.0), Cell::Null]);
    assert!(table.next_row().unwrap().is_none());
}

#[test]
fn packed_files_are_unpacked_and_known_by_the_name_within() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"a,b\n1,2\n").unwrap();
    assert_eq!(texts("x.csv.gz", &gzip.finish().unwrap(), &["b"]).unwrap(), [["2"]]);
    assert_eq!(Format::of_name("X.JSONL.zst".as_ref()), Some(Format::Jsonl));
    assert_eq!(Format::of_name("x.csv.gz".as_ref()), Some(Format::Csv));
    assert_eq!(Format::of_name("csv".as_ref()), None);
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are_and_the_nearest() {
    let message = refused("x.csv", b"review,stars\ngood,5\n", &["reviews"]);
    assert_eq!(message, "x.csv: there is no column `reviews`; the columns are: review, stars; did you mean `review`?");
    let wide: Vec<String> = (0..10_000).map(|n| format!("column{n}")).collect();
    let message = refused("x.csv", wide.join(",").as_bytes(), &["text"]);
    assert!(message.ends_with("column19, and 9980 more"), "{message}");
    let message = refused("x.csv", b"a,a\n1,2\n", &["a"]);
    assert!(message.starts_with("x.csv:1: two columns are called `a`"), "{message}");
    let message = refused("x.jsonl", b"{\"a\":1}\n{\"b\":1}\n", &["a"]);
    assert_eq!(message, "x.jsonl:2: there is no key `a`; the keys are: b");
}

#[test]
fn what_a_format_does_not_allow_is_an_error_with_its_line() {
    for (name, bytes, part) in [
        ("x.csv", &b"a,b\n1,2\n\n3\n"[..], "x.csv:4: 1 fields where the header has 2; is the line cut short?"),
        ("x.csv", b"a,b\n1,2,3\n", "x.csv:2: 3 fields where the header has 2; is a text with a separator"),
        ("x.csv", b"a,b\n1,x\xff\n", "x.csv:2: column `b`: byte 2 of the field is not valid UTF-8"),
        ("x.csv", b"a,b\n1,x\0y\n", "x.csv:2: column `b`: the field holds a NUL character"),
        ("x.csv", b"\xff\xfea\0,\0b\0\n\0", "x.csv:1: the file is UTF-16"),
        ("x.csv", b"", "x.csv: the file is empty: a first line with the names"),
        ("x.jsonl", b"\n\n", "x.jsonl: the file is empty: one JSON object per line"),
        ("x.jsonl", b"[{\"b\":1}]", "x.jsonl:1: a JSON list; one object per line"),
        ("x.jsonl", b"{\"b\":1}\n{\"b\":", "x.jsonl:2: byte 5: one JSON object per line is expected: EOF"),
        ("x.txt", b"b\n", "x.txt: the format is not known from the name; it may be one of csv, tsv, jsonl, parquet"),
        ("x.parquet", b"b,c", "x.parquet: byte 3: this is no Parquet file"),
    ] {
        let message = refused(name, bytes, &["b"]);
        assert!(message.starts_with(part), "{message}");
    }
}

#[test]
fn a_quote_that_is_never_closed_and_an_endless_line_cost_bounded_memory() {
    let mut csv = b"a,b\n1,2\n3,\"open\n".to_vec();
    csv.resize(64 << 20, b'x');
    let message = refused("x.csv", &csv, &["b"]);
    assert_eq!(message, "x.csv:3: the row is longer than 16777216 bytes; is a quote never closed?");
    let message = refused("x.jsonl", &[b'{'; 20 << 20], &["b"]);
    assert_eq!(message, "x.jsonl:1: the line is longer than 16777216 bytes; one JSON object per line is expected");
    // Many rows are no long row.
    let many = [&b"a,b\n"[..], &b"1,\"2\"\n".repeat(4 << 20)].concat();
    assert_eq!(texts("x.csv", &many, &["b"]).unwrap().len(), 4 << 20);
}

#[test]
fn a_sentence_of_conll_is_a_row_of_lists() {
    let list = |words: &[&str]| Cell::List(words.iter().map(|word| Cell::Text((*word).to_owned())).collect());
    let conll = b"-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\nrejects VBZ I-VP O\r\n\n\n. . O O";
    let found = rows("x.conll", conll, &["1", "4"], Layout::default()).unwrap();
    let sentences = [(&["EU", "rejects"][..], &["B-ORG", "O"][..], ":3"), (&["."], &["O"], ":7")];
    assert_eq!(found, sentences.map(|(words, tags, place)| (vec![list(words), list(tags)], place.to_owned())));
    // Tabs divide columns where there are any: a word may hold spaces.
    let tabs = b"\xef\xbb\xbfNew York\tB-LOC\nis\tO\n";
    let layout = Layout { format: Some(Format::Conll), ..Layout::default() };
    assert_eq!(rows("x.txt", tabs, &["1"], layout).unwrap()[0].0, [list(&["New York", "is"])]);
    assert_eq!(Format::of_name("train.BIO.gz".as_ref()), Some(Format::Conll));
}

#[test]
fn conll_that_is_none_is_an_error_with_its_line() {
    let wide = b"a ".repeat(300);
    for (bytes, part) in [
        (&b"a b\nc\n"[..], "x.conll:2: 1 columns, divided by white space, instead of the 2 of the first word: `c`"),
        (b"a\tb\n\nc d\n", "x.conll:3: 1 columns, divided by tabs, instead of the 2"),
        (b"\n \n-DOCSTART-\n", "x.conll: the file is empty: a word with its tag"),
        (b"a b\nc \xff\n", "x.conll:2: byte 3 of the line is not valid UTF-8"),
        (b"a b\nc \0\n", "x.conll:2: the line holds a NUL"),
        (b"\xff\xfea\0", "x.conll:1: the file is UTF-16"),
        (&wide, "x.conll:1: more than 256 columns"),
        (b"a b\n", "x.conll: there is no column `3`; the columns are: 1, 2"),
    ] {
        let column = if part.contains("no column") { "3" } else { "1" };
        let message = refused("x.conll", bytes, &[column]);
        assert!(message.starts_with(part), "{message}");
    }
    let endless = refused("x.conll", &b"a b\n".repeat(1 << 20), &["1"]);
    assert!(endless.starts_with("x.conll:1: the sentence takes more than 16777216 bytes"), "{endless}");
    let message = refused("x.conll", &[b'x'; 20 << 20], &["1"]);
    assert!(message.starts_with("x.conll:1: the line is longer than 16777216 bytes"), "{message}");
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), name in "x\\.(csv|tsv|jsonl|parquet|conll)") {
        let _ = rows("x.conll", &bytes, &["1"], Layout::default());
        let _ = rows("x.conll", &[&b"a b\n"[..], &bytes].concat(), &["2", "1"], Layout::default());
        let _ = rows(&name, &bytes, &["a"], Layout::default());
        let with_header = [&b"a,b\n"[..], &bytes].concat();
        let _ = rows(&name, &with_header, &["a"], Layout::default());
    }

    #[test]
    fn what_a_writer_of_csv_wrote_is_read(cells in proptest::collection::vec("[^\0]{0,12}", 1..20)) {
        let quoted = |cell: &String| format!("\"{}\"\n", cell.replace('"', "\"\""));
        let csv = format!("a\n{}", cells.iter().map(quoted).collect::<String>());
        let found = texts("x.csv", csv.as_bytes(), &["a"]).unwrap();
        prop_assert_eq!(found.concat(), cells);
    }
}
