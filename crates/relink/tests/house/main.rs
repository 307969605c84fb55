//! What the workspace keeps to: its dependencies, its public names, its comments, the size of its
//! parts.

mod api;
mod comments;
mod dependencies;
mod links;
mod sizes;
mod source;
