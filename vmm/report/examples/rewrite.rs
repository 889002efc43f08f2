//! Reads the JSON of `fencepost test --json` and writes it in another form: `rewrite junit < suite.json > suite.xml`.

use std::error::Error;
use std::io::{Read, stdin, stdout};

use fencepost_report::write::{github, json, junit, ktap, summary};

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let suite = json::read(&text)?;
    let mut out = stdout();
    match std::env::args().nth(1).as_deref() {
        Some("json") => json::write(&suite, &mut out)?,
        Some("junit") => junit::write(&suite, &mut out)?,
        Some("ktap") => ktap::write(&suite, &mut out)?,
        Some("github") => github::annotations(&suite, &mut out)?,
        Some("markdown") => print!("{}", github::summary(&suite)),
        Some("summary") => summary::write(&suite, summary::Style::default(), &mut out)?,
        _ => return Err("which form? json, junit, ktap, github, markdown or summary".into()),
    }
    Ok(())
}
