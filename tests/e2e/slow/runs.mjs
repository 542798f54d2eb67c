/** Presses Run `n` times and waits each time for the end. In the page, so that no short run is over before somebody looks. */
export const runs = (page, n) =>
  page.evaluate(async (n) => {
    const status = document.querySelector("#status");
    const button = document.querySelector("#run");
    const until = (is) =>
      new Promise((done) => {
        const look = () => (is() ? done(undefined) : requestAnimationFrame(look));
        look();
      });
    for (let i = 0; i < n; i += 1) {
      button.click();
      await until(() => button.textContent === "Cancel");
      await until(() => status.textContent === "Run complete" && button.textContent === "Run");
    }
  }, n);
