//! docs/machine-file.md: the keys, their defaults and the example.

use std::collections::BTreeMap;

use clap::CommandFactory;
use toml::Value;

use super::page::{Table, page};
use crate::cli::Cli;
use crate::config::{DeviceConfig, MachineConfig, parse, print};

/// The keys of a machine that has all of them, with what they are: dots between a table and its key.
fn keys(machine: &MachineConfig) -> BTreeMap<String, Value> {
    let table: toml::Table = toml::from_str(&print(machine).expect("UTF-8")).expect("TOML");
    let mut keys = BTreeMap::new();
    for (name, value) in table {
        let inner = match &value {
            Value::Table(inner) => inner.clone(),
            Value::Array(devices) if devices.iter().all(Value::is_table) => {
                devices.first().and_then(Value::as_table).cloned().unwrap_or_default()
            }
            _ => {
                keys.insert(name, value);
                continue;
            }
        };
        keys.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
    }
    keys
}

fn full() -> MachineConfig {
    let mut machine = MachineConfig::boot("/k");
    machine.seed = Some(1);
    machine.serial = vec![crate::config::SerialEnd::Pty];
    machine.faults = vec!["gpu:hang".parse().expect("a fault")];
    machine.date = Some("@0".parse().expect("a date"));
    machine.kernel.initramfs = vec!["/i".into()];
    machine.kernel.command_line = Some("quiet".into());
    machine.tracing.file = Some("/t".into());
    machine.devices = vec![DeviceConfig::new("camera", 2).with("fps", 1)];
    machine
}

#[test]
fn every_key_is_on_the_page_with_its_type_and_default() {
    let page = page("machine-file.md");
    let table = Table::after(&page, "## Keys");
    let (all, defaults) = (keys(&full()), keys(&MachineConfig::default()));
    let listed: Vec<String> = table.rows().map(|row| row.cell("key")).collect();
    assert_eq!(listed.iter().collect::<std::collections::BTreeSet<_>>(), all.keys().collect());
    let run = Cli::command();
    let run = run.find_subcommand("run").expect("there");
    for row in table.rows() {
        let key = row.cell("key");
        let kind = match &all[&key] {
            Value::String(_) => "text",
            Value::Integer(_) => "number",
            Value::Boolean(_) => "boolean",
            Value::Array(_) => "array",
            _ => "table",
        };
        assert_eq!(row.cell("type"), kind, "{key}");
        if !key.starts_with("devices.") {
            let default = defaults.get(&key).map_or("none".to_string(), Value::to_string);
            assert_eq!(row.cell("default"), default, "{key}");
        }
        for option in row.cell("option").split(", ").filter(|option| !option.is_empty()) {
            let name = option.trim_start_matches("--");
            assert!(run.get_arguments().any(|argument| argument.get_long() == Some(name)), "{option}");
        }
    }
}

#[test]
fn the_example_is_a_machine() {
    let page = page("machine-file.md");
    let example =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let machine = parse(example).expect("right");
    assert_eq!((machine.seed, machine.devices.len()), (Some(7), 3));
    assert_eq!(machine.devices[0].parameters["bytes-per-cycle"], 32.into());
}
