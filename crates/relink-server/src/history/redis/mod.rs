//! History in Redis, which outlives the nodes and is shared by all of them.

mod codec;
mod config;
mod listener;
mod pending;
mod scripts;

use std::{sync::Arc, time::Duration};

use futures_core::future::BoxFuture;
use redis::{
    Client, IntoConnectionInfo, RedisError, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use relink::session::Member;
use relink::{Message, Position, SessionId};
use relink_node::{Full, HistoryConfig, StoreRequest, StoreResponse, Stream};

pub use self::config::RedisConfig;
use self::{
    codec::{DecodeError, Reader},
    pending::Pending,
    scripts::{Call, Scripts},
};
use super::{History, HistoryError, StoreEventSender, Watch};

/// The maximum number of sessions that one script touches: Redis blocks meanwhile.
const KEPT_AT_ONCE: usize = 256;

/// History in a Redis server (6.2 or newer, or Valkey), shared by all nodes that use the same
/// prefix.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use relink_server::{RedisConfig, RedisHistory, Server};
///
/// let config = RedisConfig::default().with_prefix("chat:");
/// let history = RedisHistory::connect_with("redis://:secret@redis.internal", config).await?;
/// let server = Server::builder().history(history).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Data
///
/// Every stream is a Redis stream with the ids `1-0`, `2-0`, …, beside a small hash with its epoch,
/// its offset and its bytes. One Lua script appends the publications of a message, stores its
/// serial and notifies the nodes: atomically, and only once per serial. Events are sent through
/// Pub/Sub as a hint: a lost one shows by its offset, and a lost connection becomes a
/// [`Lagged`](relink_node::StoreEvent::Lagged). Times are those of the Redis server.
///
/// Everything expires: messages after `max_age`, sessions after `session_ttl`, and the hash of a
/// stream, and with it its epoch, a day after the last write or watch. Members of a node that was
/// killed leave when their sessions end; one of the nodes emits that, once.
///
/// # Limits
///
/// * It is as durable as the Redis server is configured to be. One that loses its data, or a
///   replica that takes over without the last writes, starts new epochs or repeats offsets: with
///   `appendfsync everysec`, up to a second of acknowledged messages may be lost when the machine
///   dies.
/// * Keys must not be evicted: use `maxmemory-policy noeviction`, or a separate server. The total
///   is bounded by its `maxmemory`, not by [`max_total_bytes`](HistoryConfig::max_total_bytes): if
///   it is used up, messages and new sessions are refused before anything of them is written, and
///   clients get `unavailable`. What is kept of one user
///   ([`user_bytes`](HistoryConfig::user_bytes)) counts for up to `max_age` longer than it is kept;
///   the channels that a user began, and refusals, for at most twice `max_age`.
/// * Read access to the keys is enough to take sessions over: session ids are part of them.
/// * **Redis Cluster is not supported.** The scripts touch several keys, which they derive from the
///   prefix, and the connection does not follow redirections. A prefix with a hash tag (`{chat}:`)
///   puts all keys into one slot, so that the node that holds it serves as an ordinary server until
///   the slot moves. To spread one namespace over a cluster would need a commit in two steps, as
///   the serial of a session and the channel that it writes to are in different slots.
#[derive(Clone)]
pub struct RedisHistory {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// Reconnects automatically; a command on a lost connection fails.
    manager: ConnectionManager,
    scripts: Scripts,
    config: RedisConfig,
    /// Watches that Redis has not confirmed yet.
    pending: Arc<Pending>,
    /// The address, without a password.
    name: String,
}

impl RedisHistory {
    /// Connects to a server: `redis://[user:password@]host[:port][/database]`, or
    /// `redis+unix:///path`.
    ///
    /// # Errors
    ///
    /// If the URL is not a Redis URL, or the server does not answer.
    pub async fn connect(address: &str) -> Result<Self, HistoryError> {
        Self::connect_with(address, RedisConfig::default()).await
    }

    /// [`connect`](Self::connect), with a prefix, limits and times.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and if the configuration is wrong.
    pub async fn connect_with(address: &str, config: RedisConfig) -> Result<Self, HistoryError> {
        // The address may have a password, and the error may quote it.
        let nameless =
            |error: RedisError| HistoryError::new("a store with a malformed address", error);
        config.validate().map_err(|error| HistoryError::new("the store", error))?;
        let info = address.into_connection_info().map_err(nameless)?;
        let name = format!("redis at {}", info.addr());
        let info = info.set_tcp_settings(tcp(config.timeout));
        let failed = |error: RedisError| HistoryError::new(&*name, error);
        let client = Client::open(info).map_err(failed)?;
        let times = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_number_of_retries(1);
        let manager =
            ConnectionManager::new_with_config(client.clone(), times).await.map_err(failed)?;
        let shared = Shared {
            client,
            manager,
            scripts: Scripts::new(),
            config,
            pending: Arc::default(),
            name,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl History for RedisHistory {
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>> {
        Box::pin(self.shared.answer(question))
    }

    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch> {
        listener::start(Arc::clone(&self.shared), news)
    }

    fn config(&self) -> HistoryConfig {
        self.shared.config.history
    }
}

impl Shared {
    async fn answer(&self, question: StoreRequest) -> Result<StoreResponse, HistoryError> {
        match self.ask(question).await {
            Ok(answer) => Ok(answer),
            // Redis refused before any effect.
            Err(error) if error.is_out_of_memory() => Ok(StoreResponse::Full(Full::Store)),
            Err(error) => Err(HistoryError::new(&*self.name, error)),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list of questions, and of Redis' kinds of values, may grow"
    )]
    async fn ask(&self, question: StoreRequest) -> Result<StoreResponse, AskError> {
        let scripts = &self.scripts;
        match question {
            StoreRequest::Create { session, user } => {
                self.session(self.call(&scripts.create).arg(session.expose()).arg(user)).await
            }
            StoreRequest::Resume { session, user } => {
                self.session(self.call(&scripts.resume).arg(session.expose()).arg(user)).await
            }
            StoreRequest::Touch { sessions } => self.keep(&sessions).await,
            StoreRequest::End { session, generation } => {
                self.run(self.call(&scripts.end).arg(session.expose()).arg(generation)).await?;
                Ok(StoreResponse::Done)
            }
            StoreRequest::EndUser { user, ago, frame } => {
                let call = self.call(&scripts.end_user).arg(user).arg(config::millis(ago));
                self.run(call.arg(frame.code.0).arg(frame.reason)).await?;
                Ok(StoreResponse::Done)
            }
            StoreRequest::Commit { session, generation, serial, publications, rejection } => {
                let rejection =
                    rejection.map(|rejection| codec::rejection(&rejection)).unwrap_or_default();
                let call = self.call(&scripts.commit).arg(session.expose()).arg(generation);
                let call = call.arg(serial).arg(rejection);
                match self.run(with_publications(call, &publications)).await? {
                    Value::Nil => Ok(StoreResponse::Unknown),
                    Value::BulkString(_) => Ok(StoreResponse::Full(Full::User)),
                    received => {
                        Ok(StoreResponse::Committed { received: Reader::new(received).number()? })
                    }
                }
            }
            StoreRequest::Publish { session, publications } => {
                let session = session.as_ref().map_or("", SessionId::expose);
                let call = self.call(&scripts.publish).arg(session);
                match self.run(with_publications(call, &publications)).await? {
                    Value::Nil => Ok(StoreResponse::Done),
                    Value::BulkString(why) if why == b"unknown" => Ok(StoreResponse::Unknown),
                    _ => Ok(StoreResponse::Full(Full::User)),
                }
            }
            StoreRequest::Read { stream, after, limit, by } => {
                self.pending.settled().await;
                self.read(&stream, after, limit, by.as_ref()).await
            }
            StoreRequest::Join { channel, session, member, lease } => {
                let Member { user, join, info } = member;
                let rest = codec::member_rest(&user, info.as_ref());
                let call = self.call(&scripts.join).arg(channel.as_str()).arg(session.expose());
                match self.run(call.arg(lease).arg(join).arg(rest)).await? {
                    Value::Nil => Ok(StoreResponse::Unknown),
                    Value::BulkString(full) => Ok(StoreResponse::Full(read_full(&full))),
                    joined => Ok(codec::joined(joined)?),
                }
            }
            StoreRequest::Leave { channel, session, lease } => {
                let call = self.call(&scripts.leave).arg(channel.as_str());
                self.run(call.arg(session.expose()).arg(lease)).await?;
                Ok(StoreResponse::Done)
            }
            StoreRequest::Members { channel } => {
                self.pending.settled().await;
                let members = self.run(self.call(&scripts.members).arg(channel.as_str())).await?;
                Ok(StoreResponse::Members(codec::members(members)?))
            }
            question => Err(AskError::Unheard(format!("{question:?}"))),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "Redis' kinds of values may grow")]
    async fn session(&self, call: Call<'_>) -> Result<StoreResponse, AskError> {
        match self.run(call).await? {
            Value::Nil => Ok(StoreResponse::Unknown),
            Value::BulkString(full) => Ok(StoreResponse::Full(read_full(&full))),
            found => Ok(codec::session(found)?),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "Redis' kinds of values may grow")]
    async fn read(
        &self,
        stream: &Stream,
        after: Option<Position>,
        limit: usize,
        by: Option<&SessionId>,
    ) -> Result<StoreResponse, AskError> {
        let call = self.call(&self.scripts.since).arg(codec::stream(stream));
        let call = match after {
            Some(after) => call.arg(after.epoch).arg(after.offset),
            None => call.arg("").arg(0),
        };
        match self.run(call.arg(limit).arg(by.map_or("", SessionId::expose))).await? {
            Value::Nil => Ok(StoreResponse::Unknown),
            Value::BulkString(full) => Ok(StoreResponse::Full(read_full(&full))),
            since => Ok(codec::since(since)?),
        }
    }

    async fn keep(&self, sessions: &[SessionId]) -> Result<StoreResponse, AskError> {
        let mut lost = Vec::new();
        for some in sessions.chunks(KEPT_AT_ONCE) {
            let call = some
                .iter()
                .fold(self.call(&self.scripts.keep), |call, session| call.arg(session.expose()));
            for session in Reader::new(self.run(call).await?).list()? {
                lost.push(SessionId::from(session.text()?));
            }
        }
        Ok(StoreResponse::Touched { lost })
    }

    /// A script with the arguments that all scripts share.
    fn call<'a>(&self, script: &'a redis::Script) -> Call<'a> {
        let HistoryConfig { max_messages, max_bytes, max_age, session_ttl, .. } =
            self.config.history;
        let HistoryConfig {
            user_bytes, max_sessions, user_sessions, max_members, max_words, ..
        } = self.config.history;
        let limits =
            [max_messages, user_bytes, max_sessions, user_sessions, max_members, max_words]
                .map(|limit| limit.to_string());
        Call::new(script, &self.config.prefix)
            .arg(limits.join(" "))
            .arg(max_bytes)
            .arg(config::millis(max_age))
            .arg(config::millis(session_ttl))
            .arg(config::millis(self.config.top_ttl()))
            .arg(rand::random::<u32>())
    }

    async fn run(&self, call: Call<'_>) -> Result<Value, RedisError> {
        call.run(&mut self.manager.clone()).await
    }

    /// Removes members of dead nodes.
    async fn sweep(&self) -> Result<(), AskError> {
        while Reader::new(self.run(self.call(&self.scripts.sweep)).await?).number()? > 0 {}
        Ok(())
    }
}

/// The system detects a dead peer: an unanswered command is no proof of one.
fn tcp(timeout: Duration) -> TcpSettings {
    // The system's unit is seconds.
    let time = timeout.max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(time);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let settings = settings.set_user_timeout(time);
    settings
}

fn read_full(whose: &[u8]) -> Full {
    if whose == b"user" { Full::User } else { Full::Store }
}

fn with_publications<'a>(call: Call<'a>, publications: &[(Stream, Message)]) -> Call<'a> {
    publications.iter().fold(call, |call, (stream, message)| {
        call.arg(codec::stream(stream)).arg(codec::kind(message)).arg(message.as_bytes())
    })
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A request of a newer version.
    #[error("it does not know the question {0}")]
    Unheard(String),
}

impl AskError {
    /// Before Redis 7, the code of an error in a script is only in its text.
    fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Redis(error) if error.to_string().contains("command not allowed when used memory"))
    }
}

impl std::fmt::Debug for RedisHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisHistory").field("store", &self.shared.name).finish_non_exhaustive()
    }
}
