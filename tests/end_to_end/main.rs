//! End to end: the real binary, a real Postgres, real servers on real sockets, real clients.

mod bad_input;
mod commands;
mod grpcurl;
mod life_cycle;
mod recommendations;
mod world;
