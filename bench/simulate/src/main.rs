//! What `make simulate` prints: calls to rest-sessions, hits, and how long an end may go unseen, over a grid.

mod simulation;

use std::process::ExitCode;

use simulation::{Outcome, PAGES_A_SECOND, REQUESTS_A_PAGE, SECONDS, Setting, USERS, run};

const ENVOYS: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const WORKERS: [u32; 4] = [1, 2, 8, 32];
const TTLS_S: [u64; 5] = [0, 1, 5, 15, 60];

fn main() -> ExitCode {
    println!(
        "{USERS} users by Zipf, {PAGES_A_SECOND} pages a second of {REQUESTS_A_PAGE} requests each, each page at any \
         worker of any Envoy; {SECONDS} s of a virtual clock.\n"
    );
    println!(
        "| Envoys | workers | `ttl` | calls/s, shared | hits | calls/s, each alone | hits | ended, still served |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for envoys in ENVOYS {
        for workers in WORKERS {
            for ttl_s in TTLS_S {
                let setting = Setting { envoys, workers, ttl_ms: ttl_s * 1_000, shared: true };
                let (shared, alone) = (run(setting), run(Setting { shared: false, ..setting }));
                let late_ms = shared.late_ms.max(alone.late_ms);
                println!(
                    "| {envoys} | {workers} | {ttl_s} s | {} | {} | {:.1} s |",
                    figures(&shared),
                    figures(&alone),
                    late_ms as f64 / 1_000.0
                );
                if late_ms > setting.ttl_ms {
                    eprintln!("simulate: a session was served {late_ms} ms after its end, with {setting:?}");
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
