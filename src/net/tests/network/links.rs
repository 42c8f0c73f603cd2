//! Pods on the bridge: who reaches whom, and what is left.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::world::{OUTSIDE, Server, Snapshot, UPLINK, World, ask, run};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

#[test]
fn pods_and_host_reach_each_other() {
    let Some(scope) = scope::enter("links::pods_and_host_reach_each_other") else { return };
    let world = World::new(scope);
    let (one, two) = (world.pod(2), world.pod(3));
    let network = world.network();
    for pod in [&one, &two] {
        let attached = network.attach(&pod.attachment).unwrap();
        assert_eq!((attached.gateway, attached.prefix, attached.mtu), (GATEWAY, 16, 1500));
        assert!(attached.masquerade);
    }
    let _servers = [Server::in_pod(&one), Server::in_pod(&two)];
    let _host = Server::start(None, (GATEWAY, 7000), "host".to_owned());
    let (one_at, two_at) = (one.attachment.address, two.attachment.address);
    let uid = &two.attachment.uid;
    assert_eq!(ask(Some(&one.namespace), two_at, 80).unwrap(), format!("{uid} sees {one_at}"));
    assert_eq!(ask(None, two_at, 80).unwrap(), format!("{uid} sees {GATEWAY}"));
    assert_eq!(ask(Some(&one.namespace), GATEWAY, 7000).unwrap(), format!("host sees {one_at}"));
    let local = ask(Some(&one.namespace), Ipv4Addr::LOCALHOST, 80).unwrap();
    assert!(local.ends_with("sees 127.0.0.1"), "lo is up in the pod: {local}");
    let hairpin = run("ip -d -o link show master podvisor0");
    assert_eq!(hairpin.matches("hairpin on").count(), 2, "{hairpin}");
    network.teardown().unwrap();
}

#[test]
fn pods_reach_other_networks_by_the_hosts_address() {
    let name = "links::pods_reach_other_networks_by_the_hosts_address";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let outside = world.outside();
    let (pod, network) = (world.pod(2), world.network());
    let attached = network.attach(&pod.attachment).unwrap();
    assert_eq!(attached.mtu, 1400, "the uplink's");
    let mtu = pod.namespace.run("cat /sys/class/net/eth0/mtu 2>/dev/null || ip -o link show eth0");
    assert!(mtu.contains("1400") || mtu.contains("mtu 1400"), "{mtu}");
    {
        let _server = Server::start(Some(&outside), (OUTSIDE, 7000), "outside".to_owned());
        let answer = ask(Some(&pod.namespace), OUTSIDE, 7000).unwrap();
        assert_eq!(answer, format!("outside sees {UPLINK}"));
    }
    network.teardown().unwrap();
    run("ip link delete up0");
}

#[test]
fn detach_takes_everything_of_the_pod() {
    let Some(scope) = scope::enter("links::detach_takes_everything_of_the_pod") else { return };
    let world = World::new(scope);
    let (first, network) = (world.pod(2), world.network());
    network.attach(&first.attachment).unwrap();
    network.publish(&[first.published(8080)]).unwrap();
    let before = Snapshot::take();
    let second = world.pod(3);
    let attached = network.attach(&second.attachment).unwrap();
    network.publish(&[first.published(8080), second.published(8081)]).unwrap();
    let inventory = network.inventory().unwrap();
    assert_eq!(inventory.pods.len(), 2);
    let uids: Vec<_> = inventory.pods.iter().filter_map(|pod| pod.uid.as_deref()).collect();
    assert!(uids.contains(&second.attachment.uid.as_str()), "{uids:?}");
    assert!(run("ip link").contains(&attached.host_if));
    network.detach(&second.attachment.uid).unwrap();
    before.assert_unchanged("afterwards");
    let eth0 = second.namespace.run("ip -o addr");
    assert!(!eth0.contains("eth0"), "{eth0}");
    network.detach(&second.attachment.uid).unwrap();
    network.detach("never attached").unwrap();

    // The namespace goes first, and takes the link with it.
    let attachment = second.attachment.clone();
    network.attach(&attachment).unwrap();
    drop(second);
    let deadline = Instant::now() + Duration::from_secs(10);
    while network.inventory().unwrap().pods.len() > 1 {
        assert!(Instant::now() < deadline, "the link outlives its namespace");
        run("sleep 0.02");
    }
    network.detach(&attachment.uid).unwrap();
    before.assert_unchanged("afterwards");
    network.teardown().unwrap();
}

