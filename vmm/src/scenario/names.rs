//! Variables of the environment in a scenario's names of files: what was built may lie elsewhere on another host.

use std::path::{Path, PathBuf};

/// `name` with each `${VARIABLE}` replaced by the variable's value, and `${VARIABLE:-TEXT}` by the text if it is not set or empty, as a
/// POSIX shell does (Shell Command Language, 2.6.2).
///
/// # Errors
///
/// A variable is not set, or a brace is not closed.
pub fn expand(name: &Path, value: impl Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    // A name that is not UTF-8 cannot come from a scenario's file.
    let Some(mut rest) = name.to_str() else { return Ok(name.to_path_buf()) };
    let mut expanded = String::new();
    while let Some((before, from)) = rest.split_once("${") {
        let (inside, behind) =
            from.split_once('}').ok_or("a ${ has no }; write ${VARIABLE} or ${VARIABLE:-TEXT}")?;
        let (variable, otherwise) = match inside.split_once(":-") {
            Some((variable, text)) => (variable, Some(text)),
            None => (inside, None),
        };
        let set = value(variable).filter(|text| otherwise.is_none() || !text.is_empty());
        let missing =
            || format!("the variable {variable} is not set; set it, or write ${{{variable}:-TEXT}}");
        expanded.push_str(before);
        expanded.push_str(&set.or_else(|| otherwise.map(str::to_string)).ok_or_else(missing)?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(PathBuf::from(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(name: &str) -> Result<String, String> {
        let value = |variable: &str| match variable {
            "A" => Some("one".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(Path::new(name), value).map(|path| path.to_str().unwrap().to_string())
    }

    #[test]
    fn variables_are_replaced_and_may_have_a_text_of_their_own() {
        for (name, wanted) in [
            ("plain/$A/{A}", "plain/$A/{A}"),
            ("${A}", "one"),
            ("x/${A}/y${A}", "x/one/yone"),
            ("${A:-two}/${EMPTY:-three}/${NONE:-../four}", "one/three/../four"),
            ("${EMPTY}x${NONE:-}", "x"),
        ] {
            assert_eq!(expanded(name).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(expanded("${NONE}").unwrap_err().starts_with("the variable NONE is not set"));
        assert!(expanded("${A").unwrap_err().starts_with("a ${ has no }"));
        assert!(expanded("${}").is_err());
    }
}
