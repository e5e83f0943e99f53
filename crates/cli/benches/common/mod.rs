//! What the benches of two ways share: which rows are asked for, how often, and the middle of what came of it.

/// What the command line asks for.
pub(crate) struct Asked {
    names: Vec<String>,
    pub(crate) rounds: usize,
    load: String,
}

impl Asked {
    /// `Err`: the workload that this very file was started again for.
    pub(crate) fn of_command_line() -> Result<Asked, Vec<String>> {
        let mut args: Vec<String> = std::env::args().skip(1).collect();
        if args.first().is_some_and(|first| first == "work") {
            return Err(args.split_off(1));
        }
        let mut names = Vec::new();
        let mut rounds = 7;
        let mut args = args.into_iter().filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(1),
                _ => names.push(arg),
            }
        }
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().unwrap_or("?").to_string();
        Ok(Asked {
            names,
            rounds,
            load,
        })
    }

    pub(crate) fn wants(&self, what: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| what.contains(name.as_str()))
    }

    /// The last line.
    pub(crate) fn close(&self) {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let Asked { rounds, load, .. } = self;
        println!("\nMedians of {rounds}. {cpus} CPUs, load average at the start {load}.");
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
