//! Prints the table of `make simulate`: calls to rest-sessions, cache hits, and how long ended sessions are still served.

mod simulation;

use std::process::ExitCode;

use simulation::{Outcome, PAGES_PER_SECOND, REQUESTS_PER_PAGE, SECONDS, Settings, USERS, run};

const ENVOYS: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const WORKERS: [u32; 4] = [1, 2, 8, 32];
const TTLS_S: [u64; 5] = [0, 1, 5, 15, 60];

fn main() -> ExitCode {
    println!(
        "{USERS} users by Zipf, {PAGES_PER_SECOND} pages a second of {REQUESTS_PER_PAGE} requests each, each page at any \
         worker of any Envoy; {SECONDS} s of a virtual clock.\n"
    );
    println!(
        "| Envoys | workers | `ttl` | calls/s, shared | hits | calls/s, each alone | hits | ended, still served |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for envoys in ENVOYS {
        for workers in WORKERS {
            for ttl_s in TTLS_S {
                let settings = Settings { envoys, workers, ttl_ms: ttl_s * 1_000, shared: true };
                let (shared, alone) = (run(settings), run(Settings { shared: false, ..settings }));
                let max_late_ms = shared.max_late_ms.max(alone.max_late_ms);
                println!(
                    "| {envoys} | {workers} | {ttl_s} s | {} | {} | {:.1} s |",
                    figures(&shared),
                    figures(&alone),
                    max_late_ms as f64 / 1_000.0
                );
                if max_late_ms > settings.ttl_ms {
                    eprintln!("simulate: a session was served {max_late_ms} ms after its end, with {settings:?}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn figures(outcome: &Outcome) -> String {
    let hits = outcome.hits as f64 * 100.0 / outcome.requests.max(1) as f64;
    format!("{} | {hits:.0} %", outcome.calls / SECONDS)
}
