//! Writing a folder of files as a whole.

use std::path::Path;

use crate::atomic::Temp;
use crate::error::{Error, Operation, Result};
use crate::output::Target;
use crate::{atomic, ops};

/// Writes `files` (name, content) as the folder `dir`. A name is plain, or that of a file in a folder inside: `a/b`.
///
/// A folder that does not exist appears as a whole or not at all, also if the process is killed; what is missing above it is
/// created. In one that exists every file is replaced by itself, in the order given; other files stay. Where `dir` is a link to a
/// folder that is not there yet, that folder is made.
/// [`atomic::clean_stale_temps`] removes what killed processes left.
///
/// # Errors
/// [`Error::Io`].
pub fn write(dir: impl AsRef<Path>, files: &[(&str, &[u8])]) -> Result<()> {
    let dir = dir.as_ref();
    if dir.is_dir() {
        return files.iter().try_for_each(|(name, bytes)| {
            let path = dir.join(name);
            ops::create_dir_all(ops::parent(&path))?;
            atomic::write_file(path, bytes)
        });
    }
    let target = dir.is_symlink().then(|| Target::of(dir)).transpose()?;
    let dir = target.as_ref().map_or(dir, Target::path);
    let parent = ops::parent(dir);
    ops::create_dir_all(parent)?;
    let (temp, ()) = atomic::create_beside(dir, ops::create_dir)?;
    let temp = Temp::folder(temp);
    for (name, bytes) in files {
        let (path, shown) = (temp.path.join(name), dir.join(name));
        ops::create_dir_all(ops::parent(&path))?;
        let file = ops::create_new(&path).map_err(|e| Error::io(Operation::Create, &shown, e))?;
        ops::write_all(&file, bytes, Operation::Write, &shown)?;
        ops::sync_file(&file, &shown)?;
        if ops::parent(&path) != temp.path {
            ops::sync_dir(ops::parent(&path))?;
        }
    }
    ops::sync_dir(&temp.path)?;
    temp.rename(dir)?;
    ops::sync_dir(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_with_all_its_files_and_is_then_replaced_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a/b/student");
        write(&target, &[("x", b"1"), ("y", b"2")]).unwrap();
        write(&target, &[("y", b"3")]).unwrap();
        let read = |name: &str| std::fs::read(target.join(name)).unwrap();
        assert_eq!((read("x"), read("y")), (b"1".to_vec(), b"3".to_vec()));
        let beside: Vec<_> = std::fs::read_dir(target.parent().unwrap()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_also_where_that_is_still_to_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("student"), dir.path().join("disk/models/one"));
        std::os::unix::fs::symlink("disk/models/one", &link).unwrap();
        for content in [b"1", b"2"] {
            write(&link, &[("x", content)]).unwrap();
            assert!(link.is_symlink());
            assert_eq!(std::fs::read(real.join("x")).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(real.parent().unwrap()).unwrap().count(), 1);
        // A file in it that is a link is replaced: what it leads to may be another program's.
        std::fs::write(dir.path().join("blob"), b"theirs").unwrap();
        std::fs::remove_file(real.join("x")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("blob"), real.join("x")).unwrap();
        write(&link, &[("x", b"3")]).unwrap();
        assert_eq!(std::fs::read(dir.path().join("blob")).unwrap(), b"theirs");
        assert!(!real.join("x").is_symlink());
    }

    #[test]
    fn a_file_in_the_way_is_an_error_that_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        std::fs::write(&taken, b"mine").unwrap();
        let message = write(&taken, &[("x", b"1")]).unwrap_err().to_string();
        assert!(message.contains("taken"), "{message}");
        assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
