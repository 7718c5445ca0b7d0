//! Files that commands write: never over what they read, nor over each other.

use glue_squad::task::TaskKind;

use crate::support::{folder, pocket_folder, run, snapshot, tiny_model};

#[test]
fn predictions_never_replace_the_data_or_the_model_that_they_are_made_of() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let before = snapshot(dir.path());
    for file in
        ["pocket/SST-2/dev.tsv", "./pocket/../pocket/SST-2/dev.tsv", "bert/model.safetensors", "bert/config.json"]
    {
        let args = ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", file];
        run(dir.path(), &args).fails_with(2, &["--predictions", "would replace", "nothing was changed"]);
    }
    assert_eq!(snapshot(dir.path()), before);
    let args =
        ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", "pocket/SST-2/mine.tsv"];
    assert_eq!(run(dir.path(), &args).code, Some(0), "another file of that folder is nobody's");
}

#[test]
fn hidden_states_never_replace_the_model_or_the_ids() {
    let dir = tiny_model();
    std::fs::write(dir.path().join("ids.safetensors"), "ids").unwrap();
    let before = snapshot(dir.path());
    for file in ["ids.safetensors", "model/model.safetensors"] {
        let args = ["encode", "--model", "model", "--inputs", "ids.safetensors", "--out", file];
        run(dir.path(), &args).fails_with(2, &["--out", "would replace"]);
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn an_archive_never_stands_where_a_prediction_file_is_looked_for() {
    let dir = folder();
    std::fs::create_dir(dir.path().join("p")).unwrap();
    std::fs::write(dir.path().join("p/SST-2.tsv"), "index\tprediction\n0\t1\n").unwrap();
    let before = snapshot(dir.path());
    for file in ["p/SST-2.tsv", "p/CoLA.tsv"] {
        run(dir.path(), &["submit", "--predictions", "p", "--out", file]).fails_with(2, &["--out", "would replace"]);
    }
    assert_eq!(snapshot(dir.path()), before);
    assert_eq!(run(dir.path(), &["submit", "--predictions", "p", "--out", "p/all.zip"]).code, Some(0));
}

/// Where a file is wanted, a person may name a link, a pipe, a device or an open descriptor.
#[cfg(unix)]
mod not_plain_files {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Command;

    use bert_core::BertConfig;
    use bert_core::weights::{HostTensor, Tensors};
    use glue_squad::squad::SquadVersion;
    use glue_squad::task::TaskKind;
    use serde_json::json;

    use crate::support::{
        Outcome, command, import_tiny, pocket_folder, run, save_bert, snapshot, tiny_config, tiny_tensors,
        write_checkpoint,
    };

    const EVAL: &[&str] = &["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions"];
    const SPANS: &[&str] = &["eval", "--model", "span", "--task", "squad-v2", "--data", "squad.json"];
    /// Of as many tokens as the model has positions.
    const WINDOWS: &[&str] = &["--max-len", "24", "--max-query-length", "6", "--doc-stride", "8"];

    /// Every command that writes one file, up to the name of that file.
    fn writers() -> Vec<Vec<&'static str>> {
        vec![
            EVAL.to_vec(),
            [SPANS, WINDOWS, &["--predictions"]].concat(),
            [SPANS, WINDOWS, &["--na-probs"]].concat(),
            [SPANS, WINDOWS, &["--nbest-predictions"]].concat(),
            [&["predict", "--model", "span", "--data", "squad.json"], WINDOWS, &["--predictions"]].concat(),
            vec!["submit", "--predictions", "p", "--out"],
            vec!["encode", "--model", "model", "--inputs", "ids.safetensors", "--out"],
            vec!["encode", "--model", "model", "--inputs", "ids.safetensors", "--last-only", "--out"],
        ]
    }

    /// A folder with what all of them read.
    fn folder() -> tempfile::TempDir {
        let dir = pocket_folder(&[TaskKind::Sst2]);
        let path = dir.path();
        let span = predict::heads::task_head(SquadVersion::V2.task());
        let config = BertConfig {
            task_heads: vec![span],
            max_position_embeddings: 24,
            ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
        };
        save_bert(path, "span", &config);
        let qas = json!([{ "id": "q", "question": "the soup is", "is_impossible": true, "answers": [] }]);
        let paragraphs = json!([{ "context": "anna said the soup is good .", "qas": qas }]);
        let data = json!({ "version": "v2.0", "data": [{ "title": "t", "paragraphs": paragraphs }] });
        std::fs::write(path.join("squad.json"), data.to_string()).unwrap();
        std::fs::create_dir(path.join("p")).unwrap();
        std::fs::write(path.join("p/SST-2.tsv"), "index\tprediction\n0\t1\n").unwrap();
        write_checkpoint(path, &tiny_config(), &tiny_tensors());
        assert_eq!(import_tiny(path, &[]).code, Some(0));
        let ids = HostTensor { shape: vec![1, 3], data: vec![2.0, 3.0, 4.0] };
        Tensors([("input.token_ids".to_owned(), ids)].into()).write_safetensors(&path.join("ids.safetensors")).unwrap();
        dir
    }

    fn succeeds(dir: &Path, args: &[&str]) -> Outcome {
        let outcome = run(dir, args);
        assert_eq!(outcome.code, Some(0), "{args:?}: {}", outcome.stderr);
        outcome
    }

    #[test]
    fn every_output_follows_links_keeps_permissions_and_writes_through_pipes() {
        let dir = folder();
        let path = |name: &str| dir.path().join(name);
        for folder in ["elsewhere", "links"] {
            std::fs::create_dir(path(folder)).unwrap();
        }
        symlink("../elsewhere/link", path("links/chain")).unwrap();
        symlink("real", path("elsewhere/link")).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for writer in writers() {
            let to = |file: &'static str| [&writer[..], &[file]].concat();
            succeeds(dir.path(), &to("plain"));
            let expected = std::fs::read(path("plain")).unwrap();
            assert!(!expected.is_empty(), "{writer:?}");

            // Through two links to a file that only its owner may read.
            std::fs::write(path("elsewhere/real"), "old").unwrap();
            std::fs::set_permissions(path("elsewhere/real"), std::fs::Permissions::from_mode(0o600)).unwrap();
            succeeds(dir.path(), &to("links/chain"));
            assert!(std::fs::read(path("elsewhere/real")).unwrap() == expected, "{writer:?}");
            assert_eq!(std::fs::metadata(path("elsewhere/real")).unwrap().permissions().mode() & 0o777, 0o600);
            // The same, to a file that is not there yet.
            std::fs::remove_file(path("elsewhere/real")).unwrap();
            succeeds(dir.path(), &to("links/chain"));
            assert!(std::fs::read(path("elsewhere/real")).unwrap() == expected, "{writer:?}");
            for link in ["links/chain", "elsewhere/link"] {
                assert!(std::fs::symlink_metadata(path(link)).unwrap().file_type().is_symlink(), "{writer:?}");
            }

            let pipe = path("pipe");
            let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
            succeeds(dir.path(), &to("pipe"));
            assert!(reader.join().unwrap() == expected, "{writer:?}");
            assert!(std::fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo(), "{writer:?}");
        }
        for (folder, names) in [("elsewhere", 2), ("links", 1)] {
            assert_eq!(std::fs::read_dir(path(folder)).unwrap().count(), names, "{folder}: something is left");
        }
    }

    /// `/dev/null` of one's own: the machine's is nobody's to risk.
    #[test]
    fn a_device_is_written_through_and_may_be_named_twice() {
        let dir = folder();
        let null = dir.path().join("null");
        let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).output();
        if !made.is_ok_and(|made| made.status.success()) || std::fs::File::open(&null).is_err() {
            test_support::skipped("this user cannot make devices");
            return;
        }
        symlink("null", dir.path().join("link")).unwrap();
        let twice =
            [SPANS, WINDOWS, &["--predictions", "null", "--na-probs", "link", "--nbest-predictions", "null"]].concat();
        for args in [[EVAL, &["null"]].concat(), [EVAL, &["link"]].concat(), twice] {
            succeeds(dir.path(), &args);
            assert!(std::fs::symlink_metadata(&null).unwrap().file_type().is_char_device(), "{args:?}");
        }
        assert!(std::fs::symlink_metadata(dir.path().join("link")).unwrap().file_type().is_symlink());
        let [pipe, other] = ["pipe", "same"].map(|name| dir.path().join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink("pipe", other).unwrap();
        // Its reader would see the end after the first of them, and the second would wait for ever.
        let both = [SPANS, WINDOWS, &["--predictions", "pipe", "--na-probs", "same"]].concat();
        run(dir.path(), &both).fails_with(2, &["--na-probs same: is the file of --predictions too"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn standard_output_and_descriptors_take_the_file_beside_the_result() {
        let dir = folder();
        let result = succeeds(dir.path(), &[EVAL, &["plain"]].concat()).stdout;
        let file = std::fs::read_to_string(dir.path().join("plain")).unwrap();
        let both = |name: &str| file.clone() + &result.replace("plain", name);
        assert_eq!(succeeds(dir.path(), &[EVAL, &["/dev/stdout"]].concat()).stdout, both("/dev/stdout"));

        // Redirected as a shell does: the file is not replaced, nor written over from its start.
        let program = env!("CARGO_BIN_EXE_efficientbert");
        let shell = |script: &str| {
            std::fs::write(dir.path().join("out"), "before\n").unwrap();
            let mut shell = Command::new("sh");
            shell.env_remove("RUST_BACKTRACE").env("COLUMNS", "100").current_dir(dir.path());
            let done = shell.args(["-c", script, program]).args(EVAL).output().unwrap();
            assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
            let out = std::fs::read_to_string(dir.path().join("out")).unwrap();
            (out, String::from_utf8(done.stdout).unwrap())
        };
        assert_eq!(shell(r#""$0" "$@" /dev/stdout > out"#).0, both("/dev/stdout"));
        assert_eq!(shell(r#""$0" "$@" /dev/stdout >> out"#).0, "before\n".to_owned() + &both("/dev/stdout"));
        assert_eq!(shell(r#""$0" "$@" /dev/fd/1 > out"#).0, both("/dev/fd/1"));
        let name = "/dev/fd/3";
        assert_eq!(shell(r#""$0" "$@" /dev/fd/3 3> out"#), (file.clone(), result.replace("plain", name)));
        let appended = ("before\n".to_owned() + &file, result.replace("plain", name));
        assert_eq!(shell(r#""$0" "$@" /dev/fd/3 3>> out"#), appended);
        // A pipe as `>(command)` makes one, by a descriptor of its own.
        let piped = shell(r#"{ "$0" "$@" /dev/fd/3 3>&1 >&2; } | cat > out"#).0;
        assert_eq!(piped, file);
    }

    #[test]
    fn what_cannot_be_written_to_is_refused_before_the_work() {
        let dir = folder();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        symlink("missing/file", dir.path().join("nowhere")).unwrap();
        symlink("pocket", dir.path().join("folder")).unwrap();
        symlink("pocket/SST-2/dev.tsv", dir.path().join("data")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let before = snapshot(&dir.path().join("pocket"));
        for (file, parts) in [
            ("a", &["--predictions a: its symbolic links lead in a circle"][..]),
            ("nowhere", &["--predictions nowhere: leads to missing/file; the folder missing does not exist"]),
            ("folder", &["--predictions folder: is a folder"]),
            ("new/", &["--predictions new/: is a folder"]),
            ("socket", &["--predictions socket: it is a socket"]),
            ("data", &["--predictions data: would replace", "nothing was changed"]),
            ("no/such/file", &["the folder no/such does not exist"]),
        ] {
            let mut command = command(dir.path());
            let output = command.args(EVAL).arg(file).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{file}: {stderr}");
            for part in parts {
                assert!(stderr.contains(part), "{part}: {stderr}");
            }
            assert!(!stderr.contains("eval:"), "{file}: the work began: {stderr}");
        }
        assert_eq!(snapshot(&dir.path().join("pocket")), before);
        assert!(std::fs::symlink_metadata(dir.path().join("nowhere")).unwrap().file_type().is_symlink());
    }
}
