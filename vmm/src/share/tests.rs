//! A guest's kernel that asks the server, by bytes.

mod confined;
mod copies;
mod guest;
mod hostile;
mod wire_sizes;
mod writes;
