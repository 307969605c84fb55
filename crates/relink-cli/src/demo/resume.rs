//! The act about sessions: both ends remember, and a network that fails costs nothing.

use std::fmt::Display;
use std::time::Duration;

use relink::{Event, Outgoing, Subscription};
use relink_server::Server;
use relink_testing::proxy::{Direction, Fault, Proxy, Termination};
use relink_tokio::{Client, Events};
use relink_v1::Encoding;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::acts::FIRST;
use super::stage::{Broken, PATIENCE, Stage, promise};

/// Where orders go, and where the kitchen answers.
const KITCHEN: &str = "kitchen";
const TABLES: &str = "tables";
/// The waiter's first connection through the proxy.
const FIRST_CONNECTION: usize = 1;

pub(super) async fn loses_nothing(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("Nothing lost, nothing twice").await?;
    stage.server_says("speaks relink.v1: it stores each message together with its number")?;
    let mut place = Restaurant::open().await?;
    place.order(1)?;
    place.cook_has(1).await?;
    place.waiter.has_acknowledged(1).await?;
    stage.client_says("sends order 1 to the kitchen; the cook has it")?;

    place.proxy.set_on(FIRST_CONNECTION, Fault::Hole(Direction::Down));
    place.order(2)?;
    place.order(3)?;
    place.cook_has(2).await?;
    place.cook_has(3).await?;
    place.cook_answers("order 2 is ready").await?;
    stage.server_says(
        "passes order 2 and order 3 to the cook, who says “order 2 is ready”; but the network swallows all of its \
         answers",
    )?;
    place.proxy.set_on(FIRST_CONNECTION, Fault::Cut(Termination::Reset));
    place.waiter.until("the loss", |event| matches!(event, Event::Disconnected { .. })).await?;
    stage.client_waits("lost the link, and cannot know whether order 2 and order 3 arrived")?;

    let is_whole = |event: &Event| matches!(event, Event::Resumed { complete: true });
    place.waiter.until("a resume", is_whole).await?;
    place.waiter.until("what it missed", |event| says(event, "order 2 is ready")).await?;
    place.waiter.has_acknowledged(3).await?;
    stage.client_is_up(
        "resumes its session: the server has order 2 and order 3, and says “order 2 is ready” again",
    )?;
    place.order(4)?;
    place.cook_has(4).await?;
    let all = ["order 1", "order 2", "order 3", "order 4"];
    let problem = || format!("the cook should have each order once: {:?}", place.cooked);
    promise(place.cooked == all, problem)?;
    stage.client_says("sends order 4; the cook has had 1, 2, 3, 4, each of them once")?;
    stage.why(
        "A plain WebSocket delivers at most once. If both ends speak relink.v1, the session outlives its connections: \
         what was sent takes effect once, and what was missed arrives before what is new.",
    )
}

fn says(event: &Event, text: &str) -> bool {
    matches!(event, Event::Publication { message, .. } if message.as_text() == Some(text))
}

/// A waiter and a cook, and a network that fails between the waiter and the server.
struct Restaurant {
    proxy: Proxy,
    waiter: Guest,
    cook: Guest,
    /// What the cook has, in its order.
    cooked: Vec<String>,
}

impl Restaurant {
    async fn open() -> Result<Self, Broken> {
        let server = Server::builder().on_message(|context, message| async move {
            if let Some(channel) = context.channel().cloned() {
                context.publish(channel, message);
            }
            Ok(())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        tokio::spawn(server.serve(listener));
        let proxy = Proxy::start(address).await.map_err(broken)?;
        let waiter = Guest::enter(&proxy.url(), TABLES).await?;
        let cook = Guest::enter(&format!("ws://{address}"), KITCHEN).await?;
        Ok(Self { proxy, waiter, cook, cooked: Vec::new() })
    }

    fn order(&self, number: u32) -> Result<(), Broken> {
        let order = Outgoing::from(format!("order {number}")).on(KITCHEN);
        self.waiter.client.try_send(order).map(drop).map_err(broken)
    }

    /// Returns when the server has it.
    async fn cook_answers(&mut self, text: &str) -> Result<(), Broken> {
        let said = self.cook.client.try_send(Outgoing::from(text).on(TABLES)).map_err(broken)?;
        self.cook.has_acknowledged(said.receipt.0).await
    }

    /// Waits until the cook has this order.
    async fn cook_has(&mut self, number: u32) -> Result<(), Broken> {
        let order = format!("order {number}");
        let Self { cook, cooked, .. } = self;
        let has = |event: &Event| {
            if let Event::Publication { message, .. } = event {
                cooked.extend(message.as_text().map(str::to_owned));
            }
            says(event, &order)
        };
        cook.until(&order, has).await
    }
}

struct Guest {
    client: Client,
    events: Events,
    /// The last message that the server acknowledged.
    acknowledged: u64,
}

impl Guest {
    /// Connects, and subscribes to a channel.
    async fn enter(url: &str, channel: &str) -> Result<Self, Broken> {
        let (client, events) = relink_tokio::builder(url)
            .relink_v1(Encoding::Json)
            .backoff(FIRST, Duration::from_secs(2))
            .spawn()
            .map_err(broken)?;
        client.subscribe(channel, Subscription::default());
        let mut guest = Self { client, events, acknowledged: 0 };
        guest.until("a subscription", |event| matches!(event, Event::Subscribed { .. })).await?;
        Ok(guest)
    }

    /// Waits until the server has acknowledged this message.
    async fn has_acknowledged(&mut self, number: u64) -> Result<(), Broken> {
        if self.acknowledged >= number {
            return Ok(());
        }
        let is_it =
            |event: &Event| matches!(event, Event::Acknowledged { last, .. } if last.0 >= number);
        self.until("an acknowledgement", is_it).await
    }

    /// Waits for an event.
    async fn until(
        &mut self,
        awaited: &str,
        mut is_it: impl FnMut(&Event) -> bool,
    ) -> Result<(), Broken> {
        let find = async {
            while let Some(event) = self.events.recv().await {
                if let Event::Acknowledged { last, .. } = event {
                    self.acknowledged = last.0;
                }
                if is_it(&event) {
                    return Ok(());
                }
            }
            Err(Broken::Promise(format!("the link ended before {awaited}")))
        };
        let in_vain = || Broken::Promise(format!("waited in vain for {awaited}"));
        timeout(PATIENCE, find).await.unwrap_or_else(|_| Err(in_vain()))
    }
}

fn broken(error: impl Display) -> Broken {
    Broken::Promise(error.to_string())
}
