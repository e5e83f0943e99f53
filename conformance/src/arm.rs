//! The kernels a body can run on.

mod entry;
mod host;

pub use entry::SocketcallEntry;
pub use host::HostKernel;
