// Finished runs, kept in the browser's database until the person deletes them. Where storage is refused they last as long
// as the page, and `refused` says so.

/**
 * `scores`: of every item its name and what the compressed model scored, to compare two runs item by item; an imported run has none.
 * @typedef {{ items: string[], compressed: import("./protocol.js").Score[] }} Scores
 * @typedef {{ id: string, name: string, at: string, point: any, texts: { baseline: string, compressed: string } | null, scores?: Scores | null }} Kept
 */

const NAME = "whittle";
const RUNS = "runs";
const VERSION = 1;

/** @returns {Promise<{ refused: boolean, all(): Promise<Kept[]>, put(kept: Kept): Promise<void>, remove(id: string): Promise<void> }>} */
export async function openStore() {
  try {
    const db = await open();
    const run = (mode, ask) =>
      new Promise((done, fail) => {
        const transaction = db.transaction(RUNS, mode);
        const request = ask(transaction.objectStore(RUNS));
        // Without a word the browser commits later, and a reload in between throws the change away.
        if (mode === "readwrite") transaction.commit?.();
        transaction.oncomplete = () => done(request.result);
        transaction.onerror = transaction.onabort = () => fail(transaction.error);
      });
    return {
      refused: false,
      all: () => run("readonly", (runs) => runs.getAll()),
      put: (kept) => run("readwrite", (runs) => runs.put(kept)),
      remove: (id) => run("readwrite", (runs) => runs.delete(id)),
    };
  } catch {
    return inMemory();
  }
}

function open() {
  return new Promise((done, fail) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => request.result.createObjectStore(RUNS, { keyPath: "id" });
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
    request.onblocked = () => fail(new Error("another tab holds an older version"));
  });
}

function inMemory() {
  const runs = new Map();
  return {
    refused: true,
    all: async () => [...runs.values()],
    put: async (kept) => {
      runs.set(kept.id, kept);
    },
    remove: async (id) => {
      runs.delete(id);
    },
  };
}
