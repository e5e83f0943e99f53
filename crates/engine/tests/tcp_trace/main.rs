//! What TCP does, segment by segment. The format is described in `script`.

mod attacks;
mod close;
mod dynaddr;
mod ecn;
mod fastopen;
mod flood;
mod handshake;
mod mtu;
mod receive;
mod recovery;
mod script;
mod send;
mod timing;
mod tunables;
mod tune;
