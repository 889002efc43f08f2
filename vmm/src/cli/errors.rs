//! What is wrong with a command line, in one line: the thing, the reason, and the fix.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;
use super::foreign::instead_of;

/// The line for what clap objects to in `arguments`, which begin with the program's name.
pub(super) fn one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    let asked = Asked::new(arguments);
    let thing = || text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{} lacks its value{}; {}", thing(), one_of(error), asked.see_help())
        }
        ErrorKind::InvalidValue => {
            let hint = hint(&text(error, ContextKind::SuggestedValue));
            format!("{}: '{value}' is not possible{}{}", thing(), one_of(error), hint.unwrap_or_default())
        }
        ErrorKind::UnknownArgument => unknown(error, &asked),
        ErrorKind::InvalidSubcommand => {
            let (name, names) = (text(error, ContextKind::InvalidSubcommand), asked.subcommands());
            let hint = hint(&text(error, ContextKind::SuggestedSubcommand)).unwrap_or_default();
            format!("'{}' has no command '{name}', there are {names}{hint}; {}", asked.path, asked.see_help())
        }
        ErrorKind::MissingRequiredArgument => missing(&thing(), &asked),
        ErrorKind::ArgumentConflict => conflict(&thing(), &text(error, ContextKind::PriorArg)),
        ErrorKind::TooManyValues => format!("{} takes no value, but has '{value}'; leave it out", thing()),
        ErrorKind::InvalidUtf8 => asked.not_text(),
        _ => plain(error),
    }
}

/// The line for a launcher's option that clap takes for `-h`, such as `-hda`, if there is one.
pub(super) fn instead_of_help(arguments: &[OsString]) -> Option<String> {
    let asked = Asked::new(arguments);
    let words = arguments.iter().filter_map(|word| word.to_str());
    let mut foreign = words.filter(|word| word.starts_with("-h") && *word != "-h");
    foreign
        .find_map(|word| asked.launches().then(|| instead_of(word)).flatten().map(|it| no_option(word, it)))
}

/// clap's own sentence, and for a value that a parser of ours refuses its reason and fix.
fn plain(error: &clap::Error) -> String {
    let text = error.to_string();
    let body = text.split("\n\n").next().unwrap_or_default();
    let line = body.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_string()
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(one)) => one.clone(),
        Some(ContextValue::Strings(many)) => many.join(", "),
        _ => String::new(),
    }
}

fn one_of(error: &clap::Error) -> String {
    let possible = text(error, ContextKind::ValidValue);
    if possible.is_empty() { possible } else { format!("; it is one of {possible}") }
}

fn hint(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| format!("; did you mean {name}?"))
}

fn no_option(word: &str, instead: &str) -> String {
    format!("there is no {word}: {instead}")
}

fn unknown(error: &clap::Error, asked: &Asked) -> String {
    let named = text(error, ContextKind::InvalidArg);
    let word = asked.whole_word(&named);
    if !word.starts_with('-') {
        if let Some(option) = asked.option_before(&word) {
            return format!(
                "'{}' takes no argument '{word}'; if it is the option's, write {option}={word}",
                asked.path
            );
        }
        let fix = match asked.launches() {
            true => "the kernel goes with --kernel FILE, its command line with --append STRING".to_string(),
            false => asked.see_help(),
        };
        return format!("'{}' takes no argument '{word}'; {fix}", asked.path);
    }
    if let Some(instead) = asked.launches().then(|| instead_of(&word)).flatten() {
        return no_option(&word, instead);
    }
    let fix = asked
        .owner_of(&word)
        .map(|other| format!("; '{other}' has it"))
        .or_else(|| hint(&text(error, ContextKind::SuggestedArg)))
        .unwrap_or_else(|| format!("; {}", asked.see_help()));
    format!("'{}' has no option {word}{fix}", asked.path)
}

/// The line for a missing argument that clap does not know to be needed.
pub(super) fn lacks(what: &str, arguments: &[OsString]) -> String {
    missing(what, &Asked::new(arguments))
}

fn missing(what: &str, asked: &Asked) -> String {
    let usage = asked.command.get_arguments().filter(|argument| argument.is_positional());
    let files: Vec<_> = usage.map(|argument| argument.get_id().as_str().to_uppercase()).collect();
    let fix = match files.iter().any(|file| what.contains(&format!("<{file}>"))) {
        true => format!("name what --trace made, as in '{} {}'", asked.path, files.join(" ")),
        false => asked.see_help(),
    };
    format!("'{}' lacks {what}; {fix}", asked.path)
}

fn conflict(thing: &str, prior: &str) -> String {
    if prior.is_empty() || prior == thing {
        return format!("{thing} is given twice; leave one out");
    }
    format!("{thing} cannot be used with {prior}; leave one of them out")
}

/// What the arguments ask for, as far as it can be told.
struct Asked<'a> {
    arguments: &'a [OsString],
    /// The command and subcommands that were named, such as `fencepost trace report`.
    path: String,
    command: Command,
}

impl Asked<'_> {
    fn new(arguments: &[OsString]) -> Asked<'_> {
        let (mut path, mut command) = ("fencepost".to_string(), Cli::command());
        for word in arguments.iter().skip(1) {
            let named = word.to_str().and_then(|word| command.find_subcommand(word).cloned());
            let Some(named) = named else { break };
            path = format!("{path} {}", named.get_name());
            command = named;
        }
        Asked { arguments, path, command }
    }

    fn see_help(&self) -> String {
        format!("see '{} --help'", self.path)
    }

    /// Whether it starts a machine.
    fn launches(&self) -> bool {
        ["run", "demo"].contains(&self.command.get_name())
    }

    fn subcommands(&self) -> String {
        let names: Vec<_> =
            self.command.get_subcommands().filter(|it| !it.is_hide_set()).map(Command::get_name).collect();
        names.join(", ")
    }

    /// The argument that clap names by its first letter, as in `-k` of `-kernel`, without a value behind `=`.
    fn whole_word(&self, named: &str) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        let letter = named.len() == 2 && named.starts_with('-');
        let whole = letter.then(|| words.into_iter().find(|word| word.starts_with(named))).flatten();
        let whole = whole.unwrap_or(named.into());
        whole.split('=').next().unwrap_or(named).to_string()
    }

    /// The option right before `word`, if its value may only come behind `=`.
    fn option_before(&self, word: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == word)?;
        let option = self.arguments.get(at.checked_sub(1)?)?.to_str()?;
        let name = option.strip_prefix("--")?;
        let mut all = self.command.get_arguments();
        all.any(|it| it.get_long() == Some(name) && it.is_require_equals_set()).then_some(option)
    }

    /// Another command that has this option.
    fn owner_of(&self, word: &str) -> Option<String> {
        let name = word.strip_prefix("--")?;
        let has = |command: &Command| command.get_arguments().any(|it| it.get_long() == Some(name));
        let all = Cli::command();
        let owner = all.get_subcommands().find(|command| has(command))?;
        Some(format!("fencepost {}", owner.get_name()))
    }

    /// An argument that must be text is none.
    fn not_text(&self) -> String {
        let at = self.arguments.iter().position(|word| word.to_str().is_none()).unwrap_or_default();
        let option = self.arguments[..at].last().and_then(|word| word.to_str()).unwrap_or_default();
        let option = if option.starts_with('-') { format!("{option}: ") } else { String::new() };
        let word =
            self.arguments.get(at).map(OsString::as_os_str).map(OsStr::to_string_lossy).unwrap_or_default();
        format!(
            "{option}'{}' is not UTF-8; write it in UTF-8, or name a link to the file",
            word.escape_debug()
        )
    }
}
