//! The program: arguments to a mode, a mode to its work, an error to its line and exit code.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::broker::{Dry, inspect};
use crate::cli::{self, AboutFormat, Cli, Mode};
use crate::error::{Error, Kind};
use crate::logging;
use crate::pipeline::{Run, start_reader};
use crate::progress;
use crate::registry;
use crate::route::Routes;
use crate::settings::environment::auto_log_format;
use crate::settings::load::{Loaded, Note, load, read_files};
use crate::settings::{LogFormat, Settings, about};
use crate::stderr;
use crate::target::{input_pool, nats_deliveries};

/// A second signal within this time, of the other kind, is the same wish: Meltano sends SIGINT to the group
/// and SIGTERM a moment later.
const SIGNAL_PAIR: Duration = Duration::from_secs(1);

/// How long `--dry-run` waits for who reads it: `| less` may be left open over night.
const DRY_PATIENCE: Duration = Duration::from_hours(24);

/// Runs the program with the arguments behind its name, and returns its exit code. A run that was ended by
/// a signal does not return: the process dies by that signal.
pub fn run_program(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut log_format = LogFormat::Text;
    let outcome = cli::parse(&args).and_then(|cli| run_mode(&cli, &mut log_format));
    let exit_code = outcome.map_or_else(|error| fail(&error, log_format), |()| 0);
    stderr::finish();
    exit_code
}

/// Says why the program fails, and returns its exit code.
fn fail(error: &Error, format: LogFormat) -> i32 {
    progress::clear();
    if error.kind() == Kind::Usage {
        stderr::write_line(&cli::render_usage_error(error));
    } else {
        logging::print_error(error, format);
    }
    if let Kind::Signal(signal) = error.kind() {
        stderr::finish();
        // It does not return, but for signals that do not end a process.
        let _ = emulate_default_handler(signal);
    }
    error.kind().exit_code()
}

fn run_mode(cli: &Cli, log_format: &mut LogFormat) -> Result<(), Error> {
    match cli.mode {
        Mode::Help => print(&(cli::render_help() + "\n" + &about::render_help())),
        Mode::Version => print(&about::render_version()),
        Mode::About(format) => {
            read_files(&cli.config)?;
            print(&match format {
                AboutFormat::Text => about::render_text(),
                AboutFormat::Json => about::render_json(),
                AboutFormat::Markdown => about::render_markdown(),
            })
        }
        Mode::Run | Mode::DryRun | Mode::Check => {
            let input = open_input(cli)?;
            let environment = |name: &str| std::env::var_os(name);
            *log_format = auto_log_format(&environment);
            let level = logging::level_from_env(&environment)?;
            let Loaded { settings, notes } = load(&cli.config, &environment, Path::new(".env"))?;
            *log_format = settings.log_format;
            std::panic::set_hook(Box::new({
                let format = settings.log_format;
                move |panic| end_by_panic(panic, format)
            }));
            logging::start(level, settings.log_format);
            log::info!("{}", about::render_version().trim_end());
            notes.iter().for_each(Note::write);
            match cli.mode {
                Mode::Check => check(&settings),
                Mode::DryRun => dry_run(settings, input),
                _ => run(settings, input),
            }
        }
    }
}

/// The file of `--input`, before anything is logged: a wrong name is a usage error.
fn open_input(cli: &Cli) -> Result<Option<File>, Error> {
    let open = |path: &PathBuf| File::open(path).map_err(|error| cli::input_error(path, &error));
    cli.input.as_ref().map(open).transpose()
}

fn run(settings: Settings, input: Option<File>) -> Result<(), Error> {
    let run = Run {
        deliveries: nats_deliveries(&settings)?,
        settings,
        sink: Box::new(|state| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(state.as_bytes())?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        }),
        signals: watch_signals()?,
        shows_progress: progress::is_wanted(),
    };
    run_on(run, input)
}

/// The whole pipeline, with a printer in place of the server. States are receipts, so there are none.
fn dry_run(settings: Settings, input: Option<File>) -> Result<(), Error> {
    let format = settings.payload_format;
    let run = Run {
        deliveries: Box::new(move |_| Box::new(Dry::new(Box::new(io::stdout()), format))),
        settings: Settings {
            // So that messages are printed in input order.
            workers: 1,
            // No registry is asked either.
            registry: None,
            // There is no server to wait for, and a reader may take its time.
            confirm_timeout: DRY_PATIENCE,
            ..settings
        },
        sink: Box::new(|_| Ok(())),
        signals: watch_signals()?,
        shows_progress: false,
    };
    run_on(run, input)
}

fn run_on(run: Run, input: Option<File>) -> Result<(), Error> {
    let pool = input_pool(&run.settings);
    let flow = run.prepare()?;
    let source = match input {
        Some(file) => start_reader("reader", move || Ok(file), pool)?,
        None => start_reader("reader", || Ok(io::stdin().lock()), pool)?,
    };
    flow.run(&source).map(drop)
}

/// Compiles the templates, looks at the server and at the registry, and prints what it sees. Nothing is published and
/// nothing registered.
fn check(settings: &Settings) -> Result<(), Error> {
    let origins = Routes::compile(settings)?.known_origins();
    let mut tell = |name: &str, text: &str| print(&format!("{name:<12} {text}\n"));
    inspect(settings, &origins, &mut tell)?;
    let Some(registry) = &settings.registry else {
        return Ok(());
    };
    let names = settings.subjects.iter().map(|(pattern, _)| &**pattern);
    let streams: Vec<&str> = names
        .filter(|pattern| !pattern.contains(['*', '?']))
        .collect();
    registry::inspect(registry, settings.payload_format, &streams, &mut tell)
}

fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            Error::new(Kind::Refused, "standard output cannot be written").cause(error)
        })
}

/// Passes SIGINT and SIGTERM to the run, the first time. Another one ends the process at once.
fn watch_signals() -> Result<Receiver<i32>, Error> {
    let internal = |error| Error::new(Kind::Internal, "signals cannot be watched").cause(error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(internal)?;
    let (sender, receiver) = crossbeam_channel::bounded(1);
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut first: Option<(i32, Instant)> = None;
            for signal in signals.forever() {
                match first {
                    None => {
                        first = Some((signal, Instant::now()));
                        // The run has ended: then the process is about to.
                        let _ = sender.send(signal);
                    }
                    Some((other, at)) if other != signal && at.elapsed() < SIGNAL_PAIR => {}
                    Some(_) => {
                        let _ = emulate_default_handler(signal);
                    }
                }
            }
        })
        .map(|_| receiver)
        .map_err(internal)
}

/// A panic in any thread is an error of the run. The release build aborts on a panic, and an abort is
/// exit 134 and a core file, so the process ends here.
fn end_by_panic(panic: &PanicHookInfo<'_>, format: LogFormat) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let thread = thread::current().name().unwrap_or("unnamed").to_owned();
    let what =
        format!("a defect of this program, or of a library in it, in thread {thread} at {place}");
    logging::print_error(&Error::new(Kind::Internal, what).cause(message), format);
    stderr::finish();
    std::process::exit(Kind::Internal.exit_code());
}
