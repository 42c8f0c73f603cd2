//! Published ports: from where they are reached, and who else may have them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use net::{Protocol, reserve_port};

use crate::world::{OUTSIDE, Server, UPLINK, World, ask, ask_by_udp, ask_in_vain, run};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let name = "ports::a_published_port_is_reached_from_everywhere";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let outside = world.outside();
    let (pod, other, network) = (world.pod(2), world.pod(3), world.network());
    let held = reserve_port(None, 8080, Protocol::Tcp).unwrap();
    // Known before there is a bridge, as after a restart.
    let mut udp = pod.published(8080);
    udp.protocol = Protocol::Udp;
    network.publish(&[pod.published(8080), udp]).unwrap();
    network.attach(&pod.attachment).unwrap();
    network.attach(&other.attachment).unwrap();
    {
        let _server = Server::in_pod(&pod);
        let sees = |who: Ipv4Addr| format!("{} sees {who}", pod.attachment.uid);
        assert_eq!(ask(None, LOCALHOST, 8080).unwrap(), sees(GATEWAY));
        assert_eq!(ask(None, Ipv4Addr::new(127, 0, 0, 9), 8080).unwrap(), sees(GATEWAY));
        assert_eq!(ask(None, UPLINK, 8080).unwrap(), sees(UPLINK));
        assert_eq!(ask(None, GATEWAY, 8080).unwrap(), sees(GATEWAY));
        assert_eq!(ask(Some(&outside), UPLINK, 8080).unwrap(), sees(OUTSIDE));
        // From the same bridge, and from the pod itself.
        assert_eq!(ask(Some(&other.namespace), UPLINK, 8080).unwrap(), sees(GATEWAY));
        assert_eq!(ask(Some(&pod.namespace), GATEWAY, 8080).unwrap(), sees(GATEWAY));
        assert_eq!(ask_by_udp(None, LOCALHOST, 8080), sees(GATEWAY));
        assert_eq!(ask_by_udp(Some(&outside), UPLINK, 8080), sees(OUTSIDE));
        // Not another port, and not another machine's.
        assert!(ask(None, LOCALHOST, 8081).is_err());
        assert!(ask(Some(&pod.namespace), OUTSIDE, 8080).is_err());
    }
    network.publish(&[]).unwrap();
    let error = ask_in_vain(None, LOCALHOST, 8080);
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "held, but not listening");
    let localnet = fs::read_to_string("/proc/sys/net/ipv4/conf/podvisor0/route_localnet").unwrap();
    assert_eq!(localnet.trim(), "0");
    drop(held);
    network.teardown().unwrap();
    run("ip link delete up0");
}

#[test]
fn a_port_on_one_address_is_not_on_others() {
    let Some(scope) = scope::enter("ports::a_port_on_one_address_is_not_on_others") else { return };
    let world = World::new(scope);
    let outside = world.outside();
    let (one, two, network) = (world.pod(2), world.pod(3), world.network());
    network.attach(&one.attachment).unwrap();
    network.attach(&two.attachment).unwrap();
    let (mut local, mut uplink) = (one.published(8080), two.published(8080));
    local.host_ip = Some(LOCALHOST);
    uplink.host_ip = Some(UPLINK);
    network.publish(std::slice::from_ref(&local)).unwrap();
    {
        let _servers = [Server::in_pod(&one), Server::in_pod(&two)];
        assert!(ask(None, LOCALHOST, 8080).unwrap().starts_with(&one.attachment.uid));
        assert!(ask(None, UPLINK, 8080).is_err());
        assert!(ask(Some(&outside), UPLINK, 8080).is_err());
        network.publish(&[local, uplink]).unwrap();
        assert!(ask(None, LOCALHOST, 8080).unwrap().starts_with(&one.attachment.uid));
        assert!(ask(Some(&outside), UPLINK, 8080).unwrap().starts_with(&two.attachment.uid));
    }
    network.teardown().unwrap();
    run("ip link delete up0");
}

