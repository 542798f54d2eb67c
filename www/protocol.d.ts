// Made from src/session/protocol.rs by `WRITE=1 cargo test --lib session::declarations`. A test fails where it is behind.

/** A request as it is sent: what a person did, and its number. */
export type Ask = Numbered & Request;

/**
 * The number of a request. Stands beside its fields in the message: `{ id: 7, type: "run" }`.
 */
export type Numbered = { id: number, };

/**
 * What a person did.
 */
export type Request = { "type": "hello", fragment: string, base: string, } | { "type": "set", name: string, value: string, } | { "type": "run" } | { "type": "cancel" } | { "type": "link", fragment: string, } | { "type": "reset" } | { "type": "open", files: Array<File>, } | { "type": "preview", name: string, value: string, } | { "type": "sweep", knob: string, values: Array<string>, } | { "type": "pause" } | { "type": "ping" };

/**
 * A file that the user opened.
 */
export type File = { name: string, bytes: Uint8Array, };

/**
 * What the engine says.
 */
export type Event = { "type": "catalog" } & Catalog | { "type": "view" } & View | { "type": "status", status: Status, } | { "type": "result", run: number, part: Part, } | { "type": "cost", answers: number, cost: PaperCost, } | { "type": "point", series: string, point: Point, } | { "type": "pong" } | { "type": "failed", text: string, };

export type Catalog = { version: number, models: Array<ModelChoice>, reductions: Array<About>, prunings: Array<About>, evaluations: Array<About>, 
/**
 * Id and name for people.
 */
backends: Array<[string, string]>, };

/**
 * A bundled model before it is loaded.
 */
export type ModelChoice = { id: string, label: string, 
/**
 * model_type
 */
family: string, parameters: number, bytes: number, 
/**
 * Evaluations that make sense for it.
 */
evaluations: Array<string>, };

/**
 * A method's description of itself.
 */
export type About = { 
/**
 * Short name used in SPECs and links.
 */
id: string, 
/**
 * Name for people.
 */
label: string, 
/**
 * One or two plain sentences.
 */
summary: string, 
/**
 * Paper and equation, and where we differ.
 */
source: string, knobs: Array<Knob>, 
/**
 * model_type values it can run on.
 */
families: Array<string>, };

/**
 * One setting of a method.
 */
export type Knob = { id: string, label: string, 
/**
 * What the value means, with its unit.
 */
help: string, kind: KnobKind, };

/**
 * The values a knob takes.
 */
export type KnobKind = { "type": "number", min: number, max: number, step: number, default: number, } | { "type": "choice", options: Array<[string, string]>, default: string, } | { "type": "layers" } | { "type": "text", longest: number, default: string, };

/**
 * The settings and what is known without a run.
 */
export type View = { 
/**
 * The number of the newest request that this view knows of.
 */
answers: number, 
/**
 * Control name -> value, as the engine understood it.
 */
settings: { [key in string]: string }, why_not: { [key in string]: { [key in string]: string } }, 
/**
 * The address fragment that reproduces these settings, starting with '#'.
 */
fragment: string, 
/**
 * "CPU (wasm simd128)" and why it was chosen; empty before a device was.
 */
backend: string, backend_why: string, model: ModelView | null, status: Status, 
/**
 * Messages that need reading: what happened, what was done, what one can do.
 */
notices: Array<Notice>, 
/**
 * The run that belongs to these settings; absent when there is none yet.
 */
run: number | null, sweep: SweepView | null, };

/**
 * A sweep that is on.
 */
export type SweepView = { knob: string, 
/**
 * Points measured, and in all.
 */
done: number, total: number, paused: boolean, };

export type Status = { state: State, 
/**
 * Whether a run is on or about to be.
 */
running: boolean, 
/**
 * For people: "Loading model", "Pruning layer 2 of 6", "Run complete", "Cancelled"...
 */
text: string, 
/**
 * Share done, 0..=1; absent when unknown.
 */
progress: number | null, };

/**
 * What the engine is at.
 */
export type State = "idle" | "running" | "complete" | "cancelled" | "failed";

export type Notice = { level: Level, text: string, };

export type Level = "error" | "warning" | "info";

/**
 * The loaded model.
 */
export type ModelView = { id: string, label: string, family: string, parameters: number, bytes: number, sha256: string, 
/**
 * The model card (Markdown, shown as plain text).
 */
card: string, 
/**
 * config.json fields that nobody here knows.
 */
ignored: Array<string>, 
/**
 * Sentences about what was left out or is unusual.
 */
notes: Array<string>, };

