//! The scope's cgroups: one folder of one name in every mounted hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the name of each scope begins with; the pid of its maker follows.
pub(crate) const PREFIX: &str = "podvisor-test-";

/// Cgroups made for one scope; removed, with whatever is below, by [`OuterCgroups::remove`].
#[derive(Debug)]
pub struct OuterCgroups {
    folders: Vec<PathBuf>,
    hierarchies: Vec<Hierarchy>,
}

/// One mounted cgroup file system: where, its type and the options that mount it again.
#[derive(Debug, Clone)]
struct Hierarchy {
    target: PathBuf,
    kind: String,
    options: String,
}

impl OuterCgroups {
    /// Makes `<hierarchy>/<name>` everywhere.
    ///
    /// # Errors
    /// The folder that could not be made, with the kernel's reason.
    pub fn create(name: &str) -> io::Result<OuterCgroups> {
        let hierarchies = mounted();
        let mut made = OuterCgroups { folders: Vec::new(), hierarchies };
        for h in made.hierarchies.clone() {
            let folder = h.target.join(name);
            fs::create_dir(&folder)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", folder.display())))?;
            for inherited in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(h.target.join(inherited)) {
                    let _ = fs::write(folder.join(inherited), value);
                }
            }
            made.folders.push(folder);
        }
        Ok(made)
    }

    /// A shell line that puts the shell itself into every cgroup.
    pub fn join_line(&self) -> String {
        let each = self.folders.iter().map(|f| format!("echo $$ >'{}/cgroup.procs'", f.display()));
        each.collect::<Vec<_>>().join("; ")
    }

    /// A shell line that puts the shell, whose cgroup namespace begins at the scope's cgroup, below
    /// that, where cgroup2 is alone: controllers are for cgroups below one without processes.
    pub fn leave_line(&self) -> String {
        match (&self.hierarchies[..], &self.folders[..]) {
            ([only], [folder]) if only.kind == "cgroup2" => format!(
                "cd '{}'; mkdir scope; echo $$ >scope/cgroup.procs; \
                 for c in $(cat cgroup.controllers); do echo +$c >cgroup.subtree_control; done; \
                 cd \"$OLDPWD\"; ",
                folder.display()
            ),
            _ => String::new(),
        }
    }

    /// Shell lines that show the same hierarchies below `/sys/fs/cgroup`, rooted at the scope; to
    /// be run inside new mount and cgroup namespaces.
    pub fn remount_lines(&self) -> String {
        // Only this namespace's copies of the host's mounts go.
        let mut lines = "umount -R /sys/fs/cgroup; ".to_owned();
        if self.hierarchies.iter().all(|h| h.target != Path::new("/sys/fs/cgroup")) {
            lines.push_str("mount -t tmpfs -o mode=755 cgroup_root /sys/fs/cgroup; ");
        }
        for h in &self.hierarchies {
            let (target, kind) = (h.target.display(), &h.kind);
            let options = if kind == "cgroup2" { "rw".into() } else { h.options.clone() };
            lines.push_str(&format!(
                "mkdir -p {target}; mount -t {kind} -o {options} {kind} {target}; "
            ));
        }
        lines
    }

    /// Kills what still runs there and removes every folder.
    ///
    /// # Errors
    /// The folder that is still busy after ten seconds.
    pub fn remove(self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        for folder in &self.folders {
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
        for folder in &self.folders {
            while let Err(error) = remove_tree(folder) {
                if error.kind() == io::ErrorKind::NotFound {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("{}: {error}", folder.display()),
                    ));
                }
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// Removes the empty cgroups of scopes whose process was killed before it could: it is gone, or the
/// caller, whose scope is to have this `own` name, has its pid. The kernel removes no cgroup that
/// still has a process.
pub(crate) fn remove_left(own: &str) {
    for entry in mounted().iter().flat_map(|h| fs::read_dir(&h.target)).flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('-').next());
        if name == own || owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = remove_tree(&entry.path());
        }
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

fn mounted() -> Vec<Hierarchy> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let target = PathBuf::from(left.split(' ').nth(4)?);
            let mut fields = right.split(' ');
            let (kind, _, options) = (fields.next()?, fields.next()?, fields.next()?);
            let usable = kind.starts_with("cgroup") && target.starts_with("/sys/fs/cgroup");
            usable.then(|| Hierarchy {
                target,
                kind: kind.to_owned(),
                options: options.trim_start_matches("rw,").to_owned(),
            })
        })
        .collect()
}
