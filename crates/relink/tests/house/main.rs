//! Rules for the workspace: dependencies, public names, comments, sizes.

mod api;
mod comments;
mod dependencies;
mod links;
mod sizes;
mod source;
