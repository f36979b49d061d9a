//! The command line.
//!
//! argh parses it and writes `--help`. What argh lacks stands in front of it: `--name=value`, options that
//! may be repeated, and errors in the words of the SDK's command line. No file is opened here.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FlagInfoKind, FromArgs};

use crate::error::{Error, Kind};
use crate::nearest::nearest;

const PROGRAM: &str = "target-nats";

/// What the program is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Check,
    DryRun,
    About(AboutFormat),
    Version,
    Help,
}

/// How `--about` is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AboutFormat {
    Text,
    Json,
    Markdown,
}

/// A command line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cli {
    pub(crate) mode: Mode,
    /// The `--config` arguments in their order; one of them may be `ENV`.
    pub(crate) config: Vec<String>,
    /// `None` is standard input.
    pub(crate) input: Option<PathBuf>,
}

/// Execute the Singer target.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"), usage = "[OPTIONS]")]
struct Options {
    /// display the version and exit
    #[argh(switch)]
    version: bool,
    /// display the target's capabilities and settings and exit
    #[argh(switch)]
    about: bool,
    /// style of --about: json or markdown (default: plain text)
    #[argh(option, arg_name = "style")]
    format: Vec<String>,
    /// configuration file, or ENV to use environment variables; may be repeated, and the last file
    /// with a setting wins
    #[argh(option, arg_name = "file")]
    config: Vec<String>,
    /// read messages from this file instead of standard input
    #[argh(option, arg_name = "file")]
    input: Vec<String>,
    /// connect, look at what is there, report and exit without publishing
    #[argh(switch)]
    check: bool,
    /// print each message instead of publishing it; no server is needed
    #[argh(switch)]
    dry_run: bool,
}

/// Understands the arguments behind the program's name.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, Error> {
    let typed = split_arguments(args)?;
    let args: Vec<&str> = typed.args.iter().map(String::as_str).collect();
    let options = Options::from_args(&[PROGRAM], &args)
        .map_err(|exit| usage_error(exit.output.trim_end()))?;
    let format = match options.format.last() {
        Some(name) => parse_about_format(name)?,
        None => AboutFormat::Text,
    };
    if options.check && options.dry_run {
        return Err(usage_error(
            "Options '--check' and '--dry-run' exclude each other.",
        ));
    }
    let mode = if typed.help {
        Mode::Help
    } else if options.version {
        Mode::Version
    } else if options.about {
        Mode::About(format)
    } else if options.check {
        Mode::Check
    } else if options.dry_run {
        Mode::DryRun
    } else {
        Mode::Run
    };
    let input = options
        .input
        .last()
        .filter(|name| *name != "-")
        .map(PathBuf::from);
    Ok(Cli {
        mode,
        config: options.config,
        input,
    })
}

/// What `--help` prints, but for the settings.
pub(crate) fn render_help() -> String {
    match Options::from_args(&[PROGRAM], &["--help"]) {
        Err(exit) => exit.output,
        Ok(_) => String::new(),
    }
}

/// What a usage error prints on standard error, without the last line end.
pub(crate) fn render_usage_error(error: &Error) -> String {
    format!("Usage: {PROGRAM} [OPTIONS]\nTry '{PROGRAM} --help' for help.\n\nError: {error}")
}

/// The error of an `--input` file that cannot be opened.
pub(crate) fn input_error(path: &Path, error: &io::Error) -> Error {
    // The system's words alone, as the SDK's command line has them, without std's error number.
    let cause = error.to_string();
    let cause = cause.split(" (os error").next().unwrap_or_default();
    usage_error(format!(
        "Invalid value for '--input': '{}': {cause}",
        path.display()
    ))
}

fn usage_error(what: impl Into<String>) -> Error {
    Error::new(Kind::Usage, what)
}

/// `text` is what is printed without a style, and yet no style: so it is in the SDK.
fn parse_about_format(name: &str) -> Result<AboutFormat, Error> {
    match name.to_ascii_lowercase().as_str() {
        "json" => Ok(AboutFormat::Json),
        "markdown" => Ok(AboutFormat::Markdown),
        _ => Err(usage_error(format!(
            "Invalid value for '--format': '{name}' is not one of 'json', 'markdown'."
        ))),
    }
}

/// Arguments as argh takes them, and whether help was asked for: argh would refuse what follows it.
#[derive(Default)]
struct Typed {
    args: Vec<String>,
    help: bool,
}

fn split_arguments(args: &[OsString]) -> Result<Typed, Error> {
    let flags = Options::get_args_info().flags;
    let mut typed = Typed::default();
    let mut extra: Vec<&str> = Vec::new();
    let mut only_extra = false;
    let mut args = args.iter().map(|arg| {
        arg.to_str().ok_or_else(|| {
            usage_error(format!(
                "The argument '{}' is not UTF-8.",
                arg.to_string_lossy()
            ))
        })
    });
    while let Some(arg) = args.next().transpose()? {
        if only_extra || arg == "-" || !arg.starts_with('-') {
            extra.push(arg);
            continue;
        }
        if arg == "--" {
            only_extra = true;
            continue;
        }
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (arg, None),
        };
        let takes_value = match flags.iter().find(|flag| flag.long == name) {
            Some(flag) => matches!(flag.kind, FlagInfoKind::Option { .. }),
            None => return Err(no_such_option(name, flags.iter().map(|flag| flag.long))),
        };
        match (takes_value, value) {
            (false, Some(_)) => {
                return Err(usage_error(format!(
                    "Option '{name}' does not take a value."
                )));
            }
            (false, None) if name == HELP => typed.help = true,
            (false, None) => typed.args.push(name.to_owned()),
            (true, value) => {
                let value = match value {
                    Some(value) => Some(value),
                    None => args.next().transpose()?,
                };
                let value = value
                    .ok_or_else(|| usage_error(format!("Option '{name}' requires an argument.")))?;
                typed.args.extend([name.to_owned(), value.to_owned()]);
            }
        }
    }
    match extra.as_slice() {
        [] => Ok(typed),
        [one] => Err(usage_error(format!(
            "Got unexpected extra argument ({one})"
        ))),
        several => Err(usage_error(format!(
            "Got unexpected extra arguments ({})",
            several.join(" ")
        ))),
    }
}

