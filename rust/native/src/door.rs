//! The one way to run long work: off the GIL, on the pool, errors mapped, Ctrl-C noticed.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use beatweaver_core::corpus::Watch;
use beatweaver_core::{Error, Result};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Environment variable that sizes the shared pool.
const THREADS_VARIABLE: &str = "BEATWEAVER_THREADS";

/// Far above any machine this runs on, and low enough that a typing error does not exhaust it.
const MAX_THREADS: usize = 1024;

/// The shared pool and the process that made it. After a fork the child has the pool's memory but none of its threads,
/// and work given to it would wait for ever; the process id tells the two apart.
static POOL: OnceLock<(u32, ThreadPool)> = OnceLock::new();

/// Runs `work` detached from the interpreter, with rayon's parallel iterators on a pool of this library.
///
/// `threads` 0 means the shared pool (sized by `BEATWEAVER_THREADS`, or all cores), any other number a pool of that
/// size for this call. In a forked child work runs on one thread. A Ctrl-C that came meanwhile is raised afterwards as
/// `KeyboardInterrupt` and wins over the result.
pub(crate) fn run<T, F>(py: Python<'_>, threads: usize, work: F) -> PyResult<T>
where
    T: Send,
    F: FnOnce() -> Result<T> + Send,
{
    let outcome = match pool(threads) {
        Ok(Pool::Shared(pool)) => py.detach(|| pool.install(work)),
        Ok(Pool::Own(pool)) => py.detach(|| pool.install(work)),
        Err(error) => Err(error),
    };
    py.check_signals()?;
    outcome.map_err(|error| crate::error::to_python(py, &error))
}

/// How often long work looks up: for Ctrl-C, and to say how far it is.
const TICK: Duration = Duration::from_millis(100);

/// As [`run`], for work that takes long enough to be watched: `progress(done, total)` is called at most ten times a second
/// and once at the end, and a Ctrl-C (or an exception from `progress`) stops the work at its next item.
pub(crate) fn run_watched<T, F>(
    py: Python<'_>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
    work: F,
) -> PyResult<T>
where
    T: Send,
    F: FnOnce(&Watch) -> Result<T> + Send,
{
    let pool = pool(threads).map_err(|error| crate::error::to_python(py, &error))?;
    let progress = progress.map(|p| p.clone().unbind());
    let watch = Watch::default();
    let report = |py: Python<'_>| -> PyResult<()> {
        if let Some(progress) = &progress {
            progress.call1(py, (watch.done.load(Ordering::Relaxed), watch.total.load(Ordering::Relaxed)))?;
        }
        Ok(())
    };
    let mut interrupted = None;
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            let (send, finished) = std::sync::mpsc::channel::<()>();
            let watch = &watch;
            let worker = scope.spawn(move || {
                // Dropped when the work ends, however it ends.
                let _send = send;
                match pool {
                    Pool::Shared(pool) => pool.install(|| work(watch)),
                    Pool::Own(pool) => pool.install(|| work(watch)),
                }
            });
            while finished.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if interrupted.is_none() {
                    // Only the thread that called notices signals: this one.
                    interrupted = Python::attach(|py| py.check_signals().and_then(|()| report(py)).err());
                    watch.stop.fetch_or(interrupted.is_some(), Ordering::Relaxed);
                }
            }
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    });
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    py.check_signals()?;
    report(py)?;
    outcome.map_err(|error| crate::error::to_python(py, &error))
}

enum Pool {
    Shared(&'static ThreadPool),
    Own(ThreadPool),
}

/// Called while attached, so that no fork can fall into the making of the shared pool (`os.fork` needs the GIL).
fn pool(threads: usize) -> Result<Pool> {
    let own = std::process::id();
    if POOL.get().is_some_and(|(owner, _)| *owner != own) {
        return build("threads", 1).map(Pool::Own);
    }
    if threads > 0 {
        return build("threads", threads).map(Pool::Own);
    }
    if let Some((_, pool)) = POOL.get() {
        return Ok(Pool::Shared(pool));
    }
    let pool = build(THREADS_VARIABLE, threads_wanted()?)?;
    Ok(Pool::Shared(&POOL.get_or_init(|| (own, pool)).1))
}

fn threads_wanted() -> Result<usize> {
    match std::env::var(THREADS_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text.trim().parse().map_err(|_| out_of_range(THREADS_VARIABLE, &text)),
        _ => Ok(0),
    }
}

fn build(field: &str, threads: usize) -> Result<ThreadPool> {
    if threads > MAX_THREADS {
        return Err(out_of_range(field, &threads.to_string()));
    }
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("beatweaver-{index}"))
        .build()
        .map_err(|error| Error::Spec { field: field.to_owned(), problem: format!("cannot start the threads: {error}") })
}

fn out_of_range(field: &str, found: &str) -> Error {
    Error::Spec {
        field: field.to_owned(),
        problem: format!("found {found:?}, expected a whole number from 0 (all cores) to {MAX_THREADS}"),
    }
}

/// How many threads a call with this `threads` works on.
///
/// Args:
///     threads: 0 for the shared pool, whose size is `BEATWEAVER_THREADS` or the number of cores.
///
/// Returns:
///     The size of the pool; 1 in a forked child once the parent has used the shared pool.
///
/// Raises:
///     ConfigError: `threads` or `BEATWEAVER_THREADS` is above 1024 or not a number.
#[pyfunction]
#[pyo3(signature = (*, threads = 0))]
pub(crate) fn thread_count(py: Python<'_>, threads: usize) -> PyResult<usize> {
    run(py, threads, || Ok(rayon::current_num_threads()))
}
