//! What goes wrong, goes wrong with words, and leaves nothing.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use net::{Error, Network};

use crate::world::{Pod, Snapshot, World, run};

fn refused(network: &Network, pod: &Pod) -> Error {
    network.attach(&pod.attachment).unwrap_err()
}

#[test]
fn a_failure_half_way_leaves_nothing() {
    let Some(scope) = scope::enter("refusals::a_failure_half_way_leaves_nothing") else { return };
    let world = World::new(scope);
    let (good, bad, network) = (world.pod(2), world.pod(3), world.network());
    // The last step, the default route, meets one that is there.
    bad.namespace.run(
        "ip link add d0 type bridge; ip link set d0 up; ip address add 192.0.2.1/24 dev d0; \
         ip route add default via 192.0.2.2",
    );
    let before = Snapshot::take();
    let error = refused(&network, &bad);
    let text = error.to_string();
    assert_eq!(text, "add default route through link eth0");
    assert_eq!(error.errno(), Some(17), "EEXIST: {error:?}");
    before.assert_unchanged("nor a bridge, as it was made for this pod");
    let inside = bad.namespace.run("ip -o addr");
    assert!(!inside.contains("eth0") && !inside.contains("10.77"), "{inside}");

    network.attach(&good.attachment).unwrap();
    let before = Snapshot::take();
    refused(&network, &bad);
    before.assert_unchanged("the other pod's ground stays");
    bad.namespace.run("ip link delete d0");
    network.attach(&bad.attachment).unwrap();
    network.teardown().unwrap();
}

#[test]
fn impossible_pods_are_refused_before_anything_is_made() {
    let name = "refusals::impossible_pods_are_refused_before_anything_is_made";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let (mut pod, network) = (world.pod(2), world.network());
    let before = Snapshot::take();
    let right = pod.attachment.clone();

    pod.attachment.netns = PathBuf::from("/proc/thread-self/ns/net");
    assert!(matches!(refused(&network, &pod), Error::OwnNamespace { .. }));
    pod.attachment.netns = world.folder().join("nowhere");
    let error = refused(&network, &pod);
    assert!(matches!(error, Error::Namespace { .. }) && error.errno() == Some(2), "{error:?}");
    pod.attachment.netns = PathBuf::from("/proc/self/ns/uts");
    let error = refused(&network, &pod);
    assert!(matches!(error, Error::Namespace { .. }) && error.errno() == Some(22), "{error:?}");

    pod.attachment = right.clone();
    for outside in [[10, 77, 0, 1], [10, 77, 255, 255], [10, 78, 0, 2]] {
        pod.attachment.address = Ipv4Addr::from(outside);
        assert!(matches!(refused(&network, &pod), Error::AddressOutside { .. }));
    }
    pod.attachment = right;
    pod.namespace.run("ip link add eth0 type bridge");
    let error = refused(&network, &pod);
    assert!(error.to_string().contains("already has an interface eth0"), "{error}");
    before.assert_unchanged("afterwards");
}

#[test]
fn a_host_that_uses_the_names_or_addresses_is_left_alone() {
    let name = "refusals::a_host_that_uses_the_names_or_addresses_is_left_alone";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let (pod, network) = (world.pod(2), world.network());
    run("ip link add lan0 type bridge; ip link set lan0 up; ip address add 10.77.3.1/24 dev lan0");
    let before = Snapshot::take();
    let error = refused(&network, &pod);
    let text = error.to_string();
    assert!(text.contains("10.77.0.0/16") && text.contains("10.77.3.0/24"), "{text}");
    assert!(text.contains("lan0") && error.hint().is_some(), "{text}");
    before.assert_unchanged("afterwards");

    run("ip link delete lan0; ip link add podvisor0 type veth peer name veth9");
    let before = Snapshot::take();
    assert!(matches!(refused(&network, &pod), Error::NotABridge { .. }));
    network.teardown().unwrap();
    before.assert_unchanged("a link that is no bridge is not ours to remove");
    run("ip link delete podvisor0");
}

#[test]
fn others_chains_that_drop_are_told() {
    let Some(scope) = scope::enter("refusals::others_chains_that_drop_are_told") else { return };
    let world = World::new(scope);
    run("nft add table ip fw; \
         nft 'add chain ip fw forwarded { type filter hook forward priority 0; policy drop; }'; \
         nft 'add chain ip fw incoming { type filter hook input priority 0; policy drop; }'");
    let found = world.network().inventory().unwrap();
    assert_eq!(found.dropping_chains, ["ip fw forwarded"]);
    run("nft delete table ip fw");
}

#[test]
fn the_kernels_own_words_are_passed_on() {
    let Some(scope) = scope::enter("refusals::the_kernels_own_words_are_passed_on") else { return };
    let world = World::new(scope);
    let (pod, network) = (world.pod(2), world.network());
    // A namespace that has been told never to reach the gateway.
    pod.namespace.run("ip rule add pref 1 to 10.77.0.1 blackhole");
    let error = refused(&network, &pod);
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("Nexthop has invalid gateway"), "{error}: {cause}");
    pod.namespace.run("ip rule delete pref 1");
    network.attach(&pod.attachment).unwrap();
    network.teardown().unwrap();
}

/// A kernel without nfnetlink, played by strace(1): the test's second socket cannot be had (the
/// first is for links; those of other threads are their first).
#[test]
fn without_nf_tables_pods_connect_but_ports_are_refused() {
    let name = "refusals::without_nf_tables_pods_connect_but_ports_are_refused";
    let Some(scope) = scope::enter(name) else { return };
    if std::env::var_os("PODVISOR_TEST_NO_NETFILTER").is_some() {
        return without_nf_tables(scope);
    }
    let world = World::new(scope);
    let before = Snapshot::take();
    let exe = std::env::current_exe().unwrap();
    let told = run(&format!(
        "PODVISOR_TEST_NO_NETFILTER=1 strace -qq -f -o /dev/null -e trace=socket \
         -e inject=socket:error=EPROTONOSUPPORT:when=2+ {} --exact {name} --nocapture",
        exe.display()
    ));
    assert!(told.contains("1 passed"), "{told}");
    before.assert_unchanged("afterwards");
    drop(world);
}

fn without_nf_tables(scope: scope::Scope) {
    let world = World { config: net::Config::new(scope.folder()), scope };
    let network = world.network();
    let pod = world.pod(2);
    let attached = network.attach(&pod.attachment).unwrap();
    assert!(!attached.masquerade);
    network.publish(&[]).unwrap();
    let error = network.publish(&[pod.published(8080)]).unwrap_err();
    assert!(matches!(error, Error::NoNfTables { .. }), "{error:?}");
    assert!(error.to_string().contains("CONFIG_NF_TABLES") && error.hint().is_some(), "{error}");
    assert_eq!(network.inventory().unwrap().pods.len(), 1);
    network.detach(&pod.attachment.uid).unwrap();
    network.teardown().unwrap();
}
