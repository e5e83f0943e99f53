//! The kernels a body can run on.

mod entry;
mod host;
mod library;
mod own_memory;
mod shown;
mod tunables;

pub use entry::SocketcallEntry;
pub use host::HostKernel;
pub use library::LibraryKernel;
pub use shown::shown;
