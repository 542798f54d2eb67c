//! The page about a card, from the lines of `measure`, of torch_peer.py and of the tests.

use serde_json::Value;
use std::fmt::Write;

/// Writes the page; a line that is no JSON is left out. Ends the program where it cannot.
pub fn write(out: &str, files: &[&str]) {
    let mut lines: Vec<Value> = Vec::new();
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()))
            }
            Err(problem) => eprintln!("{file}: {problem}"),
        }
    }
    let page = page(&lines);
    print!("{page}");
    if let Err(problem) = std::fs::write(out, page) {
        eprintln!("{out}: {problem}");
        std::process::exit(1);
    }
}

struct Table {
    /// Value of "part" of the lines that are rows.
    part: &'static str,
    title: &'static str,
    about: &'static str,
    /// (heading, key)
    columns: &'static [(&'static str, &'static str)],
}

const TABLES: &[Table] = &[
    Table {
        part: "tests",
        title: "Tests on the card",
        about: "The kernels' cases against the CPU, parity of every family with transformers' values, token reduction on \
                both devices, and pruning on the GPU in f32 against the CPU in f64.",
        columns: &[("tests", "name"), ("outcome", "outcome"), ("seconds", "seconds")],
    },
    Table {
        part: "form",
        title: "The form of products",
        about: "A product of 512 rows, [2048, 256] in f16, by each form; what follows was measured with the one that was \
                taken. Differences are from the values of the first.",
        columns: &[
            ("form", "form"),
            ("ms", "ms"),
            ("difference", "difference"),
            ("taken", "taken"),
        ],
    },
    Table {
        part: "prefill",
        title: "Reading a prompt",
        about: "Until the logits of the next token are on the CPU. GPU ms by the card's clock, without the head. Weights are \
                seeded and stored in f16; arithmetic is f32, or f16 for products of many rows where the card has it.",
        columns: &[
            ("model", "model"),
            ("arithmetic", "arithmetic"),
            ("tokens", "tokens"),
            ("ms", "ms"),
            ("GPU ms", "gpu_ms"),
            ("launches", "launches"),
            ("tokens/s", "tokens_per_s"),
            ("TFLOP/s", "tflop_per_s"),
            ("first time, ms", "first_ms"),
        ],
    },
    Table {
        part: "decode",
        title: "Decoding",
        about: "Greedy, one token after the other. GPU ms by the card's clock: the rest of a token is recording, waiting and \
                reading back.",
        columns: &[
            ("model", "model"),
            ("weights", "form"),
            ("after tokens", "past"),
            ("ms a token", "ms"),
            ("GPU ms", "gpu_ms"),
            ("launches a token", "launches"),
            ("tokens/s", "tokens_per_s"),
        ],
    },
    Table {
        part: "torch model",
        title: "PyTorch on the same card",
        about: "transformers' classes with random weights of the same shapes, eager. Its Mambas run without the fused kernels \
                of mamba-ssm, which are not installed there.",
        columns: &[
            ("model", "model"),
            ("precision", "dtype"),
            ("tokens", "tokens"),
            ("prefill, ms", "prefill_ms"),
            ("decode, ms a token", "decode_ms"),
        ],
    },
    Table {
        part: "reduction",
        title: "Token reduction against what its FLOPs promise",
        about: "UTRC with default knobs; the method's own work is in the measured and in the ideal figure.",
        columns: &[
            ("model", "model"),
            ("tokens", "tokens"),
            ("cut", "cut"),
            ("times as fast", "times_as_fast"),
            ("ideal", "ideal"),
            ("of ideal", "of_ideal"),
        ],
    },
    Table {
        part: "packed",
        title: "Packed weights, one row",
        about: "Bytes are those of the stored form.",
        columns: &[
            ("weights", "form"),
            ("shape", "shape"),
            ("ms", "ms"),
            ("GB/s", "gb_per_s"),
            ("times as fast as dense", "times_as_fast_as_dense"),
        ],
    },
    Table {
        part: "kernel",
        title: "Kernels",
        about: "By the card's clock, waits between launches included. Bytes are the least that must move, operations are \
                counted as multiply and add; the shares are of the limits above.",
        columns: &[
            ("kernel", "kernel"),
            ("shape", "shape"),
            ("ms", "ms"),
            ("GB/s", "gb_per_s"),
            ("of the limit", "bandwidth_share"),
            ("GFLOP/s", "gflop_per_s"),
            ("of the limit", "flops_share"),
        ],
    },
    Table {
        part: "load",
        title: "Loading",
        about: "Seconds to make the seeded weights on the CPU, and to bring them to the card.",
        columns: &[("model", "model"), ("made, s", "made_s"), ("to the GPU, s", "to_gpu_s")],
    },
    Table {
        part: "failed",
        title: "Failed",
        about: "",
        columns: &[("what", "what"), ("why", "why")],
    },
    Table {
        part: "left out",
        title: "Left out for want of time",
        about: "",
        columns: &[("what", "what")],
    },
];

