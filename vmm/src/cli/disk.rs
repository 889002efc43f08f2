//! `--disk`: a block device, in the words that people know from other launchers.

use std::str::FromStr;

use fencepost_devices::parameters::{self, did_you_mean};
use fencepost_devices::registry::find;

use crate::config::Plug;

/// The model behind the option.
const MODEL: &str = "virtio-blk";
/// Stands for a comma in a file's name, while the text is taken apart: no argument of a program has a zero byte.
const COMMA: &str = "\u{0}";

/// The disk as a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOption(pub Plug);

impl FromStr for DiskOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.replace(",,", COMMA);
        let mut words = text.split(',');
        // Written twice again, as the keys of a device have it.
        let name = words.next().unwrap_or_default().replace(COMMA, ",,");
        if name.is_empty() {
            return Err("write the name of a file first, such as disk.img,ro".into());
        }
        let mut keys = vec![("file", name)];
        for word in words {
            match word.split_once('=') {
                None if word == "ro" => keys.push(("writes", "refused".into())),
                None if word == "snapshot" => keys.push(("writes", "snapshot".into())),
                Some(("format", value)) => keys.push(("format", value.into())),
                _ => {
                    let near = did_you_mean(word, ["ro", "snapshot", "format=raw", "format=qcow2"]);
                    return Err(format!(
                        "'{word}' is not possible behind the file: there are ro, snapshot, format=raw and format=qcow2{near}; a \
                         comma in a name is written twice"
                    ));
                }
            }
        }
        if keys.iter().filter(|(key, _)| *key == "writes").count() > 1 {
            return Err("of ro and snapshot only one can be: a read-only disk has no writes to forget".into());
        }
        let model = find(MODEL)?;
        let text: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let parameters = parameters::parse(&text.join(","), model.parameters)?;
        Ok(DiskOption(Plug { model: model.kind, slot: None, parameters }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Vec<(String, String)> {
        let DiskOption(plug) = text.parse().unwrap();
        plug.parameters.into_iter().map(|(key, value)| (key, value.to_string())).collect()
    }

    fn expected(keys: &[(&str, &str)]) -> Vec<(String, String)> {
        keys.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_disk_is_a_file_and_what_becomes_of_writes() {
        assert_eq!(set("a.img"), expected(&[("file", "a.img")]));
        assert_eq!(set("a.img,ro"), expected(&[("file", "a.img"), ("writes", "refused")]));
        let all = [("file", "a,b=c.qcow2"), ("format", "qcow2"), ("writes", "snapshot")];
        assert_eq!(set("a,,b=c.qcow2,snapshot,format=qcow2"), expected(&all));
    }

    #[test]
    fn other_words_are_refused_with_what_there_is() {
        for (text, said) in [
            ("", "name of a file"),
            (",ro", "name of a file"),
            ("a,rw", "there are ro, snapshot, format=raw"),
            ("a,snapshots", "did you mean snapshot?"),
            ("a,ro,snapshot", "only one can be"),
            ("a,ro,ro", "only one can be"),
            ("a,format=vmdk", "write auto or raw or qcow2"),
            ("a,format=raw,format=raw", "format is given twice"),
            ("a,slot=3", "is not possible behind the file"),
        ] {
            let refused = text.parse::<DiskOption>().unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