/// CVE-2020-8558: `route_localnet` alone lets a pod talk to what listens on the host's loopback.
#[test]
fn a_pod_does_not_reach_the_hosts_loopback() {
    let name = "ports::a_pod_does_not_reach_the_hosts_loopback";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let (pod, network) = (world.pod(2), world.network());
    network.attach(&pod.attachment).unwrap();
    network.publish(&[pod.published(8080)]).unwrap();
    // A pod with the capabilities to try.
    pod.namespace.run(
        "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip address delete 127.0.0.1/8 dev lo; \
         ip route add 127.0.0.0/8 via 10.77.0.1 dev eth0 src 10.77.0.2",
    );
    {
        let _secret = Server::start(None, (LOCALHOST, 7000), "secret".to_owned());
        ask_in_vain(Some(&pod.namespace), LOCALHOST, 7000);
        run("nft flush chain inet podvisor guard");
        let answer = ask(Some(&pod.namespace), LOCALHOST, 7000);
        assert_eq!(answer.unwrap(), "secret sees 10.77.0.2", "without the guard the test is red");
    }
    network.teardown().unwrap();
}

#[test]
fn a_taken_port_names_its_holder() {
    let Some(scope) = scope::enter("ports::a_taken_port_names_its_holder") else { return };
    let _world = World::new(scope);
    let listener = TcpListener::bind((LOCALHOST, 8080)).unwrap();
    for host_ip in [None, Some(LOCALHOST)] {
        let error = reserve_port(host_ip, 8080, Protocol::Tcp).unwrap_err();
        let (text, pid) = (error.to_string(), std::process::id());
        assert!(text.contains("8080/tcp") && text.contains(&format!("(pid {pid})")), "{text}");
        assert_eq!(error.errno(), Some(98), "EADDRINUSE");
        assert!(error.hint().unwrap().contains(&pid.to_string()));
    }
    let udp = reserve_port(None, 8080, Protocol::Udp).unwrap();
    assert!(reserve_port(None, 8080, Protocol::Udp).is_err());
    let error = reserve_port(Some(Ipv4Addr::new(203, 0, 113, 9)), 80, Protocol::Tcp).unwrap_err();
    assert!(error.hint().unwrap().contains("203.0.113.9"), "{error}");
    drop((udp, listener));
    let tcp = reserve_port(None, 8080, Protocol::Tcp).unwrap();
    assert!(TcpListener::bind((LOCALHOST, 8080)).is_err(), "nobody else takes it");
    drop(tcp);
}

#[test]
fn a_port_is_to_be_had_while_old_connections_linger() {
    let name = "ports::a_port_is_to_be_had_while_old_connections_linger";
    let Some(scope) = scope::enter(name) else { return };
    let _world = World::new(scope);
    let server = Server::start(None, (LOCALHOST, 8080), "host".to_owned());
    ask(None, LOCALHOST, 8080).unwrap();
    drop(server);
    let lingering = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    assert!(lingering.contains(":1F90 "), "{lingering}");
    let held = reserve_port(None, 8080, Protocol::Tcp).unwrap();
    assert!(TcpListener::bind((LOCALHOST, 8080)).is_err(), "nobody else takes it");
    drop(held);
}

#[test]
fn three_thousand_ports_are_one_transaction() {
    let name = "ports::three_thousand_ports_are_one_transaction";
    let Some(scope) = scope::enter(name) else { return };
    let world = World::new(scope);
    let (pod, network) = (world.pod(2), world.network());
    network.attach(&pod.attachment).unwrap();
    let ports: Vec<_> = (1..=3000).map(|port| pod.published(10_000 + port)).collect();
    let start = std::time::Instant::now();
    network.publish(&ports).unwrap();
    println!("3,000 ports in {:?}", start.elapsed());
    let rules = run("nft list ruleset");
    assert_eq!(rules.matches(": 10.77.0.2 . 80").count(), 3000, "{rules}");
    let mut twice = ports;
    twice.push(twice[7].clone());
    network.publish(&twice).unwrap_err();
    let rules = run("nft list ruleset");
    assert_eq!(rules.matches(": 10.77.0.2 . 80").count(), 3000, "a refused set changes nothing");
    network.teardown().unwrap();
}