#[test]
fn teardown_leaves_the_host_as_found() {
    let Some(scope) = scope::enter("links::teardown_leaves_the_host_as_found") else { return };
    let world = World::new(scope);
    let outside = world.outside();
    run("nft add table inet others; nft add chain inet others mine");
    fs::write("/proc/sys/net/ipv4/conf/up0/forwarding", "1").unwrap();
    let before = Snapshot::take();
    let (one, two) = (world.pod(2), world.pod(3));
    {
        let network = world.network();
        assert!(network.inventory().unwrap().is_empty());
        network.attach(&one.attachment).unwrap();
        network.attach(&two.attachment).unwrap();
        network.publish(&[one.published(8080), two.published(8081)]).unwrap();
        let ip_forward = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!(ip_forward.trim(), "1");
    }
    // Another supervisor, which knows nothing but what it finds.
    let network = world.network();
    let found = network.inventory().unwrap();
    assert!(found.bridge && found.table && found.pods.len() == 2, "{found:?}");
    network.teardown().unwrap();
    before.assert_unchanged("afterwards");
    assert!(network.inventory().unwrap().is_empty());
    network.teardown().unwrap();
    before.assert_unchanged("afterwards");
    let left: Vec<_> = fs::read_dir(world.folder()).unwrap().flatten().collect();
    let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(left.len(), 3, "two pods and outside: {left:?}");
    run("nft delete table inet others; ip link delete up0");
    drop(outside);
}

#[test]
fn a_host_that_forwards_keeps_forwarding() {
    let Some(scope) = scope::enter("links::a_host_that_forwards_keeps_forwarding") else { return };
    let world = World::new(scope);
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let before = Snapshot::take();
    let (pod, network) = (world.pod(2), world.network());
    network.attach(&pod.attachment).unwrap();
    assert!(network.inventory().unwrap().sysctls.is_empty());
    network.teardown().unwrap();
    before.assert_unchanged("afterwards");
}

#[test]
fn attaching_twice_changes_nothing_and_heals_a_half_made_pod() {
    let name = "links::attaching_twice_changes_nothing_and_heals_a_half_made_pod";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let pod = world.pod(2);
    let first = world.network().attach(&pod.attachment).unwrap();
    let before = Snapshot::take();
    // A supervisor that was killed before it could note its success.
    let network = world.network();
    assert_eq!(network.attach(&pod.attachment).unwrap(), first);
    before.assert_unchanged("afterwards");
    // One that was killed half-way.
    pod.namespace.run("ip address flush dev eth0");
    network.attach(&pod.attachment).unwrap();
    let routes = pod.namespace.run("ip route");
    assert!(routes.contains("default via 10.77.0.1 dev eth0"), "{routes}");
    let _server = Server::in_pod(&pod);
    ask(None, pod.attachment.address, 80).unwrap();
    network.teardown().unwrap();
}

#[test]
fn a_half_made_or_deleted_bridge_is_mended() {
    let name = "links::a_half_made_or_deleted_bridge_is_mended";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let before = Snapshot::take();
    let (pod, network) = (world.pod(2), world.network());
    // Killed between making it and giving it its address.
    run("ip link add podvisor0 type bridge");
    network.attach(&pod.attachment).unwrap();
    let _server = Server::in_pod(&pod);
    ask(None, pod.attachment.address, 80).unwrap();
    // Deleted by hand: the pod's link stays behind, and is found.
    run("ip link delete podvisor0");
    let found = network.inventory().unwrap();
    assert!(!found.bridge && found.pods.len() == 1, "{found:?}");
    network.attach(&pod.attachment).unwrap();
    ask(None, pod.attachment.address, 80).unwrap();
    run("ip link delete podvisor0");
    network.teardown().unwrap();
    before.assert_unchanged("afterwards");
}

#[test]
fn a_flushed_table_comes_back_with_the_next_pod() {
    let name = "links::a_flushed_table_comes_back_with_the_next_pod";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let (one, two, network) = (world.pod(2), world.pod(3), world.network());
    network.attach(&one.attachment).unwrap();
    network.publish(&[one.published(8080)]).unwrap();
    let rules = run("nft list ruleset");
    run("nft flush ruleset");
    network.attach(&two.attachment).unwrap();
    assert_eq!(run("nft list ruleset"), rules);
    network.teardown().unwrap();
}

#[test]
fn fifty_pods_are_quick() {
    let Some(scope) = scope::enter("links::fifty_pods_are_quick") else { return };
    let world = World::new(scope);
    let network = world.network();
    let pods: Vec<_> = (2..52).map(|number| world.pod(number)).collect();
    let timed = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let attach =
        pods.iter().map(|pod| timed(&mut || drop(network.attach(&pod.attachment).unwrap())));
    let attach = median(attach.collect());
    let detach = pods.iter().map(|pod| timed(&mut || network.detach(&pod.attachment.uid).unwrap()));
    let detach = median(detach.collect());
    println!("median of 50: attach {attach:?}, detach {detach:?}");
    // The kernel's share, a veth pair by hand, is in docs/network.md; this only catches a blunder.
    assert!(attach < Duration::from_millis(100), "{attach:?}");
    network.teardown().unwrap();
}
