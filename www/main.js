// The main thread only draws; the engine runs in a worker of its own.
const status = document.querySelector("#status");
const worker = new Worker(new URL("engine.js", document.baseURI), { type: "module" });
worker.onmessage = ({ data }) => { status.textContent = data; };
worker.onerror = (event) => { status.textContent = `The engine could not start: ${event.message}`; };