const HELP: &str = "--help";

fn no_such_option<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let mut what = format!("No such option '{name}'.");
    if let Some(near) = nearest(name, known) {
        // Writing to a String cannot fail.
        let _ = write!(what, " Did you mean '{near}'?");
    }
    usage_error(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_texts(args: &[&str]) -> Result<Cli, Error> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check_mode(args: &[&str], expected: Mode) {
        assert_eq!(parse_texts(args).unwrap().mode, expected);
    }

    #[track_caller]
    fn check(args: &[&str], config: &[&str], input: Option<&str>) {
        let cli = parse_texts(args).unwrap();
        assert_eq!(cli.mode, Mode::Run);
        assert_eq!(cli.config, config);
        assert_eq!(cli.input, input.map(PathBuf::from));
    }

    #[track_caller]
    fn check_refused(args: &[&str], expected: &str) {
        let error = parse_texts(args).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn options_may_be_repeated_and_joined_to_their_values() {
        check(&[], &[], None);
        check(
            &["--config", "a", "--config=b=c", "--config", "ENV"],
            &["a", "b=c", "ENV"],
            None,
        );
        check(&["--config="], &[""], None);
        check(&["--config", "--about"], &["--about"], None);
        check(
            &["--config", "--help", "--config=--help"],
            &["--help", "--help"],
            None,
        );
        check(&["--input", "a", "--input=b"], &[], Some("b"));
        check(&["--input", "a", "--input", "-"], &[], None);
        check(&["--format=JSON", "--format", "markdown"], &[], None);
        check(&["--"], &[], None);
    }

    #[test]
    fn modes() {
        check_mode(&["--check"], Mode::Check);
        check_mode(&["--dry-run", "--dry-run"], Mode::DryRun);
        check_mode(&["--about"], Mode::About(AboutFormat::Text));
        check_mode(
            &["--config", "x", "--about", "--format=json"],
            Mode::About(AboutFormat::Json),
        );
        check_mode(
            &["--format", "text", "--format", "Markdown", "--about"],
            MARKDOWN,
        );
        check_mode(
            &["--version", "--about", "--config", "/nope"],
            Mode::Version,
        );
        check_mode(&["--version", "--help", "--about"], Mode::Help);
    }

    const MARKDOWN: Mode = Mode::About(AboutFormat::Markdown);

    #[test]
    fn what_is_not_understood_is_told_in_the_words_of_the_sdk() {
        check_refused(
            &["--foo"],
            "No such option '--foo'. Did you mean '--format'?",
        );
        check_refused(
            &["--foo=SECRET"],
            "No such option '--foo'. Did you mean '--format'?",
        );
        check_refused(
            &["--vers"],
            "No such option '--vers'. Did you mean '--version'?",
        );
        check_refused(&["-h"], "No such option '-h'.");
        check_refused(&["--help", "-c"], "No such option '-c'.");
        check_refused(&["x"], "Got unexpected extra argument (x)");
        check_refused(
            &["x", "--about", "-", "--", "-y"],
            "Got unexpected extra arguments (x - -y)",
        );
        check_refused(&["--config"], "Option '--config' requires an argument.");
        check_refused(
            &["--about", "--input"],
            "Option '--input' requires an argument.",
        );
        check_refused(
            &["--version=1"],
            "Option '--version' does not take a value.",
        );
        check_refused(&["--help="], "Option '--help' does not take a value.");
        check_refused(
            &["--format", "text"],
            "Invalid value for '--format': 'text' is not one of 'json', 'markdown'.",
        );
        check_refused(
            &["--check", "--dry-run"],
            "Options '--check' and '--dry-run' exclude each other.",
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_that_is_not_utf8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let error = parse(&["--config".into(), OsString::from_vec(vec![b'a', 0xff])]).unwrap_err();
        assert_eq!(error.to_string(), "The argument 'a\u{fffd}' is not UTF-8.");
    }

    #[test]
    fn usage_errors_are_four_lines() {
        let error = parse_texts(&["--foo"]).unwrap_err();
        assert_eq!(
            render_usage_error(&error),
            "Usage: target-nats [OPTIONS]\nTry 'target-nats --help' for help.\n\n\
             Error: No such option '--foo'. Did you mean '--format'?"
        );
        let missing = input_error(Path::new("/x"), &io::Error::from_raw_os_error(2));
        assert_eq!(
            missing.to_string(),
            "Invalid value for '--input': '/x': No such file or directory"
        );
    }

    #[test]
    fn help_names_every_option() {
        let help = render_help();
        for flag in Options::get_args_info().flags {
            assert!(help.contains(flag.long), "{help}");
        }
    }
}
