// Made from src/session/protocol.rs by `WRITE=1 cargo test --lib session::declarations`. A test fails where it is behind.

/** A request as it is sent: what a person did, and its number. */
export type Ask = Numbered & Request;

/**
 * The number of a request. Stands beside its fields in the message: `{ id: 7, type: "run" }`.
 */
export type Numbered = { 
/**
 * Higher than that of every request before on this page; 0 where the message has none.
 */
id: number, };

/**
 * What a person did.
 */
export type Request = { "type": "hello", 
/**
 * location.hash: hostile until it is parsed.
 */
fragment: string, 
/**
 * document.baseURI, below which the files of models and evaluations lie.
 */
base: string, } | { "type": "set", 
/**
 * A control, e.g. `prune.sparsity`.
 */
name: string, 
/**
 * As [`View::settings`] writes it; checked before anything changes.
 */
value: string, } | { "type": "run" } | { "type": "cancel" } | { "type": "link", 
/**
 * location.hash, as hostile as that of the first message.
 */
fragment: string, } | { "type": "reset" } | { "type": "open", 
/**
 * config.json, model.safetensors (or shards and their index) and tokenizer.json, with what else lies beside them.
 */
files: Array<File>, 
/**
 * `org/name@commit` where they came from the hub; else empty.
 */
origin: string, 
/**
 * Only config.json is given, and seeded random weights in its shape are wanted.
 */
random: boolean, } | { "type": "open_data", 
/**
 * Of the file, for people.
 */
name: string, 
/**
 * All of its content.
 */
bytes: Uint8Array, } | { "type": "preview", 
/**
 * As in [`Request::Set`].
 */
name: string, 
/**
 * As in [`Request::Set`]; it is not kept.
 */
value: string, } | { "type": "sweep", 
/**
 * A knob of the reduction or the pruning that is chosen: `reduce.KNOB` or `prune.KNOB`.
 */
knob: string, 
/**
 * At most 64, in the order in which they are measured.
 */
values: Array<string>, } | { "type": "pause" } | { "type": "real_size", 
/**
 * One of [`Catalog::shapes`].
 */
shape: string, } | { "type": "peers" } | { "type": "compare", 
/**
 * The SPEC of the evaluation that scored the items.
 */
evaluation: string, 
/**
 * What the compressed model of the first run scored, item by item.
 */
first: Array<Score>, 
/**
 * The same of the second run, in the same order.
 */
second: Array<Score>, } | { "type": "assist" } & Assist | { "type": "scored", 
/**
 * The number of the call.
 */
call: number, 
/**
 * One item.
 */
scored: Scored, } | { "type": "ping" };

/**
 * A part of the items of another engine's run.
 */
export type Assist = { 
/**
 * The number of that one's call for help.
 */
call: number, 
/**
 * Its settings as a link.
 */
fragment: string, 
/**
 * Whether the baseline has to be scored too.
 */
baseline: boolean, 
/**
 * So many items, evenly spread; 0 for all.
 */
items: number, 
/**
 * document.baseURI, below which the files of models and evaluations lie.
 */
base: string, 
/**
 * Which of the helpers this is, from 0.
 */
part: number, 
/**
 * How many helpers there are.
 */
of: number, };

/**
 * What was measured of one item somewhere else, by another program on the same models. Absent is what it was not asked for.
 */
export type Scored = { 
/**
 * Its place in the order of the data, from 0.
 */
item: number, 
/**
 * What each of the models says without the context: baseline, compressed.
 */
priors: [Array<number> | null, Array<number> | null], 
/**
 * What each of the arms scored.
 */
scores: [Score | null, Score | null], };

/**
 * A file that the user opened.
 */
export type File = { 
/**
 * Without folders; decides what the file is taken for.
 */
name: string, 
/**
 * All of its content. Weights stay with the browser and are read by places.
 */
bytes: Uint8Array | Blob, };

