//! Outputs to what a person may name instead of a plain file: links, pipes, devices, descriptors.
#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use run_store::output::{self, Target};
use run_store::{Error, atomic};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().file_type().is_symlink()
}

/// A device of one's own, as `mknod` makes it for the superuser: never the machine's.
fn device(dir: &Path, name: &str, [major, minor]: [u32; 2]) -> Option<PathBuf> {
    let path = dir.join(name);
    let (major, minor) = (major.to_string(), minor.to_string());
    let made = Command::new("mknod").arg(&path).args(["c", &major, &minor]).output();
    // Containers make the node and then refuse to open it.
    let usable = made.is_ok_and(|made| made.status.success()) && File::open(&path).is_ok();
    if !usable {
        test_support::skipped("this user cannot make devices");
    }
    usable.then_some(path)
}

fn named_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
    let dir = folder();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("links")).unwrap();
    let real = elsewhere.join("real.tsv");
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    // Open, so that the number of its inode is not given to another file.
    let before = fs::File::open(&real).unwrap();
    // Absolute; relative to the folder of the link, which is itself reached through a link; a chain of the two.
    symlink(&real, dir.path().join("absolute")).unwrap();
    symlink("../real.tsv", elsewhere.join("links/relative")).unwrap();
    symlink("elsewhere/links", dir.path().join("by-link")).unwrap();
    symlink("by-link/relative", dir.path().join("chain")).unwrap();
    for link in ["absolute", "by-link/relative", "chain"] {
        let path = dir.path().join(link);
        output::write(&path, link.as_bytes()).unwrap();
        assert!(is_link(&path), "{link}");
        assert_eq!(fs::read_to_string(&real).unwrap(), link);
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600, "{link}");
    }
    assert_ne!(fs::metadata(&real).unwrap().ino(), before.metadata().unwrap().ino(), "it was replaced as a whole");
    assert_eq!(names(dir.path()), ["absolute", "by-link", "chain", "elsewhere"]);
    assert_eq!(names(&elsewhere), ["links", "real.tsv"], "something temporary is left");
}

#[test]
fn a_dangling_link_creates_what_it_leads_to_where_that_has_a_folder() {
    let dir = folder();
    fs::create_dir(dir.path().join("there")).unwrap();
    let link = dir.path().join("link");
    symlink("there/new.tsv", &link).unwrap();
    output::write(&link, b"new").unwrap();
    assert!(is_link(&link));
    assert_eq!(fs::read(dir.path().join("there/new.tsv")).unwrap(), b"new");

    let nowhere = dir.path().join("nowhere");
    symlink("missing/new.tsv", &nowhere).unwrap();
    let message = output::write(&nowhere, b"new").unwrap_err().to_string();
    assert!(message.contains("missing/new.tsv"), "{message}");
    assert!(is_link(&nowhere) && !dir.path().join("missing").exists());
}

#[test]
fn links_in_a_circle_are_an_error_that_says_so() {
    let dir = folder();
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    symlink("b", &a).unwrap();
    symlink("a", &b).unwrap();
    let error = output::write(&a, b"new").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("in a circle") && message.contains("nothing was replaced"), "{message}");
    assert_eq!(names(dir.path()), ["a", "b"]);
}

#[test]
fn a_named_pipe_is_written_through_and_stays_one() {
    let dir = folder();
    let pipe = dir.path().join("pipe");
    named_pipe(&pipe);
    symlink("pipe", dir.path().join("link")).unwrap();
    // More than a pipe holds at once.
    let content: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    for path in [pipe.clone(), dir.path().join("link")] {
        let read = pipe.clone();
        let reader = std::thread::spawn(move || fs::read(read).unwrap());
        output::write(&path, &content).unwrap();
        assert!(reader.join().unwrap() == content);
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    }
    assert_eq!(names(dir.path()), ["link", "pipe"]);
}

