//! Every fault of the proxy, on plain TCP.

use std::{io::ErrorKind, net::SocketAddr, num::NonZeroU32, time::Duration};

use relink_testing::proxy::{
    Dials, Direction, Fault, Proxy, ProxyStats, Schedule, ScheduledFault, Termination,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, timeout},
};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

/// A proxy, and a listener as its upstream.
struct Setup {
    proxy: Proxy,
    upstream: TcpListener,
}

impl Setup {
    async fn new() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(upstream.local_addr().unwrap()).await.unwrap();
        Self { proxy, upstream }
    }

    /// A connection's two ends: the client's and the server's.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (server, _) = within(self.upstream.accept()).await.unwrap();
        (client, server)
    }

    async fn nobody_is_left(&self) -> ProxyStats {
        self.proxy.wait_for(|stats| stats.live.is_empty(), LONG).await.unwrap()
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("took too long")
}

async fn read<const N: usize>(from: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    within(from.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Everything up to the end, or the error.
async fn rest(from: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut bytes = Vec::new();
    within(from.read_to_end(&mut bytes)).await.map(|_| bytes).map_err(|error| error.kind())
}

async fn is_silent(from: &mut TcpStream) -> bool {
    timeout(SHORT, from.read_u8()).await.is_err()
}

#[tokio::test]
async fn it_forwards_and_counts() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    client.write_all(b"up").await.unwrap();
    assert_eq!(&read::<2>(&mut server).await, b"up");
    server.write_all(b"down").await.unwrap();
    assert_eq!(&read::<4>(&mut client).await, b"down");
    let stats = setup.proxy.wait_for(|stats| stats.down == 4, LONG).await.unwrap();
    assert_eq!((stats.dials, stats.live, stats.up), (1, vec![1], 2));
    assert_eq!(setup.proxy.forwarded(1, Direction::Both), Some(6));

    drop(client);
    assert_eq!(rest(&mut server).await, Ok(vec![]));
    drop(server);
    setup.nobody_is_left().await;
}

#[tokio::test]
async fn more_than_it_may_keep_goes_through_in_order() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (_, received) = tokio::join!(
        async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        },
        rest(&mut server)
    );
    assert!(received.unwrap() == sent);
}

#[tokio::test]
async fn a_hole_in_one_direction_is_silence_there_and_loses_nothing() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    assert_eq!(setup.proxy.set(Fault::Hole(Direction::Down)), 1);
    server.write_all(b"later").await.unwrap();
    client.write_all(b"now").await.unwrap();
    assert_eq!(&read::<3>(&mut server).await, b"now");
    assert!(is_silent(&mut client).await);
    setup.proxy.set(Fault::Pass);
    assert_eq!(&read::<5>(&mut client).await, b"later");
}

#[tokio::test]
async fn in_a_hole_nobody_learns_that_the_other_side_is_gone() {
    let setup = Setup::new().await;
    let (client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Hole(Direction::Up));
    client.set_zero_linger().unwrap();
    drop(client);
    // Writing meets a reset, but the server notices nothing.
    server.write_all(b"anybody?").await.unwrap();
    assert!(is_silent(&mut server).await);
    assert_eq!(setup.proxy.stats().live, [1]);
    setup.proxy.set(Fault::Pass);
    assert_eq!(rest(&mut server).await, Err(ErrorKind::ConnectionReset));
    setup.nobody_is_left().await;
}

#[tokio::test]
async fn a_hole_takes_in_those_who_come_later() {
    let setup = Setup::new().await;
    setup.proxy.set(Fault::Hole(Direction::Both));
    let (mut client, mut server) = setup.pair().await;
    client.write_all(b"x").await.unwrap();
    server.write_all(b"y").await.unwrap();
    assert!(is_silent(&mut client).await && is_silent(&mut server).await);
    setup.proxy.set(Fault::Pass);
    assert_eq!((&read::<1>(&mut server).await, &read::<1>(&mut client).await), (b"x", b"y"));
}

