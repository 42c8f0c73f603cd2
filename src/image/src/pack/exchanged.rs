//! What is packed while a container renames it: `export` and `commit` read containers that run.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::mpsc::channel;
use std::time::Duration;

use sys::{dir, survey};

use super::tree::Walk;
use super::*;

const SECRET: &[u8] = b"of the host alone";
/// Nothing that takes a file's place makes the reader wait.
const SOON: Duration = Duration::from_secs(10);

/// Between the look at a file or folder and its reading a container puts something else in its
/// place: a link to the host's, or a pipe that nobody writes to. Nothing of the host comes in, and
/// nothing waits.
/// Red where `Walk::found` opens a file by what follows links, or without O_NONBLOCK, or a folder
/// without O_NOFOLLOW.
#[test]
fn cve_2023_0778_what_takes_a_files_place_is_not_followed_out() {
    let place = scope::Folder::new("exchanged");
    let outside = place.join("outside");
    fs::create_dir_all(outside.join("folder")).unwrap();
    for path in ["file", "folder/inner"] {
        fs::write(outside.join(path), SECRET).unwrap();
    }
    let (file, folder) = (outside.join("file"), outside.join("folder"));
    for (number, (name, link)) in [
        ("file", Some(file.as_path())),
        ("file", Some(Path::new("../outside/file"))),
        ("file", None),
        ("folder", Some(folder.as_path())),
        ("folder", Some(Path::new("../outside/folder"))),
    ]
    .into_iter()
    .enumerate()
    {
        let upper = place.join(format!("upper-{number}"));
        fs::create_dir_all(upper.join("folder")).unwrap();
        fs::write(upper.join("file"), "of the container, and longer than the host's").unwrap();
        let root = dir::open_root(&upper).unwrap();
        let facts = survey::look(&root, name.as_bytes()).unwrap();
        fs::rename(upper.join(name), place.join(format!("away-{number}"))).unwrap();
        match link {
            Some(to) => symlink(to, upper.join(name)).unwrap(),
            None => dir::make_node(&root, name.as_bytes(), dir::Node::Fifo, 0o600).unwrap(),
        }
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut archive = tar::Writer::new(&mut bytes);
            let mut walk = Walk::of_upper(&upper, Times::Kept, None);
            let done =
                walk.found((&root, name.as_bytes(), &facts), name.into(), 0, &mut archive).is_ok();
            sender.send((done, bytes)).unwrap();
        });
        let (done, bytes) = receiver.recv_timeout(SOON).expect("it waits for what is there");
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{name} {link:?}");
        // A pipe is empty; a link is refused.
        assert_eq!(done, link.is_none(), "{name} {link:?}");
    }
}