#[test]
fn a_device_is_written_through_and_stays_one() {
    let dir = folder();
    let Some(null) = device(dir.path(), "null", [1, 3]) else { return };
    output::write(&null, b"gone").unwrap();
    symlink("null", dir.path().join("link")).unwrap();
    output::write(dir.path().join("link"), b"gone").unwrap();
    assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device());
    assert_eq!(names(dir.path()), ["link", "null"]);
    let Some(full) = device(dir.path(), "full", [1, 7]) else { return };
    let error = output::write(&full, b"much").unwrap_err();
    assert!(matches!(&error, Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull), "{error:?}");
    assert!(error.to_string().contains("some of it may have arrived"), "{error}");
    assert!(fs::symlink_metadata(&full).unwrap().file_type().is_char_device());
}

#[test]
fn no_write_at_all_puts_a_file_in_the_place_of_a_pipe_or_device() {
    let dir = folder();
    let pipe = dir.path().join("pipe");
    named_pipe(&pipe);
    for path in std::iter::once(pipe).chain(device(dir.path(), "null", [1, 3])) {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let error = atomic::write_file(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), kind);
    }
    assert!(names(dir.path()).iter().all(|name| !name.ends_with(".tmp")));
}

#[test]
fn sockets_and_folders_are_refused_by_what_they_are() {
    let dir = folder();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    symlink("socket", dir.path().join("link")).unwrap();
    for (path, what) in [(&socket, "socket"), (&dir.path().join("link"), "socket"), (&dir.path().to_owned(), "folder")]
    {
        let message = output::write(path, b"x").unwrap_err().to_string();
        assert!(message.contains(&format!("it is a {what}")), "{message}");
    }
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
}

#[cfg(target_os = "linux")]
#[test]
fn an_open_descriptor_takes_what_is_written_after_what_it_has() {
    let dir = folder();
    let path = dir.path().join("out.txt");
    fs::write(&path, "before\n").unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let open = OpenOptions::new().append(true).open(&path).unwrap();
    for name in ["/dev/fd", "/proc/self/fd"] {
        let descriptor = PathBuf::from(format!("{name}/{}", open.as_raw_fd()));
        assert!(matches!(Target::of(&descriptor).unwrap(), Target::Stream(_)));
        output::write(&descriptor, b"more\n").unwrap();
    }
    // What another link leads to is the descriptor still.
    symlink(format!("/dev/fd/{}", open.as_raw_fd()), dir.path().join("link")).unwrap();
    output::write(dir.path().join("link"), b"last\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nmore\nmore\nlast\n");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before, "it was replaced");
    assert!(matches!(Target::of("/dev/fd/987654"), Err(Error::Io { .. })), "not open");
    // A file without a name any more: nothing appears where it was.
    fs::remove_file(&path).unwrap();
    output::write(format!("/proc/self/fd/{}", open.as_raw_fd()), b"x").unwrap();
    assert_eq!(open.metadata().unwrap().len(), 23);
    assert_eq!(names(dir.path()), ["link"]);
}

#[test]
fn names_that_are_numbers_are_files_elsewhere() {
    let dir = folder();
    let path = dir.path().join("1");
    assert_eq!(Target::of(&path).unwrap(), Target::File(path.clone()));
    output::write(&path, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn nobody_reads_a_secret_file_while_it_is_written() {
    let dir = folder();
    let path = dir.path().join("secret");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    atomic::write_with(&path, |out| {
        use std::io::Write;
        let modes: Vec<u32> = fs::read_dir(dir.path())?
            .map(|entry| entry?.metadata().map(|found| found.permissions().mode() & 0o777))
            .collect::<Result<_, std::io::Error>>()?;
        assert_eq!(modes, [0o600, 0o600]);
        out.write_all(b"new")
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn the_superuser_replaces_a_file_of_somebody_for_them() {
    let dir = folder();
    let path = dir.path().join("theirs");
    fs::write(&path, "old").unwrap();
    if std::os::unix::fs::chown(&path, Some(1234), Some(4321)).is_err() {
        test_support::skipped("only the superuser gives files away");
        return;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    output::write(&path, b"new").unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (1234, 4321, 0o640));
}

#[test]
fn another_name_of_the_file_keeps_the_old_content() {
    let dir = folder();
    let [path, backup] = ["out.tsv", "backup.tsv"].map(|name| dir.path().join(name));
    fs::write(&path, "old").unwrap();
    fs::hard_link(&path, &backup).unwrap();
    output::write(&path, b"new").unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&backup).unwrap()), (b"new".to_vec(), b"old".to_vec()));
}
