//! A forward proxy: clients ask it for a tunnel, by HTTP CONNECT or by SOCKS5.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::socket::{BoxSocket, Security};

/// The most that is kept of what a client sent into a tunnel.
const HEARD_MAX: usize = 64 << 10;
/// The longest request for a tunnel.
const REQUEST_MAX: usize = 16 << 10;

/// What a [`ForwardProxy`] does with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forward {
    /// Opens the tunnel, and leads it to the server that was asked for.
    Open,
    /// Opens the tunnel for a client that logs in like this; others get a 407, or its like.
    Login {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// Refuses the tunnel.
    Refuse {
        /// The status for a client that speaks HTTP.
        status: u16,
        /// The reply code for a client that speaks SOCKS5 (RFC 1928, section 6).
        reply: u8,
    },
    /// Reads, and never answers.
    Hang,
    /// Answers whatever comes first with these bytes, and hangs up.
    Say(Vec<u8>),
}

/// A tunnel that a client asked for.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tunnel {
    /// The server, as in `example.org:443`.
    pub target: String,
    /// Whether the client spoke SOCKS5, or else HTTP.
    pub is_socks: bool,
    /// The user name and the password, with a colon between them, if there was a login.
    pub login: Option<String>,
    /// What the client sent, the request for the tunnel included: at most the first 64 KiB.
    pub heard: Vec<u8>,
}

/// A forward proxy on 127.0.0.1, in a thread of its own: HTTP CONNECT and SOCKS5 on one port.
///
/// The first connection is treated by the first entry of its script, and so on; the last entry is
/// for all that follow. It ends when it is dropped.
///
/// ```
/// use std::io::{Read, Write};
///
/// use relink_testing::{Forward, ForwardProxy, Script, Server};
///
/// # fn main() -> std::io::Result<()> {
/// let server = Server::spawn_thread(Script::echo())?;
/// let proxy = ForwardProxy::start([Forward::Open])?;
/// proxy.host("server.example", server.addr());
///
/// let mut client = std::net::TcpStream::connect(proxy.addr())?;
/// client.write_all(b"CONNECT server.example:80 HTTP/1.1\r\nHost: server.example:80\r\n\r\n")?;
/// let mut answer = [0; 12];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"HTTP/1.1 200");
/// assert_eq!(proxy.tunnels()[0].target, "server.example:80");
/// # Ok(())
/// # }
/// ```
pub struct ForwardProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the thread when it is dropped.
    _alive: oneshot::Sender<()>,
}

#[derive(Default)]
struct Shared {
    script: Vec<Forward>,
    hosts: Mutex<BTreeMap<String, SocketAddr>>,
    tunnels: Mutex<Vec<Tunnel>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ForwardProxy {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// If the system has no socket or no thread to give.
    pub fn start(script: impl IntoIterator<Item = Forward>) -> io::Result<Self> {
        Self::launch(script.into_iter().collect(), Security::Plain)
    }

    /// Starts one that is spoken to over TLS.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), or if the certificate cannot be used.
    #[cfg(feature = "tls")]
    pub fn start_tls(
        script: impl IntoIterator<Item = Forward>,
        certificate: &crate::TestCertificate,
    ) -> io::Result<Self> {
        Self::launch(script.into_iter().collect(), certificate.security()?)
    }

    fn launch(script: Vec<Forward>, security: Security) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { script, ..Shared::default() });
        let (alive, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let accepting = accept(listener, security, Arc::clone(&shared));
        thread::Builder::new().name("forward-proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    _ = accepting => {}
                }
            });
        })?;
        Ok(Self { addr, shared, _alive: alive })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL with this scheme, such as `http` or `socks5h`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    /// A name that it looks up: tunnels to it lead to this address, whatever their port.
    pub fn host(&self, name: &str, addr: SocketAddr) {
        locked(&self.shared.hosts).insert(name.to_owned(), addr);
    }

    /// The tunnels that clients asked for until now, also those that were refused.
    #[must_use]
    pub fn tunnels(&self) -> Vec<Tunnel> {
        locked(&self.shared.tunnels).clone()
    }
}

async fn accept(
    listener: std::net::TcpListener,
    security: Security,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    for number in 0.. {
        let (tcp, _) = listener.accept().await?;
        let last = shared.script.last();
        let forward = shared.script.get(number).or(last).cloned().unwrap_or(Forward::Open);
        let (shared, security) = (Arc::clone(&shared), security.clone());
        tokio::spawn(async move {
            // A client may leave at any time.
            if let Ok(socket) = security.secure(tcp).await {
                _ = Visitor::new(socket, shared).serve(&forward).await;
            }
        });
    }
    Ok(())
}

/// A connection of a client's.
struct Visitor {
    from: ReadHalf<BoxSocket>,
    to: WriteHalf<BoxSocket>,
    tunnel: Tunnel,
    shared: Arc<Shared>,
}

impl Visitor {
    fn new(socket: BoxSocket, shared: Arc<Shared>) -> Self {
        let (from, to) = split(socket);
        let (target, login, heard) = (String::new(), None, Vec::new());
        Self { from, to, tunnel: Tunnel { target, is_socks: false, login, heard }, shared }
    }

