//! The program `siltstone`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use siltstone_catalog::time::{Clock, SystemClock};
use siltstone_server::archive::archive;
use siltstone_server::cli::{Asked, asked};
use siltstone_server::compact::{compact_once, sweep_once};
use siltstone_server::delete::{delete, deletion};
use siltstone_server::parts::{StartError, start_parts};
use siltstone_server::retention::retention;
use siltstone_server::run::run;
use siltstone_server::settings::Resolved;
use siltstone_server::signals::Signals;
use siltstone_server::usage::usage;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How the names of threads begin that work for one query at a time.
const QUERY_THREADS: &str = "query-";

/// Of each thread: statements and filters nest. What is not used takes no memory.
const STACK_BYTES: usize = 8 << 20;

/// A mistake in the settings, as other programs have it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    siltstone_server::allocator::give_back_free_memory();
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match asked(std::env::args_os(), &variables) {
        Ok(Asked::Print(text)) => {
            // A reader that has gone, such as `head`, has seen enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Asked::Run(settings)) => with_log(&settings, run_until_told),
        Ok(Asked::CompactOnce(settings)) => {
            with_log(&settings, |settings| print_outcome(|clock| compact_once(settings, clock)))
        }
        Ok(Asked::Sweep(settings, mode)) => {
            with_log(&settings, |settings| print_outcome(|clock| sweep_once(settings, clock, mode)))
        }
        Ok(Asked::Archive(settings, tenant, traces)) => {
            with_log(&settings, |settings| print_outcome(|clock| archive(settings, clock, tenant, traces)))
        }
        Ok(Asked::Delete(settings, deletion)) => {
            with_log(&settings, |settings| print_outcome(|clock| delete(settings, clock, deletion)))
        }
        Ok(Asked::Deletion(settings, id)) => {
            with_log(&settings, |settings| print_outcome(|clock| deletion(settings, clock, id)))
        }
        Ok(Asked::Usage { settings, of, json }) => {
            with_log(&settings, |settings| print_outcome(|clock| usage(settings, clock, of, json)))
        }
        Ok(Asked::Retention(settings, of)) => {
            with_log(&settings, |settings| print_outcome(|clock| retention(settings, clock, of)))
        }
        Err(error) => {
            eprintln!("siltstone: {error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn with_log(settings: &Resolved, work: impl FnOnce(&Resolved) -> Result<(), String>) -> ExitCode {
    let filter = match EnvFilter::try_new(&settings.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("siltstone: `log` is `{}`: {error}", settings.log);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    for doubt in &settings.doubts {
        tracing::warn!("{doubt}");
    }
    abort_on_panic();
    match work(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("siltstone: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does work that ends by itself, and prints what it says.
fn print_outcome<Work>(work: impl FnOnce(Arc<dyn Clock>) -> Work) -> Result<(), String>
where
    Work: Future<Output = Result<String, StartError>>,
{
    let text =
        runtime("work")?.block_on(work(Arc::new(SystemClock::new()))).map_err(|error| error.to_string())?;
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn runtime(name: &'static str) -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build();
    built.map_err(|error| format!("no runtime can be made: {error}"))
}

fn run_until_told(settings: &Resolved) -> Result<(), String> {
    siltstone_server::allocator::keep_free_memory(settings.role);
    // Plans of queries have threads of their own, so that sockets never wait for them.
    let (sockets, processors) = (runtime("sockets")?, runtime("query-plans")?);
    let of_queries = processors.handle().clone();
    let outcome = sockets.block_on(async {
        let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let start = |metrics, listening| {
            start_parts(settings, Arc::clone(&clock), metrics, listening, of_queries.clone())
        };
        let end = signals.first_then_exit();
        run(settings, Arc::clone(&clock), start, print_line, end).await.map_err(|error| error.to_string())
    });
    processors.shutdown_background();
    outcome
}

/// The one line on standard output: that it has started, and where it listens.
fn print_line(line: String) {
    let mut stdout = std::io::stdout().lock();
    // Nobody may be reading; the log has the same.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    tracing::info!("{line}");
}

/// A statement may find a bug in a library, and must not end an ingester by it: what a query does on its own threads
/// is given up as a whole, and leaves nothing behind that others look at.
///
/// Any other task that panics would leave a process that looks alive. Everything that must survive is in the log.
fn abort_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        if std::thread::current().name().is_some_and(|name| name.starts_with(QUERY_THREADS)) {
            eprintln!("siltstone: a defect was found: the query that met it fails alone");
            return;
        }
        eprintln!(
            "siltstone: a defect was found: the process aborts; its log is read back at the next start"
        );
        std::process::abort();
    }));
}
