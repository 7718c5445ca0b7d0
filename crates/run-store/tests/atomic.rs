//! Files are replaced as a whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use run_store::{Error, atomic};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_created_and_replaced_without_leaving_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    atomic::write_file(&path, b"one").unwrap();
    atomic::write_file(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn json_is_written_with_a_final_line_break() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    atomic::write_json(&path, &serde_json::json!({"seed": 7})).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"seed\": 7\n}\n");
}

#[test]
fn an_error_of_the_writer_keeps_the_old_content_and_removes_the_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    let error = atomic::write_with(&path, |out| {
        out.write_all(&[1; 100_000])?;
        Err(io::Error::other("the tensor vanished"))
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("write") && message.contains("a.txt"), "{message}");
    assert!(message.contains("the tensor vanished"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn a_panic_of_the_writer_keeps_the_old_content_and_removes_the_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    let target = path.clone();
    let outcome = std::panic::catch_unwind(move || {
        atomic::write_with(&target, |out| {
            out.write_all(b"new")?;
            panic!("interrupted by the test");
        })
    });
    assert!(outcome.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none").join("a.txt");
    let error = atomic::write_file(&path, b"x").unwrap_err();
    let message = error.to_string();
    assert!(message.contains("create") && message.contains("a.txt;"), "{message}");
}

#[test]
fn a_path_without_a_file_name_is_an_error() {
    assert!(matches!(atomic::write_file("..", b"x"), Err(Error::Io { .. })));
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_an_error_that_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write anywhere, so there is nothing to see for it.
    if fs::write(dir.path().join("probe"), "").is_err() {
        let error = atomic::write_file(&path, b"new").unwrap_err();
        assert!(
            matches!(&error, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied),
            "{error:?}"
        );
        assert!(error.to_string().contains("nothing was replaced"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_replaced_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    atomic::write_file(&path, b"new").unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_and_what_it_points_to_is_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "real").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    atomic::write_file(&link, b"new").unwrap();
    assert_eq!(fs::read(&real).unwrap(), b"real");
    assert_eq!(fs::read(&link).unwrap(), b"new");
}

#[test]
fn stale_temporary_files_are_cleaned_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.txt", ".a.txt.12-3.tmp", "notes.tmp", ".hidden"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    // A folder under construction goes the same way, with what is in it.
    fs::create_dir(dir.path().join(".model.12-4.tmp")).unwrap();
    fs::write(dir.path().join(".model.12-4.tmp/config.json"), "").unwrap();
    fs::create_dir(dir.path().join("model")).unwrap();
    let mut removed = atomic::clean_stale_temps(dir.path()).unwrap();
    removed.sort();
    assert_eq!(removed, [".a.txt.12-3.tmp", ".model.12-4.tmp"].map(|name| dir.path().join(name)));
    assert_eq!(names(dir.path()), [".hidden", "a.txt", "model", "notes.tmp"]);
    assert!(atomic::clean_stale_temps(dir.path().join("none")).unwrap().is_empty());
}

#[test]
fn many_threads_replacing_one_file_leave_one_whole_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bin");
    std::thread::scope(|scope| {
        for value in 0..4_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..5 {
                    atomic::write_file(path, &[value; 50_000]).unwrap();
                }
            });
        }
    });
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len(), 50_000);
    assert!(content.iter().all(|byte| *byte == content[0]));
    assert_eq!(names(dir.path()), ["a.bin"]);
}