#[tokio::test]
async fn a_delay_holds_back_every_byte_and_the_end() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Delay(Direction::Up, 2 * SHORT));
    let start = Instant::now();
    client.write_all(b"x").await.unwrap();
    server.write_all(b"y").await.unwrap();
    read::<1>(&mut client).await;
    let down = start.elapsed();
    read::<1>(&mut server).await;
    assert!(start.elapsed() >= 2 * SHORT && down < start.elapsed());
    let start = Instant::now();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await, Ok(vec![]));
    assert!(start.elapsed() >= 2 * SHORT);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Rate(Direction::Down, NonZeroU32::new(10_000).unwrap()));
    let start = Instant::now();
    server.write_all(&[7; 2_000]).await.unwrap();
    read::<2_000>(&mut client).await;
    let took = start.elapsed();
    // A step comes for free at the start.
    assert!(took >= Duration::from_millis(180), "{took:?}");
}

#[tokio::test]
async fn a_reset_reaches_both_sides() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Cut(Termination::Reset));
    assert_eq!(rest(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(rest(&mut server).await, Err(ErrorKind::ConnectionReset));
    setup.nobody_is_left().await;
    // The fault was for the connections of that time.
    let (mut client, mut server) = setup.pair().await;
    client.write_all(b"x").await.unwrap();
    read::<1>(&mut server).await;
}

#[tokio::test]
async fn one_connection_can_be_meant() {
    let setup = Setup::new().await;
    let (mut first, _server) = setup.pair().await;
    let (mut second, mut server) = setup.pair().await;
    assert!(setup.proxy.set_on(1, Fault::Cut(Termination::Reset)));
    assert_eq!(rest(&mut first).await, Err(ErrorKind::ConnectionReset));
    second.write_all(b"x").await.unwrap();
    read::<1>(&mut server).await;
    setup.proxy.wait_for(|stats| stats.live == [2], LONG).await.unwrap();
    assert!(!setup.proxy.set_on(1, Fault::Pass));
}

#[tokio::test]
async fn an_end_in_both_directions_comes_after_what_was_sent() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    server.write_all(b"last words").await.unwrap();
    setup.proxy.wait_for(|stats| stats.down == 10, LONG).await.unwrap();
    setup.proxy.set(Fault::Cut(Termination::Fin(Direction::Both)));
    assert_eq!(rest(&mut client).await, Ok(b"last words".to_vec()));
    assert_eq!(rest(&mut server).await, Ok(vec![]));
    setup.nobody_is_left().await;
}

#[tokio::test]
async fn an_end_in_one_direction_leaves_the_other_one() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Cut(Termination::Fin(Direction::Up)));
    assert_eq!(rest(&mut server).await, Ok(vec![]));
    server.write_all(b"still here").await.unwrap();
    assert_eq!(&read::<10>(&mut client).await, b"still here");
    drop(server);
    assert_eq!(rest(&mut client).await, Ok(vec![]));
    setup.nobody_is_left().await;
}

#[tokio::test]
async fn a_cut_comes_after_exactly_so_many_bytes() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    client.write_all(b"before").await.unwrap();
    read::<6>(&mut server).await;
    setup.proxy.wait_for(|stats| stats.up == 6, LONG).await.unwrap();
    setup.proxy.set(Fault::CutAfter(Direction::Up, 3, Termination::Fin(Direction::Both)));
    client.write_all(b"12345").await.unwrap();
    assert_eq!(rest(&mut server).await, Ok(b"123".to_vec()));
    assert_eq!(rest(&mut client).await, Ok(vec![]));
    drop((client, server));

    // A connection that comes later is counted from its start.
    let (mut client, mut server) = setup.pair().await;
    client.write_all(b"abcdef").await.unwrap();
    assert_eq!(rest(&mut server).await, Ok(b"abc".to_vec()));
}

#[tokio::test]
async fn a_reset_after_so_many_bytes_lets_none_pass_behind_them() {
    let setup = Setup::new().await;
    setup.proxy.set(Fault::CutAfter(Direction::Down, 4, Termination::Reset));
    let (mut client, mut server) = setup.pair().await;
    server.write_all(&[1; 100_000]).await.unwrap();
    assert_eq!(rest(&mut client).await, Err(ErrorKind::ConnectionReset));
    let stats = setup.nobody_is_left().await;
    assert_eq!(stats.down, 4);
}

