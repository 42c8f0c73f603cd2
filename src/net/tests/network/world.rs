//! A small world: a host, pods' namespaces, a network outside, programs that answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use net::{Attachment, Config, Network, Protocol, Published};
use scope::Scope;
use sys::netlink::in_namespace;

const PATIENCE: Duration = Duration::from_secs(5);
const UNANSWERED: Duration = Duration::from_millis(400);

/// The host's address towards outside, and the address outside.
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// Runs a command; its output.
pub(crate) fn run(command: &str) -> String {
    let out = Command::new("sh").args(["-ec", command]).output().unwrap();
    let words = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command}: {words}");
    String::from_utf8(out.stdout).unwrap()
}

/// Links, addresses, routes, rules and sysctls of the calling thread's namespace, as others see it.
#[derive(PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    pub(crate) fn take() -> Snapshot {
        let mut text = run("ip -o link; ip -o addr; ip route show table all; nft list ruleset");
        let links = fs::read_dir("/proc/sys/net/ipv4/conf").unwrap().flatten();
        for name in links.map(|link| link.file_name().into_string().unwrap()) {
            for key in ["forwarding", "route_localnet", "rp_filter", "accept_redirects"] {
                let path = format!("/proc/sys/net/ipv4/conf/{name}/{key}");
                write!(text, "{name}.{key}={}", fs::read_to_string(path).unwrap()).unwrap();
            }
        }
        let ip_forward = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        write!(text, "ip_forward={ip_forward}").unwrap();
        // The state of links, and their IPv6 addresses, settle in their own time.
        let settling =
            ["NO-CARRIER,", ",LOWER_UP", " state UNKNOWN", " state DOWN", " state UP", "linkdown "];
        for word in settling {
            text = text.replace(word, "");
        }
        let own = |line: &&str| line.contains("fe80") || line.starts_with("multicast ff00::/8");
        let lines = text.lines().filter(|line| !own(line));
        Snapshot(lines.map(str::to_owned).collect())
    }

    /// Fails with every line that appeared or vanished since.
    pub(crate) fn assert_unchanged(&self, why: &str) {
        let now = Snapshot::take();
        let gone: Vec<_> = self.0.difference(&now.0).collect();
        let new: Vec<_> = now.0.difference(&self.0).collect();
        assert!(gone.is_empty() && new.is_empty(), "{why}: gone {gone:#?}, new {new:#?}");
    }
}

/// A namespace pinned in the scope's folder.
pub(crate) struct Namespace {
    pub(crate) path: PathBuf,
}

impl Namespace {
    pub(crate) fn new(path: PathBuf) -> Namespace {
        File::create(&path).unwrap();
        run(&format!("unshare --net={} true", path.display()));
        Namespace { path }
    }

    pub(crate) fn run(&self, command: &str) -> String {
        run(&format!("nsenter --net={} sh -ec '{command}'", self.path.display()))
    }

    pub(crate) fn within<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        in_namespace(File::open(&self.path).unwrap().as_fd(), inside).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&format!("umount {0}; rm {0}", self.path.display()));
    }
}

/// A pod: a namespace, a uid and an address.
pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) attachment: Attachment,
}

impl Pod {
    pub(crate) fn published(&self, host_port: u16) -> Published {
        Published {
            uid: self.attachment.uid.clone(),
            address: self.attachment.address,
            host_ip: None,
            host_port,
            container_port: 80,
            protocol: Protocol::Tcp,
        }
    }
}

/// The host.
pub(crate) struct World {
    pub(crate) scope: Scope,
    pub(crate) config: Config,
}

impl World {
    pub(crate) fn new(scope: Scope) -> World {
        run("ip link set lo up");
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let config = Config::new(scope.folder());
        World { scope, config }
    }

    pub(crate) fn network(&self) -> Network {
        Network::open(self.config.clone()).unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.scope.folder()
    }

