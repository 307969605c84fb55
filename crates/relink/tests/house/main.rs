//! What the workspace keeps to: its dependencies, its public names, the size of its parts.

mod api;
mod dependencies;
mod sizes;
mod source;
