//! Names inside a folder of ours: relative, `/`-separated, unable to leave the folder.

/// What keeps `name` from being a plain relative path on every platform, if anything.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.contains(['\\', ':', '\0']) {
        return Some("it contains a backslash, a colon or a zero byte");
    }
    if name.starts_with('/') {
        return Some("it is absolute");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("it has an empty, `.` or `..` part");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_relative_names_are_accepted() {
        for name in ["a", "model.safetensors", "optim/adam.bin", "..a", "a..b/c"] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "C:x", "a\\b", "a\0"] {
            assert!(fault(name).is_some(), "{name:?}");
        }
    }
}