#[tokio::test]
async fn dialing_can_be_reset_or_refused_and_the_port_stays() {
    let setup = Setup::new().await;
    let addr = setup.proxy.addr();
    setup.proxy.set_dials(Dials::Reset);
    // The accepting task learns of it later; until then, dials succeed.
    let is_reset = async {
        loop {
            let mut client = TcpStream::connect(addr).await.unwrap();
            if rest(&mut client).await == Err(ErrorKind::ConnectionReset) {
                return;
            }
        }
    };
    within(is_reset).await;

    setup.proxy.set_dials(Dials::Closed);
    let is_refused = async {
        loop {
            match TcpStream::connect(addr).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    within(is_refused).await;
    #[cfg(target_os = "linux")]
    assert_eq!(TcpSocket::new_v4().unwrap().bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);

    setup.proxy.set_dials(Dials::Pass);
    let is_back = async {
        loop {
            if let Ok(client) = TcpStream::connect(addr).await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut client = within(is_back).await;
    let (mut server, _) = within(setup.upstream.accept()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    read::<1>(&mut server).await;
}

#[tokio::test]
async fn another_upstream_gets_those_who_come_later() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    setup.proxy.set_upstream(other.local_addr().unwrap());
    client.write_all(b"x").await.unwrap();
    read::<1>(&mut server).await;
    let mut second = TcpStream::connect(setup.proxy.addr()).await.unwrap();
    let (mut server, _) = within(other.accept()).await.unwrap();
    second.write_all(b"y").await.unwrap();
    read::<1>(&mut server).await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_reset() {
    let setup = Setup::new().await;
    drop(setup.upstream);
    let mut client = TcpStream::connect(setup.proxy.addr()).await.unwrap();
    assert_eq!(rest(&mut client).await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn dropping_the_proxy_resets_everything_and_frees_the_port() {
    let setup = Setup::new().await;
    let (mut client, mut server) = setup.pair().await;
    setup.proxy.set(Fault::Hole(Direction::Both));
    let addr = setup.proxy.addr();
    drop(setup.proxy);
    assert_eq!(rest(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(rest(&mut server).await, Err(ErrorKind::ConnectionReset));
    let is_free = async {
        while TcpListener::bind(addr).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(is_free).await;
}

#[tokio::test]
async fn a_schedule_is_played_in_order() {
    let setup = Setup::new().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstreams: [SocketAddr; 2] =
        [setup.upstream.local_addr().unwrap(), other.local_addr().unwrap()];
    let (mut client, _server) = setup.pair().await;
    let schedule = Schedule::new([
        (SHORT, ScheduledFault::Fault(Fault::Cut(Termination::Reset))),
        (Duration::ZERO, ScheduledFault::Upstream(3)),
        (SHORT, ScheduledFault::Dials(Dials::Pass)),
    ]);
    assert_eq!(schedule.acts()[0], (Duration::ZERO, ScheduledFault::Upstream(3)));
    within(setup.proxy.play(&schedule, &upstreams)).await;
    assert_eq!(rest(&mut client).await, Err(ErrorKind::ConnectionReset));
    let _second = TcpStream::connect(setup.proxy.addr()).await.unwrap();
    within(other.accept()).await.unwrap();
}

#[test]
fn schedules_by_chance_are_the_same_for_the_same_seed_and_end_in_peace() {
    let within = Duration::from_secs(1);
    let (mut cuts, mut holes, mut moves) = (0, 0, 0);
    for seed in 0..200 {
        let schedule = Schedule::random(seed, 5, within);
        assert_eq!(schedule, Schedule::random(seed, 5, within));
        assert!(schedule.acts().is_sorted_by_key(|(at, _)| *at));
        assert!(schedule.acts().ends_with(&[
            (within, ScheduledFault::Fault(Fault::Pass)),
            (within, ScheduledFault::Dials(Dials::Pass))
        ]));
        for (_, act) in schedule.acts() {
            cuts += usize::from(matches!(
                act,
                ScheduledFault::Fault(Fault::Cut(_) | Fault::CutAfter(..))
            ));
            holes += usize::from(matches!(act, ScheduledFault::Fault(Fault::Hole(_))));
            moves += usize::from(matches!(act, ScheduledFault::Upstream(_)));
        }
    }
    assert!(cuts > 300 && holes > 100 && moves > 50, "{cuts} {holes} {moves}");
    assert_ne!(Schedule::random(1, 5, within), Schedule::random(2, 5, within));
}
