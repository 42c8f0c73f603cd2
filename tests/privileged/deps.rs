//! `make deps` brings programs and starts nothing, on a machine where systemd runs.

use std::path::Path;
use std::process::Command;

use scope::{Done, Scope};

/// The machine's own root, with a place of its own for what is written there; systemd seems to run,
/// and what is started is noted in `/started`.
const ROOT: &str = r#"
mkdir up work root deb deb/DEBIAN
mount -t overlay -o lowerdir=/,upperdir=$PWD/up,workdir=$PWD/work overlay root
mount -t proc proc root/proc; mount --bind /dev root/dev; mount -t tmpfs run root/run
mkdir -p root/run/systemd/system
rm -rf root/usr/sbin/policy-rc.d root/etc/apt/sources.list*
printf '#!/bin/sh\necho systemctl "$@" >>/started\n' >root/usr/bin/systemctl
printf '#!/bin/sh\necho init "$@" >>/started\n' >root/etc/init.d/trial
chmod 755 root/usr/bin/systemctl root/etc/init.d/trial
printf 'Package: trial\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' \
  >deb/DEBIAN/control
cat >deb/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
invoke-rc.d trial start
deb-systemd-invoke start trial.service
[ ! -e /broken ]
END
chmod 755 deb/DEBIAN/postinst
dpkg-deb --build deb root/trial.deb >/dev/null
"#;

fn sh(scope: &Scope, line: &str) -> Done {
    let mut command = Command::new("sh");
    command.args(["-ec", line]).current_dir(scope.folder());
    Done::of(command.output().expect("sh"))
}

/// Red without the mounts of `apt.sh`.
#[test]
fn packages_are_installed_and_their_services_not_started() {
    let name = "deps::packages_are_installed_and_their_services_not_started";
    let Some(scope) = scope::enter(name) else { return };
    sh(&scope, ROOT).ok();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/apt.sh");
    sh(&scope, &format!("cp {} root/apt.sh", script.display())).ok();
    let started = || sh(&scope, "cat root/started 2>/dev/null || true; rm -f root/started").ok();
    // What apt does by itself.
    sh(&scope, "chroot root apt-get install -y -qq /trial.deb >/dev/null").ok();
    assert!(started().contains("start"), "the package would start its service");
    sh(&scope, "chroot root dpkg --purge trial >/dev/null").ok();
    sh(&scope, "chroot root /apt.sh /trial.deb").ok();
    assert_eq!(started(), "");
    sh(&scope, "chroot root dpkg -s trial >/dev/null; chroot root dpkg --purge trial").ok();
    // Nor where a package cannot be set up, of which nothing is left either.
    let failed = sh(&scope, "touch root/broken; chroot root /apt.sh /trial.deb");
    assert_ne!(failed.code, 0, "{}", failed.err);
    assert_eq!(started(), "");
    let left = "ls root/usr/sbin/policy-rc.d 2>/dev/null || true; \
        for f in usr/sbin/invoke-rc.d usr/bin/deb-systemd-invoke; do cmp /$f root/$f; done";
    assert_eq!(sh(&scope, left).ok(), "");
    sh(&scope, "umount -R root").ok();
}
