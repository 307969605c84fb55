//! The Lua scripts, and their calls.

use redis::{RedisResult, Script, ScriptInvocation, ToRedisArgs, Value, aio::ConnectionManager};

/// All scripts. Redis finds them by their hash; one that it has forgotten is sent again.
pub(super) struct Scripts {
    pub(super) create: Script,
    pub(super) resume: Script,
    pub(super) keep: Script,
    pub(super) end: Script,
    pub(super) end_user: Script,
    pub(super) commit: Script,
    pub(super) publish: Script,
    pub(super) since: Script,
    pub(super) join: Script,
    pub(super) leave: Script,
    pub(super) members: Script,
    pub(super) sweep: Script,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("common.lua"), include_str!($name)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            create: script!("create.lua"),
            resume: script!("resume.lua"),
            keep: script!("keep.lua"),
            end: script!("end.lua"),
            end_user: script!("end_user.lua"),
            commit: script!("commit.lua"),
            publish: script!("publish.lua"),
            since: script!("since.lua"),
            join: script!("join.lua"),
            leave: script!("leave.lua"),
            members: script!("members.lua"),
            sweep: script!("sweep.lua"),
        }
    }
}

/// A script with its arguments.
pub(super) struct Call<'a>(ScriptInvocation<'a>);

impl<'a> Call<'a> {
    pub(super) fn new(script: &'a Script, prefix: &str) -> Self {
        let mut invocation = script.key(prefix);
        invocation.arg(prefix);
        Self(invocation)
    }

    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.0.arg(arg);
        self
    }

    pub(super) async fn run(self, connection: &mut ConnectionManager) -> RedisResult<Value> {
        self.0.invoke_async(connection).await
    }
}
