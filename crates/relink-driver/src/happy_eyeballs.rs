//! Several addresses for one name: the first that answers wins (RFC 8305, "happy eyeballs").
//!
//! Without it, a link on a network with broken IPv6 would spend every attempt on the same dead
//! address.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::runtime::{ConnectError, Runtime, Sleep};

/// The head start of an address before the next one is tried as well: what RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to whichever address answers first.
pub(crate) async fn connect<Rt: Runtime>(
    runtime: &Rt,
    addresses: Vec<SocketAddr>,
) -> Result<Rt::Tcp, ConnectError> {
    let mut waiting = alternate(addresses).into_iter().peekable();
    let mut running = FuturesUnordered::new();
    let mut sleep = runtime.sleep();
    let mut next_start = runtime.now();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    poll_fn(|cx| {
        loop {
            if runtime.now() >= next_start {
                if let Some(address) = waiting.next() {
                    running.push(runtime.connect(address));
                    next_start = runtime.now() + HEAD_START;
                }
            }
            match running.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(stream))) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Some(Err(error))) => {
                    failed = error;
                    next_start = runtime.now();
                }
                Poll::Ready(None) if waiting.peek().is_none() => {
                    let failed = std::mem::replace(&mut failed, io::ErrorKind::Other.into());
                    return Poll::Ready(Err(failed.into()));
                }
                Poll::Ready(None) | Poll::Pending => {
                    if waiting.peek().is_none() || sleep.poll_until(next_start, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await
}

/// The families in turn, beginning with the resolver's first choice, and its order within each.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut mixed: Vec<_> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    mixed.extend(second);
    mixed
}

#[cfg(test)]
mod tests {
    use std::future::{Future, pending, ready};
    use std::sync::{Arc, Mutex};
    use std::task::Context;

    use futures_util::FutureExt;
    use futures_util::future::Either;
    use futures_util::io::Cursor;
    use relink::Instant;

    use super::*;

    #[test]
    fn an_address_that_never_answers_does_not_hold_up_the_next() {
        let network = Network::default();
        let stream = network.race(&["[::1]:1", "127.0.0.1:80"]).unwrap();
        assert_eq!(stream.into_inner(), b"127.0.0.1:80");
        assert_eq!(network.dials(), [(0, "[::1]:1".to_owned()), (250, "127.0.0.1:80".to_owned())]);
    }

    #[test]
    fn an_address_that_refuses_makes_room_at_once() {
        let network = Network::default();
        assert!(network.race(&["[::1]:2", "127.0.0.1:80"]).is_ok());
        assert_eq!(network.dials(), [(0, "[::1]:2".to_owned()), (0, "127.0.0.1:80".to_owned())]);
    }

    #[test]
    fn the_last_failure_is_told_when_all_refuse_and_no_address_is_one() {
        let network = Network::default();
        assert_eq!(
            network.race(&["[::1]:2", "127.0.0.1:2"]).unwrap_err().failure(),
            relink::Failure::Refused
        );
        assert!(network.race(&[]).unwrap_err().detail().contains("no address"));
    }

    #[test]
    fn families_alternate_and_keep_their_order() {
        let resolved = parse(&["[::1]:1", "[::2]:1", "1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]);
        let expected = parse(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "1.0.0.3:1"]);
        assert_eq!(alternate(resolved), expected);
        assert_eq!(alternate(Vec::new()), Vec::new());
    }

    fn parse(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A network in virtual time: port 1 never answers, port 2 refuses, every other port answers
    /// with its address.
    #[derive(Clone, Default)]
    struct Network(Arc<Mutex<NetworkState>>);

    #[derive(Default)]
    struct NetworkState {
        now: Duration,
        /// When, in milliseconds, and where to.
        dials: Vec<(u128, String)>,
    }

    impl Network {
        fn race(&self, addresses: &[&str]) -> Result<Cursor<Vec<u8>>, ConnectError> {
            connect(self, parse(addresses)).now_or_never().expect("virtual time passes at once")
        }

        fn dials(&self) -> Vec<(u128, String)> {
            self.0.lock().unwrap().dials.clone()
        }
    }

    impl Runtime for Network {
        type Tcp = Cursor<Vec<u8>>;
        type Sleep = Self;

        fn now(&self) -> Instant {
            Instant::from_origin(self.0.lock().unwrap().now)
        }

        fn sleep(&self) -> Self {
            self.clone()
        }

        fn lookup(
            &self,
            _: String,
            _: u16,
        ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
            ready(Ok(Vec::new()))
        }

        fn connect(
            &self,
            address: SocketAddr,
        ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static {
            let mut state = self.0.lock().unwrap();
            let at = state.now.as_millis();
            state.dials.push((at, address.to_string()));
            match address.port() {
                1 => Either::Left(pending()),
                2 => Either::Right(ready(Err(io::ErrorKind::ConnectionRefused.into()))),
                _ => Either::Right(ready(Ok(Cursor::new(address.to_string().into_bytes())))),
            }
        }

        fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
    }

    impl Sleep for Network {
        fn poll_until(&mut self, deadline: Instant, _: &mut Context<'_>) -> Poll<()> {
            self.0.lock().unwrap().now = deadline.since_origin();
            Poll::Ready(())
        }
    }
}