/**
 * What the engine says.
 */
export type Event = { "type": "catalog" } & Catalog | { "type": "view" } & View | { "type": "status", 
/**
 * The whole of it, not what changed.
 */
status: Status, } | { "type": "result", 
/**
 * The run's number, by which [`View::run`] names it.
 */
run: number, 
/**
 * What is new.
 */
part: Part, } | { "type": "cost", 
/**
 * The number of that request.
 */
answers: number, 
/**
 * At the value asked about, all else as it is set.
 */
cost: PaperCost, } | { "type": "point", 
/**
 * The curve it belongs to: "run" for a run, "KNOB METHOD" for a point of a sweep.
 */
series: string, 
/**
 * Settings and figures.
 */
point: Point, } | { "type": "real_size", 
/**
 * The whole of it.
 */
found: RealSize, } | { "type": "peers", 
/**
 * The whole of it.
 */
found: PeersView, } | { "type": "compared", 
/**
 * The number of that request.
 */
answers: number, 
/**
 * Empty where the two do not belong together.
 */
quality: Array<Quality>, 
/**
 * Why they do not, for people.
 */
problem: string | null, } | { "type": "assist", 
/**
 * The run's number.
 */
run: number, 
/**
 * The number of this call.
 */
call: number, 
/**
 * The settings as a link: those of the run, or of a control of it.
 */
fragment: string, 
/**
 * Whether the baseline has to be scored too.
 */
baseline: boolean, 
/**
 * So many items, evenly spread; 0 for all.
 */
items: number, } | { "type": "dismiss", 
/**
 * The run's number.
 */
run: number, } | { "type": "scored", 
/**
 * The number of that one's call.
 */
call: number, 
/**
 * What it scored.
 */
scored: Scored, } | { "type": "pong" } | { "type": "failed", 
/**
 * A sentence for people.
 */
text: string, };

/**
 * Everything that can be chosen. The same for the whole life of an engine.
 */
export type Catalog = { 
/**
 * [`VERSION`] of the engine.
 */
version: number, 
/**
 * Bundled models; the first is chosen on a page without a link.
 */
models: Array<ModelChoice>, 
/**
 * Values of the control `reduce`, beside "off".
 */
reductions: Array<About>, 
/**
 * Values of the control `prune`, beside "off".
 */
prunings: Array<About>, 
/**
 * Values of the control `eval`; those on the user's own data last.
 */
evaluations: Array<About>, 
/**
 * Id and name for people.
 */
backends: Array<[string, string]>, 
/**
 * Published shapes that can be timed with random weights.
 */
shapes: Array<string>, };

/**
 * A bundled model before it is loaded.
 */
export type ModelChoice = { 
/**
 * Value of the control `model`, and the model's name in links.
 */
id: string, 
/**
 * For people.
 */
label: string, 
/**
 * model_type
 */
family: string, 
/**
 * Weights, each counted once.
 */
parameters: number, 
/**
 * Size of the weights file.
 */
bytes: number, 
/**
 * Ids of the evaluations that make sense for it; the first is its default.
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
source: string, 
/**
 * Its settings, in the order in which they are shown and written.
 */
knobs: Array<Knob>, 
/**
 * model_type values it can run on.
 */
families: Array<string>, };

/**
 * One setting of a method.
 */
export type Knob = { 
/**
 * Key in SPECs.
 */
id: string, 
/**
 * For people.
 */
label: string, 
/**
 * What the value means, with its unit.
 */
help: string, 
/**
 * Which values it takes.
 */
kind: KnobKind, };

/**
 * The values a knob takes.
 */
