//! The server of relink.v1 behind `relink serve`.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use relink::ConfigError;
use relink_node::{HistoryConfig, LivenessConfig, NodeConfig};
use relink_server::{MemoryHistory, Server, ServerBuilder, ServerConfig, ServerHandle};
use relink_testing::Upstream;
use relink_v1::SUBPROTOCOL;
use tokio::io::duplex;
use tokio::sync::watch;

use super::{Kept, NodeArgs};
use crate::exit::Mistake;

/// The size of the pipe between the two servers; more waits in the sockets.
const PIPE: usize = 64 * 1024;
/// The maximum interval of the liveness check.
const CHECK: Duration = Duration::from_secs(10);

/// Starts a node. Messages to the server are echoed, messages to a channel are published there.
pub(super) async fn start(args: &NodeArgs) -> Result<Node, Mistake> {
    let history = HistoryConfig::default().with_session_ttl(args.session_ttl);
    let check = CHECK.min(args.silence / 3).max(Duration::from_millis(1));
    let liveness = LivenessConfig::default().with_silence(args.silence).with_check_every(check);
    let node = NodeConfig::default().with_liveness(liveness).with_history(history);
    let builder = Server::builder().config(ServerConfig::default().with_node(node));
    liveness.validate().map_err(wrong("--silence"))?;
    history.validate().map_err(wrong("--session-ttl"))?;
    let builder = keep(builder, &args.history, history).await?;
    let server = builder
        .on_message(|context, message| async move {
            context.echo(message);
            Ok(())
        })
        .build()
        .map_err(|error| Mistake::usage(format!("these settings cannot work: {error}")))?;
    Ok(Node { server: server.handle(), connections: Arc::default() })
}

/// Names the flag whose value cannot work.
fn wrong(flag: &str) -> impl FnOnce(ConfigError) -> Mistake {
    move |error| Mistake::usage(format!("{flag} cannot work: {error}"))
}

async fn keep(
    builder: ServerBuilder,
    kept: &Kept,
    config: HistoryConfig,
) -> Result<ServerBuilder, Mistake> {
    match kept {
        Kept::Memory => {
            let memory = MemoryHistory::new(config);
            Ok(builder.history(memory.map_err(wrong("--session-ttl"))?))
        }
        #[cfg(feature = "redis")]
        Kept::Redis(address) => {
            use relink_server::{RedisConfig, RedisHistory};
            let config = RedisConfig::default().with_history(config);
            let redis = RedisHistory::connect_with(address.expose(), config).await;
            Ok(builder
                .history(redis.map_err(|error| Mistake::failed(format!("--history: {error}")))?))
        }
    }
}

/// A relink.v1 server, and the number of its connections.
pub(super) struct Node {
    server: ServerHandle,
    connections: Arc<watch::Sender<usize>>,
}

impl Node {
    /// The upstream that leads to it, in memory.
    pub(super) fn upstream(&self) -> Upstream {
        let (server, connections) = (self.server.clone(), Arc::clone(&self.connections));
        Upstream::new(SUBPROTOCOL, move || {
            let (ours, its) = duplex(PIPE);
            let (server, connections) = (server.clone(), Arc::clone(&connections));
            connections.send_modify(|count| *count += 1);
            tokio::spawn(async move {
                server.accept(its, None).await;
                connections.send_modify(|count| *count -= 1);
            });
            ready(Ok(ours))
        })
    }

    /// Drains the node, and waits until all clients are notified.
    pub(super) async fn drain(&self) {
        self.server.drain().await;
        // Fails only without a sender, and there is one.
        _ = self.connections.subscribe().wait_for(|count| *count == 0).await;
    }
}
