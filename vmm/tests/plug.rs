//! A device of another crate's: the example, as its reader runs it; and what is refused of such devices.

#[path = "../examples/plug.rs"]
mod plug;

#[test]
fn a_device_of_a_programs_own_answers_the_guest() {
    plug::main();
    let lines = include_str!("../examples/plug.rs").lines().count();
    assert!(lines < 100, "the example has {lines} lines");
}