export type KnobKind = { "type": "number", 
/**
 * Least value that is taken.
 */
min: number, 
/**
 * Greatest value that is taken.
 */
max: number, 
/**
 * What a slider moves by; values between its steps are taken too.
 */
step: number, 
/**
 * Where a SPEC says nothing.
 */
default: number, } | { "type": "choice", 
/**
 * In the order in which they are shown.
 */
options: Array<[string, string]>, 
/**
 * Id of the option that is taken where a SPEC says nothing.
 */
default: string, } | { "type": "layers" } | { "type": "text", 
/**
 * Most characters.
 */
longest: number, 
/**
 * Where a SPEC says nothing.
 */
default: string, };

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
settings: { [key in string]: string }, 
/**
 * What these settings and this model rule out.
 */
why_not: { [key in string]: { [key in string]: string } }, 
/**
 * The address fragment that reproduces these settings, starting with '#'.
 */
fragment: string, 
/**
 * "CPU (wasm simd128)"; empty before a device was chosen.
 */
backend: string, 
/**
 * Why that one was chosen, for people; empty while `backend` is.
 */
backend_why: string, 
/**
 * Absent before the first is loaded, and while a link waits for files that its reader has to open.
 */
model: ModelView | null, 
/**
 * The user's own data; absent until some is opened.
 */
data: DataView | null, 
/**
 * How far the engine is.
 */
status: Status, 
/**
 * Messages that need reading: what happened, what was done, what one can do.
 */
notices: Array<Notice>, 
/**
 * The run that belongs to these settings; absent when there is none yet.
 */
run: number | null, 
/**
 * Absent unless a sweep is on or halted.
 */
sweep: SweepView | null, };

/**
 * Data of the user's own.
 */
export type DataView = { 
/**
 * Of the file, for people.
 */
name: string, 
/**
 * Its size.
 */
bytes: number, 
/**
 * Lower-case hex; its first 16 digits name the data in links.
 */
sha256: string, };

/**
 * A sweep that is on.
 */
export type SweepView = { 
/**
 * The control that it moves, e.g. `prune.sparsity`.
 */
knob: string, 
/**
 * Points measured, and those that could not be.
 */
done: number, 
/**
 * Points in all, with those of the controls' curves.
 */
total: number, 
/**
 * Whether [`Request::Pause`] halted it.
 */
paused: boolean, };

/**
 * How far a run is.
 */