    async fn take<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.from.read_exact(&mut bytes).await?;
        self.tunnel.heard.extend(bytes);
        Ok(bytes)
    }

    async fn take_text(&mut self) -> io::Result<String> {
        let [length] = self.take().await?;
        let mut bytes = vec![0; length.into()];
        self.from.read_exact(&mut bytes).await?;
        self.tunnel.heard.extend_from_slice(&bytes);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await?;
        self.to.flush().await
    }

    async fn serve(mut self, forward: &Forward) -> io::Result<()> {
        let [first] = self.take().await?;
        if let Forward::Say(bytes) = forward {
            self.say(bytes).await?;
            self.to.shutdown().await?;
        }
        if matches!(forward, Forward::Hang | Forward::Say(_)) {
            return self.read_on().await;
        }
        self.tunnel.is_socks = first == 5;
        if first == 5 { self.socks(forward).await } else { self.http(forward).await }
    }

    /// Reads until the client leaves.
    async fn read_on(&mut self) -> io::Result<()> {
        while self.take::<1>().await.is_ok() {}
        Ok(())
    }

    async fn http(mut self, forward: &Forward) -> io::Result<()> {
        while !self.tunnel.heard.ends_with(b"\r\n\r\n") && self.tunnel.heard.len() < REQUEST_MAX {
            self.take::<1>().await?;
        }
        let head = String::from_utf8_lossy(&self.tunnel.heard).into_owned();
        let mut words = head.split_whitespace();
        if words.next() != Some("CONNECT") {
            return self.say(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n").await;
        }
        self.tunnel.target = words.next().unwrap_or_default().to_owned();
        let basic = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: Basic "));
        let login = basic.and_then(|basic| BASE64.decode(basic).ok());
        self.tunnel.login = login.map(|login| String::from_utf8_lossy(&login).into_owned());
        let wrong_login = (!self.is_welcome(forward)).then_some(407);
        let status =
            if let Forward::Refuse { status, .. } = forward { Some(*status) } else { wrong_login };
        let server = if status.is_none() { self.reach().await.ok() } else { None };
        let number = self.log();
        match (server, status.unwrap_or(502)) {
            (Some(server), _) => {
                self.say(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await?;
                self.pass(number, server).await
            }
            (None, status) => {
                let login = "Proxy-Authenticate: Basic realm=\"test\"\r\n";
                let login = if status == 407 { login } else { "" };
                let head =
                    format!("HTTP/1.1 {status} No tunnel\r\n{login}Content-Length: 2\r\n\r\nno");
                self.say(head.as_bytes()).await
            }
        }
    }

    async fn socks(mut self, forward: &Forward) -> io::Result<()> {
        let methods = self.take_text().await?;
        let wants_login = matches!(forward, Forward::Login { .. });
        let method = if wants_login { 2 } else { 0 };
        if !methods.bytes().any(|offered| offered == method) {
            return self.say(&[5, 0xff]).await;
        }
        self.say(&[5, method]).await?;
        if wants_login {
            let [_version] = self.take().await?;
            let (user, password) = (self.take_text().await?, self.take_text().await?);
            self.tunnel.login = Some(format!("{user}:{password}"));
            let status = u8::from(!self.is_welcome(forward));
            self.say(&[1, status]).await?;
            if status != 0 {
                return Ok(());
            }
        }
        let [_version, _connect, _reserved, kind] = self.take().await?;
        let host = match kind {
            1 => std::net::Ipv4Addr::from(self.take::<4>().await?).to_string(),
            4 => format!("[{}]", std::net::Ipv6Addr::from(self.take::<16>().await?)),
            _ => self.take_text().await?,
        };
        let port = u16::from_be_bytes(self.take().await?);
        self.tunnel.target = format!("{host}:{port}");
        let reply = if let Forward::Refuse { reply, .. } = forward { *reply } else { 0 };
        let server = if reply == 0 { self.reach().await } else { Err(ErrorKind::Other.into()) };
        let number = self.log();
        let reply = match &server {
            Err(error) if reply == 0 => {
                if error.kind() == ErrorKind::ConnectionRefused {
                    5
                } else {
                    4
                }
            }
            _ => reply,
        };
        self.say(&[5, reply, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
        self.pass(number, server?).await
    }

    fn is_welcome(&self, forward: &Forward) -> bool {
        let Forward::Login { user, password } = forward else { return true };
        self.tunnel.login == Some(format!("{user}:{password}"))
    }

    async fn reach(&mut self) -> io::Result<TcpStream> {
        let target = &self.tunnel.target;
        let name = target.rsplit_once(':').map_or("", |(name, _)| name);
        let known = locked(&self.shared.hosts).get(name).copied();
        match known {
            Some(addr) => TcpStream::connect(addr).await,
            None => TcpStream::connect(target).await,
        }
    }

    /// Returns the number of the tunnel.
    fn log(&self) -> usize {
        let mut tunnels = locked(&self.shared.tunnels);
        tunnels.push(self.tunnel.clone());
        tunnels.len() - 1
    }

    async fn pass(self, number: usize, server: TcpStream) -> io::Result<()> {
        let Self { mut from, mut to, shared, .. } = self;
        let (mut answers, mut questions) = server.into_split();
        let up = async {
            let mut bytes = [0; 4096];
            loop {
                let count = from.read(&mut bytes).await?;
                if count == 0 {
                    return questions.shutdown().await;
                }
                if let Some(Tunnel { heard, .. }) = locked(&shared.tunnels).get_mut(number) {
                    let room = HEARD_MAX.saturating_sub(heard.len()).min(count);
                    heard.extend_from_slice(&bytes[..room]);
                }
                questions.write_all(&bytes[..count]).await?;
            }
        };
        let down = async {
            tokio::io::copy(&mut answers, &mut to).await?;
            to.shutdown().await
        };
        tokio::try_join!(up, down).map(drop)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("target", &self.target)
            .field("is_socks", &self.is_socks)
            .field("login", &self.login)
            .field("heard", &String::from_utf8_lossy(&self.heard))
            .finish()
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy").field("addr", &self.addr).finish_non_exhaustive()
    }
}
