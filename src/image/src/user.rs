//! Who a container runs as, from the image's own /etc/passwd and /etc/group.
//!
//! Numbers need no files. The files are hostile: they are looked for in the snapshots from the top,
//! through links resolved within that snapshot alone, opened without blocking, and read only when
//! they are regular and not too long. Nothing of the host's accounts is ever consulted.

use std::io::Read;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Longest passwd or group file, bytes.
const FILE_MAX: u64 = 1 << 20;
/// Largest id: one below `(uid_t)-1`.
const ID_MAX: u32 = u32::MAX - 1;

/// A user with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, without the primary one.
    pub groups: Vec<u32>,
    /// Home folder; `/` when it is not known.
    pub home: String,
    /// Its name, when the image has one for the id.
    pub name: Option<String>,
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Resolves `user`, `uid`, `user:group`, `uid:gid` and mixtures; empty is root. `lower` stands top
/// first. With a group, there are no supplementary ones (as docker and containerd do).
///
/// # Errors
/// [`Error::User`]: no such name, a number that is no id, a file that cannot be trusted.
pub fn lookup(lower: &[PathBuf], user: &str) -> Result<ResolvedUser> {
    let wrong = |problem: String| Error::User { user: user.into(), problem };
    let (wanted, group) = match user.split_once(':') {
        Some((wanted, group)) => (wanted, Some(group)),
        None => (user, None),
    };
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let accounts = read(lower, "etc/passwd", account).map_err(&wrong)?;
    let by_number = number(wanted).map_err(&wrong)?;
    let account = match by_number {
        Some(uid) => accounts.iter().find(|a| a.uid == uid),
        None => Some(
            accounts
                .iter()
                .find(|a| a.name == wanted)
                .ok_or_else(|| wrong("no such user in the image's /etc/passwd".into()))?,
        ),
    };
    let mut resolved = ResolvedUser {
        uid: by_number.or(account.map(|a| a.uid)).unwrap_or(0),
        gid: account.map_or(0, |a| a.gid),
        groups: Vec::new(),
        home: account.map_or("/", |a| a.home.as_str()).to_owned(),
        name: account.map(|a| a.name.clone()),
    };
    let listed = || read(lower, "etc/group", self::group);
    match group {
        None => {
            let name = resolved.name.as_deref();
            let member = |g: &Group| g.members.iter().any(|m| Some(m.as_str()) == name);
            let groups = if name.is_some() { listed().map_err(&wrong)? } else { Vec::new() };
            let mut ids: Vec<u32> = groups.iter().filter(|g| member(g)).map(|g| g.gid).collect();
            ids.retain(|gid| *gid != resolved.gid);
            ids.sort_unstable();
            ids.dedup();
            resolved.groups = ids;
        }
        Some("") => return Err(wrong("the group is empty".into())),
        Some(group) => {
            resolved.gid = match number(group).map_err(&wrong)? {
                Some(gid) => gid,
                None => listed()
                    .map_err(&wrong)?
                    .iter()
                    .find(|g| g.name == group)
                    .map(|g| g.gid)
                    .ok_or_else(|| {
                    wrong(format!("no group {group:?} in the image's /etc/group"))
                })?,
            };
        }
    }
    Ok(resolved)
}

/// A number is an id or an error, never a name: a wrapped one would be root (CVE-2024-40635).
fn number(text: &str) -> std::result::Result<Option<u32>, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let fits = !text.is_empty() && text.len() <= 256 && !text.contains(char::is_control);
        return if fits { Ok(None) } else { Err("that is no name".into()) };
    }
    match text.parse::<u32>() {
        Ok(id) if digits == text && id <= i32::MAX.cast_unsigned() => Ok(Some(id)),
        _ => Err(format!("an id is a number from 0 to {}", i32::MAX)),
    }
}

/// The lines of a file of the image that `parse` understands; none when the file is not there.
fn read<T>(
    lower: &[PathBuf],
    path: &str,
    parse: impl Fn(&[&str]) -> Option<T>,
) -> std::result::Result<Vec<T>, String> {
    let Some(text) = contents(lower, path)? else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter_map(|line| parse(&line.split(':').collect::<Vec<_>>())).collect())
}

fn contents(lower: &[PathBuf], path: &str) -> std::result::Result<Option<Vec<u8>>, String> {
    for folder in lower {
        let told = |e: std::io::Error| format!("reading /{path} of the image: {e}");
        let root = sys::dir::open_root(folder).map_err(told)?;
        let file = match sys::dir::open_in_root(&root, path.as_bytes()) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            // A whiteout cannot be opened: deleted in this layer, so gone.
            Err(_) if is_whiteout(&root, path) => return Ok(None),
            Err(e) => return Err(told(e)),
        };
        let found = file.metadata().map_err(told)?;
        if !found.is_file() {
            return Err(format!("/{path} of the image is no regular file"));
        }
        if found.len() > FILE_MAX {
            let length = found.len();
            return Err(format!("/{path} of the image is {length} bytes long, over {FILE_MAX}"));
        }
        let mut text = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut text).map_err(told)?;
        return Ok(Some(text));
    }
    Ok(None)
}

fn is_whiteout(root: &std::os::fd::OwnedFd, path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let folder = sys::dir::open_folder(root, folder.as_bytes());
    let kind = folder.and_then(|f| sys::dir::kind(f, name.as_bytes()));
    kind.is_ok_and(|k| k == sys::dir::Kind::Whiteout)
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= ID_MAX)
}

fn account(fields: &[&str]) -> Option<Account> {
    let [name, _, uid, gid, _, home, ..] = fields else { return None };
    let safe = home.starts_with('/') && !home.contains(char::is_control);
    let home = if safe { home } else { &"/" };
    Some(Account { name: (*name).into(), uid: id(uid)?, gid: id(gid)?, home: (*home).into() })
}

fn group(fields: &[&str]) -> Option<Group> {
    let [name, _, gid, members @ ..] = fields else { return None };
    let members = members.first().map_or("", |m| m);
    let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: (*name).into(), gid: id(gid)?, members })
}

#[cfg(test)]
pub(crate) mod tests;
