//! Name lookup, on detached threads.
//!
//! The system's resolver blocks, for half a minute if the network drops its queries. In a runtime's
//! pool of blocking threads that would delay the exit of the process, and each attempt would block
//! another thread. Here a name has one thread at a time, all attempts share its answer, and the
//! process exits without it. The number of threads is bounded also if every attempt has another
//! name, as with an address provider.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, ready};

/// The maximum number of names that the links of the process look up at a time. A working resolver
/// needs fewer.
const MOST: usize = 16;

type Name = (String, u16);
type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// Looks a name up with the system's resolver: all addresses, in its order of preference. An IP
/// address is returned as it is.
pub(crate) fn lookup(
    host: String,
    port: u16,
) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
    static LOOKUPS: Lookups = Lookups::new();
    match host.parse::<IpAddr>() {
        Ok(address) => Either::Left(ready(Ok(vec![SocketAddr::new(address, port)]))),
        Err(_) => Either::Right(LOOKUPS.find((host, port), |(host, port)| {
            (host.as_str(), *port).to_socket_addrs().map(Iterator::collect)
        })),
    }
}

/// The lookups under way.
struct Lookups(Mutex<BTreeMap<Name, Shared<BoxFuture<'static, Answer>>>>);

impl Lookups {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Joins the lookup of this name that is under way, or starts one.
    fn find(
        &'static self,
        name: Name,
        resolve: impl FnOnce(&Name) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let known = self.lock().get(&name).cloned();
        let answer = known.unwrap_or_else(|| self.begin(name, resolve));
        answer.map(|answer| answer.map_err(|error| io::Error::new(error.kind(), error)))
    }

    fn begin(
        &'static self,
        name: Name,
        resolve: impl FnOnce(&Name) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Shared<BoxFuture<'static, Answer>> {
        let (sender, receiver) = oneshot::channel();
        let answer = receiver.map(|answer| answer.unwrap_or_else(|_| Err(Arc::new(no_answer()))));
        let answer = answer.boxed().shared();
        {
            let mut under_way = self.lock();
            if under_way.len() >= MOST {
                return ready(Err(Arc::new(too_many()))).boxed().shared();
            }
            under_way.insert(name.clone(), answer.clone());
        }
        let running = Running { lookups: self, name };
        let thread = thread::Builder::new().name("relink-lookup".to_owned()).spawn(move || {
            let found = resolve(&running.name).map_err(Arc::new);
            drop(running);
            // Fails if every attempt that waited has given up.
            _ = sender.send(found);
        });
        // Without a thread the sender is dropped, and the lookup fails.
        drop(thread);
        answer
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Shared<BoxFuture<'static, Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer() -> io::Error {
    io::Error::other("the resolver could not be asked: no thread could be started")
}

fn too_many() -> io::Error {
    io::Error::other(format!(
        "the resolver does not answer: {MOST} names are being looked up, and at most {MOST} may be"
    ))
}

/// A lookup under way. However it ends, the next one starts over.
struct Running {
    lookups: &'static Lookups,
    name: Name,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lookups.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn lookups() -> &'static Lookups {
        Box::leak(Box::new(Lookups::new()))
    }

    fn name() -> Name {
        ("example.org".to_owned(), 443)
    }

    #[test]
    fn attempts_share_the_thread_of_a_lookup_that_hangs() {
        let lookups = lookups();
        let (answer, question) = mpsc::channel::<()>();
        let first = lookups.find(name(), move |_| {
            question.recv().expect("the test answers");
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 443))])
        });
        for _ in 0..100 {
            let given_up = lookups.find(name(), |_| unreachable!("the name is being looked up"));
            drop(given_up);
        }
        let second = lookups.find(name(), |_| unreachable!("the name is being looked up"));
        answer.send(()).expect("the thread waits");
        let both = futures_util::future::join(first, second);
        let (first, second) = smol::block_on(both);
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[test]
    fn names_that_hang_have_a_bounded_number_of_threads() {
        let lookups = lookups();
        let another = |number: usize| (format!("{number}.example.org"), 443);
        let stuck: Vec<_> = (0..MOST)
            .map(|number| {
                let (answer, question) = mpsc::channel::<()>();
                let found = lookups.find(another(number), move |_| {
                    question.recv().expect("the test answers");
                    Ok(Vec::new())
                });
                (answer, found)
            })
            .collect();
        let one_more = lookups.find(another(MOST), |_| Ok(Vec::new()));
        let error = one_more.now_or_never().expect("it fails at once").unwrap_err();
        assert!(error.to_string().contains("at most 16"), "{error}");
        let shared = lookups.find(another(0), |_| unreachable!("the name is being looked up"));
        for (answer, found) in stuck {
            answer.send(()).expect("the thread waits");
            assert!(smol::block_on(found).is_ok());
        }
        assert!(smol::block_on(shared).is_ok());
        assert!(smol::block_on(lookups.find(another(MOST), |_| Ok(Vec::new()))).is_ok());
    }

    #[test]
    fn an_answer_is_not_kept_and_neither_is_an_error() {
        let lookups = lookups();
        let refused = || Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
        let error = smol::block_on(lookups.find(name(), move |_| refused())).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::NotFound, "no such name")
        );
        assert_eq!(smol::block_on(lookups.find(name(), |_| Ok(Vec::new()))).unwrap(), []);
        assert!(lookups.lock().is_empty());
    }

    #[test]
    fn a_resolver_that_panics_is_a_failed_lookup() {
        let lookups = lookups();
        assert!(smol::block_on(lookups.find(name(), |_| panic!("on purpose"))).is_err());
        assert!(smol::block_on(lookups.find(name(), |_| Ok(Vec::new()))).is_ok());
    }

    #[test]
    fn an_address_needs_no_thread() {
        for (host, port) in [("127.0.0.1", 80), ("::1", 8080)] {
            let found = lookup(host.to_owned(), port).now_or_never().expect("it is known").unwrap();
            assert_eq!(found, [SocketAddr::new(host.parse().unwrap(), port)]);
        }
    }
}
