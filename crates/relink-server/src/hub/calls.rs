//! Calls of the application, whose results are inputs of the node.

use std::sync::Arc;

use relink_node::{NodeAction, NodeInput};

use super::Hub;
use crate::{admission::Permit, context::Context, handlers::Started, user::User};

/// A call that the node asks for. It holds the connection's permit until it returns.
pub(super) struct Call {
    pub(super) what: NodeAction,
    pub(super) place: Option<Arc<Permit>>,
}

impl Hub {
    /// Returns the result of a call if it is there at once; otherwise the call goes on in a task.
    pub(super) fn begin(self: &Arc<Self>, Call { what, place }: Call) -> Option<NodeInput> {
        match self.ask(what)? {
            Started::Done(result) => Some(result),
            Started::Waits(call) => {
                let hub = Arc::clone(self);
                self.runtime.spawn(async move {
                    let result = call.await;
                    drop(place);
                    hub.drive(result);
                });
                None
            }
        }
    }

    /// `None` if the action is no call.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other actions are no calls")]
    fn ask(self: &Arc<Self>, what: NodeAction) -> Option<Started<NodeInput>> {
        Some(match what {
            NodeAction::Identify { id, token } => {
                let hub = Arc::clone(self);
                self.handlers.identify(token).map(move |result| {
                    if let Ok(user) = &result {
                        hub.drive(NodeInput::TokenEnds { id, after: user.expires_in() });
                    }
                    let result = result.map(|user| user.as_str().to_owned());
                    NodeInput::Identified { id, result }
                })
            }
            NodeAction::Authorize { request, user, channel, token, .. } => self
                .handlers
                .may_have(User::new(user), channel, token)
                .map(move |result| NodeInput::Authorized { request, result }),
            NodeAction::Handle { handling, user, session, serial, channel, message, .. } => {
                let context = Context::new(User::new(user), session, serial, channel);
                self.handlers
                    .take(context, message)
                    .map(move |result| NodeInput::Handled { handling, result })
            }
            _ => return None,
        })
    }
}
