//! The mesh in virtual time: members, signals and datagrams pass through a world that can be told to lose them.

mod layers;
mod world;
