// What the panels are given: the engine's newest view, and the run that belongs to it, put together from its parts.

import type * as Protocol from "./protocol.js";
import type { Ask, Catalog, Event, ItemView, PaperCost, Part, Point, Quality, Request, Score, View } from "./protocol.js";

export * from "./protocol.js";

/** A run put together from its parts, with its items, which the engine tells once all are scored. */
export type RunView = Omit<Protocol.RunView, "link"> & { items: ItemView[] | null };

export type Shown = Omit<View, "run"> & {
  /**
   * The run that belongs to these settings; absent when there is none yet. A panel gets it from `lasting`: parts that are
   * not there yet are those of the last complete run of the same model, and `was` names them. `disturbed`: while the run
   * went on, the tab was hidden or the computer slept.
   */
  run?: RunView & { was?: (keyof RunView)[]; disturbed?: boolean };
  /** While a slider is under the finger: the cost on paper of the value it shows. Then `run.cost` has these figures too. */
  paper?: PaperCost;
};

/**
 * Draws its own section. Before the engine has answered there is no view, and then no catalog either; `loading` says
 * what is waited for.
 */
export type Panel = (view: Shown | undefined, catalog: Catalog, loading: string) => void;

/** What the page itself has to say: an engine that broke, a file that cannot be read. */
export type Failure = { text: string; action: "restart" | "afresh" | "reload" | "dismiss" };

/** What is measured when a person asks for it, beside a run. */
export type Found = Extract<Event, { found: any }>;

export type App = {
  points: ReturnType<typeof import("./points.js").points>;
  view(): Shown | undefined;
  failure(): Failure | undefined;
  /** Sends what a person did and gives the number of the request; a view with `answers` as high knows of it. */
  send(request: Request, transfer?: Transferable[]): number;
  /** The number of the newest request. */
  sent(): number;
  /** Whether the person changed a setting a moment ago. */
  hasJustChanged(): boolean;
  redraw(): void;
  /** A slider is under the finger: what the results show is no longer what is chosen. Asks for the cost on paper. */
  moving(name: string, value: string): void;
  /** The newest of what is measured beside a run. */
  found<T extends Found["type"]>(type: T): Extract<Found, { type: T }>["found"] | undefined;
  /** What the second run's scores are more than the first's, on the same items, paired. */
  compare(evaluation: string, first: Score[], second: Score[]): Promise<{ quality: Quality[]; problem: string | null }>;
  complain(text: string): void;
  recover(action: Failure["action"]): void;
};

/** What `startEngine` calls. */
export type Hearer = {
  catalog(catalog: Catalog): void;
  view(view: View): void;
  status(status: View["status"]): void;
  result(run: number, part: Part): void;
  cost(answers: number, cost: PaperCost): void;
  point(series: string, point: Point): void;
  found(event: Found): void;
  compared(answers: number, quality: Quality[], problem: string | null): void;
  failed(failure: Failure): void;
  /** The worker has said nothing for long, or says something again. */
  silent(isSilent: boolean): void;
  /** The tab is hidden, or the computer slept: what is timed now is no speed. */
  disturbed(): void;
};

export type Engine = { send(ask: Ask, transfer?: Transferable[]): void; stop(): void };

/** One item on both models, as the table of items shows it; pairs are baseline, compressed. */
export type Line = {
  item: string;
  context: string;
  options: string[];
  label: number;
  right: [boolean | null, boolean | null];
  chosen: [number | null, number | null];
  logs: [number, number];
  all: [number[], number[]];
};

/** A file of a model of the hub; `sha256` is empty where the hub gives none. */
export type Listed = { name: string; bytes: number; sha256: string };

/** What there is of a model at the hub. */
export type Listing = { model: string; revision: string; commit: string; licence: string; files: Listed[]; bytes: number };

/** Who is asked: `patience` in milliseconds of silence; `word` and `again` where it is not a model that is asked for, and nothing is kept. */
export type Hub = { address: string; patience: number; signal?: AbortSignal; word?: string; again?: string };
