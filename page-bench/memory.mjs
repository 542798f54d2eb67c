// What a tab needs. Linux only.
import { readFile } from "node:fs/promises";

/** Most memory that a process of a tab of this browser had so far, in bytes: VmHWM. */
export async function peak(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const tabs = processInfo.filter(({ type }) => type === "renderer");
  const peaks = await Promise.all(
    tabs.map(async ({ id }) => {
      const status = await readFile(`/proc/${id}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
    }),
  );
  return Math.max(...peaks);
}
