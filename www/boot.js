// Says so where a file of the page itself is missing or broken: then no module runs that could say it. Also what must be
// known before the first picture.
// A plain script, so that it runs whatever becomes of the modules.

(() => {
  // A link tells its own settings and no story: nothing keeps a place for one. www/ui/stories.js goes on from here.
  if (location.hash !== "") document.documentElement.classList.add("linked");
  const SLOW_MS = 20_000;
  const started = () => document.documentElement.dataset.started !== undefined;
  const tell = (words) => {
    if (started()) return;
    const box = document.createElement("p");
    box.className = "notice error";
    box.textContent = words;
    document.getElementById("alerts")?.replaceChildren(box);
    const status = document.getElementById("status");
    if (status) status.textContent = "The page is not running.";
  };
  const again = "Reload it without its cache (Ctrl+Shift+R, on a Mac Cmd+Shift+R). If you host this page: all files of dist/ must lie together.";
  // A script that cannot be loaded tells only its own element, one that cannot be read the window.
  addEventListener(
    "error",
    ({ target, message }) => {
      const isScript = target instanceof HTMLScriptElement;
      if (isScript || target === window) tell(`A script of this page could not be ${isScript ? "loaded" : `read (${message})`}. ${again}`);
    },
    true,
  );
  setTimeout(() => tell(`The scripts of this page are still on their way; the network is slow or broken off. ${again}`), SLOW_MS);
})();