/**
 * A piece of what a run found. A page puts the pieces of one run together to what [`RunView`] holds; a later piece of
 * the same kind stands for the earlier one, but for `text`, which goes on from `at`, and `control`, which is one more.
 */
export type Part = { "kind": "begin", link: string, backend: string, } | { "kind": "text", side: Which, at: number, text: string, tokens: number, 
/**
 * Of both sides.
 */
differs_at: number | null, done: boolean, } | { "kind": "first_number", ms: number, } | { "kind": "cost", cost: Cost, } | { "kind": "quality", quality: Array<Quality>, } | { "kind": "speed", speed: Speed, } | { "kind": "trace", trace: TraceView, } | { "kind": "control", control: ControlView, } | { "kind": "published", published: PublishedView, } | { "kind": "done" };

export type Which = "baseline" | "compressed";

/**
 * What a run has measured so far. The same structure is printed by `whittle run --json`.
 */
export type RunView = { 
/**
 * Rises with every run of this page.
 */
number: number, finished: boolean, 
/**
 * Canonical link of the run.
 */
link: string, backend: string, baseline: Side, compressed: Side, quality: Array<Quality>, 
/**
 * Controls of the token reduction, each complete; they come last.
 */
controls: Array<ControlView>, 
/**
 * Where the evaluation's `published` is on.
 */
published: PublishedView | null, speed: Speed | null, 
/**
 * Absent until it is counted.
 */
cost: Cost | null, 
/**
 * What the reduction did to the prompt; absent without one, or where the prompt is too short for it.
 */
trace: TraceView | null, 
/**
 * Milliseconds from the start of the run to its first baseline number.
 */
first_number_ms: number | null, };

/**
 * Generated text of one side; the prompt is not repeated.
 */
export type Side = { text: string, tokens: number, 
/**
 * Characters (not bytes) until the two texts part; absent while they agree.
 */
differs_at: number | null, done: boolean, };

/**
 * One quality metric of a baseline and a compressed model on the same items.
 */
export type Quality = { 
/**
 * "accuracy", "perplexity", "bits_per_byte", "bits_per_target", "context_benefit", "context_benefit_nats"
 */
metric: string, label: string, 
/**
 * How it is defined, on which data; one sentence.
 */
definition: string, 
/**
 * "share" (0..=1), "" for plain numbers, "bits"
 */
unit: string, higher_is_better: boolean, baseline: Estimate, compressed: Estimate, 
/**
 * compressed - baseline, paired over items.
 */
change: Estimate, 
/**
 * Items scored so far and in all.
 */
items: number, items_total: number, verdict: Verdict, };

/**
 * What a paired change says.
 */
export type Verdict = "better" | "worse" | "not_significant" | "too_few" | "none";

/**
 * A number with its 95 % interval and the items it rests on. What is not finite is null in JSON: absent.
 */
export type Estimate = { value: number, low: number, high: number, n: number, };

/**
 * A reduction that does not look at the tokens (or looks at the answer), at the lengths of the method.
 */
export type ControlView = { label: string, spec: string, 
/**
 * `baseline` is the control, `compressed` the method, `change` the method minus the control; on some of the items.
 */
quality: Array<Quality>, };

/**
 * Figures of the released code's scorer, which are no measure of quality.
 */
export type PublishedView = { warning: string, 
/**
 * Share of the scored rows that are compared with the right label.
 */
in_step: number, 
/**
 * `baseline` is the honest figure of the compressed model, `compressed` the published one.
 */
quality: Array<Quality>, };

/**
 * Speed of the two, measured in turns in one process.
 */
export type Speed = { prompt_tokens: number, decode_tokens: number, baseline: SpeedSide, compressed: SpeedSide, 
/**
 * compressed / baseline, formed in rounds made in turns; median and its 95 % interval.
 */
prefill_ratio: Estimate, decode_ratio: Estimate, };

export type SpeedSide = { prefill_tokens_per_s: Estimate, decode_tokens_per_s: Estimate, 
/**
 * Prefill of the prompt and the first token.
 */
first_token_ms: Estimate, };

/**
 * What the settings save on paper. Counted, not measured; the page says so.
 */
