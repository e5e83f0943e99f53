//! ILP32 layouts for the i386 entry.
