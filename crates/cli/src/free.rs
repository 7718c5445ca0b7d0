//! What is free on this machine: memory, and room on a disk.

use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, System};

/// Where control groups are mounted, by the controller of a line of `/proc/self/cgroup`: the second version has none.
const GROUPS: [(&str, &str, [&str; 2]); 2] = [
    ("", "/sys/fs/cgroup", ["memory.max", "memory.current"]),
    ("memory", "/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
];

/// Bytes that this process could still take before the machine, or the control group that it runs in, has none left; `None` where
/// the operating system does not tell it.
pub fn memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = Some(system.available_memory()).filter(|bytes| *bytes > 0)?;
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    // Not `System::cgroup_limits`: there all file pages count as used, and whoever has read large data has no memory left.
    let groups = read(Path::new("/proc/self/cgroup")).map(|text| in_groups(&text, &read));
    Some(groups.flatten().map_or(machine, |group| group.min(machine)))
}

/// The least that the limits of the groups of `/proc/self/cgroup`, and of those above them, leave.
fn in_groups(text: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut least = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let known = GROUPS.iter().find(|(name, _, _)| controllers.split(',').any(|controller| controller == *name));
        let Some((_, mount, names)) = known else { continue };
        let mount = Path::new(mount);
        // In a container the group may be mounted as if it were the topmost one.
        let group = mount.join(path.trim_start_matches('/'));
        for dir in group.ancestors().take_while(|dir| dir.starts_with(mount)) {
            least = [least, left(dir, names, read)].into_iter().flatten().min();
        }
    }
    least
}

/// What the limit of a group leaves; file pages that were not used lately are given back when somebody needs them.
fn left(dir: &Path, names: &[&str; 2], read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let number = |name: &str| read(&dir.join(name))?.trim().parse::<u64>().ok();
    // No limit is the word `max`.
    let (limit, used) = (number(names[0])?, number(names[1])?);
    let stat = read(&dir.join("memory.stat")).unwrap_or_default();
    let inactive = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(used.saturating_sub(inactive.unwrap_or(0))))
}

/// Bytes that can still be written on the disk of `folder`, or of what is there of the path to it.
pub fn disk(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let there: PathBuf = folder.ancestors().find(|dir| dir.exists())?.to_owned();
    on_disk(&there)
}

#[cfg(unix)]
fn on_disk(there: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(there).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

#[cfg(not(unix))]
fn on_disk(_there: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_group_has_what_its_limit_and_those_above_it_leave() {
        let files = BTreeMap::from([
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "700\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "700\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 500\ninactive_file 200\n"),
            ("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "400\n"),
            ("/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "500\n"),
            ("/sys/fs/cgroup/memory.max", "800\n"),
            ("/sys/fs/cgroup/memory.current", "100\n"),
        ]);
        let read = |path: &Path| files.get(path.to_str()?).map(ToString::to_string);
        assert_eq!(in_groups("0::/a/b\n", &read), Some(500), "1000 - (700 - 200)");
        assert_eq!(in_groups("0::/\n", &read), Some(700), "a container's own group is mounted at the top");
        assert_eq!(
            in_groups("9:name=systemd:/\n4:cpu,memory:/c\n", &read),
            Some(0),
            "the first version, and its limit is passed"
        );
        assert_eq!(in_groups("8:pids:/a\n\nno line\n", &read), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some_of_both() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
        let dir = tempfile::tempdir().unwrap();
        assert!(disk(&dir.path().join("not/there/yet")).is_some_and(|bytes| bytes > 1 << 10));
    }
}