export type Cost = { 
/**
 * Share of the layers' FLOPs saved in a prefill of the context, 0..=1.
 */
flops_saved_layers: number, 
/**
 * The same with the output head of one token and the method's own arithmetic.
 */
flops_saved_total: number, 
/**
 * Context tokens that enter each layer.
 */
lengths: Array<number>, 
/**
 * Weights of the pruned matrices that are zero or gone, 0..=1.
 */
sparsity: number, 
/**
 * The same among all weights of the model, 0..=1.
 */
sparsity_of_model: number, 
/**
 * One decoded token; absent without a pruning.
 */
decode: Decode | null, 
/**
 * Per matrix: name, shape, share of zeros asked for and reached, output error.
 */
matrices: Array<MatrixReport>, };

/**
 * The cost of settings that were not run, counted from shapes alone; the fields are those of [`Cost`].
 */
export type PaperCost = { flops_saved_layers: number, flops_saved_total: number, lengths: Array<number>, sparsity: number, sparsity_of_model: number, };

/**
 * What one decoded token reads and multiplies: linear layers and head. Counted, not measured.
 */
export type Decode = { 
/**
 * Bytes of weights, with every matrix dense and as they are run, in the precision of the device.
 */
bytes_dense: number, bytes: number, flops_dense: number, flops: number, 
/**
 * Matrices that are multiplied without their zeros.
 */
packed: number, 
/**
 * What is packed, and what cannot be faster.
 */
text: string, };

/**
 * What pruning did to one matrix.
 */
export type MatrixReport = { 
/**
 * Checkpoint name.
 */
name: string, rows: number, cols: number, 
/**
 * Share of zeros asked for and reached, 0..=1.
 */
requested: number, achieved: number, 
/**
 * ||X W^T - X W'^T||^2 / ||X W^T||^2 on the first calibration sequence.
 */
error: number, 
/**
 * The same on a sequence that is in no statistic; absent when there was only one sequence.
 */
held_out_error: number | null, 
/**
 * Time for this matrix without the calibration passes. The first of several matrices with the same inputs
 * bears their factorisation.
 */
milliseconds: number, 
/**
 * λ as a share of the mean of diag(XᵀX), and how often it was raised because a factorisation failed; absent
 * for methods without a Hessian.
 */
damping: number | null, retries: number, 
/**
 * Where the weights were computed: on the GPU in f32, else on the CPU in f64.
 */
on_gpu: boolean, 
/**
 * The shape that is left where the matrix became smaller; nothing of a removed layer.
 */
left: [number, number] | null, };

/**
 * A setting and what was measured of it. The same JSON in sweep files, in messages to the page and in its history.
 */
export type Point = { 
/**
 * [`Point::key_of`] the settings: equal settings have equal keys.
 */
key: string, 
/**
 * The link that gives these settings back, "#v=1&...".
 */
fragment: string, 
/**
 * id@hash
 */
model: string, 
/**
 * SPEC
 */
evaluation: string, 
/**
 * SPEC or "off"
 */
reduce: string, 
/**
 * SPEC or "off"
 */
prune: string, seed: number, 
/**
 * Items scored, and as many as were asked for.
 */
items: number, items_wanted: number, 
/**
 * Nothing is still coming.
 */
complete: boolean, quality: Array<Quality>, cost: PointCost, 
/**
 * Absent where nothing was timed.
 */
speed: PointSpeed | null, 
/**
 * Time that measuring took.
 */
ms: number, backend: string, 
/**
 * ISO 8601; absent where the clock is not known, and where equal runs must give equal bytes.
 */
created: string | null, };

/**
 * Counted, not measured. Absent until it is counted.
 */
export type PointCost = { 
/**
 * FLOPs of reading the context, as a share of the dense model's, with the head of one token.
 */
flops_share: number | null, 
/**
 * Weights that one decoded token reads.
 */
bytes_per_token: number | null, bytes_per_token_dense: number | null, 
/**
 * Size of the weights file.
 */
file_bytes: number | null, };

/**
 * Measured in turns: compressed / baseline.
 */
export type PointSpeed = { prefill_ratio: Estimate | null, decode_ratio: Estimate | null, };

/**
 * Which tokens of the prompt went where.
 */
export type TraceView = { 
/**
 * Layers after which tokens went, in order.
 */
layers: Array<number>, 
/**
 * The tokens of the prompt, or its last 256.
 */
tokens: Array<TraceToken>, 
/**
 * Tokens of the prompt that are left out before them.
 */
left_out: number, };

export type TraceToken = { position: number, text: string, 
/**
 * One for each layer.
 */
fates: Array<Fate>, };

/**
 * What became of a token after a layer.
 */
export type Fate = { "fate": "kept", score: number | null, } | { "fate": "pruned", score: number | null, } | { "fate": "merged", into: number, hidden: boolean, residual: boolean, score: number | null, } | { "fate": "gone" };
