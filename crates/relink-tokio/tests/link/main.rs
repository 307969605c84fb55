//! What a link on tokio does beside the conformance suite: hostile peers, presets, traces, virtual
//! time.

mod common;
mod hostile;
#[cfg(feature = "v1")]
mod presets;
mod secrets;
mod settings;
mod tracing;
#[cfg(unix)]
mod unix_socket;
mod virtual_time;
mod watch;
