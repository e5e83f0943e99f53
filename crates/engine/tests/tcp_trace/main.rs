//! What TCP does, segment by segment. The format is described in `script`.

mod close;
mod fastopen;
mod handshake;
mod receive;
mod script;
mod send;
mod timing;