fn page(lines: &[Value]) -> String {
    let of = |part: &'static str| lines.iter().filter(move |line| line["part"] == part);
    let card = of("card").next().map_or("no card", |line| line["name"].as_str().unwrap_or(""));
    let mut out = format!(
        "# On a real GPU: {card}\n\nWritten by `cargo xtask gpu`; to change it, run that again.\n"
    );
    if of("card").any(|line| line["quick"] == true) {
        out += "This is a rehearsal with tiny shapes: its figures say nothing about speed.\n";
    }
    let limit = |what: &str, key: &str| {
        of("torch limit").find(|l| l["what"] == what).map(|l| l[key].clone())
    };
    let measured_copy = of("kernel").find(|line| line["kernel"] == "copy");
    let bandwidth =
        limit("copy", "gb_per_s").or(measured_copy.map(|line| line["gb_per_s"].clone()));
    let flops = limit("matmul f32", "gflop_per_s");
    out += "\n## Limits of the card\n\n";
    for line in of("torch limit") {
        let (what, bytes, flops) = (&line["what"], &line["gb_per_s"], &line["gflop_per_s"]);
        let _ = writeln!(
            out,
            "- PyTorch, {}: {} GB/s, {} GFLOP/s",
            text(what),
            text(bytes),
            text(flops)
        );
    }
    let bound = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let _ = writeln!(
        out,
        "- Shares below are of {} GB/s and {} GFLOP/s (f32, no tensor cores).",
        bandwidth.as_ref().map_or("-".into(), text),
        flops.as_ref().map_or("-".into(), text)
    );
    for table in TABLES {
        let rows: Vec<Value> = of(table.part)
            .map(|line| with_shares(line, bound(&bandwidth), bound(&flops)))
            .collect();
        if !rows.is_empty() {
            section(table, &rows, &mut out);
        }
    }
    if of("end").next().is_none() {
        out += "\nThe measurement did not reach its end.\n";
    }
    out
}

fn with_shares(line: &Value, bandwidth: Option<f64>, flops: Option<f64>) -> Value {
    let mut line = line.clone();
    for (to, from, limit) in
        [("bandwidth_share", "gb_per_s", bandwidth), ("flops_share", "gflop_per_s", flops)]
    {
        if let (Some(x), Some(limit)) = (line[from].as_f64(), limit) {
            line[to] = format!("{:.1} %", 100.0 * x / limit).into();
        }
    }
    line
}

fn section(table: &Table, rows: &[Value], out: &mut String) {
    let headings: Vec<&str> = table.columns.iter().map(|(heading, _)| *heading).collect();
    let _ = writeln!(out, "\n## {}\n", table.title);
    if !table.about.is_empty() {
        let _ = writeln!(out, "{}\n", table.about);
    }
    let _ = writeln!(out, "| {} |\n|{}", headings.join(" | "), "---|".repeat(headings.len()));
    for row in rows {
        let cells: Vec<String> = table.columns.iter().map(|(_, key)| text(&row[*key])).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.replace('|', "/").replace('\n', " "),
        other => other.to_string().trim_end_matches(".0").into(),
    }
}
