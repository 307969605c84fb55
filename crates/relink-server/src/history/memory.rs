//! History in memory.