    /// A pod that is not connected yet; its address ends in `number`.
    pub(crate) fn pod(&self, number: u8) -> Pod {
        let namespace = Namespace::new(self.folder().join(format!("pod-{number}")));
        let attachment = Attachment {
            uid: format!("7f3c2a10-{number:04}"),
            netns: namespace.path.clone(),
            address: Ipv4Addr::new(10, 77, 0, number),
        };
        Pod { namespace, attachment }
    }

    /// Another machine, behind an uplink with an MTU of 1400; it knows no way to pods.
    pub(crate) fn outside(&self) -> Namespace {
        let outside = Namespace::new(self.folder().join("outside"));
        run(&format!(
            "ip link add up0 mtu 1400 type veth peer name out0 netns {}; \
             ip address add {UPLINK}/24 dev up0; ip link set up0 up; \
             ip route add default via {OUTSIDE}",
            outside.path.display()
        ));
        outside.run(&format!("ip address add {OUTSIDE}/24 dev out0; ip link set out0 up"));
        outside
    }
}

/// A program in a namespace that answers TCP and UDP with its name and the asker's address.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// In a pod, on port 80 of all its addresses.
    pub(crate) fn in_pod(pod: &Pod) -> Server {
        Server::start(Some(&pod.namespace), (Ipv4Addr::UNSPECIFIED, 80), pod.attachment.uid.clone())
    }

    pub(crate) fn start(at: Option<&Namespace>, address: (Ipv4Addr, u16), name: String) -> Server {
        let open = || (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
        let (tcp, udp) = match at {
            Some(namespace) => namespace.within(open),
            None => open(),
        };
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut watch = [0; 16];
            while !watched.load(Ordering::Relaxed) {
                answer(&tcp, &udp, &name, &mut watch);
            }
        });
        Server { stop, threads: vec![thread] }
    }
}

/// Waits a little for either socket and answers what came.
fn answer(tcp: &TcpListener, udp: &UdpSocket, name: &str, buffer: &mut [u8]) {
    let watch = sys::watch::Watch::new().unwrap();
    watch.add(tcp.as_fd(), 0, sys::watch::Interest::Read).unwrap();
    watch.add(udp.as_fd(), 1, sys::watch::Interest::Read).unwrap();
    watch.wait(&mut [sys::watch::Ready::default(); sys::watch::BATCH], Some(50)).unwrap();
    if let Ok((mut stream, peer)) = tcp.accept() {
        // A client that has gone is no concern of the server's.
        let _ = write!(stream, "{name} sees {}", peer.ip());
    }
    if let Ok((_, peer)) = udp.recv_from(buffer) {
        let _ = udp.send_to(format!("{name} sees {}", peer.ip()).as_bytes(), peer);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// What a server says to one who asks by TCP from a namespace (`None`: the host).
pub(crate) fn ask(from: Option<&Namespace>, address: Ipv4Addr, port: u16) -> io::Result<String> {
    ask_for(from, address, port, PATIENCE)
}

/// As [`ask`], where no answer is expected.
pub(crate) fn ask_in_vain(from: Option<&Namespace>, address: Ipv4Addr, port: u16) -> io::Error {
    ask_for(from, address, port, UNANSWERED).unwrap_err()
}

fn ask_for(
    from: Option<&Namespace>,
    address: Ipv4Addr,
    port: u16,
    patience: Duration,
) -> io::Result<String> {
    let to = SocketAddr::new(IpAddr::V4(address), port);
    let connect = || TcpStream::connect_timeout(&to, patience);
    let mut stream = match from {
        Some(namespace) => namespace.within(connect),
        None => connect(),
    }?;
    stream.set_read_timeout(Some(patience))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// As [`ask`], by UDP.
pub(crate) fn ask_by_udp(from: Option<&Namespace>, address: Ipv4Addr, port: u16) -> String {
    let open = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let socket = match from {
        Some(namespace) => namespace.within(open),
        None => open(),
    };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(SocketAddrV4::new(address, port)).unwrap();
    socket.send(b"?").unwrap();
    let mut buffer = [0; 128];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}
