//! The `fencepost` command.

fn main() {
    println!("{:?}", fencepost::accel::choose(fencepost::options::Accel::Auto));
}