export type Status = { 
/**
 * The same in one word.
 */
state: State, 
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

/**
 * A message that needs reading.
 */
export type Notice = { 
/**
 * How much it matters.
 */
level: Level, 
/**
 * One line for people, of bounded length and without hidden characters.
 */
text: string, };

/**
 * How much a notice matters.
 */
export type Level = "error" | "warning" | "info";

/**
 * The loaded model.
 */
export type ModelView = { 
/**
 * A bundled id, or "own".
 */
id: string, 
/**
 * For people.
 */
label: string, 
/**
 * model_type
 */
family: string, 
/**
 * Weights that the model uses, each counted once.
 */
parameters: number, 
/**
 * Size of the weights files.
 */
bytes: number, 
/**
 * Of the weights files, lower-case hex, empty until it is known; its first 16 digits name the model in links.
 */
sha256: string, 
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
export type Part = { "kind": "begin", 
/**
 * As [`RunView::backend`].
 */
backend: string, } | { "kind": "text", 
/**
 * Whose text.
 */
side: Which, 
/**
 * Characters (not bytes) of what was told before that stay.
 */
at: number, 
/**
 * What stands behind them now.
 */
text: string, 
/**
 * Tokens of the whole text so far.
 */
tokens: number, 
/**
 * Of both sides.
 */
differs_at: number | null, 
/**
 * Whether the text is at its end.
 */
done: boolean, } | { "kind": "first_number", 
/**
 * As [`RunView::first_number_ms`].
 */
ms: number, } | { "kind": "cost", 
/**
 * The whole of it.
 */
cost: Cost, } | { "kind": "quality", 
/**
 * Every metric of the evaluation.
 */
quality: Array<Quality>, } | { "kind": "speed", 
/**
 * Over all of them.
 */
speed: Speed, } | { "kind": "trace", 
/**
 * Complete.
 */
trace: TraceView, } | { "kind": "control", 
/**
 * Complete.
 */
control: ControlView, } | { "kind": "published", 
/**
 * Complete.
 */
published: PublishedView, } | { "kind": "words", 
/**
 * Complete.
 */
words: WordsView, } | { "kind": "states", 
/**
 * Complete.
 */
states: StateView, } | { "kind": "items", 
/**
 * In the order of the data.
 */
items: Array<ItemView>, } | { "kind": "done" };

/**
 * One of the two models that a run sets side by side.
 */
export type Which = "baseline" | "compressed";

/**
 * What a run has measured so far. The same structure is printed by `whittle run --json`.
 */
export type RunView = { 
/**
 * Rises with every run of this page.
 */
number: number, 
/**
 * Whether nothing more comes.
 */
finished: boolean, 
/**
 * Canonical link of the run, empty until the hash of its weights is known.
 */
link: string, 
/**
 * The device it runs on, for people; empty before one was chosen.
 */
backend: string, 
/**
 * What the dense model writes after the prompt.
 */
baseline: Side, 
/**
 * What the compressed one writes.
 */
compressed: Side, 
/**
 * Every metric of the evaluation; empty before the first items are scored.
 */
quality: Array<Quality>, 
/**
 * Controls of the token reduction, each complete; they come last.
 */
controls: Array<ControlView>, 
/**
 * Where the evaluation's `published` is on.
 */
published: PublishedView | null, 
/**
 * Absent until the first round is timed.
 */
speed: Speed | null, 
/**
 * Absent until it is counted.
 */
cost: Cost | null, 
/**
 * What the reduction did to the prompt; absent without one, or where the prompt is too short for it.
 */
trace: TraceView | null, 
/**
 * What both models think of the prompt and of the two texts.
 */
words: WordsView | null, 
/**
 * Absent where no layer has states.
 */
states: StateView | null, 
/**
 * Milliseconds from the start of the run to its first baseline number.
 */
first_number_ms: number | null, };

/**
 * Generated text of one side; the prompt is not repeated.
 */
export type Side = { 
/**
 * While it is being written, without a character of which only some bytes are there.
 */
text: string, 
/**
 * Tokens that the text is made of.
 */
tokens: number, 
/**
 * Characters (not bytes) until the two texts part; absent while they agree.
 */
differs_at: number | null, 
/**
 * Whether the text is at its end.
 */
done: boolean, };

/**
 * One quality metric of a baseline and a compressed model on the same items.
 */
export type Quality = { 
/**
 * "accuracy", "perplexity", "bits_per_byte", "bits_per_target", "context_benefit", "context_benefit_nats"
 */
metric: string, 
/**
 * For people.
 */
label: string, 
/**
 * How it is defined, on which data; one sentence.
 */
definition: string, 
/**
 * "share" (0..=1), "" for plain numbers, "bits"
 */
unit: string, 
/**
 * Whether a rise is good.
 */
higher_is_better: boolean, 
/**
 * Of the first arm; with the items its 95 % interval.
 */
baseline: Estimate, 
/**
 * Of the second arm.
 */
compressed: Estimate, 
/**
 * compressed - baseline, paired over items.
 */
change: Estimate, 
/**
 * Items scored so far.
 */
items: number, 
/**
 * Items in all.
 */
items_total: number, 
/**
 * What `change` says about quality.
 */
verdict: Verdict, };

/**
 * What a paired change says.
 */
export type Verdict = "better" | "worse" | "not_significant" | "too_few" | "none";

/**
 * A number with its 95 % interval and the items it rests on. What is not finite is null in JSON: there is no interval below eight
 * items, and no value where a figure is undefined.
 */
export type Estimate = { 
/**
 * The figure; NaN where there is none.
 */
value: number | null, 
/**
 * Lower end of the interval; of a speed the lower quartile of the rounds. NaN where it is not known.
 */
low: number | null, 
/**
 * Upper end of the interval; of a speed the upper quartile.
 */
high: number | null, 
/**
 * Items, or rounds of timing.
 */
n: number, };

/**
 * A reduction that does not look at the tokens (or looks at the answer), at the lengths of the method.
 */
export type ControlView = { 
/**
 * For people.
 */
label: string, 
/**
 * Its SPEC, at the lengths of the method that it is compared with.
 */
spec: string, 
/**
 * `baseline` is the control, `compressed` the method, `change` the method minus the control; on some of the items.
 */
quality: Array<Quality>, };

/**
 * Figures of the released code's scorer, which are no measure of quality.
 */
export type PublishedView = { 
/**
 * Why they are none, for people; to be shown beside them.
 */
warning: string, 
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
export type Speed = { 
/**
 * Tokens of a prefill.
 */
prompt_tokens: number, 
/**
 * Least tokens decoded in one of the two visits to a side in a round.
 */
decode_tokens: number, 
/**
 * The first arm.
 */
baseline: SpeedSide, 
/**
 * The second arm.
 */
compressed: SpeedSide, 
/**
 * Prefill speed, compressed / baseline, formed within each round; median and its 95 % interval.
 */
prefill_ratio: Estimate, 
/**
 * The same of decoding.
 */
decode_ratio: Estimate, };

/**
 * Speeds of one side: medians, with the middle half of the rounds.
 */
export type SpeedSide = { 
/**
 * The whole prompt in one pass, without a head.
 */
prefill_tokens_per_s: Estimate, 
/**
 * One token at a time, each read back before the next is chosen.
 */
decode_tokens_per_s: Estimate, 
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
export type PaperCost = { 
/**
 * Share of the layers' FLOPs saved in a prefill of the context, 0..=1.
 */
flops_saved_layers: number, 
/**
 * The same with the output head of one token and the method's own arithmetic; below 0 where that is more than is saved.
 */
flops_saved_total: number, 
/**
 * Context tokens that enter each layer.
 */
lengths: Array<number>, 
/**
 * Weights of the pruned matrices that would be zero or gone, 0..=1.
 */
sparsity: number, 
/**
 * The same among all weights of the model, 0..=1.
 */
sparsity_of_model: number, };

/**
 * What one decoded token reads and multiplies: linear layers and head. Counted, not measured.
 */
export type Decode = { 
/**
 * Bytes of weights with every matrix dense, in the precision of the device.
 */
bytes_dense: number, 
/**
 * Bytes of weights as they are run.
 */
bytes: number, 
/**
 * FLOPs of the dense model, 2 per multiply-add.
 */
flops_dense: number, 
/**
 * FLOPs of the compressed model; of a matrix that is packed, without its zeros.
 */
flops: number, 
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
name: string, 
/**
 * Outputs.
 */
rows: number, 
/**
 * Inputs.
 */
cols: number, 
/**
 * Share of zeros asked for, 0..=1.
 */
requested: number, 
/**
 * Share of zeros reached, 0..=1; of weights gone where the matrix became smaller.
 */
achieved: number, 
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
 * λ as a share of the mean of diag(XᵀX); absent for methods without a Hessian.
 */
damping: number | null, 
/**
 * How often λ was raised because a factorisation failed.
 */
retries: number, 
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
prune: string, 
/**
 * Of items and methods.
 */
seed: number, 
/**
 * Items scored.
 */
items: number, 
/**
 * Items of the evaluation's setting.
 */
items_wanted: number, 
/**
 * Nothing is still coming.
 */
complete: boolean, 
/**
 * Every metric of the evaluation; `compressed` is this setting, `baseline` the dense model.
 */
quality: Array<Quality>, 
/**
 * Over the contexts of the items.
 */
cost: PointCost, 
/**
 * Absent where nothing was timed.
 */
speed: PointSpeed | null, 
/**
 * Time that measuring took.
 */
ms: number, 
/**
 * Name of the device, for people.
 */
backend: string, 
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
bytes_per_token: number | null, 
/**
 * The same with every matrix dense.
 */
bytes_per_token_dense: number | null, 
/**
 * Size of the weights file.
 */
file_bytes: number | null, };

/**
 * Measured in turns: compressed / baseline.
 */
export type PointSpeed = { 
/**
 * Tokens per second of reading a context.
 */
prefill_ratio: Estimate | null, 
/**
 * Tokens per second of decoding.
 */
decode_ratio: Estimate | null, };

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

/**
 * A token of the prompt and its way through the layers.
 */
export type TraceToken = { 
/**
 * In the prompt, from 0.
 */
position: number, 
/**
 * The token decoded by itself; part of a character shows as such.
 */
text: string, 
/**
 * One for each layer.
 */
fates: Array<Fate>, };

/**
 * What became of a token after a layer.
 */
export type Fate = { "fate": "kept", 
/**
 * The method's importance of the token here; absent where the method scores none, or the score is no number.
 */
score: number | null, } | { "fate": "pruned", 
/**
 * As of a kept one.
 */
score: number | null, } | { "fate": "merged", 
/**
 * That position in the prompt, from 0.
 */
into: number, 
/**
 * In the layer's own output.
 */
hidden: boolean, 
/**
 * In the stream before the layer.
 */
residual: boolean, 
/**
 * As of a kept one.
 */
score: number | null, } | { "fate": "gone" };

/**
 * The prompt and what was written after it, token by token: what each token cost the two models, -log p in nats. A cost
 * that is not finite is absent.
 */
export type WordsView = { 
/**
 * Tokens of the prompt that are left out before the first.
 */
left_out: number, 
/**
 * The prompt, or its last 256 tokens.
 */
prompt: Array<PromptToken>, 
/**
 * What the baseline wrote, as both models judge it.
 */
baseline: Array<WrittenToken>, 
/**
 * What the compressed model wrote, as both models judge it.
 */
compressed: Array<WrittenToken>, };

/**
 * A token of the prompt. Under a token reduction the prompt is only read and costs nothing.
 */
export type PromptToken = { 
/**
 * As it stands in the text.
 */
text: string, 
/**
 * The layer after which the reduction dropped it or folded it into another.
 */
went_after: number | null, 
/**
 * Its cost to the baseline.
 */
baseline: number | null, 
/**
 * Its cost to the compressed model.
 */
compressed: number | null, };

/**
 * A token that one of the models wrote.
 */
export type WrittenToken = { 
/**
 * As it stands in the text.
 */
text: string, 
/**
 * Its cost to the baseline.
 */
baseline: number | null, 
/**
 * Its cost to the compressed model.
 */
compressed: number | null, };

/**
 * One item of the evaluation on both models.
 */
export type ItemView = { 
/**
 * FILE:LINE, or FILE:WINDOW
 */
item: string, 
/**
 * The end of what is read, as text.
 */
context: string, 
/**
 * What may follow, or has to; the beginning of each where it is long.
 */
options: Array<string>, 
/**
 * What the baseline scored.
 */
baseline: Score, 
/**
 * What the compressed model scored.
 */
compressed: Score, };

/**
 * The outcome of one item on one arm. Log-likelihoods are natural; a cost is -log p in nats.
 */
export type Score = { "kind": "choice", 
/**
 * -log p(choice | context)
 */
nats: Array<number>, 
/**
 * -log p(choice) without the context; empty where the choice does not depend on it.
 */
prior: Array<number>, 
/**
 * Bytes of every choice as text.
 */
bytes: Array<number>, 
/**
 * Characters of every choice as text.
 */
chars: Array<number>, 
/**
 * Place of the choice that the arm takes, from 0.
 */
chosen: number, 
/**
 * Place of the right choice, from 0.
 */
label: number, } | { "kind": "span", 
/**
 * -log p of the scored tokens together.
 */
nats: number, 
/**
 * The same without any context; absent where nothing is compared with it.
 */
prior: number | null, 
/**
 * Tokens that were scored.
 */
tokens: number, 
/**
 * Bytes of the scored tokens, scaled to the text as given where decoding it gives another length: rarely whole.
 */
bytes: number, } | { "kind": "document", 
/**
 * -log p of the whole document.
 */
nats: number, 
/**
 * Stretches between white space.
 */
words: number, 
/**
 * Of the document as it was given.
 */
bytes: number, } | { "kind": "answer", 
/**
 * -log p(answer | context)
 */
nats: number, 
/**
 * Tokens of the answer.
 */
tokens: number, 
/**
 * Of the answer as text.
 */
bytes: number, 
/**
 * Every token was the most likely one.
 */
right: boolean, };

/**
 * How the state-space layers use their states on the prompt; absent for other layers.
 */
export type StateView = { 
/**
 * Tokens of the prompt that were followed, unreduced.
 */
tokens: number, 
/**
 * Layer by layer, of the baseline.
 */
baseline: Array<StateUse>, 
/**
 * Absent where nothing was pruned: it is the same model.
 */
compressed: Array<StateUse> | null, };

/**
 * What one layer does with its states.
 */
export type StateUse = { 
/**
 * Its index.
 */
layer: number, 
/**
 * Share of the output's squares that each state column carries, summing to 1; of several groups one after another.
 */
columns: Array<number>, 
/**
 * Fewest columns that carry 90 % of it.
 */
columns_for_most: number, 
/**
 * Fewest channels that carry 90 % of it.
 */
channels_for_most: number, 
/**
 * Channels in all.
 */
channels: number, 
/**
 * Share of the states that forget half of themselves within 1, 4, 16, 64, 256 tokens, or in more.
 */
half_lives: Array<number>, };

/**
 * Speed of the settings on seeded random weights in a published shape. The quality of such a model says nothing.
 */
export type RealSize = { 
/**
 * The name of the shape.
 */
shape: string, 
/**
 * What it is at, what is measured, or why it stopped.
 */
text: string, 
/**
 * Nothing more is coming.
 */
done: boolean, 
/**
 * The device, for people; empty before one was chosen.
 */
backend: string, 
/**
 * SPEC of the reduction that was timed, or "off".
 */
reduce: string, 
/**
 * SPEC of the pruning that was timed, or "off".
 */
prune: string, 
/**
 * Weights of the dense model.
 */
parameters: number, 
/**
 * What is timed so far.
 */
speed: Speed | null, };

/**
 * How far the peers are.
 */
export type PeersView = { 
/**
 * The address fragment of the settings whose peers they are.
 */
fragment: string, 
/**
 * What is being measured, or how it ended.
 */
text: string, 
/**
 * Nothing more is coming.
 */
done: boolean, 
/**
 * What is measured so far.
 */
found: Peers, };

/**
 * A run's compressed side and its peers.
 */
export type Peers = { 
/**
 * Of this run, counted.
 */
cost: PointCost, 
/**
 * In the order in which they were measured.
 */
peers: Array<Peer>, };

/**
 * A peer, and how it compares with the run's compressed side.
 */
export type Peer = { 
/**
 * Name for people.
 */
label: string, 
/**
 * SPEC or "off".
 */
reduce: string, 
/**
 * SPEC or "off".
 */
prune: string, 
/**
 * Counted: bytes of weights that a decoded token reads, FLOPs of reading the contexts.
 */
cost: PointCost, 
/**
 * `baseline` is the run's compressed side, `compressed` the peer, `change` the peer less the run, paired.
 */
quality: Array<Quality>, 
/**
 * Peer / run, measured in turns.
 */
decode_ratio: Estimate, 
/**
 * The same of reading the prompt.
 */
prefill_ratio: Estimate, };
