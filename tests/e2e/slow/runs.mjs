// Many runs in a row, counted by what the engine tells: a short run may begin and end between two pictures of the page.

/** Before the page is opened: counts the runs that the engine has finished. */
export const countRuns = (page) =>
  page.addInitScript(() => {
    self.finished = 0;
    self.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => {
          if (data.type === "point" && data.series === "run") self.finished += 1;
        });
      }
    };
  });

/** Presses Run `n` times and waits each time for the end. */
export const runs = (page, n) =>
  page.evaluate(async (n) => {
    const button = document.querySelector("#run");
    const until = (is) =>
      new Promise((done) => {
        const look = () => (is() ? done(undefined) : requestAnimationFrame(look));
        look();
      });
    for (let i = 0; i < n; i += 1) {
      const before = self.finished;
      await until(() => button.textContent === "Run");
      button.click();
      await until(() => self.finished > before);
    }
    await until(() => button.textContent === "Run");
  }, n);
