// Firefox and WebKitGTK as Debian has them, each spoken to by the driver that it brings along. The commands are those of
// WebDriver (w3.org/TR/webdriver2): Firefox takes them by name on a socket (Marionette), WebKitGTK as requests over HTTP.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How long a browser may take to start on a busy machine. */
const START_MS = 120_000;
/** What waits for a state looks this often. */
const LOOK_MS = 200;

/** Command: name in Marionette, method and path over HTTP. */
const COMMANDS = {
  navigate: ["WebDriver:Navigate", "POST", "/url"],
  script: ["WebDriver:ExecuteScript", "POST", "/execute/sync"],
  find: ["WebDriver:FindElement", "POST", "/element"],
  click: ["WebDriver:ElementClick", "POST", "/element/:id/click"],
  type: ["WebDriver:ElementSendKeys", "POST", "/element/:id/value"],
  timeouts: ["WebDriver:SetTimeouts", "POST", "/timeouts"],
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** What `look` gives as soon as it gives something; `why()` tells in the error what was seen last. */
export async function until(look, ms, why = () => "") {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await pause(LOOK_MS);
  }
  throw new Error(`waited ${ms / 1000} s in vain. ${await why()}`);
}

/** Starts `program`; `stop` ends it and waits for its end. */
async function start(program, args) {
  const child = spawn(program, args, { stdio: "ignore", detached: true });
  await new Promise((started, failed) => {
    child.once("spawn", started);
    child.once("error", ({ message }) => failed(new Error(`${program} cannot be started (${message}): apt install firefox-esr webkit2gtk-driver xvfb`)));
  });
  const over = new Promise((done) => child.once("exit", done));
  // The group: a browser is many processes.
  const end = () => child.exitCode === null && process.kill(-child.pid, "SIGTERM");
  process.once("exit", end);
  return {
    stop: async () => {
      process.removeListener("exit", end);
      end();
      await over;
    },
  };
}

/** Messages of Marionette: the length in digits, a colon, JSON. */
async function marionette(port) {
  const socket = await until(
    () =>
      new Promise((done) => {
        const tried = connect(port, "127.0.0.1", () => done(tried)).once("error", () => done(undefined));
      }),
    START_MS,
  );
  let bytes = Buffer.alloc(0);
  const waiting = new Map();
  let number = 0;
  socket.on("data", (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let colon = bytes.indexOf(":"); colon >= 0; colon = bytes.indexOf(":")) {
      const end = colon + 1 + Number(bytes.subarray(0, colon));
      if (bytes.length < end) return;
      const message = JSON.parse(bytes.subarray(colon + 1, end));
      bytes = bytes.subarray(end);
      // The greeting is no list.
      if (!Array.isArray(message)) continue;
      const [, id, problem, value] = message;
      const answer = waiting.get(id);
      waiting.delete(id);
      if (problem) answer?.reject(new Error(`${problem.error}: ${problem.message}`));
      else answer?.resolve(value && "value" in value ? value.value : value);
    }
  });
  socket.on("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("the browser closed the connection"));
  });
  const send = (name, given) =>
    new Promise((resolve, reject) => {
      number += 1;
      waiting.set(number, { resolve, reject });
      const text = JSON.stringify([0, number, name, given]);
      socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  return { send, close: () => socket.destroy() };
}

async function firefox() {
  const profile = await mkdtemp(join(tmpdir(), "whittle-firefox-"));
  const port = await freePort();
  await writeFile(join(profile, "user.js"), `user_pref("marionette.port", ${port});\nuser_pref("app.update.enabled", false);\n`);
  const browser = await start("firefox-esr", ["--headless", "--marionette", "--no-remote", "--profile", profile]);
  const { send, close } = await marionette(port);
  const session = await send("WebDriver:NewSession", {});
  return {
    version: `Firefox ${session.capabilities.browserVersion}`,
    command: (name, given) => send(COMMANDS[name][0], given),
    close: async () => {
      close();
      await browser.stop();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

async function webkit() {
  const port = await freePort();
  // WebKitGTK has no headless form: xvfb-run gives it a screen that nobody sees.
  const driver = await start("xvfb-run", ["-a", "WebKitWebDriver", `--port=${port}`]);
  const root = `http://127.0.0.1:${port}`;
  const ask = async (method, path, given) => {
    const answer = await fetch(root + path, { method, body: given && JSON.stringify(given) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  await until(() => ask("GET", "/status").catch(() => undefined), START_MS);
  const { sessionId, capabilities } = await ask("POST", "/session", { capabilities: {} });
  return {
    version: `${capabilities.browserName} ${capabilities.browserVersion}`,
    command: (name, given) => ask(COMMANDS[name][1], `/session/${sessionId}${COMMANDS[name][2].replace(":id", given.id)}`, given),
    close: async () => {
      await ask("DELETE", `/session/${sessionId}`);
      await driver.stop();
    },
  };
}

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

const BROWSERS = { firefox, webkit };

/** Starts "firefox" or "webkit"; `version` is what it calls itself. */
export async function open(name) {
  const browser = await BROWSERS[name]();
  await browser.command("timeouts", { script: 60_000, pageLoad: 120_000, implicit: 0 });
  const element = async (selector) => Object.values(await browser.command("find", { using: "css selector", value: selector }))[0];
  return {
    ...browser,
    goto: (url) => browser.command("navigate", { url }),
    /** What the body of a function gives in the page. */
    evaluate: (script, ...args) => browser.command("script", { script, args }),
    click: async (selector) => browser.command("click", { id: await element(selector) }),
    /** Keys for an element, or for an input of files their paths, a line each. */
    type: async (selector, text) => browser.command("type", { id: await element(selector), text }),
  };
}

/** Arrow keys as WebDriver writes them. */
export const KEYS = { right: "\uE014" };
